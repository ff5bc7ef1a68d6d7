"""Which cells train and which are tested."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from sims_tools._log import logger
from sims_tools._validate import check_choice, check_count, check_open_share, listing
from sims_tools.data._labels import Labels
from sims_tools.data._split import stratified_split

ALL = "all"
"""Group of the test cells where there are no groups."""


_FEW_MEMBERS = "The least populated class"
"""How scikit-learn's warning begins; ours names the classes."""


@dataclass(frozen=True)
class Fold:
    """One division of the labelled cells.

    Attributes
    ----------
    name
        What it is called in tables, files and messages.
    train, test
        Rows of the object, rising, no row in both.
    groups
        (n_test,) group of each test cell, by which scores are told apart.
    repeat
        Which of several drawings of training and test cells it belongs to.
    fraction
        Share of the training cells of this drawing that train.
    seed
        Of the models that are trained.
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    groups: np.ndarray
    repeat: int = 0
    fraction: float = 1.0
    seed: int = 0


def make_folds(
    labels: Labels,
    groups: pd.Series | None,
    *,
    n_folds: int | None,
    train_groups: Sequence[object] | None,
    random_state: int,
) -> list[Fold]:
    """Divide cells as :func:`sims_tools.tl.cross_validate` describes.

    Parameters
    ----------
    labels
        Labels of all cells of the object.
    groups
        (n_obs,) group of each, or None.
    n_folds
        Number of folds; None takes 5, or one for each group.
    train_groups
        Groups of a single fold that trains on them.
    random_state
        Seed.

    Raises
    ------
    ValueError
        A cell has no group, there are too few groups or cells, or a fold would train on fewer than two classes.
    """
    rows = labels.labelled
    check_count("n_folds", n_folds)
    if groups is None:
        if train_groups is not None:
            raise ValueError("`train_groups` names groups; say with `groupby` which column they are in.")
        folds = _stratified(labels, rows, 5 if n_folds is None else n_folds, random_state)
    else:
        names = _group_names(groups, rows)
        if train_groups is not None:
            if n_folds is not None:
                raise ValueError("`train_groups` makes a single fold; leave out `n_folds`.")
            folds = [_on_groups(names, rows, train_groups, str(groups.name), random_state)]
        elif n_folds is None:
            folds = [_without_group(names, rows, group, random_state) for group in np.unique(names)]
        else:
            folds = _grouped(labels, rows, names, n_folds, random_state)
    for fold in folds:
        _check_trainable(fold, labels)
    return folds


def nested_fractions(
    labels: Labels, fractions: Sequence[float], *, n_repeats: int, test_size: float, random_state: int
) -> list[Fold]:
    """Growing parts of the training cells, and a test set that stays; each part holds the smaller ones.

    Parameters
    ----------
    labels
        Labels of all cells of the object.
    fractions
        Shares of the training cells, above 0 and at most 1.
    n_repeats
        Drawings; drawing r has the seed `random_state + r`.
    test_size
        Share of each class that is tested.
    random_state
        Seed.

    Raises
    ------
    ValueError
        A share is out of range, or there is nothing to test or to train on.
    """
    shares = sorted({float(share) for share in fractions})
    if not shares or not all(0 < share <= 1 for share in shares):
        raise ValueError(f"`fractions={list(fractions)!r}` must be shares of the training cells, above 0, at most 1.")
    check_open_share("test_size", test_size)
    if n_repeats is None or isinstance(n_repeats, bool):
        raise ValueError(f"`n_repeats={n_repeats!r}` must be a whole number above 0.")
    check_count("n_repeats", n_repeats)
    folds = []
    for repeat in range(n_repeats):
        seed = random_state + repeat
        train, test = stratified_split(labels.codes, test_size, seed)
        if not len(test):
            raise ValueError(f"`test_size={test_size!r}` of any class is less than a cell; there is nothing to test.")
        place, size = _place_in_class(labels.codes[train], seed)
        for share in shares:
            part = train[place < np.maximum(1, np.round(share * size))]
            name = f"repeat {repeat}, fraction {share:g}"
            folds.append(Fold(name, part, test, _one_group(test), repeat, share, seed))
            _check_trainable(folds[-1], labels)
    return folds


def _place_in_class(codes: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(n,) place of each cell in a random order of its class, and the size of its class."""
    order = pd.Series(np.random.default_rng([seed, 1]).permutation(len(codes)))
    of_class = order.groupby(codes)
    return of_class.rank().to_numpy() - 1, of_class.transform("size").to_numpy()


