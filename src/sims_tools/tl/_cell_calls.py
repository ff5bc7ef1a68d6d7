"""What a model says of the cells of a query, wherever they are stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sims_tools._keys import Keys
from sims_tools.confidence import restrict
from sims_tools.data._features import RNA
from sims_tools.tl._annotation import annotation, call
from sims_tools.tl._gather import gather
from sims_tools.tl._mask_modes import KeptMasks, MaskMode
from sims_tools.tl._reject import Novelty, find_novel
from sims_tools.tl._write import Results

if TYPE_CHECKING:
    from sims_tools.data._query import Query
    from sims_tools.models import ClassifierModel
    from sims_tools.models._inference import Inferred


@dataclass(frozen=True)
class Request:
    """What is asked of an annotation, checked; it can be sent to another process.

    Attributes
    ----------
    key_added
        Name of the annotation.
    params
        Arguments as they are recorded in `.uns[key]`.
    masks
        What to keep of them.
    embedding, probabilities
        Whether to keep them.
    batch_size
        Cells at a time.
    part_size
        Cells of a part, a multiple of the batch size.
    """

    key_added: str
    params: dict[str, Any]
    masks: MaskMode
    embedding: bool
    probabilities: bool
    batch_size: int
    part_size: int

    @property
    def keys(self) -> Keys:
        """Names of the slots."""
        return Keys(self.key_added)


class CellCalls(NamedTuple):
    """What is said of cells.

    Attributes
    ----------
    results
        Everything by cell, but masks.
    codes
        (n,) of labels; past the last class where a cell has none.
    found
        What the network said, with those masks that are kept.
    kept
        What else is kept of masks.
    """

    results: Results
    codes: np.ndarray
    found: Inferred
    kept: KeptMasks


def call_cells(
    query: Query, model: ClassifierModel, request: Request, *, groups: np.ndarray | None, progress_bar: bool
) -> CellCalls:
    """Read all cells of a query, and label them.

    Parameters
    ----------
    query
        The cells.
    model
        Trained.
    request
        What is asked.
    groups
        (n_obs,) group of each cell within which to vote; None for no vote.
    progress_bar
        Show one.
    """
    params = request.params
    allowed = None if params["classes"] is None else restrict(model.classes, params["classes"])
    novel = None
    if params["reject"] is not None:
        how = {"batch_size": request.batch_size, "reject_by": params["reject_by"]}
        novel = find_novel(query, model, params["reject"], **how)

    def codes(block: Inferred, cells: slice) -> np.ndarray:
        some = None if novel is None else Novelty(novel.shares[cells], novel.rejected[cells])
        return call(model, block, some, allowed, params["min_confidence"])[1].codes

    of_rna = model.modality == RNA if model.proteins_ else None
    kept = KeptMasks(request.masks, query.n_obs, of_rna, len(model.classes), request.part_size, codes)
    stream = model.read(query, batch_size=request.batch_size, explain=bool(request.masks), progress_bar=progress_bar)
    found = gather(stream, query.n_obs, embedding=request.embedding, keep=kept)
    results, calls = annotation(
        request.keys, model, found, novel, allowed, params, groups=groups, probabilities=request.probabilities
    )
    return CellCalls(results, calls.codes, found, kept)
