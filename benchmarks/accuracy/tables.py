"""Tables of what was measured."""

from __future__ import annotations

from typing import Any

import pandas as pd
from benchmarks.speed.markdown import paragraphs, table
from benchmarks.speed.screen import seconds, size

from .methods import TITLES
from .perturb import LEVELS, MISSING, RANDOM, THINNED, TRANSFER
from .summary import Results, Spread, losses, spread

PERTURBED = [(task, level) for task in (MISSING, THINNED) for level in LEVELS[task]]
LONGEST = 120
UNCALIBRATED = "a softmax of margins stands in for its probabilities"


def machine(results: Results) -> str:
    """What it ran on, and the commands."""
    if not results.machines:
        return ""
    rows = machine_rows(results.machines)
    threads = ["threads", f"{results.machines[-1]['threads']} for each method"]
    return table(["", ""], [rows[0], threads, *rows[1:], ["seeds", _seeds(results)]], numbers_from=2)


def machine_rows(machines: list[dict[str, Any]]) -> list[list[str]]:
    """Machine, dates, versions and commands of the runs that a file of results is of."""
    last = machines[-1]
    packages = ", ".join(f"{name} {version}" for name, version in last["packages"].items() if version)
    commits = ", ".join(dict.fromkeys(str(each["commit"]) for each in machines))
    return [
        ["machine", f"{last['cpu']}, {last['cores']} cores, {size(last['memory'])}"],
        ["dates", " to ".join(dict.fromkeys([machines[0]["date"], last["date"]]))],
        ["versions", f"Python {last['python']}, {packages}; commit {commits}"],
        ["commands", "; ".join(dict.fromkeys(f"`{each['command']}`" for each in machines))],
    ]


def _seeds(results: Results) -> str:
    """How many seeds each method has on random splits."""
    most = results.of(RANDOM).groupby("method")["seed"].nunique()
    if most.nunique() == 1:
        return str(most.iloc[0])
    return ", ".join(f"{title(name)} {count}" for name, count in most.items())


def title(method: str) -> str:
    """Name of a method in tables; recipes of ours have their own."""
    return TITLES.get(method, method)


def random(results: Results) -> str:
    """Macro F1 on random splits."""
    return by_set(results, results.by_set("macro_f1"))


def few(results: Results) -> str:
    """F1 of classes with few training cells."""
    return by_set(results, _present(results.by_set("few_f1")))


def transfer(results: Results) -> str:
    """Macro F1 on groups and studies that were held out."""
    return by_set(results, results.by_set("macro_f1", TRANSFER))


def calibration(results: Results) -> str:
    """Calibration error by set; NLL and Brier score by method."""
    found = results.by_set("ece")
    if found.mean.empty:
        return ""
    plain = results.of(RANDOM)
    uncalibrated = set(plain.loc[~plain["calibrated"], "method"])
    names = _columns(results, found)
    rows = [
        [title(name), *(f"{_mean_over_sets(results.by_set(value), name):.3f}" for value in ("ece", "nll", "brier"))]
        for name in names
    ]
    note = " ".join(f"{title(name)}: {UNCALIBRATED}." for name in names if name in uncalibrated)
    head = ["method", "ECE", "NLL", "Brier"]
    return paragraphs(by_set(results, found, lowest=True), table(head, rows), note, _by_chance(results))


def _by_chance(results: Results) -> str:
    """ECE that exact probabilities would show, by set."""
    mean = results.by_set("ece_by_chance").mean
    if results.ours not in mean or mean[results.ours].isna().all():
        return ""
    each = ", ".join(f"{name} {value:.3f}" for name, value in mean[results.ours].dropna().items())
    return f"Among few cells shares never match probabilities. Were those of ours exactly right, ECE would be: {each}."


def perturbed(results: Results) -> str:
    """Macro F1 that missing genes and missing counts cost, averaged over sets."""
    found = losses(results)
    if found.empty:
        return ""
    columns = [
        (task, spread(found[(found["task"] == task) & (found["level"] == level)], "task", "loss"))
        for task, level in PERTURBED
    ]
    names = [name for name in results.recipes + results.peers if name in set(found["method"])]
    rows = []
    for name in names:
        n_sets = found.loc[found["method"] == name, "set"].nunique()
        rows.append([title(name), str(n_sets), *(_value(column, task, name) for task, column in columns)])
    return table(["method", "sets", *(perturbation(*each) for each in PERTURBED)], rows)


