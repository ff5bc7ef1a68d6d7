"""Tables of measurements that have commands of their own: the profile, and a GPU."""

from __future__ import annotations

from .markdown import paragraphs, table
from .results import NAMES, PHASE_NAMES, Session
from .screen import digits, rate, seconds, size, times
from .tables_runs import machine

SHOWN = 6
SCTAB = 14_100
"""Cells per second of scTab's published TabNet, prediction on one GPU (19,331 genes, batches of 2,048)."""


def profile(session: Session) -> str:
    """What takes the time of each phase, before and after."""
    results = session.sections.get("profile", [])
    if not results:
        return ""
    parts = [machine(session)]
    for phase, title in PHASE_NAMES.items():
        for path, words in (("before", "plain path"), ("after", "fast path")):
            for each in results:
                if (each["phase"], each["path"]) == (phase, path):
                    parts += [f"{title.capitalize()}, {words}: {seconds(each['all'])}.", _shares(each)]
    return paragraphs(*parts)


def _shares(result: dict) -> str:
    rows = []
    for i in range(SHOWN):
        row = []
        for kind in ("operations", "functions"):
            name, took = result[kind][i] if i < len(result[kind]) else ("", None)
            row += [f"`{name}`" if name else "", seconds(took)]
        rows.append([row[0], row[1], row[2], row[3]])
    return table(["operation of torch", "own time", "function of Python", "own time"], rows)


def gpu(session: Session) -> str:
    """Minibatches and whole runs on a CUDA device."""
    rows = []
    for each in session.phases():
        config, took = each["config"], each["seconds"]
        rows.append(
            [
                f"{config['n_genes']:,}",
                str(config["width"]),
                f"{config['batch']:,}",
                digits(each["support"]),
                PHASE_NAMES[each["phase"]],
                seconds(took["ours"]["all"]),
                rate(took["ours"]["all"] / config["batch"]),
                times(each["ratios"]["tabnet"]["all"]),
                times(each["ratios"]["topk"]["all"]),
                size(each["extra"]["ours"]),
                size(each["extra"]["tabnet"]),
            ]
        )
    head = ["genes", "n_d = n_a", "batch", "genes in a mask", "phase", NAMES["ours"], "cells/s"]
    head += ["against pytorch-tabnet", "with top-k", "extra memory", "pytorch-tabnet's"]
    lines = [
        f"As users run it, {each['n_cells']:,} cells x {each['n_genes']:,} genes: training at {rate(each['train'])} "
        f"cells/s, labels and masks at {rate(each['annotate'])} cells/s, "
        f"{times(1 / each['annotate'] / SCTAB)} the {SCTAB:,} cells/s that scTab publishes for predicting on one GPU."
        for each in session.sections.get("whole", [])
    ]
    return paragraphs(machine(session), table(head, rows), *lines) if rows else ""
