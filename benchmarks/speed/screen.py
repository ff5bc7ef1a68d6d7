"""Numbers as people read them, and a result in one line."""

from __future__ import annotations

import json
from typing import Any


def seconds(value: float | None) -> str:
    """Three digits and a unit."""
    if value is None:
        return ""
    for factor, unit in ((1, "s"), (1e3, "ms")):
        if value * factor >= 1:
            return f"{digits(value * factor)} {unit}"
    return f"{digits(value * 1e6)} us"


def size(value: float | None) -> str:
    """Bytes in the decimal unit that fits."""
    if value is None:
        return ""
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= factor:
            return f"{digits(value / factor)} {unit}"
    return f"{value:.0f} B"


def times(value: float | None) -> str:
    """A ratio."""
    return "" if value is None else f"{digits(value)}x"


def rate(value: float | None) -> str:
    """Cells per second, from seconds per cell."""
    return "" if value is None else f"{digits(1 / value)}"


def digits(value: float) -> str:
    """Three significant digits, whole from 100 on, with commas."""
    if value >= 100:
        return f"{round(value, 2 - len(str(int(value))) + 1):,.0f}" if value >= 1000 else f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2g}" if value < 1 else f"{value:.2f}"


def short(result: dict[str, Any]) -> str:
    """One line of a result for the screen."""
    if "config" in result and "seconds" in result:
        config = result["config"]
        what = f"{config['n_genes']} genes, {config['width']} wide, {config['n_steps']} steps, batch {config['batch']}"
        took = ", ".join(f"{name} {seconds(laps['all'])}" for name, laps in result["seconds"].items())
        ratios = ", ".join(f"{name} {times(laps['all'])}" for name, laps in result["ratios"].items())
        return f"{result['section']}: {what}, {config['selector']}, {result['phase']}: {took} ({ratios})"
    kept = {key: value for key, value in result.items() if not isinstance(value, list) and key != "section"}
    return f"{result['section']}: {json.dumps(kept)}"
