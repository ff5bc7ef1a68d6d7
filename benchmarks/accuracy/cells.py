"""Cells as every method gets them, and what several methods make of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from scipy import sparse

COUNTS, LOGNORM = "counts", "lognorm"
TARGET_SUM = 1e4


@dataclass(frozen=True)
class Cells:
    """n cells without their labels.

    Parameters
    ----------
    matrix
        (n, p) as stored.
    genes
        (p,) names.
    kind
        "counts", or "lognorm" for logarithms of normalised expression.
    """

    matrix: sparse.csr_matrix
    genes: np.ndarray
    kind: str

    def __len__(self) -> int:
        return self.matrix.shape[0]

    def take(self, rows: np.ndarray) -> Cells:
        """Some of the cells, by index or mask."""
        return replace(self, matrix=self.matrix[rows])

    def only(self, columns: np.ndarray) -> Cells:
        """Some of the genes, by index or mask."""
        return replace(self, matrix=self.matrix[:, columns], genes=self.genes[columns])

    def log1p(self) -> sparse.csr_matrix:
        """(n, p) log1p of counts per 10,000 of the genes that are there; "lognorm" comes as it is."""
        if self.kind == LOGNORM:
            return self.matrix
        totals = np.asarray(self.matrix.sum(1)).ravel()
        factors = np.divide(TARGET_SUM, totals, out=np.zeros(len(totals)), where=totals > 0)
        return (sparse.diags(factors.astype(np.float32)) @ self.matrix).log1p().tocsr().astype(np.float32)

    def features(self, genes: np.ndarray) -> sparse.csr_matrix:
        """(n, len(genes)) as :meth:`log1p`, in the order of `genes`; a gene that is missing here is zero."""
        return lay_out(self.log1p(), self.genes, genes)

    def adata(self, *, logged: bool = False) -> ad.AnnData:
        """An AnnData of its own: the values as stored, or as :meth:`log1p`."""
        names = pd.Index([f"cell {i}" for i in range(len(self))])
        matrix = self.log1p() if logged else self.matrix
        return ad.AnnData(matrix.copy(), obs=pd.DataFrame(index=names), var=pd.DataFrame(index=self.genes))


def lay_out(matrix: sparse.csr_matrix, genes: np.ndarray, wanted: np.ndarray) -> sparse.csr_matrix:
    """(n, len(wanted)) columns of `matrix` in the order of `wanted`, zero where `genes` lacks one."""
    if len(genes) == len(wanted) and (genes == wanted).all():
        return matrix
    place = pd.Index(genes).get_indexer(wanted)
    found = np.flatnonzero(place >= 0)
    shape = (len(genes), len(wanted))
    moves = sparse.csr_matrix((np.ones(len(found), matrix.dtype), (place[found], found)), shape=shape)
    return (matrix @ moves).tocsr()


def most_variable(cells: Cells, n_genes: int) -> np.ndarray:
    """Names of the genes that vary most over these cells, as scanpy ranks them; all of them where there are fewer."""
    if len(cells.genes) <= n_genes:
        return cells.genes
    adata = cells.adata(logged=True)
    sc.pp.highly_variable_genes(adata, n_top_genes=n_genes)
    return cells.genes[adata.var["highly_variable"].to_numpy()]
