"""Which cells train and which are predicted."""

from __future__ import annotations

import numpy as np

HELD_OUT = 0.3
MOST_GROUPS = 8
FEWEST_CELLS = 20
FEWEST_OF_A_LABEL = 2

Split = tuple[np.ndarray, np.ndarray]


def stratified(labels: np.ndarray, seed: int, share: float = HELD_OUT) -> Split:
    """Indices of training and of test cells.

    Parameters
    ----------
    labels
        (n,).
    seed
        Of the draw.
    share
        Of each class in the test, rounded to whole cells. A class of two or more has at least one cell on each side;
        a class of one trains.
    """
    rng = np.random.default_rng(seed)
    train, test = [], []
    for label in np.unique(labels):
        cells = rng.permutation(np.flatnonzero(labels == label))
        n_test = int(np.clip(round(len(cells) * share), 1, len(cells) - 1)) if len(cells) > 1 else 0
        test.append(cells[:n_test])
        train.append(cells[n_test:])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(test))


def hold_out(labels: np.ndarray, groups: np.ndarray) -> dict[str, Split]:
    """For each group the cells of all other groups, and its own; of labels that both sides have.

    At most the eight largest groups are held out, and none that leaves fewer than 20 cells or two labels to predict.

    Parameters
    ----------
    labels, groups
        (n,) each.
    """
    names, sizes = np.unique(groups, return_counts=True)
    found = {}
    for name in names[np.argsort(-sizes, kind="stable")][:MOST_GROUPS]:
        held = groups == name
        train, test = in_common(labels[~held], labels[held])
        if test.sum() >= FEWEST_CELLS and len(np.unique(labels[held][test])) > 1:
            found[str(name)] = (np.flatnonzero(~held)[train], np.flatnonzero(held)[test])
    return found


def in_common(reference: np.ndarray, query: np.ndarray) -> Split:
    """Masks of the cells whose label both sides have, and the reference at least twice; "" is no label.

    Parameters
    ----------
    reference, query
        Labels of either side.
    """
    names, sizes = np.unique(reference, return_counts=True)
    shared = np.intersect1d(names[(sizes >= FEWEST_OF_A_LABEL) & (names != "")], query)
    return np.isin(reference, shared), np.isin(query, shared)
