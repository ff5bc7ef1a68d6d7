"""Adam and running averages of weights by compiled kernels: one pass over all of them, on several threads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from ._paths import cpu_kernels

_OTHERS = ("amsgrad", "maximize", "differentiable")
"""Options that are left to torch."""


class _Ours(NamedTuple):
    """Weights of one group and type that kernels update, with what they need of them."""

    group: dict[str, Any]
    weights: list[Tensor]
    grads: Any
    states: tuple[Any, Any, Any]


class _Threaded(torch.optim.Optimizer):
    """What :class:`ThreadedAdam` and :class:`ThreadedAdamW` do in place of torch's step."""

    _decoupled: bool
    _factor = 1.0
    _clipped: tuple[list[_Ours], list[Tensor]] | None = None

    def clip(self, largest_norm: float) -> None:
        """Shrink all gradients in the next step, so that their norm together is no larger than that."""
        ours, others = self._clipped = self._split()
        squares = sum(_kernels().sum_of_squares(each.grads) for each in ours)
        grads = [each.grad for each in others if each.grad is not None]
        if grads:
            squares += float(torch.stack(torch._foreach_norm(grads)).double().square().sum())
        self._factor = min(1.0, largest_norm / (squares**0.5 + 1e-6))
        if grads and self._factor < 1:
            torch._foreach_mul_(grads, self._factor)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step with the gradients at hand, after `closure` if there is one."""
        loss = None
        if closure is not None:
            self._clipped = None
            with torch.enable_grad():
                loss = closure()
        ours, others = self._clipped or self._split()
        if others:
            self._step_others([weight for each in ours for weight in each.weights])
        for each in ours:
            self._step_ours(each)
        self._factor, self._clipped = 1.0, None
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state, as torch's optimisers do."""
        self.__dict__.pop("_states", None)
        super().load_state_dict(state_dict)

    def _split(self) -> tuple[list[_Ours], list[Tensor]]:
        """Weights with a gradient: those that kernels update, by group and type, and the others."""
        ours: dict[tuple[int, torch.dtype], list[Tensor]] = defaultdict(list)
        others = []
        for number, group in enumerate(self.param_groups):
            known = not any(group.get(name) for name in _OTHERS)
            for weight in group["params"]:
                if weight.grad is not None:
                    if known and _readable(weight):
                        ours[number, weight.dtype].append(weight)
                    else:
                        others.append(weight)
        return [self._prepared(key, weights) for key, weights in ours.items()], others

    def _prepared(self, key: tuple[int, torch.dtype], weights: list[Tensor]) -> _Ours:
        """Gradients and states of some weights; the states' places are remembered from step to step."""
        remembered = self.__dict__.setdefault("_states", {})
        known, states = remembered.get(key, ([], ()))
        if len(known) != len(weights) or any(a is not b for a, b in zip(known, weights, strict=True)):
            of_weights = [self._state_of(each) for each in weights]
            states = tuple(_rows([each[name] for each in of_weights]) for name in ("exp_avg", "exp_avg_sq", "step"))
            remembered[key] = weights, states
        return _Ours(self.param_groups[key[0]], weights, _rows(_grads(weights), states[0]), states)

    def _step_others(self, ours: list[Tensor]) -> None:
        """Torch's own step, which leaves alone what has no gradient."""
        grads = [each.grad for each in ours]
        for each in ours:
            each.grad = None
        super().step()
        for each, grad in zip(ours, grads, strict=True):
            each.grad = grad

    def _step_ours(self, ours: _Ours) -> None:
        group = ours.group
        rate, decay = float(group["lr"]), float(group["weight_decay"])
        _kernels().adam_step(
            _rows(ours.weights, ours.grads),
            ours.grads,
            *ours.states,
            factor=self._factor,
            rate=rate,
            betas=tuple(group["betas"]),
            eps=group["eps"],
            decay=rate * decay if self._decoupled else 0.0,
            penalty=0.0 if self._decoupled else decay,
        )
        increment_version(ours.weights)

    def _state_of(self, weight: Tensor) -> dict[str, Tensor]:
        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"], state["exp_avg_sq"] = (torch.zeros_like(weight, requires_grad=False) for _ in range(2))
        for name in ("exp_avg", "exp_avg_sq"):
            state[name] = _aligned(state[name], weight)
        return state


class ThreadedAdam(_Threaded, torch.optim.Adam):
    """Adam (Kingma and Ba 2015) by compiled kernels: the same bits on any number of threads.

    Weights on a GPU, and all where kernels cannot run, are updated by torch. Arguments and state are those of torch's
    optimiser.
    """

    _decoupled = False


class ThreadedAdamW(_Threaded, torch.optim.AdamW):
    """AdamW (Loshchilov and Hutter 2019), in the way of :class:`ThreadedAdam`."""

    _decoupled = True


class Follower:
    """Running averages of some tensors, where both lie.

    Parameters
    ----------
    averages, values
        Tensors of floating point, in pairs of one shape and type, that stay where they are.
    """

    def __init__(self, averages: Sequence[Tensor], values: Sequence[Tensor]) -> None:
        ours: dict[torch.dtype, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        others: list[tuple[Tensor, Tensor]] = []
        for average, value in zip(averages, values, strict=True):
            pair = average.detach(), value.detach()
            alike = average.dtype == value.dtype and average.stride() == value.stride()
            (ours[average.dtype] if alike and _readable(average) and value.is_cpu else others).append(pair)
        self._others = [average for average, _ in others], [value for _, value in others]
        self._held = list(ours.values())
        self._ours = [tuple(_rows(list(each)) for each in zip(*pairs, strict=True)) for pairs in self._held]

    def follow(self, share: float) -> None:
        """``averages += share * (values - averages)``, in place.

        Parameters
        ----------
        share
            How far to go.
        """
        if self._others[0]:
            torch._foreach_lerp_(self._others[0], self._others[1], share)
        for averages, values in self._ours:
            _kernels().move_towards(averages, values, share)


def _readable(tensor: Tensor) -> bool:
    """Whether kernels can: it lies dense in memory on the CPU, in single or double precision."""
    if not tensor.is_cpu or tensor.dtype not in (torch.float32, torch.float64) or cpu_kernels() is None:
        return False
    return tensor.is_contiguous() or (tensor.ndim == 2 and tensor.t().is_contiguous())


def _kernels() -> Any:
    """The kernels, where :func:`_readable` has found that there are some."""
    return cpu_kernels()


def _rows(tensors: list[Tensor], alike: Any = None) -> Any:
    return _kernels().Rows(tensors, alike)


def _grads(weights: list[Tensor]) -> list[Tensor]:
    """Their gradients, each lying in memory as its weight does."""
    grads = []
    for weight in weights:
        grad = weight.grad
        if grad is None:
            raise ValueError("A weight without a gradient cannot be updated.")
        weight.grad = _aligned(grad, weight)
        grads.append(weight.grad)
    return grads


def _aligned(values: Tensor, weight: Tensor) -> Tensor:
    """The same numbers, lying in memory as the weight does."""
    if values.stride() == weight.stride():
        return values
    return torch.empty_like(weight, requires_grad=False).copy_(values)
