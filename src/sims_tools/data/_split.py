"""Which labelled cells train and which validate."""

from __future__ import annotations

import numpy as np
import pandas as pd

TRAIN, VALIDATION, UNLABELED = "train", "validation", "unlabeled"


def stratified_split(codes: np.ndarray, share: float, random_state: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Hold out a share of every class.

    Parameters
    ----------
    codes
        (n,) class of each cell, -1 where unlabelled.
    share
        Wanted share of each class in validation, rounded to whole cells; a class of one cell trains.
    random_state
        Seed.

    Returns
    -------
    Sorted indices of training and of validation cells; unlabelled cells are in neither.
    """
    rng = np.random.default_rng(random_state)
    train, validation = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for code in range(codes.max(initial=-1) + 1):
        cells = rng.permutation(np.flatnonzero(codes == code))
        n_held = min(round(len(cells) * share), max(len(cells) - 1, 0))
        validation.append(cells[:n_held])
        train.append(cells[n_held:])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(validation))


def stratified_sample(codes: np.ndarray, limit: int, random_state: int | None) -> np.ndarray:
    """Sorted indices of about `limit` cells, of each class its share but one at least; all where there are no more.

    Parameters
    ----------
    codes
        (n,) class of each cell.
    limit
        How many.
    random_state
        Seed.
    """
    if len(codes) <= limit:
        return np.arange(len(codes))
    rng, chosen = np.random.default_rng(random_state), []
    for code in np.unique(codes):
        cells = np.flatnonzero(codes == code)
        chosen.append(rng.choice(cells, max(1, round(limit * len(cells) / len(codes))), replace=False))
    return np.sort(np.concatenate(chosen))


def grouped_split(
    codes: np.ndarray, groups: pd.Series, share: float, random_state: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Hold out whole groups (donors, batches) until they make up the share.

    Groups are drawn at random, those of more than half of the cells last; one without which a class would have no
    training cell stays in training.

    Parameters
    ----------
    codes
        (n,) class of each cell, -1 where unlabelled.
    groups
        (n,) group of each cell, of any type.
    share
        Wanted share of all labelled cells in validation.
    random_state
        Seed.

    Returns
    -------
    Sorted indices of training and of validation cells; unlabelled cells are in neither.

    Raises
    ------
    ValueError
        There are fewer than two groups, a labelled cell has none, or no group can be spared.
    """
    group_codes, names = pd.factorize(groups)
    labelled = codes >= 0
    if (group_codes[labelled] < 0).any():
        n_missing = int((group_codes[labelled] < 0).sum())
        raise ValueError(f"`adata.obs[{groups.name!r}]` is NaN for {n_missing} labelled cells; each needs a group.")
    table = np.zeros((len(names), codes.max() + 1), dtype=int)
    np.add.at(table, (group_codes[labelled], codes[labelled]), 1)
    used = np.flatnonzero(table.sum(1))
    if len(used) < 2:
        raise ValueError(f"`adata.obs[{groups.name!r}]` has one group only; holding groups out needs two or more.")
    held = _draw_groups(table, used, share, np.random.default_rng(random_state))
    if share > 0 and not held:
        raise ValueError(
            f"No group of `adata.obs[{groups.name!r}]` can be held out: each has a class that no other group has."
        )
    in_validation = np.isin(group_codes, held)
    return np.flatnonzero(labelled & ~in_validation), np.flatnonzero(labelled & in_validation)


def _draw_groups(table: np.ndarray, used: np.ndarray, share: float, rng: np.random.Generator) -> list[int]:
    left, wanted = table.sum(0), share * table.sum()
    held: list[int] = []
    drawn = rng.permutation(used)
    is_most = table[drawn].sum(1) > table.sum() / 2
    for group in drawn[np.argsort(is_most, kind="stable")]:
        if table[held].sum() >= wanted:
            break
        if (left - table[group])[table[group] > 0].min() > 0:
            held.append(int(group))
            left = left - table[group]
    return held


def split_column(n_obs: int, train: np.ndarray, validation: np.ndarray) -> pd.Categorical:
    """What `.obs[f"{key}_split"]` holds."""
    codes = np.full(n_obs, 2, dtype=np.int8)
    codes[train], codes[validation] = 0, 1
    return pd.Categorical.from_codes(codes, categories=[TRAIN, VALIDATION, UNLABELED])


def random_split(
    n_cells: int, train_size: float, validation_size: float, random_state: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw training, validation and test cells at random.

    Parameters
    ----------
    n_cells
        Cells to draw from.
    train_size, validation_size
        Shares of them, rounded down to whole cells; what is left are test cells.
    random_state
        Seed.

    Returns
    -------
    Sorted indices of training, validation and test cells, each in one of them.

    Raises
    ------
    ValueError
        The shares make more than 1.
    """
    if train_size + validation_size > 1 + 1e-9:
        raise ValueError(
            f"`train_size={train_size}` and `validation_size={validation_size}` make more than 1 together."
        )
    drawn = np.random.default_rng(random_state).permutation(n_cells)
    n_train = int(n_cells * train_size + 1e-9)
    n_known = n_train + int(n_cells * validation_size + 1e-9)
    return np.sort(drawn[:n_train]), np.sort(drawn[n_train:n_known]), np.sort(drawn[n_known:])
