"""Thresholds of the selectors, found among candidates without sorting them, for supports of any size."""

from __future__ import annotations

import math

from ._jit import Array, compiled


@compiled
def threshold(values: Array, entmax: bool, least: float) -> float:
    """Tau of one cell.

    Adding values never lowers tau. So the threshold of some of the scores is a lower bound for that of all of them.

    Parameters
    ----------
    values
        Scores less their maximum; halved for entmax15. Those of -1 or less may be left out.
    entmax
        ``sum [v - tau]_+^2 = 1`` (entmax15) in place of ``sum [v - tau]_+ = 1`` (sparsemax).
    least
        A lower bound of tau; -1 always is one.
    """
    return _entmax15_threshold(values, least) if entmax else _sparsemax_threshold(values, least)


@compiled
def _sparsemax_threshold(values: Array, least: float) -> float:
    """Tau with ``sum [v - tau]_+ = 1`` (Michelot 1986): rises to the solution, and reaches it, from below."""
    tau, before = least, -1
    while True:
        n, total = 0, 0.0
        for i in range(len(values)):
            inside = values[i] > tau
            n += inside
            total += values[i] if inside else 0.0
        if n == before or n == 0:
            return tau
        tau, before = (total - 1.0) / n, n


@compiled
def _entmax15_threshold(values: Array, least: float) -> float:
    """Tau with ``sum [v - tau]_+^2 = 1``.

    Newton's method on the norm of ``[v - tau]_+``, which is convex in tau, rises to the solution from below. Once the
    support has stopped shrinking the quadratic equation of that support ends the search.
    """
    tau, before = least, -1
    for _ in range(100):
        n, total, squares = 0, 0.0, 0.0
        for i in range(len(values)):
            above = values[i] - tau if values[i] > tau else 0.0
            n += above > 0
            total += above
            squares += above * above
        room = total * total - n * (squares - 1.0)
        if n == before and room >= 0:
            step = (squares - 1.0) / (total + math.sqrt(room))
            reached = tau + step
            held = 0
            for i in range(len(values)):
                held += values[i] > reached
            if held == n or abs(step) < 1e-15:
                return reached
        norm = math.sqrt(squares)
        tau, before = tau + (norm - 1.0) * norm / total, n
    return tau
