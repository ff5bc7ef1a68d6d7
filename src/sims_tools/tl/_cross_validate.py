"""How well a model does on cells it was not trained on, of the same groups or of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sims_tools._docs import docs
from sims_tools._keys import UNKNOWN
from sims_tools.data._obs_columns import obs_column
from sims_tools.studies._cells import StudyCells
from sims_tools.studies._folds import Fold, make_folds
from sims_tools.tl._study import run_study

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


@docs.dedent
def cross_validate(
    adata: AnnData | MuData | str | Path,
    labels_key: str,
    *,
    model: str = "sims",
    groupby: str | None = None,
    n_folds: int | None = None,
    train_groups: Sequence[str] | str | None = None,
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
    key_added: str = "cross_validation",
    copy: bool = False,
    **params: Any,
) -> AnnData | MuData | None:
    """Train on some cells and test on others, fold by fold: how well a model generalises.

    With `groupby` whole groups (batches, donors, tissues, studies) are held out, which asks what becomes of cells of a
    new one; the thesis asks that of tissues :cite:p:`lehrer2022sims`. Without it folds are random and stratified by
    label, which asks what becomes of more cells of the same kind.

    A model sees nothing of the test cells: choice of genes, scaling, calibration and all else are its own and are
    fitted to the training cells of the fold, some of which it holds out itself to judge epochs by.

    Parameters
    ----------
    %(study_cells)s
    model
        A name of :func:`sims_tools.models.available`; or "logistic_regression", "random_forest", "linear_svm", "knn"
        or "scanvi", as :func:`~sims_tools.tl.benchmark` describes them. These read genes alone.
    groupby
        Column of `.obs`: each group is tested once by a model that was trained on all others.
    n_folds
        Number of folds. Without `groupby` cells are dealt out class by class, to 5 folds by default; with it groups
        are dealt out whole, to one fold each by default.
    train_groups
        Groups to train a single model on, which is tested on each of the others (figures 0.15 and 0.16 of the thesis).
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
        Parameters of the model, as :func:`~sims_tools.tl.sims_train` takes them (`preset`, `max_epochs`, `n_top_genes`,
        ...), or of the estimator of scikit-learn.

    Returns
    -------
    None, or the copy with the study. :func:`sims_tools.get.study_df` reads its tables, and
    :func:`sims_tools.pl.cross_validation` draws them:

    `adata.uns[key_added]["scores"]` : :class:`pandas.DataFrame`
        One row for each group of test cells of each fold ("all" where there are no groups): `model`, `fold`, `repeat`,
        `fraction`, `group`; `n_train` cells of `n_classes`, `n_test` cells, of which `n_novel` have a label that is
        not among the classes trained on, and the names of these (`novel`).

        Of the other test cells, as in :func:`~sims_tools.tl.evaluate`: `accuracy`, `balanced_accuracy` (mean recall),
        `macro_f1`, `median_f1`, `weighted_f1`, over the classes that have test cells; `weighted_accuracy`, the recall
        weighted by the cells of the class, which is the thesis's name for what `accuracy` is; `ece`, the expected
        calibration error, NaN for a method that gives no probabilities. NaN where there are no such cells.

        Of all test cells: `accuracy_all`, novel cells being wrong unless they are not called.

        `train_seconds` and `predict_seconds` of the fold, compiled kernels being loaded before.
    `adata.uns[key_added]["per_class"]` : :class:`pandas.DataFrame`
        For each row of these and each class: `label`, `n_cells`, `n_called`, `precision`, `recall`, `f1`.
    `adata.uns[key_added]["history"]` : :class:`pandas.DataFrame`
        For each fold and `epoch` what was tracked, where the model tracks its training.
    `adata.uns[key_added]["params"]`, `["versions"]`, `["study"]`
        What was asked for, with which versions, and "cross_validate".

    Raises
    ------
    MemoryError
        The cells are not in memory, and take more than half of what is free.
    KeyError
        A column, layer, modality or entry of `.obsm` does not exist.
    ValueError
        There are too few groups, cells or classes; the checkpoint is that of another study; a value is out of range.
    TypeError
        A parameter is unknown.
    KeyboardInterrupt
        The study was interrupted. `adata` is as it was, and finished folds are in the checkpoint.

    Examples
    --------
    >>> sims.tl.cross_validate(adata, "cell_type", groupby="donor", checkpoint="donors", n_jobs=4)
    >>> sims.get.study_df(adata, "cross_validation")[["group", "macro_f1"]]
    """
    given = dict(locals())
    make = fold_maker(groupby, n_folds, train_groups)
    return run_study("cross_validate", given, {model: params}, make, ("groupby", "n_folds", "train_groups"))


def fold_maker(
    groupby: str | None, n_folds: int | None, train_groups: Sequence[str] | str | None
) -> Callable[[Any, StudyCells, int], list[Fold]]:
    """What :func:`~sims_tools.tl._study.run_study` divides the cells with."""
    chosen = [train_groups] if isinstance(train_groups, str) else train_groups

    def make(adata: AnnData | MuData, cells: StudyCells, seed: int) -> list[Fold]:
        groups = None if groupby is None else obs_column(adata, groupby, "groupby")
        return make_folds(cells.labels, groups, n_folds=n_folds, train_groups=chosen, random_state=seed)

    return make
