"""Tables of what was measured: `python -m benchmarks.scale.report FILE...`; with `--page`, into a page.

Tables of annotation are made from files of `python -m benchmarks.scale.annotate`.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.speed.markdown import paragraphs, publish, table
from benchmarks.speed.results import Session
from benchmarks.speed.screen import digits, size
from benchmarks.speed.tables_runs import machine

Result = dict[str, Any]
NAMES = {"processes": "process", "dask": "dask worker"}


def read(paths: Iterable[Path]) -> dict[str, list[Result]]:
    """Results by section; each with the number of cores of the machine it was measured on."""
    sections: dict[str, list[Result]] = defaultdict(list)
    for path in paths:
        cores = None
        for line in path.read_text().splitlines():
            result = json.loads(line)
            cores = result.get("cores", cores)
            sections[result.pop("section")].append({**result, "cores": cores})
    return sections


def ran_on(sections: dict[str, list[Result]]) -> str:
    """Machine, versions and command of each file."""
    return paragraphs(*(machine(Session(each, {}, {})) for each in sections["machine"]))


def runs(sections: dict[str, list[Result]]) -> str:
    """Speed, memory and what was written, of each run."""
    rows = []
    for each in sections["annotate"]:
        rows.append(
            [
                f"{each['n_cells']:,} x {each['n_genes']:,}",
                _store(each),
                _workers(each),
                each["masks"],
                f"{each['n_cells'] / each['seconds']:,.0f}",
                size(each["peak_memory"]),
                f"{each['growth'] / each['n_cells']:,.0f}",
            ]
        )
    head = ("cells x genes", "store", "by", "masks", "cells per second", "peak memory", "bytes written per cell")
    return table(head, rows, numbers_from=4)


def shares(sections: dict[str, list[Result]]) -> str:
    """Where the time of each run went."""
    rows = []
    for each in sections["annotate"]:
        worked = sum(each["of_workers"].values())
        rows.append(
            [
                f"{each['n_cells']:,} x {each['n_genes']:,}",
                _store(each),
                _workers(each),
                *(f"{each[name]:.1f} s" for name in ("planning", "parts", "committing")),
                *(f"{each['of_workers'][name] / worked:.1%}" for name in ("reading", "computing", "writing")),
            ]
        )
    head = ("cells x genes", "store", "by", "planning", "parts", "committing", "reading", "computing", "writing")
    return table(head, rows, numbers_from=3)


def efficiency(sections: dict[str, list[Result]]) -> str:
    """Several workers against one of the same kind."""
    groups: dict[tuple, dict[int, Result]] = defaultdict(dict)
    for each in sections["annotate"]:
        groups[each["n_cells"], each["format"], each["compression"], each["masks"], each["mode"]][each["n"]] = each
    rows = []
    for (n_cells, *_, mode), found in groups.items():
        if len(found) < 2 or 1 not in found:
            continue
        for n, each in sorted(found.items()):
            faster = found[1]["parts"] / each["parts"]
            share = "" if mode == "processes" else f"{faster / min(n, each['cores']):.0%}"
            rows.append([f"{n_cells:,}", _store(each), _workers(each), f"{each['parts']:.1f} s", digits(faster), share])
    return table(("cells", "store", "by", "parts", "times as fast as one", "per core"), rows, numbers_from=3)


def _store(each: Result) -> str:
    return f"{each['format']}, {each['compression'] or 'not compressed'}, {size(each['size'])}"


def _workers(each: Result) -> str:
    if each["mode"] == "processes" and each["n"] == 1:
        return "this process, all threads"
    return f"{each['n']} {NAMES[each['mode']]}{'' if each['n'] == 1 else 'es' if each['mode'] == 'processes' else 's'}"


TABLES: dict[str, Callable[[dict[str, list[Result]]], str]] = {
    "scale machine": ran_on,
    "scale runs": runs,
    "scale shares": shares,
    "scale efficiency": efficiency,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--page", type=Path)
    chosen = parser.parse_args()
    sections = read(chosen.files)
    publish({name: make(sections) or "Not measured here." for name, make in TABLES.items()}, chosen.page)


if __name__ == "__main__":
    main()
