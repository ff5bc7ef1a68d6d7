"""Cells to measure on: planted sparse counts of any size, made quickly, or a stored set."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from anndata import AnnData, read_h5ad
from scipy import sparse

from sims_tools.nn import SparseRows

DENSITY = 0.07
N_CLASSES = 20
N_MARKERS, FOLD = 20, 6.0
BLOCK_VALUES = 1 << 23
TARGET_SUM = 1e4


@dataclass(frozen=True)
class Cells:
    """Counts (n_cells, n_genes) as CSR float32 with sorted columns, and a class code of each cell."""

    counts: sparse.csr_matrix
    codes: np.ndarray
    name: str

    @property
    def n_classes(self) -> int:
        return int(self.codes.max()) + 1

    def log1p_cp10k(self) -> sparse.csr_matrix:
        """The usual transform, on the non-zeros only."""
        totals = np.asarray(self.counts.sum(axis=1)).ravel()
        values = self.counts.data * np.repeat(TARGET_SUM / np.maximum(totals, 1), np.diff(self.counts.indptr))
        return sparse.csr_matrix(
            (np.log1p(values).astype(np.float32), self.counts.indices, self.counts.indptr), self.counts.shape
        )

    def to_adata(self) -> AnnData:
        labels = pd.Categorical([f"type_{code}" for code in self.codes])
        obs = pd.DataFrame({"cell_type": labels}, index=[f"cell_{i}" for i in range(len(self.codes))])
        var = pd.DataFrame(index=[f"gene_{g}" for g in range(self.counts.shape[1])])
        return AnnData(self.counts, obs=obs, var=var)


def planted(n_cells: int, n_genes: int, *, density: float = DENSITY, seed: int = 0) -> Cells:
    """Poisson counts in which each of 20 classes has its own 20 marker genes (fewer where genes are few)."""
    rng = np.random.default_rng(seed)
    return draw_cells(class_rates(n_genes, density, rng), n_cells, rng, np.random.SeedSequence(seed))


def class_rates(n_genes: int, density: float, rng: np.random.Generator) -> np.ndarray:
    """Rates (20, n_genes) float32 of each class: log-normal, scaled to the wanted density, higher for its markers."""
    n_markers = min(N_MARKERS, n_genes // (2 * N_CLASSES))
    rates = np.tile(_rates(n_genes, density, rng), (N_CLASSES, 1))
    markers = rng.permutation(n_genes)[: N_CLASSES * n_markers].reshape(N_CLASSES, n_markers)
    for code, genes in enumerate(markers):
        rates[code, genes] = FOLD * np.maximum(rates[code, genes], density)
    return rates


def draw_cells(rates: np.ndarray, n_cells: int, rng: np.random.Generator, seed: np.random.SeedSequence) -> Cells:
    """Cells of classes with some rates (n_classes, n_genes), as many of each; library sizes are log-normal.

    A gene is seen in a cell where the first event of its Poisson process comes before the end, so only the genes that
    are seen need a count. The draw is the same for any number of threads.
    """
    n_classes, n_genes = rates.shape
    codes = rng.permutation(np.arange(n_cells) % n_classes)
    depth = rng.lognormal(0.0, 0.3, n_cells).astype(np.float32)

    blocks = np.array_split(np.arange(n_cells), -(-n_cells * n_genes // BLOCK_VALUES))
    seeds = seed.spawn(len(blocks))
    with ThreadPoolExecutor() as pool:
        parts = list(pool.map(lambda some, seed: _draw(rates[codes[some]], depth[some], seed), blocks, seeds))
    counts = np.concatenate([each for each, _, _ in parts])
    indptr = np.concatenate([[0], np.cumsum(np.concatenate([each for _, each, _ in parts]))])
    indices = np.concatenate([each for _, _, each in parts])
    return Cells(sparse.csr_matrix((counts, indices, indptr), (n_cells, n_genes)), codes, "planted")


def _rates(n_genes: int, density: float, rng: np.random.Generator) -> np.ndarray:
    """Log-normal rates (n_genes,) float32 of which so many give a count in a cell of depth 1."""
    shape = rng.lognormal(0.0, 1.5, n_genes)
    low, high = 1e-9, 1e3
    for _ in range(60):
        scale = (low * high) ** 0.5
        low, high = (scale, high) if (1 - np.exp(-scale * shape)).mean() < density else (low, scale)
    return (scale * shape).astype(np.float32)


def _draw(rates: np.ndarray, depth: np.ndarray, seed: np.random.SeedSequence) -> tuple[np.ndarray, ...]:
    """Counts float32, number per row, and columns int32 of what is seen with rates (n, p) and depths (n,)."""
    rng = np.random.Generator(np.random.SFC64(seed))
    left = rates * depth[:, None] - rng.standard_exponential(rates.shape, dtype=np.float32)
    rows, columns = np.nonzero(left > 0)
    counts = 1 + rng.poisson(left[rows, columns])
    return counts.astype(np.float32), np.bincount(rows, minlength=len(rates)), columns.astype(np.int32)


def stored(path: Path) -> Cells:
    """A labelled `.h5ad` with raw counts in `.X` and labels in `.obs["cell_type"]`."""
    adata = read_h5ad(path)
    counts = sparse.csr_matrix(adata.X, dtype=np.float32)
    counts.sort_indices()
    return Cells(counts, pd.factorize(adata.obs["cell_type"], sort=True)[0], path.stem)


def find_stored(paths: list[Path]) -> list[Path]:
    """The `.h5ad` files among paths and in folders among them, those of raw counts."""
    files = [file for path in paths for file in (sorted(path.glob("*.h5ad")) if path.is_dir() else [path])]
    return [file for file in files if _is_counts(file)]


def _is_counts(path: Path) -> bool:
    adata = read_h5ad(path, backed="r")
    kind = adata.uns.get("x_kind", "counts")
    adata.file.close()
    return kind == "counts"


def as_rows(matrix: sparse.csr_matrix) -> SparseRows:
    """A minibatch in our form; shares memory where types allow."""
    indptr = torch.from_numpy(matrix.indptr.astype(np.int64, copy=False))
    indices = torch.from_numpy(matrix.indices.astype(np.int32, copy=False))
    return SparseRows(indptr, indices, torch.from_numpy(matrix.data), matrix.shape[1])
