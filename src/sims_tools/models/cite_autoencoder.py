"""The published autoencoder of CITE-seq data: one latent space of RNA and surface protein."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from anndata import AnnData
from scvi import REGISTRY_KEYS
from scvi.model.base import BaseModelClass

from sims_tools._keys import UNKNOWN
from sims_tools._validate import as_plain, check_positive
from sims_tools.data._paired import Where, find_pair, read_modalities
from sims_tools.data._paired_cells import Form, read_kinds
from sims_tools.models._cite_module import build_module
from sims_tools.models._cite_params import read_weights, warn_of_size
from sims_tools.models._cite_setup import check_setup, chosen_genes, paired_fields
from sims_tools.models._cite_storage import describe_autoencoder, paired_registry
from sims_tools.models._cite_training import CITETraining
from sims_tools.models._random import resolve_seed, seeded
from sims_tools.models._saved import SavedModel
from sims_tools.models._setup import register

if TYPE_CHECKING:
    from mudata import MuData


class CITEAutoencoder(CITETraining, SavedModel, BaseModelClass):
    """Autoencoder of RNA and surface protein, as in Yuan Tian's tutorial :cite:p:`tian_citeseq`.

    Its 24-dimensional latent space is made from both modalities, for :func:`~sims_tools.tl.embed` and scanpy's
    neighbours and UMAP. :class:`~sims_tools.nn.CITENetwork` says what it computes, :meth:`train` how it is trained.
    Values that were centred and scaled before are taken as they are, which is the tutorial. Counts are normalised
    inside the model instead (log1p CP10K for RNA, centred log ratio in the cell for protein), then centred, scaled and
    cut off at 10 by what the training cells say, so that queries are prepared as the reference was.

    Parameters
    ----------
    adata
        Object that :meth:`setup_mudata` or :meth:`setup_anndata` has registered.
    registry
        What scvi-tools passes instead of an object when it loads a model.
    n_hidden_rna, n_hidden_protein, n_latent, dropout
        Of the :class:`~sims_tools.nn.CITENetwork`.
    standardize
        Centre and scale what the model normalised itself. Values that are taken as they are never are.
    modality_weights
        Weights of the mean squared errors, such as `{"rna": 1, "protein": 1}`. None weighs each feature alike, as
        published: 2,000 genes make 99 % of the loss beside 25 proteins.
    classification_weight
        Weight of the cross-entropy of the classifier, which there is where the setup names labels.
    random_state
        Seed of the split, of the initial weights and of training.

    Raises
    ------
    ValueError
        A parameter is out of range.

    Examples
    --------
    >>> import sims_tools as sims
    >>> sims.models.CITEAutoencoder.setup_mudata(mdata, modalities={"rna": "rna", "protein": "prot"})
    >>> model = sims.models.CITEAutoencoder(mdata)
    >>> model.train()
    >>> sims.tl.embed(mdata, model)
    """

    name: ClassVar[str] = "cite_autoencoder"
    """What a saved model says it is."""
    reference: ClassVar[str] = (
        "Tian Y. Integrative analysis of single-cell multiomics data using deep learning (tutorial)"
    )
    """Publication of the method."""

    def __init__(
        self,
        adata: Any = None,
        registry: dict[str, Any] | None = None,
        *,
        n_hidden_rna: int = 30,
        n_hidden_protein: int = 18,
        n_latent: int = 24,
        dropout: float = 0.1,
        standardize: bool = True,
        modality_weights: Mapping[str, float] | None = None,
        classification_weight: float = 1.0,
        random_state: int | None = 0,
    ) -> None:
        check_positive("classification_weight", classification_weight, zero=True)
        network = {"n_hidden_rna": n_hidden_rna, "n_hidden_protein": n_hidden_protein, "n_latent": n_latent}
        self.params_ = {
            **{name: as_plain(value) for name, value in network.items()},
            "dropout": as_plain(dropout),
            "standardize": bool(standardize),
            "modality_weights": read_weights(modality_weights),
            "classification_weight": as_plain(classification_weight),
            "random_state": resolve_seed(random_state),
        }
        super().__init__(adata, registry)
        self.genes_, self.proteins_, self.forms_ = self._features()
        self.classes_ = self._classes()
        self.gene_weights_ = None
        self.best_epoch_ = None
        self.was_interrupted_ = False
        self.reconstruction_error_ = {}
        warn_of_size(len(self.genes_), len(self.proteins_))
        with seeded(self.params_["random_state"]):
            self.module = build_module(
                len(self.genes_), len(self.proteins_), len(self.classes_), self.forms_, self.params_
            )
        self._model_summary_string = repr(self)
        self.init_params_ = self._get_init_params(locals())

    def _features(self) -> tuple[list[str], list[str], dict[str, Form]]:
        """Genes and proteins to read, and what is made of their values."""
        setup = self.registry_["setup_args"]
        if self.adata is None:
            fields = self.registry_["field_registries"]
            names = [fields[key]["state_registry"]["column_names"] for key in (REGISTRY_KEYS.X_KEY, "proteins")]
            return list(names[0]), list(names[1]), dict(setup["forms"])
        pair = find_pair(self.adata, self.where)
        kinds = read_kinds(pair, setup["rna_kind"], setup["protein_kind"])
        genes = chosen_genes(pair.rna, setup["mask_var"]).tolist()
        return genes, pair.protein.var_names.astype(str).tolist(), kinds.forms

    def _classes(self) -> list[str]:
        if REGISTRY_KEYS.LABELS_KEY not in self.registry_["field_registries"]:
            return []
        labels = self.get_state_registry(REGISTRY_KEYS.LABELS_KEY)
        return [str(name) for name in labels.categorical_mapping[:-1]]

    @classmethod
    def setup_mudata(
        cls,
        mdata: MuData,
        modalities: Mapping[str, str] | None = None,
        rna_layer: str | None = None,
        protein_layer: str | None = None,
        labels_key: str | None = None,
        unlabeled_category: str = UNKNOWN,
        mask_var: str | None = None,
        rna_kind: str = "auto",
        protein_kind: str = "auto",
        **kwargs: Any,
    ) -> None:
        """Register two modalities of a MuData with scvi-tools, which writes `_scvi_*` entries into it.

        Parameters
        ----------
        mdata
            Cells with both modalities, which may hold them in different orders.
        modalities
            Names of the modalities, `{"rna": ..., "protein": ...}`; None takes "rna" and "protein".
        rna_layer, protein_layer
            Layers with the values; None reads `.X`.
        labels_key
            Column with labels, of `mdata.obs` or of one modality's: a classifier is trained on the latent space, too.
        unlabeled_category
            Label that means "no label"; such cells train the autoencoder alone.
        mask_var
            Boolean column of the RNA's `.var` ("highly_variable") that marks the genes to read; None reads all. Cells
            are normalised by their totals over all genes in any case.
        rna_kind
            What the RNA's values are: "counts", "log1p", or "scaled" for any that are to be taken as they are; "auto"
            takes those as they are where some are negative.
        protein_kind
            "counts", or "scaled" for values that are to be taken as they are; "auto" takes whole numbers for counts.
        **kwargs
            What scvi-tools passes on.

        Raises
        ------
        KeyError
            A modality, layer or column does not exist.
        ValueError
            A modality is empty or lacks cells, names repeat, values are NaN or infinite, a label is NaN or no text.
        """
        setup_method_args = cls._get_setup_method_args(**locals())
        where = Where(**read_modalities(modalities), rna_layer=rna_layer, protein_layer=protein_layer)
        cls._set_up(mdata, where, setup_method_args, kwargs)

    @classmethod
    def setup_anndata(
        cls,
        adata: AnnData,
        protein_obsm_key: str,
        rna_layer: str | None = None,
        labels_key: str | None = None,
        unlabeled_category: str = UNKNOWN,
        mask_var: str | None = None,
        rna_kind: str = "auto",
        protein_kind: str = "auto",
        **kwargs: Any,
    ) -> None:
        """Register an AnnData that holds proteins in `.obsm` with scvi-tools, which writes `_scvi_*` entries into it.

        Parameters
        ----------
        adata
            Cells (rows) with RNA in `.X` or a layer.
        protein_obsm_key
            Entry of `.obsm` with the proteins: a DataFrame, whose columns name them, an array or a sparse matrix.
        rna_layer
            Layer with the RNA; None reads `.X`.
        labels_key
            Column of `.obs` with labels: a classifier is trained on the latent space, too.
        unlabeled_category
            Label that means "no label"; such cells train the autoencoder alone.
        mask_var
            Boolean column of `.var` that marks the genes to read, as in :meth:`setup_mudata`.
        rna_kind, protein_kind
            What the values are, as in :meth:`setup_mudata`.
        **kwargs
            What scvi-tools passes on.

        Raises
        ------
        KeyError
            A column, layer or the entry of `.obsm` does not exist.
        TypeError
            The proteins have no names.
        ValueError
            There are no proteins, names repeat, values are NaN or infinite, a label is NaN or no text.
        """
        setup_method_args = cls._get_setup_method_args(**locals())
        cls._set_up(adata, Where(rna_layer=rna_layer, protein_obsm_key=protein_obsm_key), setup_method_args, kwargs)

    @classmethod
    def _set_up(cls, data: Any, where: Where, method_args: dict[str, Any], kwargs: dict[str, Any]) -> None:
        setup = method_args["setup_args"]
        check_setup(data, where, setup)
        register(cls, data, paired_fields(data, where, setup), method_args, kwargs)

    def __repr__(self) -> str:
        state = "trained" if self.is_trained_ else "not trained"
        head = f", {len(self.classes_)} classes" if self.classes_ else ""
        return f"{type(self).__name__} model: {len(self.genes_)} genes, {len(self.proteins_)} proteins{head}, {state}"

    def _describe(self) -> dict[str, Any]:
        return describe_autoencoder(self)

    @classmethod
    def _from_header(cls, header: dict[str, Any]) -> Self:
        model = cls(registry=paired_registry(header), **header["params"])
        model.__dict__.update(header["attributes"])
        return model
