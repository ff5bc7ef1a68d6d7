"""Names that fit: shortened, measured, and set as ticks no denser than the eye can part."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from matplotlib.axis import Axis
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

SIZE = 8.0  # points
_SMALLEST = 4.0
_LEADING = 1.25  # line height over type size


def shorten(names: Sequence[str], limit: int = 40) -> list[str]:
    """Names of at most `limit` characters, the middle of longer ones an ellipsis; different names stay different."""
    names = [str(name) for name in names]
    longest = max((len(name) for name in names), default=0)
    while True:
        short = [_without_middle(name, limit) for name in names]
        if limit >= longest or len(set(short)) == len(set(names)):
            return short
        limit += 4


def _without_middle(name: str, limit: int) -> str:
    if len(name) <= limit:
        return name
    head = (limit - 1) // 2
    return f"{name[:head]}…{name[len(name) - (limit - 1 - head) :]}"


def text_width(names: Sequence[str], size: float = SIZE) -> float:
    """Width in inches of the widest of `names`."""
    font = FontProperties(size=size)
    widths = (text_to_path.get_text_width_height_descent(name, font, ismath=False)[0] for name in names)
    return max(widths, default=0.0) / 72


def size_for(pitch: float) -> float:
    """Type size in points for lines that are `pitch` inches apart."""
    return max(min(SIZE, pitch * 72 / _LEADING), _SMALLEST)


def label_ticks(
    axis: Axis, names: Sequence[str], pitch: float, *, rotation: float = 0, size: float | None = None
) -> None:
    """Ticks at 0, 1, ..., named `names`; where `pitch` inches are too few for any type, only some are named."""
    size = size_for(pitch) if size is None else size
    step = max(ceil(_SMALLEST * _LEADING / (pitch * 72) - 1e-9), 1)
    axis.set_ticks(np.arange(0, len(names), step), labels=list(names)[::step])
    axis.set_tick_params(labelsize=size, length=0, labelrotation=rotation)
    for label in axis.get_ticklabels():
        label.set_parse_math(False)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The positions nearest to `wanted` (ascending) that keep `gap` between neighbours and stay in `low` to `high`."""
    blocks: list[tuple[float, int]] = []  # mean of (position - rank * gap), size: pooled while out of order
    for rank, position in enumerate(wanted):
        block = (position - rank * gap, 1)
        while blocks and blocks[-1][0] > block[0]:
            mean, size = blocks.pop()
            block = ((mean * size + block[0] * block[1]) / (size + block[1]), size + block[1])
        blocks.append(block)
    top = max(high - (len(wanted) - 1) * gap, low)
    starts = [min(max(mean, low), top) for mean, size in blocks for _ in range(size)]
    return [start + rank * gap for rank, start in enumerate(starts)]
