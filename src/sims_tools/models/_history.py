"""What was tracked, epoch by epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scvi.train._logger import SimpleExperiment, SimpleLogger

History = dict[str, pd.DataFrame]
"""A one-column table by epoch for each logged quantity, as scvi-tools keeps it."""


class HistoryLogger(SimpleLogger):
    """scvi-tools' history, on every process, leaving the numbers whole for the loggers after it."""

    def __init__(self) -> None:
        super().__init__()
        self._experiment = SimpleExperiment()

    @property
    def experiment(self) -> SimpleExperiment:
        """What holds the history."""
        return self._experiment

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Record a copy: scvi-tools takes entries out of what it is given."""
        self._experiment.log_metrics(dict(metrics), step)

    def state_dict(self) -> dict[str, Any]:
        """Epochs and values of each quantity, as plain lists."""
        return {
            name: {"by": frame.index.name, "at": list(frame.index), "values": [float(each) for each in frame[name]]}
            for name, frame in self.history.items()
        }

    def go_on_from(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave."""
        for name, kept in state.items():
            for at, value in zip(kept["at"], kept["values"], strict=True):
                self._experiment.log_metrics({kept["by"]: at, name: value}, at)


def join_histories(earlier: History | None, later: History, n_before: int) -> History:
    """A history and that of a training that went on from there, its epochs counted on.

    Parameters
    ----------
    earlier, later
        A one-column DataFrame by epoch for each logged quantity.
    n_before
        Epochs of the earlier history.
    """
    joined = dict(earlier or {})
    for name, frame in later.items():
        if frame.index.name == "epoch":
            moved = frame.set_axis(pd.Index(frame.index + n_before, name="epoch"))
            joined[name] = pd.concat([joined[name], moved]) if name in joined else moved
    return joined


def history_arrays(history: History | None) -> dict[str, np.ndarray]:
    """A model's history as equally long float arrays, one value an epoch; NaN where an epoch has none.

    Parameters
    ----------
    history
        A one-column DataFrame by epoch for each logged quantity.
    """
    frames = history or {}
    if not frames:
        return {}
    epochs = np.unique(np.concatenate([frame.index.to_numpy(dtype=float) for frame in frames.values()]))
    arrays = {name: frame.iloc[:, 0].astype(float).reindex(epochs).to_numpy() for name, frame in frames.items()}
    return {"epoch": epochs, **arrays}
