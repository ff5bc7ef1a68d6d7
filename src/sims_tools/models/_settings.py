"""How a model is trained, apart from the network itself."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from sims_tools._validate import as_plain, check_choice, check_count, check_fraction, check_names, check_positive
from sims_tools.data._sampling import SAMPLINGS
from sims_tools.models._metrics import SCORES

_FEWEST_STEPS = 200
"""Minibatches below which very few cells have not been learned."""


@dataclass(frozen=True)
class TrainingSettings:
    """Optimiser, schedule, loss and stopping rule.

    Attributes
    ----------
    max_epochs
        Passes over the training cells, at most. None fits it to their number: as many as make 40,000 cells, at least
        5, at most 30; more where these make fewer than 200 minibatches.
    batch_size
        Cells per minibatch, on all processes together; no more than there are training cells. None fits it to their
        number: 64 up to 4,800 cells, then a 75th of them, at most 1,024.
    optimizer
        "Adam" or "AdamW".
    learning_rate, weight_decay
        Of the optimiser. With the one-cycle schedule the learning rate is its peak.
    schedule
        "plateau" (times `lr_factor` after `lr_patience` epochs without a lower validation loss), "one_cycle"
        (Smith and Topin 2019, over all epochs), "exponential" (times `lr_factor` each epoch), "steps" (times
        `lr_factor` after every `lr_steps` minibatches) or "constant".
    lr_steps
        Minibatches after which the rate falls, with that schedule.
    sampling
        Which cells an epoch shows: "uniform" each once, "balanced" as many in all, of every class equally many, so that
        cells of small classes come several times and those of large ones not in every epoch.
    class_weights
        Power of the inverse class frequency in the loss: 1 weighs all classes alike, 0 all cells alike. Of
        balanced classes the frequency is the same.
    label_smoothing
        Share of the target spread evenly over the classes.
    penalty_warmup
        Share of the epochs over which the network's penalty grows from nothing to its full weight.
    narrowing
        Share of the steps over which the masks of a network with `max_selected` narrow to that number of features.
    gradient_clip
        Largest norm of the gradient; 0 never clips.
    monitor
        Which epoch is best: a tracked score, larger is better, or "validation_loss", smaller is better.
    patience
        Stop after so many epochs without a better one; 0 trains all epochs.
    weight_average
        Decay, per step, of the running average of weights and batch-norm statistics that replaces the weights at
        validation and at the end; 0 keeps the raw weights.
    restore_best
        Return to the weights of the best epoch at the end.
    """

    max_epochs: int | None = None
    batch_size: int | None = None
    optimizer: Literal["Adam", "AdamW"] = "AdamW"
    learning_rate: float = 5e-3
    weight_decay: float = 0.05
    schedule: Literal["plateau", "one_cycle", "exponential", "steps", "constant"] = "one_cycle"
    lr_factor: float = 0.75
    lr_patience: int = 20
    lr_steps: int = 1000
    sampling: Literal["uniform", "balanced"] = "uniform"
    class_weights: float = 0.0
    label_smoothing: float = 0.0
    penalty_warmup: float = 0.0
    narrowing: float = 0.5
    gradient_clip: float = 1.0
    monitor: str = "accuracy"
    patience: int = 0
    weight_average: float = 0.0
    restore_best: bool = True

    def __post_init__(self) -> None:
        check_choice("optimizer", self.optimizer, ("Adam", "AdamW"))
        check_choice("monitor", self.monitor, (*SCORES, "validation_loss"))
        check_choice("sampling", self.sampling, SAMPLINGS)
        check_choice("schedule", self.schedule, ("plateau", "one_cycle", "exponential", "steps", "constant"))
        for name in ("max_epochs", "batch_size"):
            check_count(name, getattr(self, name))
        for name in ("learning_rate", "lr_factor", "lr_steps"):
            check_positive(name, getattr(self, name))
        for name in ("weight_decay", "lr_patience", "class_weights", "gradient_clip", "patience"):
            check_positive(name, getattr(self, name), zero=True)
        check_fraction("label_smoothing", self.label_smoothing)
        check_fraction("penalty_warmup", self.penalty_warmup, closed=True)
        check_fraction("narrowing", self.narrowing, closed=True)
        check_fraction("weight_average", self.weight_average)

    def fit_to(self, n_cells: int) -> TrainingSettings:
        """The same with the numbers of epochs and of cells in a minibatch fitted to the training cells."""
        size = min(1024, max(64, n_cells // 75)) if self.batch_size is None else self.batch_size
        size = min(size, n_cells)
        enough = -(-_FEWEST_STEPS // -(-n_cells // size))
        epochs = max(min(30, max(5, 40_000 // n_cells)), enough) if self.max_epochs is None else self.max_epochs
        return replace(self, max_epochs=epochs, batch_size=size)

    @property
    def monitored(self) -> tuple[str, Literal["min", "max"]]:
        """Logged name of the monitored quantity, and which way is better."""
        if self.monitor == "validation_loss":
            return self.monitor, "min"
        return f"{self.monitor}_validation", "max"


SETTING_NAMES = tuple(field.name for field in fields(TrainingSettings))


def change_settings(settings: TrainingSettings, **changes: Any) -> TrainingSettings:
    """`settings` with some fields replaced; None keeps a field.

    Raises
    ------
    TypeError
        A name is not a setting.
    """
    check_names("training setting", changes, SETTING_NAMES)
    return replace(settings, **{name: as_plain(value) for name, value in changes.items() if value is not None})
