"""The base of every classifier: scvi-tools' model class around one `Network`."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

import pandas as pd
from anndata import AnnData
from scvi import REGISTRY_KEYS
from scvi.model.base import BaseModelClass
from torch import nn

from sims_tools._validate import as_plain, check_choice, check_count, check_fraction, check_names
from sims_tools.data._dataset import PROTEINS
from sims_tools.data._features import feature_names
from sims_tools.data._proteins import TRANSFORMS, kept_proteins
from sims_tools.models._confidence import Confidence
from sims_tools.models._inputs import CountTransform
from sims_tools.models._module import ClassifierModule
from sims_tools.models._prediction import PredictionMixin
from sims_tools.models._preset import Preset
from sims_tools.models._random import resolve_seed, seeded
from sims_tools.models._registry import as_set_up, make_registry
from sims_tools.models._saved import SavedModel
from sims_tools.models._setup import SetupMixin
from sims_tools.models._starting import StartingMixin
from sims_tools.models._storage import attributes_from, describe, registry_from
from sims_tools.models._training import TrainingMixin
from sims_tools.nn import Ensemble


class ClassifierModel(SetupMixin, StartingMixin, TrainingMixin, PredictionMixin, SavedModel, BaseModelClass):
    """A classifier of cells; an architecture is a subclass with a `name` and an inner `Network`.

    Parameters
    ----------
    adata
        Object that :meth:`setup_anndata` or :meth:`setup_mudata` has registered.
    registry
        What scvi-tools passes instead of an object when it loads a model; or the `registry` of a data module that
        brings genes and labels, such as scvi-tools' own for annbatch, Lamin and TileDB-SOMA, to be trained with
        `train(datamodule=...)`.
    preset
        Name of the recipe in :attr:`presets`.
    scale_genes
        Overrule the preset: divide genes by their standard deviation over the training cells.
    center_genes
        Overrule the preset: z-scores, with the mean and standard deviation of the training cells.
    gene_dropout
        Overrule the preset: share of the entries set to zero while training.
    n_members
        Overrule the preset: networks that are trained side by side and averaged.
    protein_transform
        What is done with proteins, where there are any: "clr", the centred log-ratio within the cell, "log1p" or
        "none", for values that are normalised already.
    exclude_proteins
        Proteins to leave out, isotype controls say: names or patterns such as ``"*IgG*"``.
    modality_dropout
        Overrule the preset: share of the cells of which genes or proteins are hidden while training.
    random_state
        Seed of the initial weights and of training.
    **network_params
        Overrule the preset's parameters of the `Network`. `max_selected` is of all members together.

    Raises
    ------
    ValueError
        `preset` is unknown, or a parameter is out of range.
    TypeError
        A name is not a parameter of the network.
    """

    name: ClassVar[str]
    """Short name, as in `models.available()`."""
    reference: ClassVar[str]
    """Publication of the method."""
    explanation: ClassVar[str] = "masks"
    """What the masks of its network are; stored beside them, and said in figures."""
    Network: ClassVar[type[nn.Module]]
    """Called as `Network(n_genes, n_classes, **params)`; returns a :class:`~sims_tools.nn.NetworkOutput`."""

    def __init__(
        self,
        adata: AnnData | None = None,
        registry: dict[str, Any] | None = None,
        *,
        preset: str = "default",
        scale_genes: bool | None = None,
        center_genes: bool | None = None,
        gene_dropout: float | None = None,
        n_members: int | None = None,
        protein_transform: str = "clr",
        exclude_proteins: str | Iterable[str] = (),
        modality_dropout: float | None = None,
        random_state: int | None = 0,
        **network_params: Any,
    ) -> None:
        check_choice("preset", preset, self.presets)
        check_count("n_members", n_members)
        if registry is not None:
            registry = as_set_up(registry, type(self).__name__)
        super().__init__(adata, registry)
        recipe = self.presets[preset]
        self._name_features(exclude_proteins)
        self.params_ = {
            "preset": preset,
            "scale_genes": recipe.scale_genes if scale_genes is None else bool(scale_genes),
            "center_genes": recipe.center_genes if center_genes is None else bool(center_genes),
            "gene_dropout": recipe.gene_dropout if gene_dropout is None else as_plain(gene_dropout),
            "network": self._network_params(recipe, network_params, with_proteins=bool(self.proteins_)),
            "random_state": resolve_seed(random_state),
        }
        if self.proteins_:
            check_choice("protein_transform", protein_transform, TRANSFORMS)
            hidden = recipe.modality_dropout if modality_dropout is None else as_plain(modality_dropout)
            self.params_ |= {"protein_transform": protein_transform, "modality_dropout": hidden}
            check_fraction("modality_dropout", hidden, closed=True)
        check_fraction("gene_dropout", self.params_["gene_dropout"])
        self.params_["n_members"] = recipe.members_for(self._n_labelled()) if n_members is None else int(n_members)
        labels = self.get_state_registry(REGISTRY_KEYS.LABELS_KEY)
        self.classes_ = [str(name) for name in labels.categorical_mapping[:-1]]
        self.gene_weights_: list[float] | None = None
        self.confidence_ = Confidence()
        self.init_from_: dict[str, Any] | None = None
        self.best_epoch_: int | None = None
        self.was_interrupted_ = False
        self.references_: dict[str, Any] | None = None
        self.split_: pd.DataFrame | None = None
        self.module = self._build_module()
        self._model_summary_string = repr(self)
        self.init_params_ = self._get_init_params(locals())

    def _name_features(self, exclude_proteins: str | Iterable[str]) -> None:
        """Genes and proteins by name, as they are registered."""
        genes = [str(name) for name in self.get_state_registry(REGISTRY_KEYS.X_KEY)["column_names"]]
        registered = self.registry_["field_registries"].get(PROTEINS)
        proteins = [] if registered is None else [str(name) for name in registered["state_registry"]["column_names"]]
        self.proteins_ = proteins
        if exclude_proteins:
            kept = kept_proteins(proteins, exclude_proteins)
            self.proteins_ = [name for name, stays in zip(proteins, kept, strict=True) if stays]
        self.genes_ = feature_names(genes, self.proteins_)

    def _build_module(self) -> ClassifierModule:
        n_genes, n_classes = len(self.genes_), len(self.classes_)
        transform = CountTransform(
            n_genes,
            scale_genes=self.params_["scale_genes"],
            gene_dropout=self.params_["gene_dropout"],
            n_proteins=len(self.proteins_),
            modality_dropout=self.params_.get("modality_dropout", 0.0),
            center_genes=self.params_["center_genes"],
        )
        params, n_members = self._member_params(), self.params_["n_members"]
        with seeded(self.params_["random_state"]):
            members = [self.Network(n_genes, n_classes, **params) for _ in range(n_members)]
        return ClassifierModule(transform, members[0] if n_members == 1 else Ensemble(members), n_classes)

    def _member_params(self) -> dict[str, Any]:
        """Parameters of each network."""
        params = dict(self.params_["network"])
        if params.get("max_selected") is not None:
            params["max_selected"] = -(-params["max_selected"] // self.params_["n_members"])
        return params

    def _n_labelled(self) -> int:
        """Labelled cells the model is set up with; of a registry alone, cells that it speaks of."""
        if self.adata_manager is None:
            return int(self.registry_["field_registries"][REGISTRY_KEYS.X_KEY]["summary_stats"].get("n_cells", 0))
        codes = self.adata_manager.get_from_registry(REGISTRY_KEYS.LABELS_KEY)
        known = self.get_state_registry(REGISTRY_KEYS.LABELS_KEY).categorical_mapping[:-1]
        return int((codes < len(known)).sum())

    @classmethod
    def _network_params(
        cls, recipe: Preset, changes: Mapping[str, Any], *, with_proteins: bool = False
    ) -> dict[str, Any]:
        check_names(f"parameter of {cls.__name__}'s network", changes, cls.network_param_names())
        plain = {name: as_plain(value) for name, value in changes.items()}
        own = {**recipe.network, **(recipe.network_with_proteins if with_proteins else {})}
        return {**cls._network_defaults(), **own, **plain}

    @classmethod
    def _network_defaults(cls) -> dict[str, Any]:
        parameters = inspect.signature(cls.Network).parameters.values()
        return {each.name: each.default for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY}

    @classmethod
    def network_param_names(cls) -> tuple[str, ...]:
        """Keyword parameters of the architecture's network."""
        return tuple(cls._network_defaults())

    def release_cells(self, labels_key: str, **read_from: Any) -> None:
        """Let go of the cells the model was trained on; what it knows of them stays.

        Parameters
        ----------
        labels_key
            Name to remember the labels by.
        **read_from
            Where the user's object had proteins, to remember as well.
        """
        self._adata = self._adata_manager = None
        unlabeled = self.get_state_registry(REGISTRY_KEYS.LABELS_KEY).unlabeled_category
        setup = {"labels_key": labels_key, **read_from}
        genes = self.genes_[: self.n_rna]
        self.registry_ = make_registry(type(self).__name__, genes, self.classes_, unlabeled, setup, self.proteins_)

    def __repr__(self) -> str:
        state = "trained" if self.is_trained_ else "not trained"
        proteins = f"{len(self.proteins_)} proteins, " if self.proteins_ else ""
        return f"{type(self).__name__} model: {len(self.classes_)} classes, {self.n_rna} genes, {proteins}{state}"

    def _describe(self) -> dict[str, Any]:
        return describe(self)

    @classmethod
    def _from_header(cls, header: dict[str, Any]) -> Self:
        model = cls(registry=registry_from(header), **cls._constructor_args(header["params"]))
        model.__dict__.update(attributes_from(header))
        return model

    @classmethod
    def _constructor_args(cls, params: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments that rebuild a saved model, whatever has become of its preset: every value is named.

        What the network could not do yet when the model was saved it does not do.
        """
        flat = {"n_members": 1, "center_genes": False, **params}  # models of before there were these
        preset = flat.pop("preset")
        network = {**cls._network_defaults(), **flat.pop("network")}
        return {**network, **flat, "preset": preset if preset in cls.presets else "default"}
