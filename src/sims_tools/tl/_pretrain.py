"""Training without labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anndata import AnnData

from sims_tools._docs import docs
from sims_tools._log import logger as log
from sims_tools._validate import check_choice, check_fraction, check_names
from sims_tools.data._gene_choice import GeneChoice
from sims_tools.data._joined import JoinedReference
from sims_tools.data._reference import SHADOW_TOTALS, Reference, read_unlabelled
from sims_tools.data._references import are_references, name_references, read_references
from sims_tools.data._split import stratified_split
from sims_tools.models import SIMS, PretrainedSIMS
from sims_tools.models._masked_storage import unlabelled_registry
from sims_tools.models._pretraining import PRETRAINING
from sims_tools.models._random import resolve_seed
from sims_tools.models._settings import SETTING_NAMES, change_settings
from sims_tools.models._setup import forget
from sims_tools.models._streamed_cells import StreamedCells
from sims_tools.tl._start import with_chosen_genes
from sims_tools.tl._streaming import at_hand, check_stream, may_stream

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback
    from lightning.pytorch.loggers import Logger

BUILDING_NAMES = ("scale_genes", "n_members", "pretraining_ratio")
"""What a model is built with beside parameters of its network."""


@docs.dedent
def pretrain(
    adata: AnnData | str | Path | Sequence[AnnData | str | Path] | Mapping[str, AnnData | str | Path],
    *,
    layer: Any = None,
    preset: str = "default",
    input_kind: Any = "auto",
    n_top_genes: int | str | None = "preset",
    validation_size: float = 0.1,
    stream: bool | str = "auto",
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
    **params: Any,
) -> PretrainedSIMS:
    """Train the encoder of SIMS on cells without labels, to start a classifier from :cite:p:`arik2021tabnet`.

    A share of the genes of each cell is hidden, set to zero and closed to the masks, and a decoder makes them again
    from what the steps of TabNet decide. Epochs are judged by hidden genes of held-out cells. Then
    ``sims_train(labelled, "cell_type", init_from=model)`` starts from these weights. See the page on pretraining for
    when that helps.

    Parameters
    ----------
    adata
        Cells (n_obs, n_vars), array or sparse, in memory, backed, a view or dask; or the path of a file of them; or
        several of these as a list or mapping, of which the genes that all have are read. Labels are not looked at. They
        are only read, and nothing is written into them: the history is the model's `history_by_epoch`.
    %(layer)s
    preset
        That of the classifier to be: "default", "sims" or "sctab". It says network and transform.
    %(input_kind)s
    n_top_genes
        Train on so many genes, those that vary most over the training cells. None takes all, "preset" what the preset
        says.
    validation_size
        Share of the cells held out to judge epochs by; 0 trains on all cells, and never stops early.
    stream
        Read blocks of cells from files in every epoch, in place of one matrix in memory: True, False, or "auto" where
        that would take more than half of the free memory. See :func:`~sims_tools.tl.sims_train`.
    %(training)s
    %(random_state)s
    **params
        Overrule the recipe: `pretraining_ratio` (share of the genes that are hidden, 0.2), `n_members` (encoders, 1),
        `scale_genes`, parameters of :class:`~sims_tools.nn.TabNet`, training settings
        (:class:`~sims_tools.models.TrainingSettings`: `batch_size`, `learning_rate`, `patience`, ...).

    Returns
    -------
    The trained model, which :meth:`~sims_tools.models.PretrainedSIMS.save` keeps. If training is interrupted (Ctrl-C)
    after an epoch or more, the model so far.

    Raises
    ------
    KeyError
        The layer does not exist.
    ValueError
        Fewer than two cells with counts; no genes; repeated names of genes; NaN, infinite, negative or scaled values; a
        parameter out of range.
    TypeError
        A name in `params` is unknown, or `adata` is neither an AnnData nor a path nor several of these.
    FloatingPointError
        Training diverged.

    Examples
    --------
    >>> import sims_tools as sims
    >>> cells = sims.data.planted_cells()
    >>> encoder = sims.tl.pretrain(cells, max_epochs=5, progress_bar=False)
    >>> model = sims.tl.sims_train(cells[:60], "cell_type", init_from=encoder, max_epochs=5, progress_bar=False)
    """
    if not isinstance(adata, AnnData) and not are_references(adata):
        raise TypeError(
            f"`adata` is a {type(adata).__name__}; expected an AnnData (of a MuData, the modality of genes), a path, "
            "or several of these."
        )
    check_stream(stream, adata)
    check_choice("preset", preset, PretrainedSIMS.presets)
    check_fraction("validation_size", validation_size)
    random_state, recipe = resolve_seed(random_state), PretrainedSIMS.presets[preset]
    check_names("parameter", params, (*SIMS.network_param_names(), *SETTING_NAMES, *BUILDING_NAMES))
    settings = {name: value for name, value in params.items() if name in SETTING_NAMES}
    building = {name: value for name, value in params.items() if name not in SETTING_NAMES}
    change_settings(PRETRAINING, max_epochs=max_epochs, **settings)
    n_top: Any = recipe.n_top_genes if n_top_genes == "preset" else n_top_genes
    choice = GeneChoice("variance_and_class", n_top)  # of one class no gene is a marker

    with ExitStack() as closing:
        whole = _read(adata, layer, input_kind, stream, closing)
        split = stratified_split(whole.labels.codes, validation_size, random_state)
        if validation_size > 0 and len(split[1]) == 0:
            log.warning("There are too few cells to hold any out: all train, and no epoch is judged.")
        reference = at_hand(with_chosen_genes(whole, split[0], choice)[0], stream, closing)
        cells = StreamedCells(reference, *split, seed=random_state) if isinstance(reference, JoinedReference) else None
        with _built_on(reference, preset=preset, random_state=random_state, **building) as model:
            model.train(
                max_epochs,
                split=split,
                cells=cells,
                accelerator=accelerator,
                devices=devices,
                num_nodes=num_nodes,
                strategy=strategy,
                precision=precision,
                logger=logger,
                callbacks=callbacks,
                progress_bar=progress_bar,
                checkpoint=checkpoint,
                checkpoint_every=checkpoint_every,
                **settings,
            )
    return model


def _read(
    adata: Any, layer: Any, input_kind: Any, stream: bool | str, closing: ExitStack
) -> Reference | JoinedReference:
    """Check the cells and read what training needs; files stay open until `closing` closes."""
    if isinstance(adata, AnnData) and not may_stream(stream, adata, layer):
        return read_unlabelled(adata, layer, input_kind)
    named = {"adata": adata} if isinstance(adata, AnnData) else name_references(adata)
    return read_references(named, None, closing, layer=layer, input_kind=input_kind)


@contextmanager
def _built_on(reference: Reference | JoinedReference, **building: Any) -> Iterator[PretrainedSIMS]:
    """A model on a shadow of cells in memory, or for the genes of cells elsewhere; it lets go of them at the end."""
    if isinstance(reference, JoinedReference):
        registry = unlabelled_registry(PretrainedSIMS.__name__, list(map(str, reference.var_names)))
        yield PretrainedSIMS(registry=registry, **building)
        return
    shadow = reference.shadow("Unknown")
    PretrainedSIMS.setup_anndata(shadow, total_counts_key=SHADOW_TOTALS, input_kind="counts")
    try:
        model = PretrainedSIMS(shadow, **building)
        yield model
        model.release_cells()
    finally:
        forget(PretrainedSIMS, shadow)
