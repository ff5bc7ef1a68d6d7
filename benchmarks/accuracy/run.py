"""Measure: `python -m benchmarks.accuracy.run --data FOLDER --out FILE`. Appends one JSON line for each result.

What the file has already is not measured again: a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import traceback
import warnings
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.speed import machine
from benchmarks.speed.run import quiet
from benchmarks.speed.timing import set_threads
from threadpoolctl import threadpool_limits

from . import lines, methods
from .cases import PAIRS, Case, Variant, cases
from .measure import measure
from .perturb import TASKS

OURS = "ours"
PEERS = ("scikit-learn", "celltypist")


class Run:
    """Methods on cases.

    Parameters
    ----------
    out
        Where to append. A ValueError says that another recipe has the same name there.
    wanted
        Names of methods.
    name, options
        How ours is called in the results, and what it is trained with.
    threads
        For everybody.
    retry
        Measure again what failed.
    """

    def __init__(
        self, out: Path, wanted: list[str], *, name: str, options: dict[str, Any], threads: int, retry: bool
    ) -> None:
        self.name, self.options, self.threads = name, options, threads
        old = lines.scores(lines.read(out))
        self._check_name(old)
        self.done = {lines.key(line) for line in old if not (retry and "missing" in line)}
        self.write = lines.Writer(out)
        self.methods = {each: found for each in wanted if (found := self._load(each)) is not None}
        self.warm: set[str] = set()

    def case(self, case: Case) -> None:
        """Train every method on a case, unless its lines are there."""
        for which, method in self.methods.items():
            about = {"set": case.set, "split": case.split, "method": self.name if which == OURS else which}
            todo = [each for each in case.variants if not self._is_done(about, case, each, method)]
            if not todo:
                continue
            self._warm_up(which, method)
            recipe = {"recipe": self.options} if which == OURS else {}
            for found in measure(method(case.seed, self.threads), case, todo):
                line = {**about, "seed": case.seed, **found, **recipe}
                self.write(lines.SCORE, line)
                self.done.add(lines.key(line))
                print(short(line), flush=True)

    def _check_name(self, old: list[dict[str, Any]]) -> None:
        """Refuse to add results of one recipe to those of another."""
        for line in old:
            if line["method"] == self.name and line.get("recipe") != self.options:
                raise ValueError(
                    f"{self.name!r} is trained with {line.get('recipe')} in the file and with {self.options} here; "
                    "give one of them another --name."
                )

    def _is_done(self, about: dict[str, str], case: Case, variant: Variant, method: type[methods.Method]) -> bool:
        """Whether the line is there. Without chance in cells and method, that of any seed counts."""
        line = {**about, "task": variant[0], "level": variant[1]}
        if method.seeded or not case.is_transfer:
            return lines.key({**line, "seed": case.seed}) in self.done
        place = lines.IDENTITY.index("seed")
        wanted = lines.key({**line, "seed": None})
        return any(key[:place] + (None,) + key[place + 1 :] == wanted for key in self.done)

    def _warm_up(self, which: str, method: type[methods.Method]) -> None:
        """Once; what fails here will fail again in training, and be written down there."""
        if which not in self.warm:
            self.warm.add(which)
            try:
                method.warm_up()
            except Exception:  # noqa: BLE001 - a long run goes on with the next method
                traceback.print_exc()

    def _load(self, name: str) -> type[methods.Method] | None:
        try:
            found = methods.load(name)
        except ImportError as error:
            self.write(lines.LEFT_OUT, {"method": name, "missing": str(error)})
            print(f"{name} is left out: {error}")
            return None
        return type(found.__name__, (found,), {"options": self.options}) if name == OURS else found


def short(line: dict[str, Any]) -> str:
    """One line for the screen."""
    what = f"{line['task']}{'' if line['level'] is None else ' ' + str(line['level'])}"
    where = f"{line['set']}, {line['split']}, seed {line['seed']}, {what}: {line['method']}"
    if "missing" in line:
        return f"{where}: {line['missing'].splitlines()[0]}"
    numbers = f"macro F1 {line['macro_f1']:.3f}, accuracy {line['accuracy']:.3f}, ECE {line['ece']:.3f}"
    return f"{where}: {numbers}, trained in {line['train_seconds']:.1f} s"


def describe(threads: int) -> dict[str, Any]:
    """Machine, command, and versions of the peers as well."""
    found = machine.describe(threads, "wall")
    for name in PEERS:
        with suppress(PackageNotFoundError):
            found["packages"][name] = version(name)
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of labelled .h5ad files")
    parser.add_argument("--out", type=Path, required=True, help="file that lines are appended to")
    parser.add_argument("--sets", nargs="+", help="names of files without their ending; default: all")
    parser.add_argument("--methods", nargs="+", choices=methods.METHODS, default=list(methods.METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--threads", type=int, default=2, help="for everybody")
    parser.add_argument(
        "--pairs", type=Path, default=PAIRS, help="pairs of studies; default: pairs.json beside this file"
    )
    parser.add_argument("--options", type=json.loads, default={}, help="JSON object passed to sims_train")
    parser.add_argument("--name", help="of ours in the results; needed with --options")
    parser.add_argument("--retry", action="store_true", help="measure again what failed")
    chosen = parser.parse_args()
    if chosen.options and chosen.name is None:
        parser.error("--options without --name: the results would pass for those of the default recipe.")
    if chosen.name in methods.METHODS:
        parser.error(f"--name {chosen.name} is the name of a method.")
    return chosen


def main() -> None:
    chosen = arguments()
    quiet()
    warnings.filterwarnings("ignore")
    set_threads(chosen.threads)
    name = chosen.name or methods.DEFAULT_NAME
    options = {"options": chosen.options, "threads": chosen.threads, "retry": chosen.retry}
    with threadpool_limits(chosen.threads):
        run = Run(chosen.out, chosen.methods, name=name, **options)
        run.write(lines.MACHINE, describe(chosen.threads))
        for case in cases(chosen.data, names=chosen.sets, tasks=chosen.tasks, seeds=chosen.seeds, pairs=chosen.pairs):
            run.case(case)


if __name__ == "__main__":
    main()
