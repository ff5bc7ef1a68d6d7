"""Tensors as the arrays that kernels read and write."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def array(tensor: Tensor | None) -> Any:
    """The memory of a tensor on the CPU, shared where it is contiguous."""
    if tensor is None:
        raise ValueError("A norm without weight or running statistics has no fast path.")
    return tensor.detach().contiguous().numpy()


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
