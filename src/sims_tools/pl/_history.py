"""Training, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from mudata import MuData
from numpy.typing import NDArray

from sims_tools._docs import docs
from sims_tools._keys import DEFAULT_KEY, Keys
from sims_tools._validate import check_choice, listing
from sims_tools.data._in_memory import uns_entry
from sims_tools.pl._canvas import hand_back, plain
from sims_tools.pl._text import SIZE

_DEFAULT = ("loss", "accuracy", "balanced_accuracy", "macro_f1")
_COLORS = {"train": "#4c72b0", "validation": "#dd8452"}


@docs.dedent
def training_history(
    adata: AnnData | MuData,
    *,
    key: str = DEFAULT_KEY,
    metrics: Sequence[str] | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> list[Axes] | Figure | None:
    """Show how loss and scores went while the model was trained.

    The dashed line is the best epoch, as training judged it: by default the one with the highest accuracy on the
    validation cells or, where that was not measured, the lowest loss on them.

    Parameters
    ----------
    adata
        The reference given to :func:`sims_tools.tl.sims_train`. It is not changed.
    key
        The `key_added` of the training.
    metrics
        `"loss"` and any of the recorded scores; by default loss, accuracy, balanced accuracy and macro F1.
    ax
        Axes to draw on, for a single metric.
    %(show)s

    Returns
    -------
    The figure if `return_fig=True`; a list with the axes of each metric if `show=False`; else `None`.

    Examples
    --------
    >>> sims.pl.training_history(reference, metrics=["loss", "median_f1"])
    """
    entry = _entry(adata, key)
    history = {str(name): np.asarray(curve, dtype=float) for name, curve in entry["history"].items()}
    recorded = [
        name for name in ("loss", *_scores(history)) if any(_curve(history, name, part) is not None for part in _COLORS)
    ]
    wanted = [name for name in _DEFAULT if name in recorded] if metrics is None else list(metrics)
    for name in wanted:
        check_choice("metrics", name, recorded)
    if not wanted:
        raise ValueError(f"`metrics` is empty; recorded are {listing(recorded)}.")
    if ax is not None and len(wanted) != 1:
        raise ValueError(f"`ax` holds one metric, and {len(wanted)} are to be drawn; name one in `metrics`.")
    axes = [ax] if ax is not None else _panels(len(wanted))
    training = entry.get("training_params", entry.get("params", {})).get("training", {})
    best = _best_epoch(history, str(training.get("monitor", "accuracy")))
    for panel, name in zip(axes, wanted, strict=True):
        _draw(panel, history, name, best)
    return hand_back(axes, show, return_fig)


def _entry(adata: AnnData | MuData, key: str) -> Mapping[str, Any]:
    """What training has recorded."""
    remedy = (
        "Train on this object first: `sims.tl.sims_train(adata, labels_key)`; the history stays with the reference."
    )
    facts = uns_entry(adata, Keys(key).uns, remedy)
    if not isinstance(facts, Mapping) or "history" not in facts:
        raise KeyError(f"`adata.uns[{Keys(key).uns!r}]` has no 'history'. {remedy}")
    return facts


def _scores(history: Mapping[str, NDArray[np.float64]]) -> list[str]:
    """Names of the recorded scores, in the order of recording."""
    names = (name.removesuffix(f"_{part}") for name in history for part in _COLORS if name.endswith(f"_{part}"))
    return list(dict.fromkeys(names))


def _curve(history: Mapping[str, NDArray[np.float64]], name: str, part: str) -> NDArray[np.float64] | None:
    """One line, or `None` where nothing was measured."""
    curve = history.get(f"{part}_loss" if name == "loss" else f"{name}_{part}")
    return None if curve is None or np.isnan(curve).all() else curve


def _best_epoch(history: Mapping[str, NDArray[np.float64]], monitor: str) -> float | None:
    """The epoch with the best monitored score, or else accuracy, or else loss; `None` without validation cells."""
    for name in (monitor, "accuracy", "loss"):
        curve = _curve(history, name.removeprefix("validation_"), "validation")
        if curve is not None:
            best = np.nanargmin(curve) if name.endswith("loss") else np.nanargmax(curve)
            return float(history["epoch"][best])
    return None


def _panels(count: int) -> list[Axes]:
    """Panels side by side, at most four in a row."""
    columns = min(count, 4)
    rows = ceil(count / columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(2.9 * columns + 0.2, 2.4 * rows + 0.1), squeeze=False, layout="constrained"
    )
    for spare in grid.flat[count:]:
        figure.delaxes(spare)
    return list(grid.flat[:count])


def _draw(ax: Axes, history: Mapping[str, NDArray[np.float64]], name: str, best: float | None) -> None:
    """Training and validation line of one metric."""
    epochs = history["epoch"]
    for part, color in _COLORS.items():
        curve = _curve(history, name, part)
        if curve is not None:
            measured = ~np.isnan(curve)
            marker = "o" if measured.sum() == 1 else None
            ax.plot(epochs[measured], curve[measured], color=color, label=part, marker=marker, linewidth=1.5)
    if best is not None:
        ax.axvline(best, color="grey", linestyle="--", linewidth=1, label=f"best epoch ({best:g})")
    ax.set_title(name.replace("_", " ").replace(" f1", " F1"), fontsize=10)
    ax.set_xlabel("epoch", fontsize=SIZE)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    if epochs.size == 1:
        ax.set_xlim(epochs[0] - 1, epochs[0] + 1)
    ax.tick_params(labelsize=SIZE)
    ax.legend(fontsize=SIZE, frameon=False)
    plain(ax)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(True)
