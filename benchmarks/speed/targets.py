"""What the fast path was built to reach, beside what was measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .markdown import table
from .results import PHASE_NAMES, Session, is_plain
from .screen import digits, seconds, size, times

Finder = Callable[[Session], float | None]


class Target(NamedTuple):
    """A number to reach: at least `goal`, or at most where `at_most`."""

    what: str
    goal: float
    find: Finder
    show: Callable[[float], str] = times
    at_most: bool = False


def _phase(n_genes: int, phase: str, rival: str, *, plain: bool = True) -> Finder:
    def find(session: Session) -> float | None:
        wanted = {"n_genes": n_genes, "width": 64, "n_steps": 3, "batch": 1024, "phase": phase}
        found = [each for each in session.phases(**wanted) if is_plain(each) == plain and rival in each["ratios"]]
        return found[0]["ratios"][rival]["all"] if found else None

    return find


def _memory(n_genes: int, phase: str) -> Finder:
    def find(session: Session) -> float | None:
        extra = {each["who"]: each["extra"][phase] for each in session.phases("memory", n_genes=n_genes)}
        if not extra.get("ours") or not extra.get("tabnet"):
            return None
        return extra["tabnet"] / extra["ours"]

    return find


def _epoch(n_genes: int, width: int, task: str, batch: str) -> Finder:
    def find(session: Session) -> float | None:
        for each in session.phases("epochs", n_genes=n_genes, width=width, task=task):
            who = f"ours, {each['default_batch']}" if batch == "default" else f"ours, {batch}" if batch else "ours"
            return each["ratios"].get(who)
        return None

    return find


def _first(section: str, key: str, **wanted: object) -> Finder:
    def find(session: Session) -> float | None:
        return next((each[key] for each in session.phases(section, **wanted)), None)

    return find


def _largest(section: str, key: str, **wanted: object) -> Finder:
    def find(session: Session) -> float | None:
        return max((each[key] for each in session.phases(section, **wanted)), default=None)

    return find


def _floor(session: Session) -> float | None:
    wanted = {"n_genes": 20_000, "width": 64, "n_steps": 3, "batch": 1024, "phase": "train"}
    found = [each for each in session.phases(**wanted) if is_plain(each)]
    return found[0]["seconds"]["ours"]["all"] / session.floor(found[0])["floor_s"] if found and session.speed else None


def _growth(session: Session) -> float | None:
    """How many times more a cell costs with 36,000 genes than with 2,000."""
    wanted = {"width": 64, "n_steps": 3, "batch": 1024, "phase": "train"}
    cost = {
        each["config"]["n_genes"]: each["seconds"]["ours"]["all"] for each in session.phases(**wanted) if is_plain(each)
    }
    return cost[36_000] / cost[2_000] if {2_000, 36_000} <= set(cost) else None


def _against_dense() -> list[Target]:
    goals = {("tabnet", 20_000): (30, 40, 40), ("tabnet", 2_000): (8, 12, 12)}
    goals |= {("topk", 20_000): (15, 15, 15), ("topk", 2_000): (5, 5, 5)}
    rivals = {"tabnet": "pytorch-tabnet", "topk": "pytorch-tabnet with top-k"}
    return [
        Target(f"{PHASE_NAMES[phase]}, {n:,} genes, against {rivals[rival]}", goal, _phase(n, phase, rival))
        for (rival, n), values in goals.items()
        for phase, goal in zip(PHASE_NAMES, values, strict=True)
    ]


def _against_scsims() -> list[Target]:
    goals = {20_000: ((64, "default", 300), (8, "default", 1000), (64, "32", 50), (8, "32", 50))}
    goals[2_000] = ((64, "default", 30), (8, "default", 30), (64, "32", 8), (8, "32", 8))
    masks = {20_000: 500, 2_000: 40}
    found = []
    for n, values in goals.items():
        for width, batch, goal in values:
            what = f"epoch, {n:,} genes, {width}/{width}, batch {batch}, against scsims"
            found.append(Target(what, goal, _epoch(n, width, "train", batch)))
        for width in (64, 8):
            what = f"labels and masks, {n:,} genes, {width}/{width}, against scsims"
            found.append(Target(what, masks[n], _epoch(n, width, "annotate", "")))
    return found


TARGETS = [
    *_against_dense(),
    Target("extra memory of prediction with masks, 20,000 genes, against pytorch-tabnet", 50, _memory(20_000, "masks")),
    *_against_scsims(),
    Target("open masks, 20,000 genes, training step, against pytorch-tabnet", 5,
           _phase(20_000, "train", "tabnet", plain=False)),
    Target("growth of a training step's cost from 2,000 to 36,000 genes (18 times as many)", 18, _growth, at_most=True),
    Target("training step, 20,000 genes, 64/64: times its floor", 3, _floor, at_most=True),
    Target("construction, 36,000 genes: time", 0.5, _first("construct", "seconds", who="ours", n_genes=36_000),
           seconds, at_most=True),
    Target("construction, 36,000 genes: memory beyond the weights", 100e6,
           _first("construct", "beyond", who="ours", n_genes=36_000), size, at_most=True),
    Target("training run, 10,000 cells x 20,000 genes: time", 60, _first("train", "all", who="ours", n_genes=20_000),
           seconds, at_most=True),
    Target("annotation, 100,000 cells x 20,000 genes: extra memory", 1e9,
           _largest("annotate", "extra", n_cells=100_000, n_genes=20_000), size, at_most=True),
]  # fmt: skip


def targets(session: Session) -> str:
    """Goal and measurement of each target that was measured."""
    rows = []
    for each in TARGETS:
        value = each.find(session)
        if value is not None:
            reached = value <= each.goal if each.at_most else value >= each.goal
            goal = f"at most {each.show(each.goal)}" if each.at_most else f"{each.goal:g}x"
            rows.append([each.what, goal, each.show(value), "yes" if reached else f"no ({_short_of(each, value)})"])
    return table(["what", "goal", "measured", "reached"], rows)


def _short_of(target: Target, value: float) -> str:
    part = target.goal / value if target.at_most else value / target.goal
    return f"{digits(100 * part)} %"
