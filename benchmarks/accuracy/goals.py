"""How far the goals are reached."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
from benchmarks.speed.markdown import paragraphs, table

from .perturb import RANDOM, TRANSFER
from .summary import Results, compare, losses, spread
from .tables import PERTURBED, perturbation, title

ABOVE_ON = 2 / 3
MASK_GENES = 100
ECE = 0.03
YARDSTICK, RIVAL_IN_TIME = "logistic", "scanvi"
NAMES = {RANDOM: "random splits", TRANSFER: "transfer"}

Row = list[str]


def goals(results: Results) -> str:
    """One line for each goal of ours: what is wanted, what was found, whether it is reached."""
    if results.ours not in results.recipes:
        return ""
    makers: list[Callable[[Results], list[Row]]] = [accuracy, few, masks, time, perturbed, calibrated]
    rows = [row for make in makers for row in make(results)]
    note = (
        "Ours and a peer are compared on the seeds that both have. One sd is that of the best peer over seeds; that of "
        "ours where the peer does not depend on the seed."
    )
    return paragraphs(table(["goal", "wanted", "found", ""], rows, numbers_from=4), note)


def accuracy(results: Results) -> list[Row]:
    """Macro F1 against the best peer of each set, and on average against each peer."""
    rows = []
    for task, name in NAMES.items():
        found = compare(results.by_set("macro_f1", task), results.ours, results.peers)
        if found is None:
            continue
        n_sets, within, above = len(found.table), int(found.within.sum()), int(found.above.sum())
        worst = (found.table["ours"] - found.table["best"]).idxmin()
        gap = f"{within} of {n_sets}; furthest on {worst}: {_of(found.table.loc[worst])}"
        rows.append([f"{name}: within one sd of the best peer", "every set", gap, _met(within == n_sets)])
        enough = _met(above >= ABOVE_ON * n_sets)
        rows.append([f"{name}: strictly above every peer", "two thirds of the sets", f"{above} of {n_sets}", enough])
        peer, margin = found.margins.idxmin(), found.margins.min()
        least = f"{margin:+.3f} against {title(peer)}, the closest, on the sets of both"
        rows.append([f"{name}: average above every peer", "above", least, _met(margin > 0)])
    return rows


def behind(results: Results) -> str:
    """Sets where a peer is better, the furthest first."""
    rows = []
    for task, name in NAMES.items():
        found = compare(results.by_set("macro_f1", task), results.ours, results.peers)
        if found is None:
            continue
        gaps = (found.table["best"] - found.table["ours"]).sort_values(ascending=False)
        for which, gap in gaps[gaps > 0].items():
            row = found.table.loc[which]
            what = [name, str(which), title(row["peer"]), f"{row['best']:.3f}", f"{row['ours']:.3f}"]
            rows.append([*what, "yes" if gap <= row["sd"] else "no"])
    head = ["task", "set", "the best peer", "its macro F1", "ours", "within one sd"]
    return table(head, rows, numbers_from=3)


def _of(row: pd.Series) -> str:
    return f"{row['ours']:.3f} against {row['best']:.3f} ({title(row['peer'])})"


def few(results: Results) -> list[Row]:
    """Classes of 3 to 10 training cells."""
    found = compare(results.by_set("few_f1"), results.ours, results.peers)
    if found is None:
        return []
    peer, margin = found.margins.idxmin(), found.margins.min()
    text = f"F1 {found.table['ours'].mean():.3f}, {margin:+.3f} against {title(peer)}, the best peer"
    return [["no collapse of classes with 3-10 training cells", "as good as the best peer", text, _met(margin >= 0)]]


def masks(results: Results) -> list[Row]:
    """Genes in a cell's mask."""
    scores = results.of(RANDOM)
    own = scores[scores["method"] == results.ours]
    if own["genes_in_mask"].isna().all():
        return []
    by_set = own.groupby("set")["genes_in_mask"].mean()
    text = f"{by_set.mean():.0f} on average, {by_set.max():.0f} on {by_set.idxmax()}"
    return [["genes in a mask", f"at most {MASK_GENES}", text, _met(by_set.max() <= MASK_GENES)]]


def time(results: Results) -> list[Row]:
    """Training time beside scANVI's."""
    mean = results.by_set("train_seconds").mean
    if RIVAL_IN_TIME not in mean or results.ours not in mean:
        return []
    both = mean[[results.ours, RIVAL_IN_TIME]].dropna()
    quicker = int((both[results.ours] <= both[RIVAL_IN_TIME]).sum())
    text = f"{quicker} of {len(both)}"
    return [[f"training no slower than {title(RIVAL_IN_TIME)}", "every set", text, _met(quicker == len(both))]]


def perturbed(results: Results) -> list[Row]:
    """Macro F1 that perturbations cost, beside logistic regression."""
    found, rows = losses(results), []
    if found.empty:
        return []
    for task, level in PERTURBED:
        mean = spread(found[(found["task"] == task) & (found["level"] == level)], "set", "loss").mean
        if YARDSTICK not in mean or results.ours not in mean:
            continue
        both = mean[[results.ours, YARDSTICK]].dropna()
        ours, theirs = both.mean()
        less = int((both[results.ours] < both[YARDSTICK]).sum())
        text = f"{ours:.3f} against {theirs:.3f}; less on {less} of {len(both)} sets"
        what = f"{perturbation(task, level)}: loss of macro F1"
        rows.append([what, "less than logistic regression's", text, _met(ours < theirs)])
    return rows


def calibrated(results: Results) -> list[Row]:
    """Calibration within distribution."""
    mean = results.by_set("ece").mean
    if results.ours not in mean:
        return []
    own = mean[results.ours].dropna()
    good = int((own <= ECE).sum())
    text = f"{good} of {len(own)}; {own.mean():.3f} on average, {own.max():.3f} on {own.idxmax()}"
    by_chance = results.by_set("ece_by_chance").mean[results.ours].dropna()
    if own.idxmax() in by_chance:
        text += f", where exact probabilities would show {by_chance[own.idxmax()]:.3f} by chance"
    return [[f"ECE at most {ECE}", "every set", text, _met(good == len(own))]]


def _met(is_met: bool) -> str:
    return "reached" if is_met else "not reached"
