"""Figures: how cost grows with genes and with cells."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from .results import NAMES, PHASE_NAMES, Session, is_plain

INK, MUTED = "#22303c", "#5b6b79"
COLORS = {"ours": "#c2410c", "tabnet": "#1d4e89", "topk": "#3a7d44", "identity": "#6b4c9a"}
MARKERS = {"ours": "o", "tabnet": "s", "topk": "^", "identity": "D"}
STYLE = {
    "svg.fonttype": "path",
    "svg.hashsalt": "sims-tools",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
}


def genes(session: Session, path: Path, *, width: int = 64) -> bool:
    """Time of a cell by phase over the number of genes, with the floor; False where there are no two sizes."""
    wanted = {"width": width, "n_steps": 3}
    results = [each for each in session.phases(**wanted) if is_plain(each)]
    batch = max((each["config"]["batch"] for each in results), default=0)
    results = [each for each in results if each["config"]["batch"] == batch]
    if len({each["config"]["n_genes"] for each in results}) < 2:
        return False
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        panels = figure.subplots(1, 3, sharey=True)
        for axes, (phase, title) in zip(panels, PHASE_NAMES.items(), strict=True):
            chosen = sorted((each for each in results if each["phase"] == phase), key=_genes)
            for kind in COLORS:
                points = [(_genes(each), each["seconds"][kind]["all"]) for each in chosen if kind in each["seconds"]]
                _line(axes, [(x, y / batch) for x, y in points], kind)
            if session.speed:
                floor = [(_genes(each), session.floor(each)["floor_s"] / batch) for each in chosen]
                axes.plot(*zip(*floor, strict=True), color=MUTED, linestyle=":", label="floor of this machine")
            axes.set_title(title, fontsize=9, fontweight="bold")
            _log(axes, [_genes(each) for each in chosen], "genes")
        panels[0].set_ylabel("time of a cell")
        panels[0].yaxis.set_major_formatter(FuncFormatter(_seconds))
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8)
        save(figure, path)
    return True


def cells(session: Session, path: Path) -> bool:
    """Time and extra memory of annotation over the number of cells; False where there are no two numbers."""
    results = [each for each in session.sections.get("annotate", []) if "missing" not in each]
    results = [each for each in results if each["recipe"].startswith("thesis")]
    many = max((each["n_genes"] for each in results if _repeats(each, results)), default=0)
    results = sorted((each for each in results if each["n_genes"] == many), key=lambda each: each["n_cells"])
    if len(results) < 2:
        return False
    x = [each["n_cells"] for each in results]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 3.0), layout="constrained")
        time, memory = figure.subplots(1, 2)
        _line(time, [(each["n_cells"], each["seconds"]) for each in results], "ours")
        time.set_ylabel("time of labels and masks")
        time.yaxis.set_major_formatter(FuncFormatter(_seconds))
        for key, label, style in (
            ("extra", "extra peak memory", "-"),
            ("written", "of which written", "--"),
            ("stored", "the counts themselves", ":"),
        ):
            color = COLORS["ours"] if key != "stored" else MUTED
            values = [each[key] / 1e9 for each in results]
            memory.plot(x, values, color=color, linestyle=style, marker="o", markersize=4, label=label)
        memory.set_ylabel("GB")
        memory.legend(fontsize=8)
        for axes in (time, memory):
            _ticks(axes, x, f"cells, {many:,} genes each")
            axes.set_xlim(left=0)
            axes.set_ylim(bottom=0)
        save(figure, path)
    return True


def _repeats(result: dict, results: list[dict]) -> bool:
    return len({each["n_cells"] for each in results if each["n_genes"] == result["n_genes"]}) > 1


def _genes(result: dict) -> int:
    return result["config"]["n_genes"]


def _line(axes: Axes, points: list[tuple[float, float]], kind: str) -> None:
    if points:
        heavy = 2.0 if kind == "ours" else 1.2
        look = {"color": COLORS[kind], "marker": MARKERS[kind], "markersize": 4, "linewidth": heavy}
        axes.plot(*zip(*points, strict=True), label=NAMES[kind], **look)


def _log(axes: Axes, ticks: list[int], label: str) -> None:
    """Logarithmic axes."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_minor_formatter(NullFormatter())
    _ticks(axes, ticks, label)


def _ticks(axes: Axes, ticks: list[int], label: str) -> None:
    """The measured sizes as ticks."""
    axes.set_xticks(sorted(set(ticks)), [f"{tick:,}" for tick in sorted(set(ticks))], rotation=30, fontsize=8)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y", color="#e3e6e9", linewidth=0.7)
    axes.set_xlabel(label)


def _seconds(value: float, _: object = None) -> str:
    if value == 0 or value >= 1:
        return f"{value:g} s"
    return f"{value * 1e3:g} ms" if value >= 1e-3 else f"{value * 1e6:g} us"


def save(figure: Figure, path: Path) -> None:
    """As SVG and as PNG, the same bytes each time."""
    figure.savefig(path.with_suffix(".svg"), facecolor="white", metadata={"Date": None})
    figure.savefig(path.with_suffix(".png"), facecolor="white", dpi=150, metadata={"Software": None})
