"""Boxes and arrows for the drawings of this folder."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Polyline

INK = "#22303c"
MUTED = "#5b6b79"
ROOMS = {
    "yours": "#f4f1ea",
    "tl": "#ffd8a8",
    "pl": "#ffd8a8",
    "get": "#ffd8a8",
    "data": "#c5e4c9",
    "models": "#bfd9f2",
    "confidence": "#dccbee",
    "nn": "#f6c8cd",
    "studies": "#f1e3b0",
    "stores": "#cfe8e6",
    "disk": "#e3e6e9",
}

mpl.rcParams |= {"svg.fonttype": "path", "svg.hashsalt": "sims-tools", "font.family": "DejaVu Sans"}


def canvas(width: float, height: float) -> Axes:
    """An empty white sheet, one unit to the inch."""
    figure = Figure(figsize=(width, height), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height), aspect="equal")
    axes.axis("off")
    return axes


def box(axes: Axes, x: float, y: float, width: float, height: float, room: str, title: str, text: str = "") -> None:
    """A rounded box around (x, y) with a bold first line and smaller ones under it."""
    shape = FancyBboxPatch(
        (x - width / 2, y - height / 2), width, height,
        boxstyle="round,pad=0,rounding_size=0.08", facecolor=ROOMS[room], edgecolor=INK, linewidth=0.9,
    )  # fmt: skip
    axes.add_patch(shape)
    if not text:
        axes.text(x, y, title, ha="center", va="center", color=INK, fontsize=9, fontweight="bold")
        return
    lines = text.count("\n") + 1
    top = y + 0.085 * lines
    axes.text(x, top, title, ha="center", va="center", color=INK, fontsize=9, fontweight="bold")
    axes.text(x, top - 0.11, text, ha="center", va="top", color=INK, fontsize=7.6, linespacing=1.25)


def arrow(axes: Axes, *points: tuple[float, float]) -> None:
    """An arrow from the first point to the last, through those between."""
    axes.add_patch(
        FancyArrowPatch(path=Polyline(points), arrowstyle="-|>", mutation_scale=11, color=INK, linewidth=1.1)
    )


def note(axes: Axes, x: float, y: float, text: str, *, size: float = 7.6, bold: bool = False, **kwargs: str) -> None:
    """Plain words."""
    settings = {"ha": "center", "va": "center", "color": MUTED} | kwargs
    axes.text(x, y, text, fontsize=size, fontweight="bold" if bold else "normal", linespacing=1.25, **settings)


def save(axes: Axes, script: str) -> None:
    """Write the drawing beside its script, as SVG and as PNG."""
    for suffix in (".svg", ".png"):
        path = Path(script).with_name(Path(script).stem.removeprefix("draw_") + suffix)
        metadata = {"Date": None} if suffix == ".svg" else {"Software": None}
        axes.figure.savefig(path, dpi=150, metadata=metadata)
