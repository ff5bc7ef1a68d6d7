"""Annotation of the user's cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from anndata import AnnData
from mudata import MuData

from sims_tools._docs import docs
from sims_tools._keys import Keys
from sims_tools._validate import check_fraction, check_positive
from sims_tools.confidence import restrict
from sims_tools.models import ClassifierModel, load
from sims_tools.tl._annotate_target import Run, annotate_any, check_cells
from sims_tools.tl._cell_calls import Request
from sims_tools.tl._mask_modes import mask_mode
from sims_tools.tl._prediction_sets import check_sets
from sims_tools.tl._reject import check_reject


@docs.dedent
def annotate(
    adata: AnnData | MuData | str | Path | Sequence[AnnData | MuData | str | Path],
    model: ClassifierModel | str | Path,
    *,
    layer: str | None = None,
    modalities: Mapping[str, str] | None = None,
    protein_layer: str | None = None,
    protein_obsm_key: str | None = None,
    input_kind: str = "auto",
    masks: bool | str = "full",
    n_mask_features: int = 10,
    probabilities: bool = True,
    embedding: bool = False,
    top_k: int | None = None,
    classes: Sequence[str] | None = None,
    groupby: str | None = None,
    min_confidence: float | None = None,
    reject: float | None = None,
    reject_by: str = "cell",
    prediction_sets: float | None = None,
    class_conditional: bool = False,
    batch_size: int = 512,
    output: str | Path | None = None,
    resume: bool = False,
    part_size: int = 65_536,
    n_jobs: int | None = None,
    progress_bar: bool = True,
    key_added: str | None = None,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Label cells with a trained model, say how sure it is, and keep the masks that say why.

    Genes are matched by name: they may come in any order, some may be missing and others foreign; Ensembl ids match
    whatever their version suffix. Cells are read block by block, so that memory does not grow with their number but
    for what is written.

    A model of genes and proteins annotates cells of which it is given both, or one of them: probabilities, sets and
    novelty are calibrated for what there is of each cell. Proteins are matched by name, too, whatever tags, hyphens or
    synonyms they have ("CD8", "CD8a_TotalSeqB").

    Parameters
    ----------
    adata
        Cells (n_obs, n_vars) to label: AnnData with an array, CSR, CSC, a view, backed, dask or read lazily; or MuData.
        Raw counts are best. An annotation under the same key is replaced; nothing else changes.
        Or the path of a store larger than memory, `.h5ad` or `.zarr`: it is read in parts, and the results are appended
        to it, without rewriting it: all of them or none. A run that is killed in its very last step is finished by the
        next call. The file of an AnnData that was opened with `backed="r+"` is treated so, too. A URL of a `.zarr`
        store that fsspec knows is read with `output`. Or a list of any of these.
    model
        A trained model, or the folder of a saved one.
    %(layer)s
    %(protein_places)s
        `None` takes the entry that the model was trained on, where there is one of that name.
    %(input_kind)s
    masks
        What to write of the feature masks, where the model's architecture has masks, as SIMS does: "full" (or True)
        all of them; "top" those features of each cell that have most weight, which they keep; "mean" the mean mask of
        the cells called each class; "none" (or False) nothing.
    n_mask_features
        Features of each cell that ``masks="top"`` keeps.
    probabilities
        Write the probabilities of all classes.
    embedding
        Write the embedding, what the network's output layer reads.
    top_k
        Write the runners-up, too, down to this rank.
    classes
        Consider these classes only; their probabilities are renormalised to sum to 1.
    groupby
        Column of `.obs` (a clustering) within which to add a majority vote.
    min_confidence
        Cells whose largest probability is smaller are labelled "Unknown".
    reject
        Cells less like the reference than all but this share of its own cells, 0.05 say, are labelled "Unknown". A
        high probability does not protect them: the network has to choose among its classes, whatever the cell is.
        At most this share of the cells of known classes is lost, where they are drawn as the validation cells were;
        of another donor or technology more may be. It is the whole reference that a cell is compared with, whatever
        `classes` says. Cells that were not measured for some of the model's genes are compared by the others.
    reject_by
        "cell" compares each cell by itself, so that it does not matter what other cells there are. "neighbors" gives
        the cells of `adata` a say that are most like it and nearest to the same class: new types come as populations,
        which are found better so, while single odd cells are not.
    prediction_sets
        Write for each cell the set of classes it may be, such that this share of cells at most, 0.1 say, has a set
        without its true class (split conformal prediction). That holds for cells drawn as the validation cells were,
        and on average: of another donor or technology more sets may miss, and no set knows of a new class.
    class_conditional
        Let the sets keep their promise for the cells of each class, not only for all together. A class with few
        validation cells is in many sets, then.
    batch_size
        Cells at a time.
    output
        Write the results to this new `.h5ad` or `.zarr` store, with the names of the cells and without a matrix, and
        leave the cells as they are. Of a list of paths it is a folder, and the results have the names of the files.
    resume
        Of a store, or with `output`: go on where an interrupted run of the same call has stopped. Its finished parts
        are in a folder beside the store, or beside `output`, whose name ends with ".sims-parts". With another model,
        other cells or other arguments there is an error that says what differs.
    part_size
        Cells of a part of a store; the next multiple of `batch_size` is taken.
    n_jobs
        Processes that annotate parts of a store side by side; -1 takes one for each GPU, or one for each core where
        there is none. None takes the workers of the active :class:`dask.distributed.Client`, or this process where
        there is none. The results are the same bits for any number.
    %(progress_bar)s
    key_added
        Name for what is written; None takes that of the model's architecture, "sims" for SIMS.
    copy
        Write into a copy and return that.

    Returns
    -------
    None, or the annotated copy. These are written:

    `adata.obs[key_added]` : :class:`pandas.Series` (dtype `category`)
        Label. Categories are the model's classes in its order, and "Unknown" where cells may go without a call:
        `min_confidence` or `reject` is given, or there are cells without any counts. Either of the two is enough;
        probabilities, runners-up, sets and masks of such a cell are those of the call it would have had.
    `adata.obs[f"{key_added}_confidence"]` : :class:`pandas.Series` (dtype `float32`)
        Largest probability, calibrated on the validation cells of training. A cell without counts has equal
        probabilities.
    `adata.obs[f"{key_added}_novelty"]` : :class:`pandas.Series` (dtype `float32`)
        Share of the reference's validation cells that are more like it than the cell is, from 0 to 1; cells from
        1 - `reject` on are "Unknown". Cells beyond all of them are in order, too. NaN for a cell without counts
        (`reject`).
    `adata.obs[f"{key_added}_second"]`, `adata.obs[f"{key_added}_margin"]` : :class:`pandas.Series`
        The label that comes second, and by how much less its probability is (`float32`). A small margin is what
        doublets, ambient RNA and cells between two types have in common.
    `adata.obs[f"{key_added}_set_size"]` : :class:`pandas.Series` (dtype `int32`)
        Number of classes in the prediction set (`prediction_sets`).
    `adata.obsm[f"{key_added}_sets"]` : :class:`scipy.sparse.csr_matrix` (dtype `bool`)
        Prediction sets (n_obs, n_classes); all classes for a cell without counts (`prediction_sets`).
    `adata.obs[f"{key_added}_top2"]`, `adata.obs[f"{key_added}_top2_prob"]`, ... : :class:`pandas.Series`
        Label and probability of each runner-up (`top_k`).
    `adata.obs[f"{key_added}_majority"]`, `adata.obs[f"{key_added}_majority_share"]` : :class:`pandas.Series`
        Most frequent label among the cell's group, and its share there (`groupby`). A cell without a group keeps its
        own label.
    `adata.obsm[f"{key_added}_prob"]` : :class:`numpy.ndarray` (dtype `float32`)
        Probabilities (n_obs, n_classes), the full softmax at the temperature that suits the validation cells; rows
        sum to 1.
    `adata.obsm[f"{key_added}_masks"]` : :class:`scipy.sparse.csr_matrix` (dtype `float32`)
        Share of each feature in the cell's label (n_obs, n_features); rows sum to 1, or are zero for a cell without
        counts. With ``masks="top"`` only the heaviest features of a row are there, and it sums to what they have.
    `adata.obs[f"{key_added}_rna_share"]` : :class:`pandas.Series` (dtype `float32`)
        Share of genes, in place of proteins, in the masks of a model of both; NaN for a cell without counts.
    `adata.obsm[f"{key_added}_protein_masks"]` : :class:`scipy.sparse.csr_matrix` (dtype `float32`)
        Of an AnnData with proteins in `.obsm`: the proteins' part of the masks (n_obs, n_proteins). Rows of both
        matrices together sum to 1.
    `mdata.mod[m].obsm[f"{key_added}_masks"]`, `mdata.mod[m].uns[key_added]`
        Of a MuData the masks of each modality, in the order of its cells, in place of one matrix for all; and
        `features`, `feature_var_names` and `classes` beside them. Rows of all modalities together sum to 1. Everything
        else is in `mdata.obs`, `mdata.obsm` and `mdata.uns`.
    `adata.obsm[f"X_{key_added}"]` : :class:`numpy.ndarray` (dtype `float32`)
        Embedding (n_obs, n_latent).
    `adata.uns[key_added]` : :class:`dict`
        `classes`, `features` (the model's genes), `feature_var_names` (their names here, "" where missing),
        `protein_features` and `protein_feature_names` (the same of proteins), `modalities` (of a MuData),
        `explanation` (what the masks are: "masks" of a TabNet, "attention received" of a transformer), `params`,
        `versions`, `gene_match` (genes found and missing, the share of the model's mask weight that is found, and the
        same of proteins, with those that have another name here); with ``masks="mean"`` `mean_masks` (float32
        (n_classes, n_features), features before proteins, zero for a class without cells) and `mean_mask_cells`
        (n_classes,), the cells called each class; and
        `slots` (what was written beside this, so that the next annotation can take its place). What training recorded
        stays: `metrics`, `history`, and its `params` as `training_params`.

    Raises
    ------
    FileNotFoundError
        There is no model in that folder, or no such store.
    FileExistsError
        `output` is there.
    OSError
        A store is open elsewhere, or its disk is full; it is as it was, then.
    KeyError
        A column or layer does not exist.
    ValueError
        The model has no validation cells for `prediction_sets` or `reject`, or sets are asked for with `classes`;
        no cells or genes, repeated gene names, nearly no shared genes, NaN, infinite, negative or scaled values, an
        unknown class, a damaged model folder, a backed view; `reject_by="neighbors"` with a store; a store that was
        written by anndata before 0.8, or that changed while it was read; `resume` after another call.

    Warns
    -----
    UserWarning
        Genes with more than 20 %% of the model's mask weight are missing, or there are too few validation cells for the
        sets or the rejection asked for.

    Examples
    --------
    >>> import sims_tools as sims
    >>> cells = sims.data.planted_cells()
    >>> model = sims.tl.sims_train(cells[:400].copy(), "cell_type", max_epochs=5, progress_bar=False)
    >>> query = cells[400:].copy()
    >>> sims.tl.annotate(query, model, progress_bar=False)
    """
    check_cells(adata)
    if copy and (output is not None or not hasattr(adata, "copy") or isinstance(adata, list)):
        raise ValueError("`copy` is for an object; of a file, `output` leaves the file as it is.")
    model = load(model) if isinstance(model, str | Path) else model
    _check_request(model, min_confidence, top_k, batch_size, part_size)
    check_sets(model, prediction_sets, classes, class_conditional=class_conditional)
    check_reject(model, reject, reject_by)
    allowed = None if classes is None else restrict(model.classes, classes)
    kept = mask_mode(masks, n_mask_features)
    where = {"modalities": modalities, "protein_layer": protein_layer, "protein_obsm_key": protein_obsm_key}
    params = {
        "model": model.name,
        "layer": layer,
        **({name: value for name, value in where.items() if value is not None}),
        "input_kind": input_kind,
        "top_k": top_k,
        "classes": None if allowed is None else [str(name) for name in model.classes[allowed]],
        "groupby": groupby,
        "min_confidence": min_confidence,
        "reject": reject,
        "reject_by": reject_by,
        "prediction_sets": prediction_sets,
        "class_conditional": class_conditional,
        "masks": kept.kind,
    }
    request = Request(
        key_added=Keys(model.name if key_added is None else key_added).base,
        params=params,
        masks=kept,
        embedding=embedding,
        probabilities=probabilities,
        batch_size=batch_size,
        part_size=-(-part_size // batch_size) * batch_size,
    )
    target = adata.copy() if copy and isinstance(adata, AnnData | MuData) else adata
    annotate_any(target, model, request, Run(resume, n_jobs, progress_bar), None if output is None else Path(output))
    return target if copy else None


def _check_request(
    model: object,
    min_confidence: float | None,
    top_k: int | None,
    batch_size: int,
    part_size: int,
) -> None:
    if not isinstance(model, ClassifierModel):
        raise TypeError(f"`model` is a {type(model).__name__}; expected a trained model or the folder of a saved one.")
    check_positive("batch_size", batch_size)
    check_positive("part_size", part_size)
    if min_confidence is not None:
        check_fraction("min_confidence", min_confidence, closed=True)
    if top_k is not None and not 1 <= top_k <= len(model.classes):
        raise ValueError(f"`top_k={top_k!r}` must be between 1 and the model's {len(model.classes)} classes.")
