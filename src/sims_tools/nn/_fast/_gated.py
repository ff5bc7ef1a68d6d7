"""The gated layers of a feature transformer, all of them over one chunk of cells while it is in the cache."""

from __future__ import annotations

import math

import numpy as np

from ._jit import Array, compiled, inlined
from ._logistic import logistic
from ._product import add_product, set_product

RESIDUAL = math.sqrt(0.5)


@compiled
def gated_forward(
    task: int,
    n_chunks: int,
    first_rows: Array,
    hidden: Array,
    transposed: Array,
    gain: Array,
    bias: Array,
    mean: Array,
    variance: Array,
    measure: bool,
    eps: float,
    normed: Array,
    gates: Array,
    states: Array,
) -> None:
    """``x <- GLU(norm(h))``, then ``x <- (x + GLU(norm(W x))) sqrt(1/2)`` for each later layer, of one group of chunks.

    Parameters
    ----------
    task
        Number of the group.
    n_chunks
        Chunks in a group.
    first_rows
        (total_chunks + 1,) first cell of each chunk.
    hidden
        (B, 2 width) output of the first linear map.
    transposed
        (n_layers - 1, width, 2 width) linear maps of the later layers.
    gain, bias
        (n_layers, 2 width) of the norms.
    mean, variance
        (total_chunks or 1, n_layers, 2 width); written where `measure`.
    measure
        Normalise each chunk by its own statistics.
    eps
        Of the norms.
    normed, gates, states
        (n_layers, B, 2 width), (n_layers, B, width), (n_layers, B, width), written: what is needed to go back, the last
        state being the result. With a first dimension of 1 only the result is kept.
    """
    n_layers, width = len(gain), states.shape[2]
    for chunk in range(task * n_chunks, min((task + 1) * n_chunks, len(first_rows) - 1)):
        low, high = first_rows[chunk], first_rows[chunk + 1]
        own = chunk if len(variance) > 1 else 0
        for layer in range(n_layers):
            kept = layer if len(states) > 1 else 0
            h, gate, state = normed[kept, low:high], gates[kept, low:high], states[kept, low:high]
            if layer == 0:
                for r in range(high - low):
                    for k in range(2 * width):
                        h[r, k] = hidden[low + r, k]
            else:
                before = states[kept - 1 if kept else 0, low:high]
                set_product(before, 0, high - low, transposed[layer - 1], 0, 2 * width, h, 0, 0)
            if measure:
                _moments(h, mean[own, layer], variance[own, layer])
            _standardise(h, mean[own, layer], variance[own, layer], eps)
            logistic(h, width, gain[layer], bias[layer], gate)
            if layer == 0:
                for r in range(high - low):
                    for k in range(width):
                        state[r, k] = (h[r, k] * gain[0, k] + bias[0, k]) * gate[r, k]
            else:
                before = states[kept - 1 if kept else 0, low:high]
                half = state.dtype.type(RESIDUAL)
                for r in range(high - low):
                    for k in range(width):
                        opened = (h[r, k] * gain[layer, k] + bias[layer, k]) * gate[r, k]
                        state[r, k] = (before[r, k] + opened) * half


@inlined
def _moments(h: Array, mean: Array, variance: Array) -> None:
    n, width = h.shape
    share = h.dtype.type(1.0 / n)
    mean[:] = 0
    variance[:] = 0
    for r in range(n):
        for k in range(width):
            mean[k] += h[r, k]
    for k in range(width):
        mean[k] *= share
    for r in range(n):
        for k in range(width):
            away = h[r, k] - mean[k]
            variance[k] += away * away
    for k in range(width):
        variance[k] *= share


@inlined
def _standardise(h: Array, mean: Array, variance: Array, eps: float) -> None:
    n, width = h.shape
    rstd = np.empty(width, h.dtype)
    for k in range(width):
        rstd[k] = 1.0 / math.sqrt(variance[k] + eps)
    for r in range(n):
        for k in range(width):
            h[r, k] = (h[r, k] - mean[k]) * rstd[k]


