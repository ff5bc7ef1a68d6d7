"""What calls cost when genes are deleted, and what they are worth when only some are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from tqdm.auto import tqdm

from sims_tools.data._gene_rankings import Ranking
from sims_tools.models import ClassifierModel
from sims_tools.models._inference import seen_modalities
from sims_tools.tl._mask_cells import MaskCells

ACTIONS = ("none", "deleted", "kept")
_NOT_LISTED = np.iinfo(np.intp).max


class Probe:
    """A model asked again and again about the same cells with some of their counts gone.

    Parameters
    ----------
    model
        The model.
    cells
        The cells.
    batch_size
        Cells at a time.
    """

    def __init__(self, model: ClassifierModel, cells: MaskCells, batch_size: int) -> None:
        self._model, self._cells, self._batch_size = model, cells, batch_size
        self._counts = cells.counts
        self._seen = seen_modalities(cells.counts, cells.totals, len(model.proteins_))

    def ask(self, places: NDArray[np.intp] | None = None, n_genes: int = 0, *, keep: bool = False) -> Answer:
        """Probabilities of all cells after a change.

        Parameters
        ----------
        places
            (nnz,) rank of the gene of each stored count in the list of its cell; None changes nothing.
        n_genes
            The first so many of the list are deleted: set to zero, while the cell's total stays what it was.
        keep
            They are kept and all others deleted.
        """
        counts = self._counts
        if places is not None:
            data = np.where((places < n_genes) == keep, counts.data, 0)
            counts = sparse.csr_matrix((data, counts.indices.copy(), counts.indptr.copy()), shape=counts.shape)
            counts.eliminate_zeros()
        stream = self._model.read_rows(counts, self._cells.totals, batch_size=self._batch_size)
        logits = np.concatenate([each.logits for each in stream])
        return Answer(self._model.probabilities(logits, self._seen, self._cells.allowed), self._cells)

    def places_by_class(self, ranking: Ranking) -> NDArray[np.intp]:
        """Rank of each stored count's gene in the list of the class of its cell."""
        ranks = np.full((len(ranking), self._counts.shape[1]), _NOT_LISTED)
        for row, listed in zip(ranks, ranking, strict=True):
            listed = listed[listed >= 0]
            row[listed] = np.arange(listed.size)
        return ranks[np.repeat(self._cells.codes, np.diff(self._counts.indptr)), self._counts.indices]

    def places_by_cell(self, masks: sparse.csr_matrix) -> NDArray[np.intp]:
        """Rank of each stored count's gene in the mask of its own cell, of masks (n, n_features)."""
        counts, places = self._counts, np.full(self._counts.nnz, _NOT_LISTED)
        found = self._cells.match.found
        for cell in range(counts.shape[0]):
            looked = slice(masks.indptr[cell], masks.indptr[cell + 1])
            listed = masks.indices[looked][np.argsort(-masks.data[looked], kind="stable")]
            listed = listed[found[listed]]
            own = slice(counts.indptr[cell], counts.indptr[cell + 1])
            _, here, rank = np.intersect1d(counts.indices[own], listed, assume_unique=True, return_indices=True)
            places[own.start + here] = rank
        return places


@dataclass(frozen=True)
class GeneList:
    """Genes to delete or keep.

    Attributes
    ----------
    places
        (nnz,) rank of the gene of each stored count in the list of its cell.
    n_most
        How many genes may be asked for; None for any number.
    """

    places: NDArray[np.intp]
    n_most: int | None = None


class Answer:
    """Calls and probabilities (n, n_model_classes), set against what the cells are."""

    def __init__(self, prob: NDArray[np.float32], cells: MaskCells) -> None:
        wanted = cells.targets[cells.codes]
        self._codes, self._sizes = cells.codes, cells.sizes
        self.right = (prob.argmax(axis=1) == wanted).astype(float)
        self.probability = prob[np.arange(len(prob)), wanted].astype(float)

    def by_class(self) -> pd.DataFrame:
        """One row per class: cells, accuracy, mean probability of the class."""
        return pd.DataFrame(
            {
                "n_cells": self._sizes,
                "accuracy": np.bincount(self._codes, self.right) / self._sizes,
                "probability": np.bincount(self._codes, self.probability) / self._sizes,
            }
        )

    def overall(self) -> dict[str, float]:
        """The same over all cells, and accuracy averaged over classes."""
        return {
            "n_cells": len(self.right),
            "accuracy": float(self.right.mean()),
            "balanced_accuracy": float(self.by_class()["accuracy"].mean()),
            "probability": float(self.probability.mean()),
        }


def faithfulness(
    probe: Probe,
    lists: Mapping[str, Sequence[GeneList]],
    n_genes: Sequence[int],
    classes: NDArray[np.object_],
    *,
    progress_bar: bool,
) -> dict[str, pd.DataFrame]:
    """Ask about every list of genes, deleted and kept, at every length.

    Parameters
    ----------
    probe
        The model and the cells.
    lists
        For each ranking its genes, once for each repeat.
    n_genes
        Lengths.
    classes
        Names of the classes.
    progress_bar
        Show a bar over the lists.

    Returns
    -------
    Table `faithfulness` over all cells, and `faithfulness_by_class` with a row for each class.
    """
    overall, by_class = [], []
    plan = list(_plan(lists, n_genes))
    for ranking, repeat, action, length, places in tqdm(plan, desc="masks", disable=not progress_bar, leave=False):
        answer = probe.ask(places, length, keep=action == "kept")
        about = {"ranking": ranking, "action": action, "n_genes": length, "repeat": repeat}
        overall.append({**about, **answer.overall()})
        by_class.append(answer.by_class().assign(**{"class": classes, **about}))
    first = ["class", "ranking", "action", "n_genes", "repeat"]
    parts = pd.concat(by_class, ignore_index=True)
    parts = parts[first + [name for name in parts if name not in first]]
    return {"faithfulness": pd.DataFrame(overall), "faithfulness_by_class": parts}


def _plan(
    lists: Mapping[str, Sequence[GeneList]], n_genes: Sequence[int]
) -> Iterator[tuple[str, int, str, int, NDArray[np.intp] | None]]:
    yield "none", 0, "none", 0, None
    for ranking, repeats in lists.items():
        for repeat, genes in enumerate(repeats):
            lengths = [length for length in n_genes if genes.n_most is None or length <= genes.n_most]
            for action in ("deleted", "kept"):
                for length in lengths:
                    yield ranking, repeat, action, length, genes.places
