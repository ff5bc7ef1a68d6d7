"""Who is compared: SIMS and logistic regression on either modality and on both, and latent spaces."""

from __future__ import annotations

from logging import ERROR
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import scanpy as sc
import scvi
from anndata import AnnData
from mudata import MuData
from sklearn.linear_model import LogisticRegression

import sims_tools as sims

from .cells import KIT, PROTEIN, RNA, counts, joined, log_genes

N_GENES = 2000
N_COMPONENTS = 50
LABELS = "labels"


class Method:
    """One method, for one seed. `reads` names the modalities that it makes use of."""

    reads: ClassVar[tuple[str, ...]] = (RNA, PROTEIN)
    does_with_one: ClassVar[bool] = True
    """Whether it says anything of cells that lack one of them."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, mdata: MuData, labels: np.ndarray) -> np.ndarray:
        """Train; returns the classes (C,) in the order of the probabilities."""
        raise NotImplementedError

    def predict_proba(self, mdata: MuData) -> np.ndarray:
        """(n, C)."""
        raise NotImplementedError

    def latent(self, mdata: MuData) -> np.ndarray | None:
        """(n, d) latent space; None where the method has none."""
        return None

    def notes(self) -> dict[str, Any]:
        """What else there is to say of the last prediction."""
        return {}


class Ours(Method):
    """`tl.sims_train` with its default preset: on a MuData, or on the AnnData of a single modality."""

    def fit(self, mdata: MuData, labels: np.ndarray) -> np.ndarray:
        own = self._own(mdata)
        own.obs[LABELS] = labels
        usual: dict[str, Any] = {"accelerator": "cpu", "progress_bar": False, "random_state": self.seed}
        self.model = sims.tl.sims_train(own, LABELS, **usual)
        return np.asarray(self.model.classes).astype(str)

    def predict_proba(self, mdata: MuData) -> np.ndarray:
        query = self._own(mdata)
        sims.tl.annotate(query, self.model, progress_bar=False)
        self.share = query.obs["sims_rna_share"].to_numpy() if "sims_rna_share" in query.obs else None
        self.calls = query.obs["sims"].to_numpy().astype(str)
        return query.obsm["sims_prob"]

    def latent(self, mdata: MuData) -> np.ndarray | None:
        query = self._own(mdata)
        sims.tl.embed(query, self.model, progress_bar=False)
        return query.obsm["X_sims"]

    def _own(self, mdata: MuData) -> MuData | AnnData:
        """What it reads of the cells."""
        if len(self.reads) == 1:
            own = mdata.mod[self.reads[0]].copy()
            own.var_names = own.var_names.str.removesuffix(KIT)  # a model of one modality takes all names for genes
            return own
        return MuData({name: each.copy() for name, each in mdata.mod.items()})

    def notes(self) -> dict[str, Any]:
        """Mean share of RNA in the masks of the cells of each call."""
        if self.share is None:
            return {}
        return {"rna_share": pd.Series(self.share).groupby(self.calls).mean().astype(float).to_dict()}


class OursRNA(Ours):
    """The same on RNA alone."""

    reads = (RNA,)


class OursProtein(Ours):
    """The same on proteins alone, normalised as genes are: log1p of counts per 10,000."""

    reads = (PROTEIN,)


class Logistic(Method):
    """scikit-learn's logistic regression, C = 1, on log1p CP10K and CLR of all features."""

    def fit(self, mdata: MuData, labels: np.ndarray) -> np.ndarray:
        self.features = [_names(mdata, name) if name in self.reads else np.empty(0, str) for name in (RNA, PROTEIN)]
        self.model = LogisticRegression(max_iter=1000).fit(joined(mdata, *self.features), labels)
        return self.model.classes_

    def predict_proba(self, mdata: MuData) -> np.ndarray:
        return self.model.predict_proba(joined(mdata, *self.features))


class LogisticRNA(Logistic):
    """The same on RNA alone."""

    reads = (RNA,)


class LogisticProtein(Logistic):
    """The same on proteins alone."""

    reads = (PROTEIN,)


class Latent(Method):
    """A latent space that is trained without labels, and logistic regression on it."""

    does_with_one = False

    def fit(self, mdata: MuData, labels: np.ndarray) -> np.ndarray:
        self.genes, self.proteins = _variable(mdata), _names(mdata, PROTEIN)
        self.train(mdata)
        self.model = LogisticRegression(max_iter=1000).fit(self.latent(mdata), labels)
        return self.model.classes_

    def predict_proba(self, mdata: MuData) -> np.ndarray:
        return self.model.predict_proba(self.latent(mdata))

    def train(self, mdata: MuData) -> None:
        """Make the space."""
        raise NotImplementedError


