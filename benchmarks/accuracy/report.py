"""Tables of what was measured: `python -m benchmarks.accuracy.report FILE...`.

Without `--page` the tables are printed. With it they take their places in a page, between comments such as
`<!-- random: start -->` and `<!-- random: end -->`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from benchmarks.speed.markdown import publish

from . import lines, tables
from .goals import behind, goals
from .methods import DEFAULT_NAME
from .summary import Results, read

TABLES: dict[str, Callable[[Results], str]] = {
    "machine": tables.machine,
    "goals": goals,
    "behind": behind,
    "random": tables.random,
    "few": tables.few,
    "transfer": tables.transfer,
    "perturbed": tables.perturbed,
    "calibration": tables.calibration,
    "cost": tables.cost,
    "missing": tables.missing,
}


def made(results: Results) -> dict[str, str]:
    """Markdown of each table, or a sentence that there is nothing."""
    empty = {"missing": "Nothing failed.", "behind": "Nowhere."}
    return {name: make(results) or empty.get(name, "Not measured here.") for name, make in TABLES.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--page", type=Path, help="for example docs/accuracy.md")
    parser.add_argument("--ours", default=DEFAULT_NAME, help="recipe of ours that the goals are about")
    chosen = parser.parse_args()
    publish(made(read([line for path in chosen.files for line in lines.read(path)], chosen.ours)), chosen.page)


if __name__ == "__main__":
    main()
