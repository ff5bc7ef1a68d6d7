"""Whether masks lie on the genes that are held to mark a class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sims_tools._validate import listing
from sims_tools.confidence._auroc import auroc
from sims_tools.data._rank_scores import top

SIGNIFICANT = 0.05
"""Largest adjusted p-value of a gene that counts as differentially expressed."""


def agreement(
    means: NDArray[np.float64],
    classes: NDArray[np.object_],
    genes: NDArray[np.intp],
    markers: Mapping[str, Mapping[int, tuple[NDArray[np.intp], int]]],
    n_top: int,
) -> pd.DataFrame:
    """Set the weights of each class against sets of marker genes.

    Parameters
    ----------
    means
        (n_classes, n_features) mean mask of each class.
    classes
        (n_classes,) names.
    genes
        (n,) columns that the object has; the others do not count.
    markers
        By source and class, the columns of the markers, and how many there were before those without a column left.
    n_top
        How many of the heaviest genes to look among.

    Returns
    -------
    One row per class and source: `n_markers`, `n_found` of them among the model's genes, `n_top` heaviest genes,
    `overlap` of the two, its share of either as `precision` and `recall`, `chance` (the precision of random genes), and
    the `auroc` of the weight for being a marker.
    """
    rows: list[dict[str, Any]] = []
    for source, of_class in markers.items():
        for code, (columns, n_markers) in of_class.items():
            weights, inside = means[code, genes], np.isin(genes, columns)
            best = top(weights, n_top)
            overlap = int(inside[best].sum())
            rows.append(
                {
                    "class": classes[code],
                    "source": source,
                    "n_markers": n_markers,
                    "n_found": int(inside.sum()),
                    "n_top": best.size,
                    "overlap": overlap,
                    "precision": overlap / best.size if best.size else np.nan,
                    "recall": overlap / inside.sum() if inside.any() else np.nan,
                    "chance": float(inside.mean()),
                    "auroc": auroc(weights, inside),
                }
            )
    return pd.DataFrame(rows)


def differential_markers(tables: Sequence[pd.DataFrame], n_top: int) -> dict[int, tuple[NDArray[np.intp], int]]:
    """For each class the `n_top` genes of the highest score among those that are significantly higher in it."""
    found = {}
    for code, table in enumerate(tables):
        higher = table[(table["pvals_adj"] < SIGNIFICANT) & (table["scores"] > 0) & (table["logfoldchanges"] > 0)]
        found[code] = (higher["gene"].to_numpy(dtype=np.intp)[:n_top], min(len(higher), n_top))
    return found


def given_markers(
    markers: Mapping[str, Iterable[str]], classes: NDArray[np.object_], names: Sequence[NDArray[Any]]
) -> dict[int, tuple[NDArray[np.intp], int]]:
    """The user's markers as columns.

    Parameters
    ----------
    markers
        Genes of each class.
    classes
        (n_classes,) names of the classes that are examined.
    names
        Names of the features, each (n_features,), in which to look for genes, the most trusted first.

    Raises
    ------
    ValueError
        No class or no gene is known.
    """
    genes = {str(name): _several(of_class) for name, of_class in markers.items()}
    unknown = [name for name in genes if name not in set(classes)]
    if len(unknown) == len(genes):
        raise ValueError(
            f"`markers` names none of the classes that are examined: it has {listing(genes)}, they are "
            f"{listing(classes)}."
        )
    where: dict[str, int] = {}
    for given in reversed(names):
        where.update({str(name): column for column, name in enumerate(given) if name != ""})
    found = {
        code: (
            np.array(sorted({where[gene] for gene in genes[name] if gene in where}), dtype=np.intp),
            len(genes[name]),
        )
        for code, name in _in_order(classes, genes)
    }
    if not any(columns.size for columns, _ in found.values()):
        raise ValueError(
            f"None of the `markers` ({listing(gene for each in genes.values() for gene in each)}) is a gene of the "
            f"model, whose genes look like {listing(names[0][:3])}. Are they named in the same way?"
        )
    return found


def _several(genes: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([genes] if isinstance(genes, str) else [str(gene) for gene in genes]))


def _in_order(classes: NDArray[np.object_], genes: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    return ((code, str(name)) for code, name in enumerate(classes) if str(name) in genes)
