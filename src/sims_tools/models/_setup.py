"""Registration with scvi-tools, for those who work with the model classes themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from anndata import AnnData
from mudata import MuData
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager
from scvi.data.fields import (
    LabelsWithUnlabeledObsField,
    LayerField,
    MuDataLabelsWithUnlabeledObsField,
    MuDataLayerField,
    NumericalObsField,
    ObsmField,
)

from sims_tools._keys import UNKNOWN
from sims_tools._log import quiet_libraries
from sims_tools._validate import check_obs_key, check_obsm_key
from sims_tools.data._dataset import PROTEINS, TOTALS
from sims_tools.data._features import PROTEIN, RNA
from sims_tools.data._labels import check_clean_labels
from sims_tools.data._parts import is_mudata, read_parts


class SetupMixin:
    """Registration for :class:`ClassifierModel`."""

    _setup_adata_manager_store: ClassVar[Any]
    _per_instance_manager_store: ClassVar[Any]
    _get_setup_method_args: ClassVar[Any]
    register_manager: ClassVar[Any]

    @classmethod
    def setup_anndata(
        cls,
        adata: AnnData,
        labels_key: str,
        unlabeled_category: str = UNKNOWN,
        layer: str | None = None,
        total_counts_key: str | None = None,
        input_kind: str = "auto",
        protein_obsm_key: str | None = None,
        protein_names_uns_key: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Register an object with scvi-tools, which writes `_scvi_*` entries into it.

        :func:`~sims_tools.tl.sims_train` does without this and leaves the object alone.

        Parameters
        ----------
        adata
            Cells (rows) with raw counts and labels; CSR or array in memory.
        labels_key
            Column of `.obs` with the labels, no NaN.
        unlabeled_category
            Label that means "no label".
        layer
            Layer that holds the counts; None reads `.X`.
        total_counts_key
            Column of `.obs` with each cell's total over all its genes, where `adata` holds some genes only. None sums
            the genes that are there.
        input_kind
            What the values are: "auto", "counts" (whole or not, proportional to counts) or "log1p".
        protein_obsm_key
            Entry of `.obsm` with protein counts; None reads genes alone.
        protein_names_uns_key
            Entry of `.uns` with the names of the proteins; None takes the columns of a DataFrame, or numbers them.
        **kwargs
            What scvi-tools passes on.

        Raises
        ------
        KeyError
            A column, layer or entry does not exist.
        ValueError
            A label is NaN or no text, or a category has no cell.
        """
        setup_method_args = cls._get_setup_method_args(**locals())
        check_obs_key(adata, labels_key, "labels_key")
        check_clean_labels(adata.obs[labels_key], unlabeled_category)
        fields = [
            LayerField(REGISTRY_KEYS.X_KEY, layer, is_count_data=False),
            LabelsWithUnlabeledObsField(REGISTRY_KEYS.LABELS_KEY, labels_key, unlabeled_category),
            NumericalObsField(TOTALS, total_counts_key, required=False),
        ]
        if protein_obsm_key is not None:
            check_obsm_key(adata, protein_obsm_key, "Name the entry that holds protein counts.")
            fields.append(ObsmField(PROTEINS, protein_obsm_key, colnames_uns_key=protein_names_uns_key))
        register(cls, adata, fields, setup_method_args, kwargs)

    @classmethod
    def setup_mudata(
        cls,
        mdata: MuData,
        labels_key: str,
        rna_layer: str | None = None,
        protein_layer: str | None = None,
        unlabeled_category: str = UNKNOWN,
        modalities: Mapping[str, str] | None = None,
        input_kind: str = "auto",
        **kwargs: Any,
    ) -> None:
        """Register cells with RNA and proteins with scvi-tools, which writes `_scvi_*` entries into the object.

        :func:`~sims_tools.tl.sims_train` does without this and leaves the object alone.

        Parameters
        ----------
        mdata
            Cells with raw counts in both modalities, and labels. Every cell has both
            (`mudata.pp.intersect_obs`), in any order.
        labels_key
            Column with the labels, no NaN: of `mdata.obs`, or of a modality's `.obs` that is named in `modalities`.
        rna_layer, protein_layer
            Layers that hold the counts; None reads `.X`.
        unlabeled_category
            Label that means "no label".
        modalities
            Modality of "rna" and of "protein" (scvi-tools' own "rna_layer" and "protein_layer" mean the same), and of
            "labels_key" where that is not in `mdata.obs`. None goes by what modalities are usually called.
        input_kind
            What the values of genes are: "auto", "counts" or "log1p".
        **kwargs
            What scvi-tools passes on.

        Raises
        ------
        KeyError
            A column, layer or modality does not exist.
        ValueError
            A modality is missing or empty, cells are not paired, a label is NaN or no text, or a category has no cell.
        """
        if not is_mudata(mdata):
            raise TypeError(f"`mdata` is a {type(mdata).__name__}; expected a MuData. See `setup_anndata`.")
        own_names = {"rna_layer": RNA, "protein_layer": PROTEIN}
        given = {own_names.get(name, name): each for name, each in (modalities or {}).items()}
        labels_in = given.pop("labels_key", None)
        parts = read_parts(mdata, modalities=given or None, layer=rna_layer, protein_layer=protein_layer)
        if set(parts.names) != {RNA, PROTEIN}:
            raise ValueError(f"`modalities` must name genes and proteins; found {dict(parts.names)}.")
        setup_method_args = cls._get_setup_method_args(
            cls=cls,
            mdata=mdata,
            labels_key=labels_key,
            rna_layer=rna_layer,
            protein_layer=protein_layer,
            unlabeled_category=unlabeled_category,
            modalities=dict(parts.names) | ({} if labels_in is None else {"labels_key": labels_in}),
            input_kind=input_kind,
        )
        labelled = mdata if labels_in is None else mdata.mod[labels_in]
        check_obs_key(labelled, labels_key, "labels_key")
        check_clean_labels(labelled.obs[labels_key], unlabeled_category)
        options: dict[str, Any] = {"is_count_data": False, "mod_required": True}
        fields = [
            MuDataLayerField(REGISTRY_KEYS.X_KEY, rna_layer, mod_key=parts.names[RNA], **options),
            MuDataLayerField(PROTEINS, protein_layer, mod_key=parts.names[PROTEIN], **options),
            MuDataLabelsWithUnlabeledObsField(
                REGISTRY_KEYS.LABELS_KEY, labels_key, unlabeled_category, mod_key=labels_in
            ),
        ]
        register(cls, mdata, fields, setup_method_args, kwargs)

    @classmethod
    def forget_cells(cls, adata: AnnData) -> None:
        """Drop an object from scvi-tools' class-level stores, which would keep it alive for ever."""
        forget(cls, adata)


def forget(model_class: Any, adata: AnnData) -> None:
    """:meth:`SetupMixin.forget_cells` for any class of scvi-tools.

    Parameters
    ----------
    model_class
        The class the object was registered with.
    adata
        The object.
    """
    uuid = adata.uns.get("_scvi_uuid")
    model_class._setup_adata_manager_store.pop(uuid, None)
    for model_id, managers in list(model_class._per_instance_manager_store.items()):
        managers.pop(uuid, None)
        if not managers:
            del model_class._per_instance_manager_store[model_id]


def register(
    model_class: Any, data: Any, fields: list[Any], method_args: dict[str, Any], kwargs: dict[str, Any]
) -> None:
    """Register an object with scvi-tools for a class of models, without its chatter.

    Parameters
    ----------
    model_class
        The class.
    data
        AnnData or MuData; `_scvi_*` entries are written into it.
    fields
        scvi-tools' fields.
    method_args
        Arguments of the setup, as scvi-tools remembers them.
    kwargs
        What scvi-tools passes on.
    """
    manager = AnnDataManager(fields=fields, setup_method_args=method_args)
    with quiet_libraries():
        manager.register_fields(data, **kwargs)
    model_class.register_manager(manager)