class Components(Latent):
    """50 principal components of log1p CP10K of the most variable genes."""

    reads = (RNA,)

    def train(self, mdata: MuData) -> None:
        logged = log_genes(mdata, self.genes).toarray()
        self.mean = logged.mean(0)
        n_components = min(N_COMPONENTS, *logged.shape)
        self.axes = np.linalg.svd(logged - self.mean, full_matrices=False)[2][:n_components]

    def latent(self, mdata: MuData) -> np.ndarray:
        return (log_genes(mdata, self.genes).toarray() - self.mean) @ self.axes.T


class Autoencoder(Latent):
    """`models.CITEAutoencoder` at its defaults on counts of the most variable genes and all proteins."""

    weights: ClassVar[dict[str, float] | None] = None

    def train(self, mdata: MuData) -> None:
        cells = self._cells(mdata)
        sims.models.CITEAutoencoder.setup_mudata(cells, modalities={"rna": RNA, "protein": PROTEIN})
        self.space = sims.models.CITEAutoencoder(cells, modality_weights=self.weights, random_state=self.seed)
        self.space.train(accelerator="cpu", progress_bar=False)

    def latent(self, mdata: MuData) -> np.ndarray:
        cells = self._cells(mdata)
        sims.tl.embed(cells, self.space, progress_bar=False)
        return cells.obsm["X_cite"]

    def _cells(self, mdata: MuData) -> MuData:
        """The genes it is to read, and the proteins that there are; it matches them by their exact names."""
        names = mdata.mod[PROTEIN].var_names.str.removesuffix(KIT)
        sides = {}
        for name, features in ((RNA, self.genes), (PROTEIN, self.proteins[np.isin(self.proteins, names)])):
            sides[name] = AnnData(counts(mdata, name, features), pd.DataFrame(index=mdata.obs_names))
            sides[name].var_names = features
        return MuData(sides)


class BalancedAutoencoder(Autoencoder):
    """The same with both modalities of equal weight in the loss."""

    weights = {"rna": 1.0, "protein": 1.0}


class TotalVI(Latent):
    """scvi-tools' TOTALVI at its defaults on the same features; a missing protein is zero."""

    def train(self, mdata: MuData) -> None:
        scvi.settings.seed, scvi.settings.verbosity = self.seed, ERROR
        cells = self._cells(mdata)
        scvi.model.TOTALVI.setup_anndata(cells, protein_expression_obsm_key="proteins")
        self.space = scvi.model.TOTALVI(cells)
        self.space.train(accelerator="cpu", enable_progress_bar=False)

    def latent(self, mdata: MuData) -> np.ndarray:
        return self.space.get_latent_representation(self._cells(mdata))

    def _cells(self, mdata: MuData) -> AnnData:
        adata = AnnData(counts(mdata, RNA, self.genes), pd.DataFrame(index=mdata.obs_names))
        adata.var_names = self.genes
        proteins = counts(mdata, PROTEIN, self.proteins).toarray()
        adata.obsm["proteins"] = pd.DataFrame(proteins, index=adata.obs_names, columns=self.proteins)
        return adata


METHODS: dict[str, tuple[str, type[Method]]] = {
    "sims": ("SIMS, both", Ours),
    "sims_rna": ("SIMS, RNA", OursRNA),
    "sims_protein": ("SIMS, protein", OursProtein),
    "logistic": ("logistic regression, both", Logistic),
    "logistic_rna": ("logistic regression, RNA", LogisticRNA),
    "logistic_protein": ("logistic regression, protein", LogisticProtein),
    "pca": ("PCA of RNA + logistic regression", Components),
    "autoencoder": ("CITEAutoencoder + logistic regression", Autoencoder),
    "autoencoder_balanced": ("CITEAutoencoder, equal weights + logistic regression", BalancedAutoencoder),
    "totalvi": ("TOTALVI + logistic regression", TotalVI),
}


def _names(mdata: MuData, name: str) -> np.ndarray:
    return mdata.mod[name].var_names.to_numpy().astype(str)


def _variable(mdata: MuData) -> np.ndarray:
    """Names of the most variable genes of the training cells, by analytic Pearson residuals."""
    rna = mdata.mod[RNA][:, np.asarray((mdata.mod[RNA].X > 0).sum(0)).ravel() > 0].copy()
    n_top = min(N_GENES, rna.n_vars)
    sc.experimental.pp.highly_variable_genes(rna, n_top_genes=n_top, flavor="pearson_residuals")
    return rna.var_names[rna.var["highly_variable"]].to_numpy().astype(str)
