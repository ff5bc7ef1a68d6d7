"""Rows of all modalities side by side, on the linear scale of the model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from ._blocks import iter_blocks, sample_rows
from ._features import PROTEIN, RNA
from ._kind import TARGET_SUM, InputKind, resolve_kind
from ._matrix import is_column_major, is_dask, with_data
from ._parts import Part, Parts, spread_rows
from ._proteins import check_proteins, to_linear
from ._rows import StoredRows

_PIECES = 16
"""Reads of a matrix of which each scans all, column-major or dask, where its cells come in another order."""

Rows = tuple[sparse.csr_matrix, np.ndarray]


class JointRows:
    """Reads cells of an object with genes and proteins.

    On the linear scale of the model every cell has a total of 10,000, of which its genes take shares in proportion to
    their counts; a protein takes what makes log1p of it the protein transform. So log1p CP10K of these values, which
    is what follows for every model, gives log1p CP10K of genes and, say, the CLR of proteins.

    Parameters
    ----------
    parts
        The modalities.
    input_kind
        What the values of genes are; an :class:`~sims_tools.data._kind.InputKind` where these cells are a part of some
        that were looked at already.
    transform
        Name of the protein transform.
    proteins
        Columns of the proteins that the transform is to know of; the others are not read.
    totals
        (n_obs,) total counts of each cell over all its genes, where the object holds some only.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        input_kind: str | InputKind = "auto",
        transform: str = "clr",
        proteins: np.ndarray | None = None,
        totals: np.ndarray | None = None,
    ) -> None:
        self.n_obs, self._transform, self._totals = parts.n_obs, transform, totals
        self._rna, self._protein = parts.parts.get(RNA), parts.parts.get(PROTEIN)
        self.kind = InputKind("counts")
        self.n_genes = 0
        self._proteins = np.empty(0, dtype=np.intp)
        if self._rna is not None:
            self.kind = resolve_kind(self._rna.adata, self._rna.layer, input_kind)
            self.n_genes = self._rna.adata.n_vars
            self._genes_of = _PartRows(self._rna)
        if self._protein is not None:
            every = np.arange(self._protein.adata.n_vars)
            self._proteins = every if proteins is None else proteins
            if not isinstance(input_kind, InputKind):
                sample = sample_rows(self._protein.adata, self._protein.layer)[:, self._proteins]
                check_proteins(sample, transform, self._protein.place)
            self._proteins_of = _PartRows(self._protein)

    @property
    def n_features(self) -> int:
        """Genes of the object and proteins that are read."""
        return self.n_genes + len(self._proteins)

    def blocks(self, size: int) -> Iterator[tuple[int, sparse.csr_matrix, np.ndarray]]:
        """Walk over the cells: index of the first, linear values (n, n_features) and totals (n,)."""
        if self._rna is not None and self._rna.rows is None:
            for start, block in iter_blocks(self._rna.adata, self._rna.layer, size):
                yield start, *self._joined(slice(start, start + block.shape[0]), block)
            return
        step = size if self._rna is None else self._genes_of.suits(size)
        for start in range(0, self.n_obs, step):
            linear, totals = self.read(np.arange(start, min(start + step, self.n_obs)))
            for offset in range(0, linear.shape[0], size):
                yield start + offset, linear[offset : offset + size], totals[offset : offset + size]

    def read(self, positions: np.ndarray) -> Rows:
        """Linear values (n, n_features) and totals (n,) of some cells."""
        return self._joined(positions, None if self._rna is None else self._genes_of.read(positions))

    def _joined(self, positions: np.ndarray | slice, genes: sparse.csr_matrix | None) -> Rows:
        sides = []
        if genes is not None:
            linear, totals = self.kind.to_linear(genes, None if self._totals is None else self._totals[positions])
            factors = TARGET_SUM / np.where(totals > 0, totals, 1.0)
            values = linear.data * np.repeat(factors, np.diff(linear.indptr)).astype(np.float32)
            sides.append(with_data(linear, values.astype(np.float32, copy=False)))
        if self._protein is not None:
            counts = self._proteins_of.read(positions)[:, self._proteins]
            sides.append(to_linear(counts, self._transform))
        joined = sparse.csr_matrix(sparse.hstack(sides, format="csr"), dtype=np.float32)
        joined.has_canonical_format = True
        return joined, np.where(np.diff(joined.indptr) > 0, TARGET_SUM, 0.0)


class _PartRows:
    """Rows of one modality at the positions of cells; nothing is in the row of a cell that was not measured."""

    def __init__(self, part: Part) -> None:
        self._stored, self._rows = StoredRows(part.adata, part.layer), part.rows

    def read(self, positions: np.ndarray | slice) -> sparse.csr_matrix:
        """(n, n_vars) float32."""
        if self._rows is None:
            return self._stored.read(positions)
        rows = self._rows[positions]
        there = rows >= 0
        found = self._stored.read(rows[there])
        return found if there.all() else spread_rows(found, np.where(there, np.cumsum(there) - 1, -1))

    def suits(self, size: int) -> int:
        """How many cells to read at once."""
        scans = is_column_major(self._stored.matrix) or is_dask(self._stored.matrix)
        return max(size, -(-self._stored.n_rows // _PIECES)) if scans else size