def perturbation(task: str, level: float) -> str:
    """In words."""
    return f"{level:.0%} of genes missing" if task == MISSING else f"{level:.0%} of counts left"


def _value(found: Spread, row: str, name: str) -> str:
    if row not in found.mean.index or name not in found.mean:
        return "–"
    return _number(found.mean.loc[row, name], found.sd.loc[row, name], best=found.mean.loc[row].min())


def cost(results: Results) -> str:
    """Training time by set; prediction, memory and genes in masks by method."""
    found = results.by_set("train_seconds")
    if found.mean.empty:
        return ""
    plain, rows = results.of(RANDOM), []
    for name in _columns(results, found):
        own = plain[plain["method"] == name]
        speed = own["n_test"].sum() / own["predict_seconds"].sum()
        memory = own["train_extra"].max()
        masks = own["genes_in_mask"].mean()
        rows.append([title(name), f"{speed:,.0f}", size(memory) if pd.notna(memory) else "", _digits(masks)])
    head = ["method", "cells/s annotated", "most extra memory in training", "genes in a mask"]
    return paragraphs(by_set(results, found, lowest=True, times=True), table(head, rows))


def missing(results: Results) -> str:
    """What failed and what was left out."""
    there = {*results.recipes, *results.peers}
    absent = [line for line in results.left_out if line["method"] not in there]
    why = [f"{title(line['method'])} was left out: {line['missing']}." for line in absent]
    failed: dict[tuple[str, str, str], int] = {}
    for line in results.failed:
        key = (line["method"], line["set"], shortened(line["missing"]))
        failed[key] = failed.get(key, 0) + 1
    rows = [[title(method), name, reason, str(count)] for (method, name, reason), count in failed.items()]
    head = ["method", "set", "why there is nothing", "lines"]
    return paragraphs(" ".join(dict.fromkeys(why)), table(head, rows, numbers_from=3))


def shortened(message: str) -> str:
    """An error as it fits into a cell."""
    first = message.splitlines()[0].replace("|", "/")
    return first if len(first) <= LONGEST else first[:LONGEST].rsplit(" ", 1)[0] + " ..."


def by_set(results: Results, found: Spread, *, lowest: bool = False, times: bool = False) -> str:
    """Sets in rows, methods in columns, the best of each row in bold, and averages; less than all sets in brackets."""
    names = _columns(results, found)
    if not names:
        return ""
    mean, rows = found.mean[names], []
    for label, values in mean.iterrows():
        best = values.min() if lowest else values.max()
        cells = [_number(value, found.sd.loc[label, name], best=best, times=times) for name, value in values.items()]
        rows.append([str(label), *cells])
    if not times:
        averages = mean.mean()
        whole = averages[mean.notna().all()]
        best = whole.min() if lowest else whole.max()
        counts = mean.notna().sum()
        rows.append(["average", *(_average(averages[name], best, counts[name], len(mean)) for name in names)])
    return table(["set", *map(title, names)], rows)


def _average(value: float, best: float, n_sets: int, n_all: int) -> str:
    return f"({value:.3f}, {n_sets} sets)" if n_sets < n_all else _number(value, float("nan"), best=best)


def _columns(results: Results, found: Spread) -> list[str]:
    return [name for name in results.recipes + results.peers if name in found.mean]


def _present(found: Spread) -> Spread:
    """Without rows that nobody has a value for."""
    kept = found.mean.dropna(how="all").index if len(found.mean) else found.mean.index
    return Spread(found.mean.loc[kept], found.sd.loc[kept], found.each.loc[kept])


def _mean_over_sets(found: Spread, name: str) -> float:
    return float(found.mean[name].mean())


def _number(mean: float, sd: float, *, best: float, times: bool = False) -> str:
    if pd.isna(mean):
        return "–"
    text = seconds(mean) if times else f"{mean:.3f}" + (f" ± {sd:.3f}" if pd.notna(sd) else "")
    return f"**{text}**" if mean == best else text


def _digits(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.0f}"
