"""Tables and figures of what was measured: `python -m benchmarks.speed.report FILE...`.

Without `--page` the tables are printed. With it they take their places in a page, between comments such as
`<!-- phases: start -->` and `<!-- phases: end -->`, and the figures are drawn into `figures` beside it. Each table
comes from the last of the files that has something for it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from . import plots, tables_phases, tables_profile, tables_runs
from .markdown import publish
from .results import Session, read
from .targets import targets

Table = Callable[[Session], str]
TABLES: dict[str, Table] = {
    "machine": tables_runs.machine,
    "targets": targets,
    "agreement": tables_phases.agreement,
    "phases": tables_phases.phases,
    "kept": tables_phases.kept,
    "parts": tables_phases.parts,
    "memory": tables_phases.memory,
    "open": tables_phases.open_masks,
    "stored": tables_phases.stored,
    "floors": tables_phases.floors,
    "epochs": tables_runs.epochs,
    "train": tables_runs.train,
    "annotate": tables_runs.annotate,
    "construct": tables_runs.construct,
    "took": tables_runs.took,
    "profile": tables_profile.profile,
    "gpu": tables_profile.gpu,
}
FIGURES = {"speed_genes": plots.genes, "speed_cells": plots.cells}
APART = ("profile", "gpu")
"""Measured by commands of their own: their files count for their own tables only."""


def tables(sessions: list[Session]) -> dict[str, str]:
    """Markdown of each table, or a sentence that it was not measured."""
    found = {}
    for name, make in TABLES.items():
        own = [each for each in sessions if (name if name in APART else "main") == kind(each)]
        made = [text for text in map(make, own) if text]
        found[name] = made[-1] if made else "Not measured here."
    return found


def kind(session: Session) -> str:
    """Which command made a file."""
    return session.machine["kind"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--page", type=Path, help="for example docs/speed.md")
    chosen = parser.parse_args()
    sessions = [read(path) for path in chosen.files]
    publish(tables(sessions), chosen.page)
    if chosen.page is None:
        return
    folder = chosen.page.parent / "figures"
    for name, draw in FIGURES.items():
        drawn = [draw(each, folder / name) for each in sessions if kind(each) == "main"]
        print(f"{name}: {'drawn' if any(drawn) else 'too few sizes to draw'}")


if __name__ == "__main__":
    main()
