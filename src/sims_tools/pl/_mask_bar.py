"""Global importance: the genes with most mask weight in all."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from sims_tools.pl._canvas import PAD, canvas, inches, pitch_for, plain
from sims_tools.pl._mask_inputs import MaskInputs
from sims_tools.pl._text import SIZE, label_ticks, shorten, text_width


def draw_bar(inputs: MaskInputs, ax: Axes | None) -> Axes:
    """Horizontal bars, the strongest gene on top and of length one."""
    total = inputs.masks.total()
    columns = inputs.strongest(total)
    names = shorten([inputs.names[column] for column in columns])
    height = len(names) * pitch_for(len(names), wish=0.2, floor=0.8)
    ax = canvas(ax, 3.2, max(height, 0.8), left=text_width(names) + 2 * PAD, right=0.2, bottom=0.5)
    ax.barh(np.arange(len(names)), total[columns] / (total.max() or 1), height=0.72, color="#4c72b0")
    label_ticks(ax.yaxis, names, inches(ax)[1] / max(len(names), 1))
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlim(0, 1.02)
    ax.set_xlabel(f"summed {inputs.weight} (share of the strongest gene's)", fontsize=SIZE)
    ax.tick_params(axis="x", labelsize=SIZE)
    plain(ax)
    ax.spines["bottom"].set_visible(True)
    return ax
