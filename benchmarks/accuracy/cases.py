"""What is trained on and predicted: random splits, groups held out, one study to another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import sets, splits
from .cells import COUNTS, Cells
from .perturb import LEVELS, MISSING, RANDOM, THINNED, TRANSFER

PAIRS = Path(__file__).parent / "pairs.json"

Variant = tuple[str, float | None]
"""Task and level of its perturbation."""


@dataclass(frozen=True)
class Case:
    """One training, and the variants of the query that are predicted with it.

    Parameters
    ----------
    set, split
        Where the cells are from, and which of them are held out.
    seed
        Of the split, of the perturbations and of the method.
    reference, labels
        Cells to train on.
    query, truth
        Cells to predict.
    variants
        Tasks that this training serves.
    """

    set: str
    split: str
    seed: int
    reference: Cells
    labels: np.ndarray
    query: Cells
    truth: np.ndarray
    variants: tuple[Variant, ...]

    @property
    def is_transfer(self) -> bool:
        return self.variants[0][0] == TRANSFER


def cases(
    folder: Path, *, names: list[str] | None, tasks: list[str], seeds: list[int], pairs: Path = PAIRS
) -> Iterator[Case]:
    """All of them, set by set; pairs of studies last."""
    files = sets.find(folder, names)
    for path in files.values():
        found = sets.read(path)
        for seed in seeds:
            yield from _random(found, seed, tasks)
        if TRANSFER in tasks and found.group_key is not None:
            yield from _held_out(found, seeds)
    if TRANSFER in tasks:
        for pair in json.loads(pairs.read_text()):
            if pair["train"] in files and pair["test"] in files:
                yield from _across(folder, files, pair, seeds)


def _random(found: sets.LabelledSet, seed: int, tasks: list[str]) -> Iterator[Case]:
    possible = [RANDOM, MISSING] + ([THINNED] if found.cells.kind == COUNTS else [])
    variants = tuple((task, level) for task in possible if task in tasks for level in LEVELS[task])
    if variants:
        train, test = splits.stratified(found.labels, seed)
        yield _case(found, "70/30", seed, (train, test), variants)


def _held_out(found: sets.LabelledSet, seeds: list[int]) -> Iterator[Case]:
    for group, split in splits.hold_out(found.labels, found.groups).items():
        for seed in seeds:
            yield _case(found, f"{found.group_key} {group}", seed, split, ((TRANSFER, None),))


def _case(found: sets.LabelledSet, split: str, seed: int, rows: splits.Split, variants: tuple[Variant, ...]) -> Case:
    train, test = rows
    cells, labels = found.cells, found.labels
    return Case(found.name, split, seed, cells.take(train), labels[train], cells.take(test), labels[test], variants)


def _across(folder: Path, files: dict[str, Path], pair: dict, seeds: list[int]) -> Iterator[Case]:
    """One study to another: genes and labels that both have."""
    mapping = json.loads((folder / pair["labels"]).read_text()) if "labels" in pair else {}
    reference, labels = _side(files[pair["train"]], mapping, pair.get("where", {}))
    query, truth = _side(files[pair["test"]], mapping, {})
    train, test = splits.in_common(labels, truth)
    genes = np.intersect1d(reference.genes, query.genes)
    reference, query = (each.only(np.flatnonzero(np.isin(each.genes, genes))) for each in (reference, query))
    chosen = "".join(f" ({value})" for value in pair.get("where", {}).values())
    name = f"{pair['train']}{chosen} -> {pair['test']}"
    sides = reference.take(train), labels[train], query.take(test), truth[test]
    for seed in seeds:
        yield Case(name, "across studies", seed, *sides, ((TRANSFER, None),))


def _side(path: Path, mapping: dict[str, dict[str, str]], where: dict[str, str]) -> tuple[Cells, np.ndarray]:
    """Cells of one study that are asked for, and their labels by the map's names; "" where it has none."""
    found = sets.read(path)
    chosen = np.ones(len(found.labels), dtype=bool)
    for key, value in where.items():
        chosen &= found.obs[key] == value
    labels = found.labels[chosen]
    if mapping:
        labels = np.array([mapping[found.name].get(label, "") for label in labels])
    return found.cells.take(chosen), labels
