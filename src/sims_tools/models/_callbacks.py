"""Which weights a training run ends with: averaged, and those of the best epoch."""

from __future__ import annotations

from typing import Any, Literal, Self

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from sims_tools.models._settings import TrainingSettings
from sims_tools.nn import Follower

State = dict[str, Tensor]

_SLOW = 0.9
"""Decay of several steps together down to which not each of them is needed."""


def _copy(state: State) -> State:
    return {name: value.detach().clone() for name, value in state.items()}


def _lying_as(values: Tensor, model: Tensor) -> Tensor:
    """A copy of values that lies in memory as another tensor does."""
    return torch.empty_like(model).copy_(values.detach())


def _write(values: State, state: State) -> None:
    """Copy values to where those of another state lie."""
    torch._foreach_copy_([each.detach() for each in state.values()], [values[name] for name in state])


class RunningAverage:
    """Exponential moving average of a state dict, batch-norm statistics included.

    The decay is warmed up as (1 + step) / (10 + step), so that the first steps do not linger. Where it is slow, up to
    four steps are taken in together, with the decay of all of them: the average is the same but for what happens within
    them.

    Parameters
    ----------
    decay
        Share of the average that each step keeps, in the long run.
    """

    EVERY = 4

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.state: State = {}
        self._step = self._waiting = 0
        self._left = 1.0
        self._live: State | None = None

    def update(self, state: State) -> None:
        """Take one step's weights into the average.

        Parameters
        ----------
        state
            The weights, where they lie at each step.
        """
        self._step += 1
        self._waiting += 1
        self._left *= min(self.decay, (1 + self._step) / (10 + self._step))
        if self._left > _SLOW and self._waiting < self.EVERY:
            return
        if state is not self._live:
            self._begin(state)
        self._follower.follow(1 - self._left)
        for average, value in self._counts:
            average.copy_(value)
        self._waiting, self._left = 0, 1.0

    def state_dict(self) -> dict[str, Any]:
        """What is to be kept to go on later."""
        counters = {"step": self._step, "waiting": self._waiting, "left": self._left}
        return {"state": _copy(self.state), **counters}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on from what :meth:`state_dict` gave, on a device."""
        self.state, self._live = {name: each.to(device) for name, each in state["state"].items()}, None
        self._step, self._waiting, self._left = state["step"], state["waiting"], state["left"]

    def _begin(self, state: State) -> None:
        self._live = state
        self.state = {name: _lying_as(self.state.get(name, value), value) for name, value in state.items()}
        pairs = [(self.state[name], value) for name, value in state.items()]
        self._counts = [pair for pair in pairs if not pair[1].is_floating_point()]
        real = [pair for pair in pairs if pair[1].is_floating_point()]
        self._follower = Follower([average for average, _ in real], [value for _, value in real])


class KeepWeights(Callback):
    """Validate the averaged weights where asked, remember the best epoch's, stop when none is better.

    Everything is kept in memory. An interrupted run ends with the same choice of weights as a finished one.

    Parameters
    ----------
    monitor
        Logged quantity to judge an epoch by.
    mode
        Whether "min" or "max" is better.
    patience
        Stop after so many validated epochs without a better one; 0 never stops.
    restore
        End with the weights of the best epoch.
    weight_average
        Decay of the running average; 0 uses the raw weights.
    """

    def __init__(
        self, monitor: str, mode: Literal["min", "max"], *, patience: int, restore: bool, weight_average: float
    ) -> None:
        self.monitor, self.mode, self.patience, self.restore = monitor, mode, patience, restore
        self.average = RunningAverage(weight_average) if weight_average > 0 else None
        self.best_epoch: int | None = None
        self.epochs_done = 0
        self.interrupted = False
        self._best_value = float("nan")
        self._best: State = {}
        self._raw: State = {}
        self._live: State = {}
        self._waited = 0
        self._alike = True

    @classmethod
    def by(cls, settings: TrainingSettings) -> Self:
        """As settings of training say."""
        monitor, mode = settings.monitored
        return cls(
            monitor,
            mode,
            patience=settings.patience,
            restore=settings.restore_best,
            weight_average=settings.weight_average,
        )

    @property
    def has_lost_patience(self) -> bool:
        """Whether too many epochs were no better than the best."""
        return self.patience > 0 and self._waited >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """What is to be kept to go on later, on the CPU; between epochs only."""
        return {
            "best_epoch": self.best_epoch,
            "best_value": self._best_value,
            "best": {name: each.cpu() for name, each in self._best.items()},
            "waited": self._waited,
            "epochs_done": self.epochs_done,
            "average": None if self.average is None else self.average.state_dict(),
        }

    def go_on_from(self, state: dict[str, Any], device: torch.device) -> None:
        """Take over what :meth:`state_dict` gave, on a device."""
        self.best_epoch, self._best_value, self._waited = state["best_epoch"], state["best_value"], state["waited"]
        self._best = {name: each.to(device) for name, each in state["best"].items()}
        self.epochs_done = state["epochs_done"]
        if self.average is not None:
            self.average.load_state_dict(state["average"], device)

    def on_train_start(self, trainer: lightning.Trainer, plan: Any) -> None:
        """Remember where the weights are: collecting them anew takes longer than to average them."""
        self._live = plan.module.state_dict()

    def on_train_batch_end(self, trainer: lightning.Trainer, plan: Any, *_: Any) -> None:
        """Take the new weights into the average."""
        self._alike = False
        if self.average is not None:
            self.average.update(self._live)

    def on_validation_start(self, trainer: lightning.Trainer, plan: Any) -> None:
        """Swap the average in."""
        self._make_alike(trainer, plan)
        if self.average is not None and self.average.state:
            self._raw = _copy(self._live)
            _write(self.average.state, self._live)

    def on_validation_end(self, trainer: lightning.Trainer, plan: Any) -> None:
        """Judge the epoch, then swap the raw weights back."""
        if not trainer.sanity_checking and self.monitor in trainer.callback_metrics:
            self._judge(trainer, self._live)
        if self._raw:
            _write(self._raw, self._live)
            self._raw = {}

    def _judge(self, trainer: lightning.Trainer, state: State) -> None:
        value = float(trainer.callback_metrics[self.monitor])
        better = value < self._best_value if self.mode == "min" else value > self._best_value
        if self.best_epoch is None or better:
            self.best_epoch, self._best_value, self._waited = trainer.current_epoch, value, 0
            self._best = _copy(state) if self.restore else {}
            return
        self._waited += 1
        trainer.should_stop |= self.has_lost_patience

    def on_train_epoch_end(self, trainer: lightning.Trainer, plan: Any) -> None:
        """Count the finished epochs."""
        self._make_alike(trainer, plan)
        self.epochs_done += 1

    def _make_alike(self, trainer: lightning.Trainer, plan: Any) -> None:
        """Give all processes the mean of what each has counted of its own cells, such as batch-norm statistics.

        Weights are the same on all of them after every step; an average of means is the mean of averages.
        """
        if self._alike or trainer.world_size == 1:
            return
        averaged = {} if self.average is None else self.average.state
        names = [name for name, each in plan.module.named_buffers() if name in self._live and each.is_floating_point()]
        buffers = [state[name].detach() for state in (self._live, averaged) if state for name in names]
        if buffers:
            flat = torch.cat([each.flatten().double() for each in buffers])  # a mean of equal values is that value
            flat = trainer.strategy.reduce(flat, reduce_op="mean")
            for each, part in zip(buffers, flat.split([each.numel() for each in buffers]), strict=True):
                each.copy_(part.view(each.shape))
        self._alike = True

    def on_train_end(self, trainer: lightning.Trainer, plan: Any) -> None:
        """Load the weights to keep."""
        self.load_kept(plan.module)

    def load_kept(self, module: torch.nn.Module) -> None:
        """Load the weights to keep into a module."""
        averaged = self.average.state if self.average is not None else {}
        if kept := self._best or averaged:
            module.load_state_dict(kept)

    def on_exception(self, trainer: lightning.Trainer, plan: Any, exception: BaseException) -> None:
        """Load the weights to keep when training was cut off."""
        self.interrupted = isinstance(exception, KeyboardInterrupt)
        self.load_kept(plan.module)
