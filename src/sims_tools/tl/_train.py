"""Training on the user's labelled cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from sims_tools._docs import docs
from sims_tools._keys import DEFAULT_KEY, UNKNOWN
from sims_tools._validate import listing
from sims_tools.models import SIMS, ClassifierModel, get_model_class
from sims_tools.tl._asked import PRESET, Model
from sims_tools.tl._fit import fit_model
from sims_tools.tl._fit_module import OF_OBJECTS, check_of_objects, fit_module

if TYPE_CHECKING:
    from anndata import AnnData
    from lightning.pytorch import LightningDataModule
    from lightning.pytorch.callbacks import Callback
    from lightning.pytorch.loggers import Logger
    from mudata import MuData

    from sims_tools.models import PretrainedSIMS

    Reference: TypeAlias = AnnData | str | Path
    References: TypeAlias = str | Path | Sequence[Reference] | Mapping[str, Reference]
    PerReference: TypeAlias = str | Sequence[str] | Mapping[str, str]


@docs.dedent
def train(
    adata: AnnData | MuData | References | None = None,
    labels_key: PerReference | None = None,
    *,
    datamodule: LightningDataModule | None = None,
    model: str = SIMS.name,
    preset: str = "default",
    join: str = "inner",
    layer: PerReference | None = None,
    modalities: Mapping[str, str] | None = None,
    protein_layer: str | None = None,
    protein_obsm_key: str | None = None,
    protein_transform: str = "clr",
    exclude_proteins: str | Iterable[str] = (),
    unlabeled_category: str = UNKNOWN,
    input_kind: PerReference = "auto",
    n_top_genes: int | str | None = PRESET,
    gene_choice: str = PRESET,
    validation_size: float = 0.1,
    split_by: PerReference | None = None,
    max_epochs: int | None = None,
    accelerator: str = "auto",
    devices: int | str | list[int] = "auto",
    num_nodes: int = 1,
    strategy: Any = "auto",
    precision: str | int = "32-true",
    logger: Logger | Sequence[Logger] | None = None,
    callbacks: Callback | Sequence[Callback] = (),
    progress_bar: bool = True,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 1,
    random_state: int | None = 0,
    key_added: str | None = None,
    init_from: ClassifierModel | PretrainedSIMS | str | Path | None = None,
    stream: bool | str = "auto",
    **params: Any,
) -> ClassifierModel:
    """Train a classifier of any architecture on labelled cells.

    Give it raw counts: how they are normalised, and which genes are read, is part of the model. Epochs are judged on
    held-out cells. Cells with surface proteins (CITE-seq) come as a MuData, or as an AnnData with proteins in `.obsm`.

    Parameters
    ----------
    %(labelled_cells)s
    %(datamodule)s
    model
        Name of the architecture, as :func:`~sims_tools.models.available` lists them: "sims", "actinn", ...
    preset
        Name of a recipe of that architecture (network, genes, transform, training settings), as the same table lists.
    %(join)s
    %(layer)s
    %(protein_places)s
    %(protein_handling)s
    %(unlabeled_category)s
    %(input_kind)s
    %(gene_choice)s
    %(held_out)s
    %(training)s
    %(random_state)s
    key_added
        Name for what is written; None takes the architecture's name.
    %(init_from)s
    %(stream)s
    **params
        Overrule the preset: parameters of the architecture's network, training settings
        (:class:`~sims_tools.models.TrainingSettings`), `scale_genes`, `gene_dropout`, `n_members` or
        `modality_dropout` (:class:`~sims_tools.models.Preset`).

    Returns
    -------
    %(training_writes)s

    Raises
    ------
    %(training_raises)s

    Examples
    --------
    >>> import sims_tools as sims
    >>> cells = sims.data.planted_cells()
    >>> model = sims.tl.train(cells, "cell_type", model="sims", max_epochs=5, progress_bar=False)
    """
    arguments = dict(locals())
    return _fit(train, get_model_class(arguments.pop("model")), arguments)


@docs.dedent
def sims_train(
    adata: AnnData | MuData | References | None = None,
    labels_key: PerReference | None = None,
    *,
    datamodule: LightningDataModule | None = None,
    join: str = "inner",
    layer: PerReference | None = None,
    modalities: Mapping[str, str] | None = None,
    protein_layer: str | None = None,
    protein_obsm_key: str | None = None,
    protein_transform: str = "clr",
    exclude_proteins: str | Iterable[str] = (),
    preset: str = "default",
    unlabeled_category: str = UNKNOWN,
    input_kind: PerReference = "auto",
    n_top_genes: int | str | None = PRESET,
    gene_choice: str = PRESET,
    validation_size: float = 0.1,
    split_by: PerReference | None = None,
    max_epochs: int | None = None,
    accelerator: str = "auto",
    devices: int | str | list[int] = "auto",
    num_nodes: int = 1,
    strategy: Any = "auto",
    precision: str | int = "32-true",
    logger: Logger | Sequence[Logger] | None = None,
    callbacks: Callback | Sequence[Callback] = (),
    progress_bar: bool = True,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 1,
    random_state: int | None = 0,
    key_added: str = DEFAULT_KEY,
    init_from: SIMS | PretrainedSIMS | str | Path | None = None,
    stream: bool | str = "auto",
    **params: Any,
) -> SIMS:
    """Train SIMS, a TabNet with sparse masks over genes, on labelled cells :cite:p:`lehrer2022sims,arik2021tabnet`.

    :func:`train` with ``model="sims"``. Give it raw counts: the transform to log1p CP10K is part of the model. Epochs
    are judged on held-out cells.

    Cells with surface proteins (CITE-seq) come as a MuData, or as an AnnData with proteins in `.obsm`. One network
    reads genes and proteins together, and its masks choose among both; proteins have a transform of their own.
    While training, genes or proteins of some cells are hidden, so that the model annotates cells with either alone.

    Parameters
    ----------
    %(labelled_cells)s
    %(datamodule)s
    %(join)s
    %(layer)s
    %(protein_places)s
    %(protein_handling)s
    preset
        "default" (ours), "sims" (the thesis) or "sctab" (the recipe of scTab).
    %(unlabeled_category)s
    %(input_kind)s
    %(gene_choice)s
    %(held_out)s
    %(training)s
    %(random_state)s
    key_added
        Name for what is written.
    %(init_from)s
    %(stream)s
    **params
        Overrule the preset: parameters of :class:`~sims_tools.nn.TabNet` (`n_d`, `n_a`, `n_steps`, `gamma`, `n_shared`,
        `n_independent`, `selector`, `virtual_batch_size`, `momentum`, ...; how few genes masks hold is up to `sparsity`
        and `max_selected`), training settings (:class:`~sims_tools.models.TrainingSettings`: `batch_size`,
        `learning_rate`, `patience`, ...), `scale_genes`, `gene_dropout`, `n_members` or `modality_dropout` (share of
        the cells of which genes or proteins are hidden).

    Returns
    -------
    %(training_writes)s

    Raises
    ------
    %(training_raises)s

    Examples
    --------
    >>> import sims_tools as sims
    >>> ref = sims.data.planted_cells()
    >>> model = sims.tl.sims_train(ref, "cell_type", max_epochs=5, progress_bar=False)
    """
    return _fit(sims_train, SIMS, dict(locals()))


def _fit(asked_by: Callable[..., Any], model_class: type[Model], arguments: dict[str, Any]) -> Model:
    """Train on objects and files, or on a data module, of which one has to be given."""
    datamodule = arguments.pop("datamodule")
    if datamodule is not None:
        check_of_objects(arguments, {name: each.default for name, each in signature(asked_by).parameters.items()})
        return fit_module(
            model_class, datamodule, **{name: each for name, each in arguments.items() if name not in OF_OBJECTS}
        )
    if missing := [name for name in ("adata", "labels_key") if arguments[name] is None]:
        raise TypeError(
            f"`{asked_by.__name__}` lacks {listing(missing)}: give labelled cells and where their labels are, or "
            "`datamodule`."
        )
    return fit_model(model_class, **arguments)
