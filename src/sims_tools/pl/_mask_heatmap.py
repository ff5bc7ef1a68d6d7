"""Labels x genes: where each gene has its say."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from sims_tools.pl._canvas import BAR_ROOM, PAD, canvas, colour_bar, draw_matrix, inches, pitch_for, plain
from sims_tools.pl._colors import MATRIX_MAP
from sims_tools.pl._mask_inputs import MaskInputs
from sims_tools.pl._text import label_ticks, shorten, text_width


def draw_heatmap(inputs: MaskInputs, ax: Axes | None) -> Axes:
    """Mean mask per label, each column divided by its maximum.

    The columns of largest norm are picked before that division: after it, a gene that every label barely looks at
    would have the largest norm of all.
    """
    means = inputs.class_means()
    columns = inputs.by_class(inputs.strongest(np.linalg.norm(means, axis=0)), means)
    shown = means[:, columns]
    peak = shown.max(axis=0, initial=0)
    shown = shown / np.where(peak > 0, peak, 1)
    rows, genes = shorten(inputs.groups), shorten([inputs.names[column] for column in columns], 24)
    width = len(genes) * pitch_for(len(genes), wish=0.16, floor=1.6)
    height = len(rows) * pitch_for(len(rows), wish=0.16, floor=0.9)
    ax = canvas(
        ax, width, height, left=text_width(rows) + 2 * PAD, right=BAR_ROOM, bottom=max(text_width(genes) + 2 * PAD, 0.6)
    )
    image = draw_matrix(ax, shown, cmap=MATRIX_MAP, vmin=0, vmax=1)
    width, height = inches(ax)
    label_ticks(ax.yaxis, rows, height / max(len(rows), 1))
    label_ticks(ax.xaxis, genes, width / max(len(genes), 1), rotation=90)
    plain(ax)
    colour_bar(ax, image, f"{inputs.mean_weight}\n(share of\nmaximum)")
    return ax
