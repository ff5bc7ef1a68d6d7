"""Tensors as the arrays that kernels read and write."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor


def array(tensor: Tensor | None) -> Any:
    """The memory of a tensor on the CPU, shared where it is contiguous."""
    if tensor is None:
        raise ValueError("A norm without weight or running statistics has no fast path.")
    return tensor.detach().contiguous().numpy()


def aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Unset values that begin where a line of the cache does, so that vectors do not lie across two."""
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(n_bytes + _CACHE_LINE, np.uint8)
    start = -memory.__array_interface__["data"][0] % _CACHE_LINE
    return memory[start : start + n_bytes].view(dtype).reshape(shape)


_CACHE_LINE = 64
_scratch = threading.local()


def scratch(name: str, size: int, *dtypes: Any) -> list[np.ndarray]:
    """Arrays of unset values that the next call by that name in this thread uses again.

    Fresh memory of this size would be fetched from the system, page by page, each time.
    """
    kept = _scratch.__dict__.setdefault("kept", {})
    arrays = []
    for i, dtype in enumerate(dtypes):
        known = kept.get((name, i, np.dtype(dtype)))
        if known is None or len(known) < size:
            known = kept[name, i, np.dtype(dtype)] = aligned((size * 5 // 4,), dtype)
        arrays.append(known[:size])
    return arrays


class Gradients:
    """Gradients of parameters, by parameter."""

    def __init__(self) -> None:
        self._arrays: dict[int, np.ndarray] = {}

    def add(self, parameter: Tensor, grad: np.ndarray) -> None:
        """Add to the gradient of a parameter; `grad` may be kept."""
        known = self._arrays.get(id(parameter))
        if known is None:
            self._arrays[id(parameter)] = grad
        else:
            known += grad

    def tensors(self, parameters: list[Tensor]) -> list[Tensor | None]:
        """Gradients in the order of the parameters, None where there is none."""
        arrays = [self._arrays.get(id(each)) for each in parameters]
        return [None if each is None else torch.from_numpy(each) for each in arrays]
