"""Tables of whole runs: epochs, training to convergence, annotation of many cells, construction, the machine."""

from __future__ import annotations

from .markdown import paragraphs, table
from .results import NAMES, Result, Session, missing
from .screen import digits, rate, seconds, size, times


def machine(session: Session) -> str:
    """What it ran on, and the command."""
    found = session.machine
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items() if version)
    gpu = f"{found['gpu']}; " if found["gpu"] else ""
    threads = f"{found['threads']} thread{'s' if found['threads'] > 1 else ''}"
    clock = f"{'CPU' if found['clock'] == 'cpu' else 'wall'} time, {threads} for each"
    rows = [
        ["machine", f"{gpu}{found['cpu']}, {found['cores']} cores ({found['instructions']}), {size(found['memory'])}"],
        ["date", f"{found['date']}, load {digits(found['load'])} at the start"],
        ["clock", clock],
        ["versions", f"Python {found['python']}, {packages}; commit {found['commit']}"],
        ["command", f"`{found['command']}`"],
    ]
    return table(["", ""], rows, numbers_from=2)


def epochs(session: Session) -> str:
    """Training and annotation as users run them."""
    results = session.sections.get("epochs", [])
    rows = []
    for each in results:
        if "missing" in each:
            continue
        for who, laps in each["seconds"].items():
            ratio = each["ratios"].get(who)
            rows.append(
                [
                    f"{each['n_genes']:,}",
                    str(each["width"]),
                    {"train": "training", "annotate": "labels and masks"}[each["task"]],
                    _contestant(who, each),
                    rate(laps["all"]),
                    seconds(laps["all"] * each["n_cells"]),
                    times(ratio),
                ]
            )
    head = ["genes", "n_d = n_a", "what", "by", "cells/s", "10,000 cells take", "scsims takes"]
    if rows:
        head[5] = f"{max(each['n_cells'] for each in results if 'n_cells' in each):,} cells take"
    note = ""
    timed = sorted({each["scsims_cells"] for each in results if isinstance(each.get("scsims_cells"), int)})
    if timed:
        note = (
            f"scsims was timed over {_listing(timed)} cells in each round: its time per cell does not depend on how "
            "many there are, so what all cells take is its time per cell times their number."
        )
    return paragraphs(table(head, rows, numbers_from=2), note, missing(results))


def _contestant(who: str, result: Result) -> str:
    name, _, batch = who.partition(", ")
    if name != "ours":
        return "scsims' loop" if who == "scsims" else who
    if batch == "default recipe":
        return "sims-tools, default preset (open masks), default batch"
    default = " (default)" if batch == str(result.get("default_batch")) else ""
    return f"sims-tools, batch {int(batch):,}{default}" if batch else "sims-tools"


def _listing(values: list[int]) -> str:
    return " or ".join(f"{value:,}" for value in values)


def train(session: Session) -> str:
    """A whole training run, and what could be trained instead."""
    results = session.sections.get("train", [])
    rows = []
    for each in results:
        if "missing" in each:
            continue
        if each["who"] == "ours":
            options = ", ".join(f"`{name}={value}`" for name, value in each["options"].items()) or "default preset"
            genes = "all genes" if each["genes_used"] == each["n_genes"] else f"{each['genes_used']:,} genes chosen"
            what = f"sims-tools, {genes}, {options} ({each['epochs']} epochs, batch {each['batch_size']:,})"
            score = f"{each['plateau']:.3f} +- {each['noise']:.3f}"
            stayed = f"epoch {each['converged_at']}" if each["converged_at"] <= each["epochs"] else "not yet"
        else:
            what, score, stayed = each["name"], f"{each['macro_f1']:.3f}", ""
        times_ = (seconds(each[key]) for key in ("load", "train", "all"))
        size_ = f"{each['n_cells']:,} x {each['n_genes']:,}"
        rows.append([what, size_, *times_, size(each["extra"]), score, stayed])
    head = ["classifier", "cells x genes", "loading", "training", "all", "extra memory", "macro F1", "converged"]
    return paragraphs(table(head, rows), missing(results))


def annotate(session: Session) -> str:
    """Annotation of many cells with masks."""
    results = session.sections.get("annotate", [])
    rows = [
        [
            each["recipe"],
            f"{each['n_cells']:,}",
            f"{each['n_genes']:,}",
            digits(each["genes_in_a_mask"]),
            seconds(each["seconds"]),
            rate(each["seconds"] / each["n_cells"]),
            size(each["stored"]),
            size(each["extra"]),
            size(each["written"]),
        ]
        for each in results
        if "missing" not in each
    ]
    head = [
        "model",
        "cells",
        "genes",
        "genes in a mask",
        "time",
        "cells/s",
        "the counts",
        "extra peak memory",
        "written",
    ]
    return paragraphs(table(head, rows), missing(results))


def construct(session: Session) -> str:
    """Building a network."""
    results = session.sections.get("construct", [])
    rows = [
        [
            f"{each['n_genes']:,}",
            NAMES[each["who"]] + (" as shipped" if each["who"] == "tabnet" else ""),
            seconds(each["seconds"]),
            size(each["weights"]),
            size(each["beyond"]),
        ]
        for each in results
        if "missing" not in each
    ]
    return paragraphs(table(["genes", "network", "time", "weights", "memory beyond them"], rows), missing(results))


def took(session: Session) -> str:
    """How long the measurement itself was."""
    results = session.sections.get("took", [])
    each = ", ".join(f"{result['of']} {result['seconds']:.0f} s" for result in results)
    total = sum(result["seconds"] for result in results)
    return f"The measurement took {total / 60:.0f} minutes ({each})." if results else ""
