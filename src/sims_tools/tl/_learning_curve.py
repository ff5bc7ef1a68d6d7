"""How many cells a model needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sims_tools._docs import docs
from sims_tools._keys import UNKNOWN
from sims_tools.studies._cells import StudyCells
from sims_tools.studies._folds import Fold, nested_fractions
from sims_tools.tl._study import run_study

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


@docs.dedent
def learning_curve(
    adata: AnnData | MuData | str | Path,
    labels_key: str,
    *,
    model: str = "sims",
    fractions: Sequence[float] = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0),
    n_repeats: int = 3,
    test_size: float = 0.2,
    layer: str | None = None,
    modalities: Mapping[str, str] | None = None,
    protein_layer: str | None = None,
    protein_obsm_key: str | None = None,
    unlabeled_category: str = UNKNOWN,
    input_kind: str = "auto",
    n_jobs: int = 1,
    checkpoint: str | Path | None = None,
    progress_bar: bool = True,
    random_state: int | None = 0,
    key_added: str = "learning_curve",
    copy: bool = False,
    **params: Any,
) -> AnnData | MuData | None:
    """Train on growing parts of the cells: how many are enough.

    The thesis's study of the size of the training set :cite:p:`lehrer2022sims`, with one difference: there, test cells
    shrink with the training cells; here, they stay. In each repeat a share of each class is set aside for testing. Of
    the other cells growing parts train, each class in the same proportion but with one cell at least; every part holds
    the smaller ones.

    Parameters
    ----------
    %(study_cells)s
    model
        As :func:`~sims_tools.tl.cross_validate` takes it.
    fractions
        Shares of the training cells that train, above 0 and at most 1.
    n_repeats
        How often test cells are drawn anew; repeat r, from 0 on, has the seed `random_state + r`.
    test_size
        Share of each class that is tested, rounded to whole cells; a class of one cell trains.
    %(layer)s
    %(protein_places)s
    %(study_reading)s
    %(input_kind)s
    %(study_running)s
    %(random_state)s
    key_added
        Name for what is written.
    copy
        Write into a copy and return that.
    **params
        Parameters of the model, as :func:`~sims_tools.tl.cross_validate` takes them.

    Returns
    -------
    None, or the copy with the study. :func:`sims_tools.get.study_df` reads its tables, and
    :func:`sims_tools.pl.learning_curve` draws them:

    `adata.uns[key_added]["scores"]`, `["per_class"]`, `["history"]` : :class:`pandas.DataFrame`
        As :func:`~sims_tools.tl.cross_validate` writes them; `repeat` and `fraction` tell the runs apart.
    `adata.uns[key_added]["params"]`, `["versions"]`, `["study"]`
        What was asked for, with which versions, and "learning_curve".

    Raises
    ------
    MemoryError
        The cells are not in memory, and take more than half of what is free.
    KeyError
        A column, layer, modality or entry of `.obsm` does not exist.
    ValueError
        There are too few cells or classes; the checkpoint is that of another study; a value is out of range.
    TypeError
        A parameter is unknown.
    KeyboardInterrupt
        The study was interrupted. `adata` is as it was, and finished runs are in the checkpoint.

    Examples
    --------
    >>> sims.tl.learning_curve(adata, "cell_type", fractions=[0.05, 0.1, 0.5, 1], checkpoint="how_many")
    >>> sims.pl.learning_curve(adata)
    """
    given = {**locals(), "fractions": list(fractions)}

    def make(_: Any, cells: StudyCells, seed: int) -> list[Fold]:
        return nested_fractions(cells.labels, fractions, n_repeats=n_repeats, test_size=test_size, random_state=seed)

    return run_study("learning_curve", given, {model: params}, make, ("fractions", "n_repeats", "test_size"))