def _one_group(test: np.ndarray) -> np.ndarray:
    return np.full(len(test), ALL, dtype=object)


def _group_names(groups: pd.Series, rows: np.ndarray) -> np.ndarray:
    """(n,) group of each labelled cell as text."""
    of_rows = groups.iloc[rows]
    if n_missing := int(of_rows.isna().sum()):
        raise ValueError(f"`adata.obs[{groups.name!r}]` is NaN for {n_missing} labelled cells; each needs a group.")
    names = of_rows.astype(str).to_numpy(dtype=object)
    if len(np.unique(names)) < 2:
        raise ValueError(f"`adata.obs[{groups.name!r}]` has one group only; holding groups out needs two or more.")
    return names


def _without_group(names: np.ndarray, rows: np.ndarray, group: str, seed: int) -> Fold:
    held = names == group
    return Fold(f"{group}", rows[~held], rows[held], names[held], seed=seed)


def _on_groups(names: np.ndarray, rows: np.ndarray, chosen: Sequence[object], column: str, seed: int) -> Fold:
    wanted = [str(group) for group in ([chosen] if isinstance(chosen, str) else chosen)]
    known = np.unique(names).tolist()
    for group in wanted:
        check_choice("train_groups", group, known)
    trains = np.isin(names, wanted)
    if not wanted or trains.all():
        raise ValueError(
            f"`train_groups={wanted!r}` must leave groups of `adata.obs[{column!r}]` to train and to test."
        )
    return Fold(f"trained on {', '.join(wanted)}", rows[trains], rows[~trains], names[~trains], seed=seed)


def _grouped(labels: Labels, rows: np.ndarray, names: np.ndarray, n_folds: int, seed: int) -> list[Fold]:
    _tell_few(labels, n_folds)
    n_groups = len(np.unique(names))
    if not 2 <= n_folds <= n_groups:
        raise ValueError(f"`n_folds={n_folds}` must be at least 2 and at most the {n_groups} groups.")
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=_FEW_MEMBERS)
        parts = list(splitter.split(rows, labels.codes[rows], names))
    if not all(len(test) for _, test in parts):
        raise ValueError(
            f"{n_groups} groups cannot be shared among {n_folds} folds; take fewer, or leave `n_folds` out."
        )
    return [
        Fold(f"fold {rank}", rows[train], rows[test], names[test], seed=seed)
        for rank, (train, test) in enumerate(parts)
    ]


def _stratified(labels: Labels, rows: np.ndarray, n_folds: int, seed: int) -> list[Fold]:
    if not 2 <= n_folds <= labels.counts.max():
        raise ValueError(
            f"`n_folds={n_folds}` must be at least 2 and at most {labels.counts.max()}, the largest class."
        )
    _tell_few(labels, n_folds)
    splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=_FEW_MEMBERS)
        parts = list(splitter.split(rows, labels.codes[rows]))
    return [
        Fold(f"fold {rank}", rows[train], rows[test], _one_group(test), seed=seed)
        for rank, (train, test) in enumerate(parts)
    ]


def _tell_few(labels: Labels, n_folds: int) -> None:
    if (few := labels.classes[labels.counts < n_folds]).size:
        logger.warning("Classes of fewer cells than there are folds are not in every test: %s.", listing(few))


def _check_trainable(fold: Fold, labels: Labels) -> None:
    """Raise ValueError unless two classes or more train."""
    classes = np.unique(labels.codes[fold.train])
    if len(classes) < 2:
        found = f"only {labels.classes[classes[0]]!r}" if len(classes) else "no cell"
        raise ValueError(f"Of fold {fold.name!r} {found} would train; a classifier needs at least two classes.")
