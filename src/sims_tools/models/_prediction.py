"""What a trained model says of cells: never through scvi-tools' manager, always by gene name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from sims_tools._docs import docs
from sims_tools.data._align import GeneMatch, check_coverage, match_genes
from sims_tools.data._kind import resolve_kind
from sims_tools.data._matrix import check_matrix
from sims_tools.models._inference import Inferred, infer_blocks
from sims_tools.models._knowledge import Knowledge


class PredictionMixin(Knowledge):
    """Prediction for :class:`ClassifierModel`."""

    def match(self, adata: AnnData) -> GeneMatch:
        """Match the genes of a query with the model's by name.

        Parameters
        ----------
        adata
            The query.

        Raises
        ------
        ValueError
            Gene names repeat, or nearly all of what the model decides by is missing.

        Warns
        -----
        UserWarning
            Genes with more than 20 % of the model's mask weight are missing.
        """
        match = match_genes(adata.var_names, self.genes)
        check_coverage(match, self.gene_weights, adata)
        return match

    @docs.dedent
    def infer(
        self,
        adata: AnnData,
        *,
        layer: str | None = None,
        input_kind: str = "auto",
        totals: np.ndarray | None = None,
        match: GeneMatch | None = None,
        batch_size: int = 512,
        explain: bool = False,
        progress_bar: bool = False,
    ) -> Iterator[Inferred]:
        """Run the network over all cells, in order and block by block.

        Parameters
        ----------
        adata
            Cells stored any way: array, sparse, view, backed, dask. It is only read.
        %(layer)s
        %(input_kind)s
        totals
            (n_obs,) total counts of each cell over all its genes, where `adata` holds some genes only; None sums the
            genes that are there.
        match
            Result of :meth:`match`, where it is known already.
        batch_size
            Cells at a time.
        explain
            Whether masks are wanted.
        %(progress_bar)s

        Yields
        ------
        Logits, embedding, masks and a flag for cells without counts, for each block of cells.

        Raises
        ------
        RuntimeError
            The model is not trained.
        ValueError
            The values are not expression, or the genes do not match.
        """
        if not self.is_trained_:
            raise RuntimeError("The model is not trained yet; call `train()` first.")
        check_matrix(adata, layer)
        match = self.match(adata) if match is None else match
        kind = resolve_kind(adata, layer, input_kind)
        yield from infer_blocks(
            self.module,
            adata,
            match,
            kind,
            layer=layer,
            totals=totals,
            batch_size=batch_size,
            explain=explain,
            progress_bar=progress_bar,
        )

    @docs.dedent
    def predict(
        self, adata: AnnData | None = None, *, soft: bool = False, layer: str | None = None, batch_size: int = 512
    ) -> np.ndarray | pd.DataFrame:
        """Predict labels, or class probabilities.

        Parameters
        ----------
        adata
            Cells to label; None takes those the model was set up with.
        soft
            Give probabilities.
        %(layer)s
        batch_size
            Cells at a time.

        Returns
        -------
        Labels (n_obs,), or a table of probabilities (n_obs, n_classes), calibrated on the validation cells.
        """
        how = self._given_or_own(adata, layer)
        logits = np.concatenate([each.logits for each in self.infer(**how, batch_size=batch_size)])
        prob = self.confidence_.temperature.apply(logits)
        if soft:
            return pd.DataFrame(prob, index=how["adata"].obs_names, columns=self.classes)
        return self.classes[prob.argmax(1)]

    @docs.dedent
    def get_latent_representation(
        self, adata: AnnData | None = None, *, layer: str | None = None, batch_size: int = 512
    ) -> np.ndarray:
        """What the output layer reads of each cell.

        Parameters
        ----------
        adata
            Cells; None takes those the model was set up with.
        %(layer)s
        batch_size
            Cells at a time.

        Returns
        -------
        (n_obs, n_latent) float32.
        """
        how = self._given_or_own(adata, layer)
        return np.concatenate([each.embedding for each in self.infer(**how, batch_size=batch_size)])

    def _given_or_own(self, adata: AnnData | None, layer: str | None) -> dict[str, Any]:
        """What to read and how: given cells as they come, the model's own as they were set up."""
        if adata is not None:
            return {"adata": adata, "layer": layer}
        if self.adata is None:
            raise ValueError("The model holds no cells (it was loaded, or trained by `tl`); pass `adata`.")
        setup = self.registry_["setup_args"]
        totals_key = setup.get("total_counts_key")
        return {
            "adata": self.adata,
            "layer": setup.get("layer") if layer is None else layer,
            "input_kind": setup.get("input_kind", "auto"),
            "totals": None if totals_key is None else self.adata.obs[totals_key].to_numpy(dtype=float),
        }
