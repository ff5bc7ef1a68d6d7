"""Adam and running averages of weights, with large weights left to the compiled kernels and their threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from ._paths import cpu_kernels

_LARGE = 1 << 16
"""Numbers in a tensor from which on threads are worth their while."""


class _Threaded(torch.optim.Optimizer):
    """What :class:`ThreadedAdam` and :class:`ThreadedAdamW` do in place of torch's step."""

    _decoupled: bool
    _factor = 1.0

    def clip(self, largest_norm: float) -> None:
        """Shrink all gradients in the next step, so that their norm together is no larger than that."""
        weights = [each for group in self.param_groups for each in group["params"] if each.grad is not None]
        large = [each for each in weights if _is_large(each)]
        small = [each.grad for each in weights if not _is_large(each)]
        squares = sum((_large_kernels().sum_of_squares(_flat(_aligned_grad(each))) for each in large), 0.0)
        if small:
            squares += float(torch.stack(torch._foreach_norm(small)).double().square().sum())
        self._factor = min(1.0, largest_norm / (squares**0.5 + 1e-6))
        if small and self._factor < 1:
            torch._foreach_mul_(small, self._factor)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step with the gradients at hand, after `closure` if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        every = [(group, each) for group in self.param_groups for each in group["params"] if each.grad is not None]
        large = [(group, each, _aligned_grad(each)) for group, each in every if _is_large(each)]
        for _, weight, _ in large:
            weight.grad = None  # torch's own step leaves these alone
        super().step()
        for group, weight, grad in large:
            weight.grad = grad
            self._step_large(group, weight, grad)
        self._factor = 1.0
        return loss

    def _step_large(self, group: dict[str, Any], weight: Tensor, grad: Tensor) -> None:
        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"], state["exp_avg_sq"] = (torch.zeros_like(weight, requires_grad=False) for _ in range(2))
        state["step"] += 1
        rate, decay = float(group["lr"]), float(group["weight_decay"])
        _large_kernels().adam_step(
            *(_flat(each) for each in (weight, grad, state["exp_avg"], state["exp_avg_sq"])),
            factor=self._factor,
            rate=rate,
            betas=tuple(group["betas"]),
            eps=group["eps"],
            decay=rate * decay if self._decoupled else 0.0,
            penalty=0.0 if self._decoupled else decay,
            step=int(state["step"]),
        )
        increment_version(weight)


class ThreadedAdam(_Threaded, torch.optim.Adam):
    """Adam (Kingma and Ba 2015) whose large weights compiled kernels update: the same bits on any number of threads.

    Small weights, those on a GPU, and all where kernels cannot run, are updated by torch. Arguments and state are those
    of torch's optimiser.
    """

    _decoupled = False


class ThreadedAdamW(_Threaded, torch.optim.AdamW):
    """AdamW (Loshchilov and Hutter 2019), in the way of :class:`ThreadedAdam`."""

    _decoupled = True


def move_towards(averages: list[Tensor], values: list[Tensor], share: float) -> None:
    """``averages += share * (values - averages)``, in place.

    Parameters
    ----------
    averages, values
        Tensors of floating point, in pairs of one shape.
    share
        How far to go.
    """
    pairs = list(zip(averages, values, strict=True))
    large = [pair for pair in pairs if _is_large(pair[0]) and pair[0].stride() == pair[1].stride()]
    known = {id(average) for average, _ in large}
    small = [pair for pair in pairs if id(pair[0]) not in known]
    if small:
        torch._foreach_lerp_([average for average, _ in small], [value for _, value in small], share)
    for average, value in large:
        _large_kernels().move_towards(_flat(average), _flat(value), share)


def _is_large(tensor: Tensor) -> bool:
    """Whether kernels update it: it is large, and they can read it."""
    if tensor.numel() < _LARGE or cpu_kernels() is None or tensor.device.type != "cpu":
        return False
    return tensor.dtype in (torch.float32, torch.float64) and (tensor.is_contiguous() or _turned(tensor))


def _large_kernels() -> Any:
    """The kernels, where :func:`_is_large` has found that there are some."""
    return cpu_kernels()


def _turned(tensor: Tensor) -> bool:
    return tensor.ndim == 2 and tensor.t().is_contiguous()


def _aligned_grad(weight: Tensor) -> Tensor:
    """The gradient, lying in memory as the weight does."""
    grad = weight.grad
    if grad is None:
        raise ValueError("A weight without a gradient cannot be updated.")
    if grad.stride() != weight.stride():
        grad = weight.grad = torch.empty_like(weight, requires_grad=False).copy_(grad)
    return grad


def _flat(tensor: Tensor) -> np.ndarray:
    """The numbers of a dense tensor in the order of its memory, shared with it."""
    tensor = tensor.detach()
    return (tensor if tensor.is_contiguous() else tensor.t()).reshape(-1).numpy()
