"""What rejecting unsure calls costs and gains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mudata import MuData

from sims_tools._docs import docs
from sims_tools._keys import DEFAULT_KEY
from sims_tools._validate import check_choice
from sims_tools.pl._canvas import PAD, canvas, hand_back, plain
from sims_tools.pl._colors import default_colors
from sims_tools.pl._evaluation import evaluation, score
from sims_tools.pl._text import SIZE, shorten, text_width

_DASHES = {"confidence": "-", "novelty": "--"}
_FEW = 0.05  # coverage below which a handful of cells decides; such risks do not set the scale

_PITCH = 0.18  # inches a line of the legend takes
_LOWEST = 0.05  # the scale reaches up to this at least


class _Line(NamedTuple):
    """One curve and what its legend says."""

    name: str
    curve: pd.DataFrame
    sorted_by: str
    color: str
    area: float


@docs.dedent
def risk_coverage(
    adata: AnnData | MuData,
    labels_key: str | None = None,
    *,
    key: str | Sequence[str] = DEFAULT_KEY,
    cells: Literal["all", "known"] = "all",
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Axes | Figure | None:
    """Show how many calls are wrong among those kept, if only the surest are kept.

    At the right end all cells are kept, and the risk is the share of all whose most probable class is wrong. To the
    left the least sure are given up first, by their confidence and, dashed, by their novelty where `adata` has such a
    score. AURC is the area under the curve: the risk on average over all coverages. The scale is that of coverages
    from 5 %% on; below it a few cells decide.

    Parameters
    ----------
    adata
        Annotated cells. It is not changed.
    labels_key
        Column of `adata.obs` with the true labels; by default what :func:`sims_tools.tl.evaluate` has written is
        drawn.
    key
        The `key_added` of the annotation, or of several to compare.
    cells
        All cells that have a true label, those of types the model does not know being wrong wherever they are kept;
        or those of the types it knows.
    ax
        Axes to draw on.
    %(show)s

    Returns
    -------
    The figure if `return_fig=True`; the axes if `show=False`; else `None`.

    Examples
    --------
    >>> sims.pl.risk_coverage(query, "cell_type")
    >>> sims.pl.risk_coverage(query, "cell_type", key=["sims", "sims_all_genes"])
    """
    check_choice("cells", cells, ("all", "known"))
    keys = list(dict.fromkeys([key] if isinstance(key, str) else key))
    if not keys:
        raise ValueError("`key` is empty; expected the `key_added` of one annotation or of several.")
    lines = [line for rank, each in enumerate(keys) for line in _lines(adata, labels_key, each, cells, rank, len(keys))]
    words = [f"{line.name} (AURC {line.area:.3f})" for line in lines]
    beside = 0.1 if len(lines) == 1 else text_width(words) + 0.45
    ax = canvas(ax, 3.4, max(2.5, len(lines) * _PITCH), left=0.6 + PAD, right=beside + PAD, top=0.32, bottom=0.5)
    for line in lines:
        ax.plot(
            line.curve["coverage"],
            line.curve["risk"],
            color=line.color,
            linestyle=_DASHES[line.sorted_by],
            linewidth=1.5,
            marker="o" if len(line.curve) == 1 else None,
        )
    _frame(ax, lines)
    if len(lines) == 1:
        ax.set_title(f"AURC {lines[0].area:.3f}", fontsize=SIZE, loc="left")
    else:
        _legend(ax, words)
    sizes = {int(line.curve["n_cells"].max()) for line in lines}
    if len(sizes) == 1:
        ax.set_title(f"{sizes.pop():,} cells", fontsize=SIZE, loc="right")
    return hand_back(ax, show, return_fig)


def _lines(
    adata: AnnData | MuData, labels_key: str | None, key: str, cells: str, rank: int, n_keys: int
) -> list[_Line]:
    """The curves of one annotation."""
    tables = evaluation(adata, labels_key, key)
    table = tables["risk_coverage"]
    part = cells if cells in set(table["cells"]) else "known"  # without novel cells, known ones are all
    table = table[table["cells"] == part]
    color = default_colors(n_keys)[rank] if n_keys > 1 else "#4c72b0"
    orders = list(dict.fromkeys(table["sorted_by"]))
    name = shorten([key])[0]
    found = []
    for by in orders:
        title = f"by {by}" if n_keys == 1 else name if len(orders) == 1 else f"{name}, by {by}"
        area = score(tables, f"aurc_{by}", part)
        found.append(_Line(title, table[table["sorted_by"] == by], by, color, area))
    return found


def _frame(ax: Axes, lines: Sequence[_Line]) -> None:
    """Axes from zero, high enough for the risks of more than a few cells."""
    risks = [line.curve.loc[line.curve["coverage"] >= _FEW, "risk"].max() for line in lines]
    top = max(*risks, _LOWEST) * 1.08
    ax.set_ylim(-0.015 * top, min(top, 1.02))
    ax.set_xlim(-0.01, 1.01)
    ax.set_xlabel("coverage: share of cells kept", fontsize=SIZE + 1)
    ax.set_ylabel("risk: share wrong of these", fontsize=SIZE + 1)
    ax.tick_params(labelsize=SIZE)
    plain(ax)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(True)


def _legend(ax: Axes, words: Sequence[str]) -> None:
    """Names right of the axes, as they are: no mathematics, no hidden underscores."""
    place = {"loc": "upper left", "bbox_to_anchor": (1.02, 1), "borderaxespad": 0}
    legend = ax.legend(ax.lines, ["name"] * len(words), fontsize=SIZE, frameon=False, handlelength=2, **place)
    for text, word in zip(legend.get_texts(), words, strict=True):
        text.set_parse_math(False)
        text.set_text(word)
