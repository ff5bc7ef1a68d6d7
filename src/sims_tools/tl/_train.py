"""Training on the user's labelled cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from sims_tools._docs import docs
from sims_tools._keys import DEFAULT_KEY, UNKNOWN, Keys
from sims_tools._log import logger as log
from sims_tools._validate import check_choice, check_fraction, check_names
from sims_tools.data._gene_choice import ClassSums, choose_genes
from sims_tools.data._obs_columns import obs_column
from sims_tools.data._reference import (
    SHADOW_LABELS,
    SHADOW_PROTEIN_NAMES,
    SHADOW_PROTEINS,
    SHADOW_TOTALS,
    read_reference,
    report_classes,
)
from sims_tools.data._split import grouped_split, split_column, stratified_split
from sims_tools.models import SIMS, ClassifierModel
from sims_tools.models._random import resolve_seed
from sims_tools.models._settings import SETTING_NAMES, change_settings
from sims_tools.tl._record import training_record
from sims_tools.tl._write import check_target, write_training

if TYPE_CHECKING:
    from anndata import AnnData
    from lightning.pytorch.callbacks import Callback
    from lightning.pytorch.loggers import Logger
    from mudata import MuData

    from sims_tools.data._reference import Reference

Model = TypeVar("Model", bound=ClassifierModel)

BUILDING_NAMES = ("scale_genes", "gene_dropout", "n_members", "modality_dropout")
"""What a model is built with beside parameters of its network."""


@docs.dedent
def sims_train(
    adata: AnnData | MuData,
    labels_key: str,
    *,
    layer: str | None = None,
    modalities: Mapping[str, str] | None = None,
    protein_layer: str | None = None,
    protein_obsm_key: str | None = None,
    protein_transform: str = "clr",
    exclude_proteins: str | Iterable[str] = (),
    preset: str = "default",
    unlabeled_category: str = UNKNOWN,
    input_kind: str = "auto",
    n_top_genes: int | str | None = "preset",
    validation_size: float = 0.1,
    split_by: str | None = None,
    max_epochs: int | None = None,
    accelerator: str = "auto",
    devices: int | str | list[int] = "auto",
    strategy: Any = "auto",
    precision: str | int = "32-true",
    logger: Logger | Sequence[Logger] | None = None,
    callbacks: Callback | Sequence[Callback] = (),
    progress_bar: bool = True,
    random_state: int | None = 0,
    key_added: str = DEFAULT_KEY,
    **params: Any,
) -> SIMS:
    """Train SIMS, a TabNet with sparse masks over genes, on labelled cells :cite:p:`lehrer2022sims,arik2021tabnet`.

    Give it raw counts: the transform to log1p CP10K is part of the model. Epochs are judged on held-out cells.

    Cells with surface proteins (CITE-seq) come as a MuData, or as an AnnData with proteins in `.obsm`. One network
    reads genes and proteins together, and its masks choose among both; proteins have a transform of their own.
    While training, genes or proteins of some cells are hidden, so that the model annotates cells with either alone.

    Parameters
    ----------
    adata
        Labelled cells (n_obs, n_vars): AnnData, array or sparse, in memory, backed, a view or dask; or MuData, whose
        modalities may have cells in another order, or lack some. Only the keys under Returns are written.
    labels_key
        Column of `.obs` with the labels, of any type. Cells whose label is NaN or `unlabeled_category` are left out.
        Of a MuData it may also be that of a modality ("rna:cell_type").
    %(layer)s
    %(protein_places)s
    protein_transform
        What the model does with proteins, of which raw counts are expected: "clr", the centred log-ratio within the
        cell, ``log1p(x / exp(mean of log1p(x)))`` :cite:p:`stoeckius2017cite`; "log1p"; or "none", for values that are
        normalised already, as those of queries must then be.
    exclude_proteins
        Proteins to leave out, isotype controls say: names or patterns such as ``"*IgG*"``, in any case.
    preset
        "default" (ours), "sims" (the thesis) or "sctab" (the recipe of scTab).
    unlabeled_category
        Label that means "no label".
    %(input_kind)s
    n_top_genes
        Train on so many genes: half of them those that vary most over the training cells, half those that are highest
        in each class beside all others, classes taking turns. None takes all genes, "preset" what the preset says.
    validation_size
        Share of each class held out to judge epochs by; 0 trains on all cells.
    split_by
        Column of `.obs` (donor, batch) whose groups are held out whole, until they make up `validation_size`.
    %(training)s
    %(random_state)s
    key_added
        Name for what is written.
    **params
        Overrule the preset: parameters of :class:`~sims_tools.nn.TabNet` (`n_d`, `n_a`, `n_steps`, `gamma`, `n_shared`,
        `n_independent`, `selector`, `virtual_batch_size`, `momentum`, ...; how few genes masks hold is up to `sparsity`
        and `max_selected`), training settings (:class:`~sims_tools.models.TrainingSettings`: `batch_size`,
        `learning_rate`, `patience`, ...), `scale_genes`, `gene_dropout`, `n_members` or `modality_dropout` (share of
        the cells of which genes or proteins are hidden).

    Returns
    -------
    The trained model. If training is interrupted (Ctrl-C) after an epoch or more, the model so far is returned and
    `adata` stays as it was. Otherwise these are written:

    `adata.obs[f"{key_added}_split"]` : :class:`pandas.Series` (dtype `category`)
        "train", "validation" or "unlabeled".
    `adata.uns[key_added]` : :class:`dict`
        `classes`, `features` (the genes the model uses), `protein_features` (its proteins, if any), `params`,
        `versions`, `metrics` (of the epoch whose weights were kept) and `history` (one float array per tracked
        quantity, one value per epoch).

    Raises
    ------
    KeyError
        A column, layer, modality or entry of `.obsm` does not exist.
    ValueError
        Fewer than two classes; no cells or genes; an empty modality; repeated names of genes, proteins or cells; NaN,
        infinite, negative or scaled values; proteins that are not counts; a parameter out of range.
    TypeError
        A name in `params` is unknown, or `adata` is neither an AnnData nor a MuData.
    FloatingPointError
        Training diverged.

    Examples
    --------
    >>> import scanpy as sc, sims_tools as sims
    >>> ref = sims.data.planted_cells()
    >>> model = sims.tl.sims_train(ref, "cell_type", max_epochs=5, progress_bar=False)
    """
    return _train(
        SIMS,
        adata,
        labels_key,
        preset=preset,
        reading={
            "layer": layer,
            "unlabeled_category": unlabeled_category,
            "input_kind": input_kind,
            "modalities": modalities,
            "protein_layer": protein_layer,
            "protein_obsm_key": protein_obsm_key,
            "protein_transform": protein_transform,
            "exclude_proteins": exclude_proteins,
        },
        n_top_genes=n_top_genes,
        validation_size=validation_size,
        split_by=split_by,
        random_state=random_state,
        key_added=key_added,
        params=params,
        max_epochs=max_epochs,
        accelerator=accelerator,
        devices=devices,
        strategy=strategy,
        precision=precision,
        logger=logger,
        callbacks=callbacks,
        progress_bar=progress_bar,
    )


def _train(
    model_class: type[Model],
    adata: AnnData | MuData,
    labels_key: str,
    *,
    preset: str,
    reading: dict[str, Any],
    n_top_genes: int | str | None,
    validation_size: float,
    split_by: str | None,
    random_state: int | None,
    key_added: str,
    params: dict[str, Any],
    **run: Any,
) -> Model:
    """Train any architecture: read, split, choose genes, fit, write."""
    check_choice("preset", preset, model_class.presets)
    check_fraction("validation_size", validation_size)
    check_target(adata)
    if not isinstance(reading["unlabeled_category"], str):
        raise TypeError(f"`unlabeled_category={reading['unlabeled_category']!r}` must be text.")
    keys, random_state = Keys(key_added), resolve_seed(random_state)
    known = (*model_class.network_param_names(), *SETTING_NAMES, *BUILDING_NAMES)
    check_names("parameter", params, known)
    settings = {name: value for name, value in params.items() if name in SETTING_NAMES}
    building = {name: value for name, value in params.items() if name not in SETTING_NAMES}
    change_settings(model_class.presets[preset].training, max_epochs=run["max_epochs"], **settings)

    reference = read_reference(adata, labels_key, **reading)
    report_classes(reference.labels, labels_key)
    if reference.proteins is not None:
        building["protein_transform"] = reading["protein_transform"]
    split = _split(adata, reference.labels.codes, validation_size, split_by, random_state)
    n_top = model_class.presets[preset].n_top_genes if n_top_genes == "preset" else n_top_genes
    reference, variance = _choose_genes(reference, split[0], n_top)
    if validation_size > 0 and len(split[1]) == 0:
        log.warning("No class has enough cells to hold any out: all train, and no epoch is judged.")

    with _shadow_model(model_class, reference, reading["unlabeled_category"], labels_key) as build:
        model = build(preset=preset, random_state=random_state, **building)
        model.train(split=split, gene_variance=variance, **settings, **run)
    if not model.was_interrupted_:
        record = training_record(model, labels_key, reading, n_top, split_by, validation_size)
        write_training(adata, keys, record, split_column(adata.n_obs, *split))
    return model


def _split(
    adata: AnnData | MuData, codes: np.ndarray, share: float, split_by: str | None, random_state: int | None
) -> tuple[np.ndarray, np.ndarray]:
    if split_by is None or share == 0:
        return stratified_split(codes, share, random_state)
    return grouped_split(codes, obs_column(adata, split_by, "split_by"), share, random_state)


def _choose_genes(
    reference: Reference, train: np.ndarray, n_top: int | str | None
) -> tuple[Reference, np.ndarray | None]:
    """The reference with the chosen genes, and the variance of all features where the choice took it."""
    if n_top is None:
        return reference, None
    if isinstance(n_top, bool) or not isinstance(n_top, int | np.integer) or n_top < 1:
        raise ValueError(f"`n_top_genes={n_top!r}` must be a positive whole number, None (all genes) or 'preset'.")
    if n_top >= len(reference.var_names):
        return reference, None
    labels, n_genes = reference.labels, len(reference.var_names)
    sums = ClassSums.over(reference.linear_blocks(train), labels.codes[train], len(labels.classes), n_genes)
    chosen = choose_genes(sums, int(n_top))
    return reference.take_genes(chosen), sums.variance()[chosen] if reference.proteins is None else None


@contextmanager
def _shadow_model(
    model_class: type[Model], reference: Reference, unlabeled_category: str, labels_key: str
) -> Iterator[Callable[..., Model]]:
    """Build a model on a shadow of the user's object; the model lets go of the cells at the end."""
    shadow = reference.shadow(unlabeled_category)
    with_proteins = {"protein_obsm_key": SHADOW_PROTEINS, "protein_names_uns_key": SHADOW_PROTEIN_NAMES}
    model_class.setup_anndata(
        shadow,
        SHADOW_LABELS,
        unlabeled_category=unlabeled_category,
        total_counts_key=SHADOW_TOTALS,
        input_kind="counts",
        **({} if reference.proteins is None else with_proteins),
    )
    built: list[Model] = []

    def build(**params: Any) -> Model:
        built.append(model_class(shadow, **params))
        return built[0]

    try:
        yield build
    finally:
        model_class.forget_cells(shadow)
        for model in built:
            model.release_cells(labels_key, **reference.read_from)
