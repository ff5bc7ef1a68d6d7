"""Principal components of sparse expression profiles, which can do without some of the genes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy import linalg, sparse

_OVERSAMPLING, _ROUNDS = 10, 4
"""Of the randomised decomposition: more directions than are kept, and rounds of power iteration."""


@dataclass(frozen=True, eq=False)
class PrincipalComponents:
    """Coordinates of cells whose expression profiles are scaled to length 1.

    Length 1 makes cells of different depth, and totals over different sets of genes, comparable. Found by randomised
    subspace iteration (Halko et al., SIAM Review 2011), which needs nothing but products with the sparse profiles.

    Parameters
    ----------
    mean
        (p,) mean of the scaled profiles.
    loadings
        (p, k) that differences from the mean are multiplied with; orthonormal columns where no gene is missing.
    variances
        (k,) of the training cells along the components.
    squares
        (p,) mean square of each gene in the scaled profiles; they sum to 1.
    residuals
        (p,) variance of each gene that the components leave.
    length
        Length that profiles are scaled to: below 1 where genes are missing.
    """

    mean: np.ndarray
    loadings: np.ndarray
    variances: np.ndarray
    squares: np.ndarray
    residuals: np.ndarray
    length: float

    @classmethod
    def fit(cls, rows: sparse.csr_matrix, n_components: int, random_state: int | None = 0) -> Self:
        """Decompose training cells.

        Parameters
        ----------
        rows
            (n, p) log-normalised expression, not negative.
        n_components
            k, at most; no more than cells less one, or genes.
        random_state
            Seed of the decomposition.
        """
        unit = unit_rows(rows)
        n, p = unit.shape
        mean = np.asarray(unit.mean(0), dtype=np.float64).ravel()
        squares = np.asarray(unit.multiply(unit).mean(0), dtype=np.float64).ravel()
        k = max(min(n_components, n - 1, p), 1)
        loadings = _leading_axes(unit, mean, k, np.random.default_rng(random_state))
        variances = np.mean((unit @ loadings - mean @ loadings) ** 2, axis=0)
        residuals = np.maximum(squares - mean**2 - loadings**2 @ variances, 0.0)
        return cls(
            mean=mean.astype(np.float32),
            loadings=loadings.astype(np.float32),
            variances=variances.astype(np.float32),
            squares=squares.astype(np.float32),
            residuals=residuals.astype(np.float32),
            length=1.0,
        )

    def project(self, rows: sparse.csr_matrix) -> np.ndarray:
        """(n, k) coordinates of log-normalised rows (n, p); missing genes are zero in them."""
        return np.asarray(unit_rows(rows, self.length) @ self.loadings - self.mean @ self.loadings)

    def without(self, missing: np.ndarray) -> tuple[Self, np.ndarray]:
        """Components that read only the genes that are there, and how much less sure they are.

        What is there is fitted with the components by least squares, so that a missing gene counts neither as silent
        nor as average. Components that hardly anything is left of are drawn towards the mean.

        Parameters
        ----------
        missing
            (p,) bool.

        Returns
        -------
        The components, and the (k, k) covariance that the coordinates gain by the genes that are missing.
        """
        there = np.where(missing[:, None], 0.0, self.loadings.astype(np.float64))
        noise = self.residuals.astype(np.float64)
        prior = np.mean(noise) / np.maximum(self.variances.astype(np.float64), 1e-12)
        solved = there @ np.linalg.inv(there.T @ there + np.diag(prior))
        gained = solved.T @ (noise[:, None] * solved) - self.loadings.T @ (noise[:, None] * self.loadings)
        share = float(self.squares[~missing].sum() / max(float(self.squares.sum()), 1e-12))
        return replace(self, loadings=solved.astype(np.float32), length=float(np.sqrt(share))), _not_negative(gained)


def unit_rows(rows: sparse.csr_matrix, length: float = 1.0) -> sparse.csr_matrix:
    """Rows (n, p) scaled to some length; those of zeros stay. The pattern is shared."""
    counts = np.diff(rows.indptr)
    values = rows.data.astype(np.float32)
    squares = np.bincount(np.repeat(np.arange(len(counts)), counts), values.astype(np.float64) ** 2, len(counts))
    factors = length / np.sqrt(np.where(squares > 0, squares, 1.0))
    return sparse.csr_matrix(
        (values * np.repeat(factors, counts).astype(np.float32), rows.indices, rows.indptr), rows.shape
    )


def _leading_axes(unit: sparse.csr_matrix, mean: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """(p, k) axes of largest variance of rows less their mean."""
    n, p = unit.shape
    width = min(k + _OVERSAMPLING, n, p)
    turned = unit.T.tocsr()
    axes = rng.normal(size=(p, width))
    for _ in range(_ROUNDS):
        scores, _ = linalg.qr(unit @ axes - mean @ axes, mode="economic")
        axes, _ = linalg.qr(turned @ scores - np.outer(mean, scores.sum(0)), mode="economic")
    scores = unit @ axes - mean @ axes
    _, rotation = np.linalg.eigh(scores.T @ scores)
    return axes @ rotation[:, ::-1][:, :k]


def _not_negative(covariance: np.ndarray) -> np.ndarray:
    """The nearest covariance without negative variances."""
    variances, axes = np.linalg.eigh((covariance + covariance.T) / 2)
    return (axes * np.maximum(variances, 0.0)) @ axes.T
