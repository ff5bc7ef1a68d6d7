"""Cells of references that measured different genes, shown so that what was measured does not give a reference away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from torch.utils.data import Dataset

from sims_tools._digest import digest

from ._dataset import LABELS, Batch, CellDataset, to_batch, to_column
from ._matrix import rows_of, with_data
from ._minibatch_order import epoch_rng


@dataclass(frozen=True)
class Panels:
    """What each reference measured.

    Attributes
    ----------
    measured
        (n_references, n_genes) bool.
    reference_of
        (n_obs,) reference of each cell.
    shared_totals
        (n_obs, n_references) total of each cell over those of its genes, chosen or not, that a reference has.
    """

    measured: np.ndarray
    reference_of: np.ndarray
    shared_totals: np.ndarray

    def digest(self) -> str:
        """Of all of it."""
        return digest(self.measured, self.reference_of, self.shared_totals)

    def of(self, rows: np.ndarray) -> Panels:
        """The same of some cells."""
        return Panels(self.measured, self.reference_of[rows], self.shared_totals[rows])

    def n_cells(self, rows: np.ndarray) -> np.ndarray:
        """(n_genes,) cells, of some, that each gene was measured in."""
        return np.bincount(self.reference_of[rows], minlength=len(self.measured)) @ self.measured


class PanelCells(Dataset):
    """Training cells, each shown as a reference drawn at random would have measured it.

    Of the genes of the drawn reference, those that the cell's own has are the cell's; the others are those of a donor,
    any training cell of the drawn reference, scaled so that both agree in the total of the genes they share. Genes
    that the drawn reference lacks are left out. The total is the donor's, scaled alike. So neither a gene that is
    silent, nor one that is expressed, nor how many counts go to genes that are not read, says which reference a cell is
    of. References are drawn in proportion to their cells.

    Parameters
    ----------
    dataset
        The training cells.
    panels
        Of all cells of its matrix.
    seed
        Of what is drawn, anew in each epoch.
    """

    def __init__(self, dataset: CellDataset, panels: Panels, seed: int) -> None:
        self._dataset, self._panels, self._seed = dataset, panels, seed
        self.set_epoch(0)

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, positions: Sequence[int]) -> Batch:
        chosen = np.asarray(positions)
        rows = self._dataset.cells[chosen]
        labels = to_column(self._dataset.labels[rows], np.int64)
        return to_batch(*self.shown(rows, self._donors[chosen])) | {LABELS: labels}

    def set_epoch(self, epoch: int) -> None:
        """Draw a donor for each cell, those of an epoch."""
        cells = self._dataset.cells
        self._donors = epoch_rng(self._seed, epoch, 1).choice(cells, len(cells))

    def shown(self, rows: np.ndarray, donors: np.ndarray) -> tuple[sparse.csr_matrix, np.ndarray]:
        """Linear values (n, n_genes) and totals (n,) of cells (n,) as the references of donors (n,) would show them."""
        panels = self._panels
        own, drawn = panels.reference_of[rows], panels.reference_of[donors]
        linear, totals = self._dataset.linear_rows(rows)
        given, given_totals = self._dataset.linear_rows(donors)
        shared, given_shared = panels.shared_totals[rows, drawn], panels.shared_totals[donors, own]
        other = (own != drawn) & (shared > 0) & (given_shared > 0)
        drawn = np.where(other, drawn, own)
        ratio = np.where(other, shared / np.where(given_shared > 0, given_shared, 1.0), 0.0)
        kept = _only(linear, panels.measured[drawn[rows_of(linear)], linear.indices])
        of_donor = rows_of(given)
        scaled = with_data(given, (given.data * ratio[of_donor]).astype(np.float32))
        filled = _only(scaled, other[of_donor] & ~panels.measured[own[of_donor], given.indices])
        return (kept + filled).tocsr(), np.where(other, given_totals * ratio, totals)


def _only(block: sparse.csr_matrix, kept: np.ndarray) -> sparse.csr_matrix:
    """The values that are marked, (n_stored,) bool, and no others."""
    ends = np.concatenate([[0], np.cumsum(kept)])[block.indptr]
    left = sparse.csr_matrix((block.data[kept], block.indices[kept], ends), shape=block.shape)
    left.has_canonical_format = True
    return left
