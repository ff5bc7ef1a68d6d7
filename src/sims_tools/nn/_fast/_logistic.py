"""The logistic function, as a loop of which processors compute many values at once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from ._jit import Array, inlined

_LOG2_E = np.float32(1.4426950408889634)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(math.log(2) - 0.693359375)
_TAYLOR = tuple(np.float32(1 / math.factorial(k)) for k in range(8))
_LIMIT = np.float32(87.0)  # exp of it is the largest that single precision holds


def _exponential(x: float) -> float:
    """``exp(x)``; kernels take what is chosen below."""
    return math.exp(x)


@overload(_exponential)
def _choose_exponential(x: Any) -> Any:
    def plain(x: Any) -> Any:
        return math.exp(x)

    def exponential(x: Any) -> Any:
        """``2^n e^r`` with n whole and r at most ln(2) / 2, e^r by its Taylor series; error about 1e-7."""
        x = min(max(x, -_LIMIT), _LIMIT)
        n = np.float32(math.floor(x * _LOG2_E + np.float32(0.5)))
        r = x - n * _LN2_HIGH - n * _LN2_LOW
        total = _TAYLOR[7]
        total = total * r + _TAYLOR[6]
        total = total * r + _TAYLOR[5]
        total = total * r + _TAYLOR[4]
        total = total * r + _TAYLOR[3]
        total = total * r + _TAYLOR[2]
        total = total * r + _TAYLOR[1]
        total = total * r + _TAYLOR[0]
        exponent = np.int32((np.int32(n) + np.int32(127)) << np.int32(23))
        return total * exponent.view(np.float32)

    return exponential if x == types.float32 else plain


@inlined
def logistic(values: Array, first: int, gain: Array, bias: Array, out: Array) -> None:
    """``out[r, k] = 1 / (1 + exp(-(values[r, c] * gain[c] + bias[c])))`` with c = first + k."""
    one, width = out.dtype.type(1), out.shape[1]
    slope, offset = gain[first : first + width], bias[first : first + width]
    for r in range(len(out)):
        line, gate = values[r, first : first + width], out[r]
        for k in range(width):
            gate[k] = one / (one + _exponential(-(line[k] * slope[k] + offset[k])))