@compiled
def gated_backward(
    task: int,
    n_chunks: int,
    first_rows: Array,
    linear: Array,
    gain: Array,
    bias: Array,
    variance: Array,
    measured: bool,
    eps: float,
    normed: Array,
    gates: Array,
    states: Array,
    grad: Array,
    grad_hidden: Array,
    grad_linear: Array,
    grad_gain: Array,
    grad_bias: Array,
) -> None:
    """Gradients of :func:`gated_forward` over one group of chunks.

    Parameters
    ----------
    task, n_chunks, first_rows, gain, bias, variance, eps, normed, gates, states
        As there.
    linear
        (n_layers - 1, 2 width, width) linear maps of the later layers.
    measured
        The statistics were those of the chunk, and take part in the gradient.
    grad
        (B, width) gradient of the result; used as working space.
    grad_hidden
        (B, 2 width), written: gradient of the first linear map's output.
    grad_linear, grad_gain, grad_bias
        (n_groups, n_layers - 1, 2 width, width), (n_groups, n_layers, 2 width) twice, the group's are added to.
    """
    n_layers, width = len(gain), grad.shape[1]
    half = grad.dtype.type(RESIDUAL)
    for chunk in range(task * n_chunks, min((task + 1) * n_chunks, len(first_rows) - 1)):
        low, high = first_rows[chunk], first_rows[chunk + 1]
        own = chunk if len(variance) > 1 else 0
        coming, back = grad[low:high], grad_hidden[low:high]
        for layer in range(n_layers - 1, -1, -1):
            h, gate = normed[layer, low:high], gates[layer, low:high]
            if layer > 0:
                for r in range(high - low):
                    for k in range(width):
                        coming[r, k] *= half
            _gate_grad(h, gain[layer], bias[layer], gate, coming, back)
            _norm_grad(
                h, back, gain[layer], variance[own, layer], measured, eps,
                grad_gain[task, layer], grad_bias[task, layer],
            )  # fmt: skip
            if layer > 0:
                before = states[layer - 1, low:high]
                add_product(back.T, 0, 2 * width, before, 0, width, grad_linear[task, layer - 1], 0, 0)
                add_product(back, 0, high - low, linear[layer - 1], 0, width, coming, 0, 0)


@inlined
def _gate_grad(h: Array, gain: Array, bias: Array, gate: Array, coming: Array, back: Array) -> None:
    """Gradient of ``value * gate`` with respect to the norm's output, of which they are the two halves."""
    n, width = coming.shape
    one = gate.dtype.type(1)
    for r in range(n):
        of_value, of_gate = back[r, :width], back[r, width:]
        for k in range(width):
            of_value[k] = coming[r, k] * gate[r, k]
        for k in range(width):
            value = h[r, k] * gain[k] + bias[k]
            of_gate[k] = of_value[k] * value * (one - gate[r, k])


@inlined
def _norm_grad(
    h: Array, back: Array, gain: Array, variance: Array, measured: bool, eps: float, grad_gain: Array, grad_bias: Array
) -> None:
    """Turn `back` from the gradient of the norm's output into that of its input."""
    n, width = h.shape
    along, total = np.zeros(width, h.dtype), np.zeros(width, h.dtype)
    for r in range(n):
        for k in range(width):
            total[k] += back[r, k]
            along[k] += back[r, k] * h[r, k]
    scale = np.empty(width, h.dtype)
    for k in range(width):
        grad_gain[k] += along[k]
        grad_bias[k] += total[k]
        scale[k] = gain[k] / math.sqrt(variance[k] + eps)
        along[k] = along[k] / n if measured else 0
        total[k] = total[k] / n if measured else 0
    for r in range(n):
        for k in range(width):
            back[r, k] = scale[k] * (back[r, k] - total[k] - h[r, k] * along[k])
