"""A question put to labelled sets: one JSON line for each answer, from which a stopped run goes on, and a table."""

from __future__ import annotations

import argparse
import json
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.speed.run import quiet
from benchmarks.speed.timing import set_threads
from threadpoolctl import threadpool_limits

from . import lines
from .run import describe
from .sets import LabelledSet, find, read

Line = dict[str, Any]


@dataclass(frozen=True)
class Study:
    """What is measured on every set.

    Parameters
    ----------
    section
        Name of its lines.
    about
        Of a set and the arguments of the command: what sets apart the answers of one seed, such as a class.
    measure
        Of a set, what the answer is about (`set`, `seed`, `recipe` and the above) to its fields.
    summarise
        Lines to a table in Markdown.
    result
        Field to print of each line.
    """

    section: str
    about: Callable[[LabelledSet, argparse.Namespace], list[Line]]
    measure: Callable[[LabelledSet, Line], Line]
    summarise: Callable[[list[Line]], str]
    result: str

    def results(self, path: Path) -> list[Line]:
        """Lines of the file; of those about the same thing, the last."""
        found = [line for line in lines.read(path) if line["section"] == self.section]
        return list({self._identity(line): line for line in found}.values())

    def _identity(self, line: Line) -> str:
        """What a line is about: fields that every answer has, and no result."""
        return json.dumps({name: line[name] for name in line if name in line["asked"]}, sort_keys=True)

    def run(self, chosen: argparse.Namespace) -> None:
        """Measure what the file lacks, and print the table."""
        quiet()
        warnings.filterwarnings("ignore")
        set_threads(chosen.threads)
        done = {self._identity(line) for line in self.results(chosen.out) if "error" not in line}
        write = lines.Writer(chosen.out)
        write(lines.MACHINE, describe(chosen.threads))
        with threadpool_limits(chosen.threads):
            for path in find(chosen.data, chosen.sets).values():
                cells = read(path)
                for about in self._todo(cells, chosen):
                    if self._identity(about) not in done:
                        self._one(cells, about, write)
        wanted = [line for line in self.results(chosen.out) if line["recipe"] == chosen.options and "error" not in line]
        if wanted:
            print(self.summarise(wanted))

    def _todo(self, cells: LabelledSet, chosen: argparse.Namespace) -> list[Line]:
        usual = [{"set": cells.name, "seed": seed, "recipe": chosen.options} for seed in chosen.seeds]
        every = [{**each, **more} for each in usual for more in self.about(cells, chosen)]
        return [{**each, "asked": sorted(each)} for each in every]

    def _one(self, cells: LabelledSet, about: Line, write: lines.Writer) -> None:
        try:
            found = self.measure(cells, about)
        except Exception as error:  # noqa: BLE001 - a long run goes on with the next
            traceback.print_exc()
            found = {"error": f"{type(error).__name__}: {error}"}
        write(self.section, {**about, **found})
        more = ", ".join(f"{key} {about[key]}" for key in about["asked"] if key not in ("set", "recipe"))
        print(f"{about['set']}, {more}: {self.result} {found.get(self.result, 'failed')}", flush=True)


def parser(text: str | None) -> argparse.ArgumentParser:
    """Arguments of every study."""
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--data", type=Path, required=True, help="folder of labelled .h5ad files")
    made.add_argument("--out", type=Path, required=True, help="file that lines are appended to")
    made.add_argument("--sets", nargs="+", help="names of files without their ending; default: all")
    made.add_argument("--seeds", nargs="+", type=int, default=[0])
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--options", type=json.loads, default={}, help="JSON object passed to sims_train")
    return made
