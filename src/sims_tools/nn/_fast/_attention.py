"""An attentive transformer over sparse cells: its mask on the support, and the way back."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from sims_tools.nn._attentive import AttentiveTransformer

from ._among_stored import score_variance, select_stored
from ._arrays import Gradients, array
from ._chunks import Chunks, stripes
from ._csr import STRIPE_BYTES, entry_dots, rows_of_task, rows_product
from ._held import PANEL, hold_scores, panels, select_held
from ._jit import ROWS, run_tasks
from ._masks import Masks
from ._memory import like, reserved, unset, zeros
from ._norm import Norm
from ._product import matmul
from ._scores import screen_scores
from ._select import order_by_cell, pack, select
from ._shares_grad import shares_grad
from ._stored import Stored
from ._weight_grad import weight_grad

_BAND = 512
"""Cells whose candidates are held at a time."""

_TASKS = 8
"""Pieces that scores are held in, at least, where there are genes enough."""

_HELD_AT_ONCE = 1 << 24
"""Bytes of scores that are held at a time, unless those of one chunk are more."""

_HELD_BYTES = 1 << 21
"""Scores of a chunk that are held, few or many are selected: they stay in the cache."""


@dataclass
class Attention:
    """One step's attentive transformer at work on one minibatch."""

    part: AttentiveTransformer
    chunks: Chunks
    stored: Stored
    features: np.ndarray = field(init=False)
    mean: np.ndarray = field(init=False)
    variance: np.ndarray = field(init=False)
    _panels: np.ndarray | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.weight, self.norm = array(self.part.linear.weight), Norm(self.part.norm.bn)
        self.gain, self.bias, self.eps = self.norm.gain, self.norm.bias, self.norm.eps
        self.entmax, self.stripes = self.part.selector_name == "entmax15", stripes(len(self.weight), 8, smallest=128)
        if self.chunks.measure:
            self.mean = self.variance = unset((len(self.chunks), len(self.weight)), self.weight.dtype)
        else:
            self.mean, self.variance = self.norm.mean[None], self.norm.variance[None]

    def forward(self, features: np.ndarray, masks: Masks) -> None:
        """Append the mask of this step.

        Parameters
        ----------
        features
            (B, n_a) attention input.
        masks
            Those of the earlier steps.
        """
        self.step = len(masks)
        self.prior = masks.gamma**self.step
        self.features = self._centre(features) if self.chunks.measure else features
        if self.part.nonzero_only:
            counts, self.levels = self._take(self._among_stored(masks), masks)
        else:
            bands = [self._select(band, masks) for band in self.chunks.bands(_BAND)]
            counts, self.levels = (np.concatenate(each) for each in zip(*bands, strict=True))
        masks.close(counts)
        if self.chunks.measure:
            means = matmul(self.weight, self.feature_means.T).T
            self.norm.update(means, self.variance, self.chunks.sizes)

    def _centre(self, features: np.ndarray) -> np.ndarray:
        starts, sizes = self.chunks.first_rows[:-1], self.chunks.sizes
        self.feature_means = np.add.reduceat(features, starts, axis=0) / sizes[:, None].astype(features.dtype)
        return features - np.repeat(self.feature_means, sizes, axis=0)

    def _select(self, band: slice, masks: Masks) -> tuple[np.ndarray, np.ndarray]:
        """Add the selected genes of some chunks to the masks; number of them and level, for each cell."""
        n_bytes = self.weight.nbytes // self.weight.shape[1]
        if int(self.chunks.sizes[band].max()) * n_bytes > _HELD_BYTES:
            features = self.chunks.transposed(self.features, band)
            found = self._screen(features, *self._part(band, masks))
            if found is not None:
                return self._take(found, masks)
        parts = []
        for part in self.chunks.bands(_HELD_AT_ONCE // n_bytes, band):
            cells = slice(self.chunks.first_rows[part.start], self.chunks.first_rows[part.stop])
            parts.append(self._take(self._hold(self.features[cells], *self._part(part, masks)), masks))
        sizes, levels = (np.concatenate(each) for each in zip(*parts, strict=True))
        return sizes, levels

    def _part(self, band: slice, masks: Masks) -> tuple[np.ndarray, tuple, tuple]:
        """What kernels read of some chunks: their first cells, the norm, and the earlier masks."""
        first = self.chunks.first_rows[band.start : band.stop + 1]
        used = masks.starts[:, first[0] : first[-1] + 1].copy()
        own = band if self.chunks.measure else slice(None)
        normed = self.gain, self.bias, self.mean[own], self.variance[own], self.chunks.measure, self.eps, self.prior
        return first - first[0], normed, (used, masks.genes, masks.ratios)

    def _take(self, found: tuple, masks: Masks) -> tuple[np.ndarray, np.ndarray]:
        """Append what was selected to the masks."""
        starts, genes, values, selected, levels = found
        sizes = np.where(np.isfinite(levels), selected, 1)  # one gene, with share NaN, without a finite maximum
        to = np.concatenate([[0], sizes.cumsum()])
        run_tasks(pack, -(-len(sizes) // ROWS), starts, genes, values, selected, to, *masks.room(int(to[-1])))
        return sizes, levels

    def _screen(self, features: np.ndarray, first: np.ndarray, normed: tuple, earlier: tuple) -> tuple | None:
        """Selected genes by screening all scores, a tile at a time; None where too many are selected."""
        n_rows, n_chunks, dtype = int(first[-1]), len(first) - 1, self.weight.dtype
        cuts = stripes(len(self.weight), 2 if n_chunks == 1 else 1)  # the fewer there are, the fewer candidates
        n_stripes = len(cuts) - 1
        top, per_cell = np.empty((n_rows, n_stripes), dtype), np.empty((n_rows, n_stripes), np.int64)
        counts, crowded = np.empty((n_chunks, n_stripes), np.int64), np.zeros(1, np.bool_)
        size = (n_rows * len(self.weight),)
        cells, genes, scores = (reserved(size, kind) for kind in (np.int32, np.int32, dtype))
        run_tasks(
            screen_scores, n_chunks * n_stripes,
            features, first, cuts, self.weight, *normed, 2.0 if self.entmax else 1.0, self.entmax, *earlier, crowded,
            top, counts, per_cell, cells, genes, scores,
        )  # fmt: skip
        if crowded[0]:
            return None
        ends = per_cell.cumsum().reshape(per_cell.shape)
        starts, highest = np.concatenate([[0], ends[:, -1]]), top.max(1)
        by_cell, values = (unset((int(starts[-1]),), kind) for kind in (np.int32, dtype))
        run_tasks(
            order_by_cell, n_chunks * n_stripes,
            first, cuts, highest, counts, cells, genes, scores, 0.5 if self.entmax else 1.0, ends - per_cell, by_cell,
            values,
        )  # fmt: skip
        selected, levels = np.empty(n_rows, np.int64), np.empty(n_rows, dtype)
        run_tasks(
            select, -(-n_rows // ROWS), starts, highest, self.entmax, self.part.limit, by_cell, values, selected, levels
        )
        return starts, by_cell, values, selected, levels

    def _among_stored(self, masks: Masks) -> tuple:
        """Selected genes out of those that are stored, all cells at a time."""
        stored, weight = self.stored, self.weight
        if self.chunks.measure:
            run_tasks(
                score_variance, len(self.chunks) * (len(self.stripes) - 1),
                self.stripes, self.chunks.first_rows, weight, self._covariance, self.variance,
            )  # fmt: skip
        dots, values, genes = (unset(stored.values.shape, kind) for kind in (weight.dtype, weight.dtype, np.int32))
        stripe = max(64, STRIPE_BYTES // weight[0].nbytes)
        run_tasks(
            entry_dots, stored.n_blocks,
            stored.block, stripe, stored.indptr, stored.indices, self.features, weight, dots,
        )  # fmt: skip
        scale = self._rate() * weight.dtype.type(self.prior)
        shift = np.broadcast_to(self.bias * weight.dtype.type(self.prior), scale.shape)
        if not self.chunks.measure:
            shift = shift - self.mean * scale
        selected, levels = np.empty(stored.n_rows, np.int64), np.empty(stored.n_rows, weight.dtype)
        run_tasks(
            select_stored, -(-stored.n_rows // ROWS),
            self.chunks.statistics_of, stored.indptr, stored.indices, stored.values, dots, scale,
            np.ascontiguousarray(shift), self.entmax, self.part.limit, masks.starts, masks.genes, masks.ratios, genes,
            values, selected, levels,
        )  # fmt: skip
        return stored.indptr, genes, values, selected, levels

    @cached_property
    def _covariance(self) -> np.ndarray:
        """(n_chunks, n_a, n_a) sums of products of the features of each chunk."""
        bounds = zip(self.chunks.first_rows, self.chunks.first_rows[1:], strict=False)
        cells = [self.features[first:last] for first, last in bounds]
        return np.stack([matmul(each.T, each) for each in cells])

    def _rate(self) -> np.ndarray:
        """(n_statistics, p): gain / sigma."""
        return self.gain / np.sqrt(self.variance + self.gain.dtype.type(self.eps))

    def _hold(self, features: np.ndarray, first: np.ndarray, normed: tuple, earlier: tuple) -> tuple:
        """Selected genes by holding all scores."""
        if self._panels is None:
            self._panels = panels(self.weight)
        n_rows, n_chunks, n_panels, dtype = int(first[-1]), len(first) - 1, len(self._panels), self.weight.dtype
        cuts = stripes(n_panels, -(-_TASKS // n_chunks), smallest=4)
        held, values, genes = (unset((n_rows, n_panels * PANEL), kind) for kind in (dtype, dtype, np.int32))
        run_tasks(hold_scores, n_chunks * (len(cuts) - 1), features, first, cuts, self._panels, *normed, held)
        selected, levels = np.empty(n_rows, np.int64), np.empty(n_rows, dtype)
        found = genes, values, selected, levels
        run_tasks(select_held, -(-n_rows // ROWS), held, self.entmax, self.part.limit, *earlier, *found)
        starts = np.arange(n_rows + 1) * (n_panels * PANEL)
        return starts, genes.ravel(), values.ravel(), selected, levels

    def backward(self, masks: Masks, grad: np.ndarray, gradients: Gradients) -> np.ndarray:
        """Gradient of the features; the parameters' are added to `gradients`, those of earlier masks to `grad`.

        Parameters
        ----------
        masks
            Of all steps.
        grad
            Gradient of the shares of all masks.
        gradients
            Of the parameters.
        """
        span, indptr = masks.span(self.step), masks.indptr(self.step)
        genes, shares, own = masks.genes[span], masks.shares[span], grad[span]
        push, pull = like(own), like(own)
        centred, n_rows = self.chunks.measure, len(self.features)
        run_tasks(
            shares_grad, -(-n_rows // ROWS),
            indptr, genes, shares, own, self.entmax, self.chunks.statistics_of, self.levels, self.features,
            self.weight, self.bias, self.mean, self._rate(), centred, self.prior, masks.gamma,
            masks.starts[: self.step], masks.genes, masks.ratios, grad, push, pull,
        )  # fmt: skip
        curvature, drift = self._weight_grad(indptr, genes, push, gradients)
        out = like(self.features)
        block = rows_of_task(n_rows)
        run_tasks(rows_product, -(-n_rows // block), block, len(self.weight), indptr, genes, pull, self.weight, out)
        if centred:
            for chunk, (first, last) in enumerate(
                zip(self.chunks.first_rows, self.chunks.first_rows[1:], strict=False)
            ):
                out[first:last] -= matmul(self.features[first:last], curvature[chunk]) + drift[chunk]
        return out

    def _weight_grad(
        self, indptr: np.ndarray, genes: np.ndarray, push: np.ndarray, gradients: Gradients
    ) -> tuple[np.ndarray, np.ndarray]:
        n_chunks, n_a, n_stripes = len(self.chunks), self.weight.shape[1], len(self.stripes) - 1
        curvature = zeros((n_stripes, n_chunks, n_a, n_a), self.weight.dtype)
        drift = zeros((n_stripes, n_chunks, n_a), self.weight.dtype)
        grads = like(self.weight), like(self.gain), like(self.bias)
        run_tasks(
            weight_grad, n_stripes,
            self.stripes, self.chunks.first_rows, indptr, genes, push, self.features, self._covariance, self.weight,
            self.gain, self.mean, self.variance, self.chunks.measure, self.eps, *grads, curvature, drift,
        )  # fmt: skip
        gradients.add(self.part.linear.weight, grads[0])
        self.norm.add(gradients, *grads[1:])
        return curvature.sum(0), drift.sum(0)
