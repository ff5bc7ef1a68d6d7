"""What a trained model says of cells: never through scvi-tools' manager, always by gene name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from sims_tools._docs import docs
from sims_tools._validate import check_object
from sims_tools.data._align import GeneMatch, check_coverage, match_genes
from sims_tools.data._joint import JointRows
from sims_tools.data._joint_match import JointMatch, match_parts, parts_as_matched
from sims_tools.data._kind import InputKind
from sims_tools.data._matrix import check_matrix
from sims_tools.data._obs_columns import cell_names
from sims_tools.data._parts import Parts, is_mudata, read_parts
from sims_tools.data._query import GeneRows, Query
from sims_tools.models._inference import Inferred, infer_blocks, infer_rows
from sims_tools.models._knowledge import Knowledge
from sims_tools.models._own_cells import own_parts


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
        check_object(adata)
        if self.proteins_ or is_mudata(adata):
            return self._joint(adata, {})[0]
        match = match_genes(adata.var_names, self.genes)
        check_coverage(match, self.gene_weights, adata)
        return match

    @docs.dedent
    def query(
        self,
        adata: AnnData | MuData,
        *,
        layer: str | None = None,
        input_kind: str | InputKind = "auto",
        totals: np.ndarray | None = None,
        match: GeneMatch | None = None,
        **where: Any,
    ) -> Query:
        """Make cells ready to be read by this model: features matched by name, values on its scale.

        Parameters
        ----------
        adata
            Cells stored any way. They are only read.
        %(layer)s
        %(input_kind)s
        totals
            (n_obs,) total counts of each cell over all its genes, where `adata` holds some genes only.
        match
            That of another query with the same features, where there is one.
        **where
            `modalities`, `protein_layer` and `protein_obsm_key`, as :func:`~sims_tools.tl.annotate` takes them.

        Raises
        ------
        RuntimeError
            The model is not trained.
        ValueError
            The values are not expression, or the features do not match.
        """
        self.check_trained()
        if self.proteins_ or is_mudata(adata):
            found, parts = self._joint(adata, {"layer": layer, **where}, match)
            rows = JointRows(
                parts,
                input_kind=input_kind,
                transform=self.params_.get("protein_transform", "clr"),
                proteins=found.read_proteins,
                totals=totals,
            )
            return Query(rows, found)
        if asked := [name for name, value in where.items() if value is not None]:
            raise ValueError(f"`{asked[0]}` is given, but the model reads genes alone; leave it out.")
        check_matrix(adata, layer)
        if match is None:
            match = match_genes(adata.var_names, self.genes)
            check_coverage(match, self.gene_weights, adata)
        return Query(GeneRows(adata, layer, input_kind, totals), match)

    def _joint(
        self, adata: AnnData | MuData, where: dict[str, Any], match: GeneMatch | None = None
    ) -> tuple[JointMatch, Parts]:
        """Genes and proteins of an object, matched, and taken apart as it is asked or as the reference was."""
        if adata is self.adata and self.adata_manager is not None:
            return match_parts(own_parts(self), self.genes_[: self.n_rna], self.proteins_, self.gene_weights)
        setup = self.registry_["setup_args"]
        where = {name: value for name, value in where.items() if value is not None}
        usual = setup.get("protein_obsm_key")
        if isinstance(adata, AnnData):
            check_matrix(adata, where.get("layer"))
            if usual is not None and usual in adata.obsm:
                where.setdefault("protein_obsm_key", usual)
        parts = read_parts(adata, usual=setup.get("modalities"), **where)
        if isinstance(match, JointMatch):
            return match, parts_as_matched(parts, match)
        return match_parts(parts, self.genes_[: self.n_rna], self.proteins_, self.gene_weights)

    @docs.dedent
    def infer(
        self,
        adata: AnnData | MuData,
        *,
        layer: str | None = None,
        input_kind: str = "auto",
        totals: np.ndarray | None = None,
        match: GeneMatch | None = None,
        batch_size: int = 512,
        explain: bool = False,
        progress_bar: bool = False,
        **where: Any,
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
        **where
            `modalities`, `protein_layer` and `protein_obsm_key`, as :func:`~sims_tools.tl.annotate` takes them.

        Yields
        ------
        Logits, embedding, masks, a flag for cells without counts and one for what is seen of them, for each block.

        Raises
        ------
        RuntimeError
            The model is not trained.
        ValueError
            The values are not expression, or the genes do not match.
        """
        query = self.query(adata, layer=layer, input_kind=input_kind, totals=totals, match=match, **where)
        yield from self.read(query, batch_size=batch_size, explain=explain, progress_bar=progress_bar)

    def read(
        self, query: Query, *, batch_size: int = 512, explain: bool = False, progress_bar: bool = False
    ) -> Iterator[Inferred]:
        """:meth:`infer` for the result of :meth:`query`.

        Parameters
        ----------
        query
            The cells.
        batch_size, explain, progress_bar
            As :meth:`infer` takes them.
        """
        yield from infer_blocks(self.module, query, batch_size=batch_size, explain=explain, progress_bar=progress_bar)

    def read_rows(
        self, counts: sparse.csr_matrix, totals: np.ndarray, *, batch_size: int = 512, explain: bool = False
    ) -> Iterator[Inferred]:
        """:meth:`infer` for cells that :meth:`query` has read.

        Parameters
        ----------
        counts, totals
            Linear values (n, n_genes) of the model's features, and totals (n,).
        batch_size, explain
            As :meth:`infer` takes them.
        """
        self.module.eval()
        for start in range(0, counts.shape[0], batch_size):
            some = slice(start, start + batch_size)
            yield infer_rows(self.module, counts[some], totals[some], explain=explain)

    def probabilities(
        self, logits: np.ndarray, seen: np.ndarray | None = None, allowed: np.ndarray | None = None
    ) -> np.ndarray:
        """Calibrated probabilities.

        Parameters
        ----------
        logits
            (n, n_classes).
        seen
            (n,) what is seen of each cell, as :meth:`infer` says, each having a temperature of its own; None stands
            for everything.
        allowed
            (n_classes,) bool: classes to consider; None is all.

        Returns
        -------
        (n, n_classes) float32, rows sum to 1.
        """
        if seen is None or not self.confidence_.alone:
            return self.confidence_.temperature.apply(logits, allowed)
        prob = np.empty(logits.shape, np.float32)
        for code in np.unique(seen):
            cells = seen == code
            prob[cells] = self.confidence_.of(int(code)).temperature.apply(logits[cells], allowed)
        return prob

    @docs.dedent
    def predict(
        self,
        adata: AnnData | MuData | None = None,
        *,
        soft: bool = False,
        layer: str | None = None,
        batch_size: int = 512,
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
        found = [(each.logits, each.seen) for each in self.infer(**how, batch_size=batch_size)]
        prob = self.probabilities(*(np.concatenate(each) for each in zip(*found, strict=True)))
        if soft:
            return pd.DataFrame(prob, index=cell_names(how["adata"]), columns=self.classes)
        return self.classes[prob.argmax(1)]

    @docs.dedent
    def get_latent_representation(
        self, adata: AnnData | MuData | None = None, *, layer: str | None = None, batch_size: int = 512
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

    def _given_or_own(self, adata: AnnData | MuData | None, layer: str | None) -> dict[str, Any]:
        """What to read and how: given cells as they come, the model's own as they were set up."""
        if adata is not None:
            return {"adata": adata, "layer": layer}
        if self.adata is None:
            raise ValueError("The model holds no cells (it was loaded, or trained by `tl`); pass `adata`.")
        setup = self.registry_["setup_args"]
        layer_of = "layer" if isinstance(self.adata, AnnData) else "rna_layer"
        where = {name: setup.get(name) for name in ("protein_layer", "protein_obsm_key") if setup.get(name) is not None}
        totals_key = setup.get("total_counts_key")
        return {
            "adata": self.adata,
            "layer": setup.get(layer_of) if layer is None else layer,
            "input_kind": setup.get("input_kind", "auto"),
            "totals": None if totals_key is None else self.adata.obs[totals_key].to_numpy(dtype=float),
            **where,
        }
