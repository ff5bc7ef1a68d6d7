"""Several methods on the same cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sims_tools._docs import docs
from sims_tools._keys import UNKNOWN
from sims_tools.tl._cross_validate import fold_maker
from sims_tools.tl._study import run_study

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


@docs.dedent
def benchmark(
    adata: AnnData | MuData | str | Path,
    labels_key: str,
    models: Sequence[str] | Mapping[str, Mapping[str, Any]] = ("sims", "logistic_regression", "linear_svm", "knn"),
    *,
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
    key_added: str = "benchmark",
    copy: bool = False,
) -> AnnData | MuData | None:
    """Compare methods: each is trained and tested on the same cells.

    Methods beside our own, which read genes alone:

    - "logistic_regression" (C = 1), "random_forest" (500 trees) and "linear_svm" (C = 1) of scikit-learn
      :cite:p:`pedregosa2011sklearn`, on log1p CP10K of all genes, not scaled. The SVM gives no probabilities.
    - "knn": 15 neighbours on 50 principal components of the 2,000 genes that vary most over the training cells.
    - "scanvi" of scvi-tools :cite:p:`xu2021scanvi,gayoso2022scvi`: SCVI and then SCANVI at their defaults, on counts of
      the 2,000 genes that vary most over the training cells. It is trained on the training cells alone, as all others
      are, and test cells go through its networks as they are; it is neither trained on them (transductive) nor
      adapted to them, and models no batch.

    Each is a recipe at its defaults, neither tuned nor weighted by class. Parameters of scikit-learn's estimators are
    taken by their names, and three of ours: `n_top_genes` (as for "knn"), `scale` (divide each gene by its standard
    deviation over the training cells) and, of "knn", `n_components`. "scanvi" takes `n_top_genes`, `max_epochs`,
    `scanvi_max_epochs` and `accelerator`.

    Parameters
    ----------
    %(study_cells)s
    models
        Names of these or of :func:`sims_tools.models.available`; or parameters by title, as
        ``{"thesis": {"model": "sims", "preset": "sims"}, "knn": {"n_neighbors": 5}}``, where `model` may be left out
        if it is the title.
    groupby, n_folds, train_groups
        How cells are divided, as :func:`~sims_tools.tl.cross_validate` takes them.
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

    Returns
    -------
    None, or the copy with the study. :func:`sims_tools.get.study_df` reads its tables, and
    :func:`sims_tools.pl.benchmark` draws them:

    `adata.uns[key_added]["scores"]`, `["per_class"]`, `["history"]` : :class:`pandas.DataFrame`
        As :func:`~sims_tools.tl.cross_validate` writes them; `model` is the title.
    `adata.uns[key_added]["params"]`, `["versions"]`, `["study"]`
        What was asked for, with which versions, and "benchmark".

    Raises
    ------
    MemoryError
        The cells are not in memory, and take more than half of what is free.
    KeyError
        A column, layer, modality or entry of `.obsm` does not exist.
    ValueError
        A method is unknown, or needs counts where there are none; there are too few groups, cells or classes; the
        checkpoint is that of another study; a value is out of range.
    TypeError
        A parameter is unknown.
    KeyboardInterrupt
        The study was interrupted. `adata` is as it was, and finished runs are in the checkpoint.

    Examples
    --------
    >>> sims.tl.benchmark(adata, "cell_type", ["sims", "logistic_regression", "scanvi"], groupby="donor")
    >>> sims.get.study_df(adata, "benchmark").groupby("model")["macro_f1"].mean()
    """
    given = dict(locals())
    make = fold_maker(groupby, n_folds, train_groups)
    return run_study("benchmark", given, models, make, ("groupby", "n_folds", "train_groups"))
