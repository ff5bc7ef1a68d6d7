"""SIMS before it has seen a label: encoders that learned from expression alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from anndata import AnnData
from scvi import REGISTRY_KEYS
from scvi.data.fields import LayerField, NumericalObsField
from scvi.model.base import BaseModelClass
from torch import nn

from sims_tools._validate import as_plain, check_choice, check_count, check_open_share
from sims_tools.data._dataset import TOTALS
from sims_tools.models._inputs import CountTransform
from sims_tools.models._masked_module import MaskedModule
from sims_tools.models._masked_storage import describe_pretrained, unlabelled_registry
from sims_tools.models._preset import Preset
from sims_tools.models._pretraining import PretrainingMixin
from sims_tools.models._random import resolve_seed, seeded
from sims_tools.models._saved import SavedModel
from sims_tools.models._setup import register
from sims_tools.models.sims import SIMS
from sims_tools.nn import MaskedAutoencoder


class PretrainedSIMS(PretrainingMixin, SavedModel, BaseModelClass):
    """Encoders of SIMS, trained to make genes that are hidden from those that are not :cite:p:`arik2021tabnet`.

    :func:`~sims_tools.tl.pretrain` is the short way to it. Its use is to start
    :func:`~sims_tools.tl.sims_train` from, as `init_from`: a classifier takes the weights of genes that it shares.

    Parameters
    ----------
    adata
        Object that :meth:`setup_anndata` has registered.
    registry
        What scvi-tools passes instead of an object when it loads a model.
    preset
        "default", "sims" or "sctab", see :class:`~sims_tools.models.SIMS`: what the classifier is to be.
    scale_genes
        Overrule the preset: divide genes by their standard deviation over the training cells.
    n_members
        Encoders, each with initial weights of its own. A classifier of more networks takes them in turn.
    pretraining_ratio
        Share of the genes of a cell that are hidden, drawn anew for each minibatch.
    random_state
        Seed of the initial weights, of the split and of training.
    **network_params
        Overrule the preset's parameters of :class:`~sims_tools.nn.TabNet`. Masks may hold any number of genes here,
        whatever `max_selected` says of the classifier.

    Raises
    ------
    ValueError
        `preset` is unknown, or a parameter is out of range.
    TypeError
        A name is not a parameter of the network.
    """

    name: ClassVar[str] = "pretrained_sims"
    """What a saved model says it is."""
    reference: ClassVar[str] = SIMS.reference
    """Publication of the method."""
    architecture: ClassVar[str] = SIMS.name
    """Which classifiers may start from it."""
    presets: ClassVar[Mapping[str, Preset]] = SIMS.presets

    def __init__(
        self,
        adata: AnnData | None = None,
        registry: dict[str, Any] | None = None,
        *,
        preset: str = "default",
        scale_genes: bool | None = None,
        n_members: int = 1,
        pretraining_ratio: float = 0.2,
        random_state: int | None = 0,
        **network_params: Any,
    ) -> None:
        check_choice("preset", preset, self.presets)
        check_count("n_members", n_members)
        check_open_share("pretraining_ratio", pretraining_ratio)
        super().__init__(adata, registry)
        recipe = self.presets[preset]
        self.params_ = {
            "preset": preset,
            "scale_genes": recipe.scale_genes if scale_genes is None else bool(scale_genes),
            "n_members": int(n_members),
            "pretraining_ratio": as_plain(pretraining_ratio),
            "network": SIMS._network_params(recipe, network_params),
            "random_state": resolve_seed(random_state),
        }
        self.genes_ = [str(name) for name in self.get_state_registry(REGISTRY_KEYS.X_KEY)["column_names"]]
        self.classes_, self.proteins_, self.gene_weights_ = [], [], None
        self.best_epoch_ = None
        self.was_interrupted_ = False
        self.module = self._build_module()
        self._model_summary_string = repr(self)
        self.init_params_ = self._get_init_params(locals())

    def _build_module(self) -> MaskedModule:
        n_genes, params = len(self.genes_), {**self.params_["network"], "max_selected": None}
        seed = self.params_["random_state"]
        with seeded(seed):
            network = MaskedAutoencoder([SIMS.Network(n_genes, 1, **params) for _ in range(self.params_["n_members"])])
        transform = CountTransform(n_genes, scale_genes=self.params_["scale_genes"])
        return MaskedModule(transform, network, self.params_["pretraining_ratio"], seed)

    @property
    def networks(self) -> list[nn.Module]:
        """The encoders."""
        return list(self.module.network.encoders)

    @classmethod
    def setup_anndata(
        cls,
        adata: AnnData,
        layer: str | None = None,
        total_counts_key: str | None = None,
        input_kind: str = "auto",
        **kwargs: Any,
    ) -> None:
        """Register an object with scvi-tools, which writes `_scvi_*` entries into it.

        :func:`~sims_tools.tl.pretrain` does without this and leaves the object alone.

        Parameters
        ----------
        adata
            Cells (rows) with raw counts; CSR or array in memory. No labels are needed.
        layer
            Layer that holds the counts; None reads `.X`.
        total_counts_key
            Column of `.obs` with each cell's total over all its genes, where `adata` holds some genes only. None sums
            the genes that are there.
        input_kind
            What the values are: "auto", "counts" (whole or not, proportional to counts) or "log1p".
        **kwargs
            What scvi-tools passes on.

        Raises
        ------
        KeyError
            The layer or column does not exist.
        """
        setup_method_args = cls._get_setup_method_args(**locals())
        fields = [
            LayerField(REGISTRY_KEYS.X_KEY, layer, is_count_data=False),
            NumericalObsField(TOTALS, total_counts_key, required=False),
        ]
        register(cls, adata, fields, setup_method_args, kwargs)

    def release_cells(self) -> None:
        """Let go of the cells the model was trained on."""
        self._adata = self._adata_manager = None
        self.registry_ = unlabelled_registry(type(self).__name__, self.genes_)

    def __repr__(self) -> str:
        state = "trained" if self.is_trained_ else "not trained"
        return f"{type(self).__name__} model: {len(self.genes_)} genes, {len(self.networks)} encoders, {state}"

    def _describe(self) -> dict[str, Any]:
        return describe_pretrained(self)

    @classmethod
    def _from_header(cls, header: dict[str, Any]) -> Self:
        params = dict(header["params"])
        network = params.pop("network")
        model = cls(registry=unlabelled_registry(cls.__name__, header["genes"]), **network, **params)
        model.__dict__.update(header["attributes"])
        return model
