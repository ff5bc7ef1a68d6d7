"""How good an annotation is where the truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sims_tools._docs import docs
from sims_tools._keys import DEFAULT_KEY, UNKNOWN, Keys
from sims_tools._validate import check_count
from sims_tools.confidence import evaluation_tables
from sims_tools.data._labelled_calls import read_calls
from sims_tools.tl._opened import opened
from sims_tools.tl._write import write_scores

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


@docs.dedent
def evaluate(
    adata: AnnData | MuData | str | Path,
    labels_key: str,
    *,
    key: str = DEFAULT_KEY,
    unlabeled_category: str = UNKNOWN,
    n_bins: int = 15,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Score an annotation against true labels.

    Cells of two kinds are told apart. **Known** cells are of a class the model could call. **Novel** cells have a true
    label that is not among its classes (or was left out by the `classes` of :func:`~sims_tools.tl.annotate`): whatever
    they are called is wrong, and "Unknown" is the right answer. All scores of classes and probabilities are of the
    known cells alone, and a known cell that is called "Unknown" counts as missed there. What becomes of the novel
    cells stands beside these, under ``cells == "novel"`` and ``"all"``. Cells without a true label are left out.

    Labels are compared as text: where the model's names differ from yours, bring yours to them first.

    Parameters
    ----------
    adata
        Annotated cells. %(or_store)s
    labels_key
        Column of `.obs` with the true labels.
    %(key)s
    unlabeled_category
        True label that means "no label", unless the model has a class of that name.
    n_bins
        Bins of the confidence, from 0 to 1, for the reliability table and the calibration error.
    copy
        Write into a copy and return that.

    Returns
    -------
    None, or the copy with the evaluation. It is replaced by the next one and vanishes with the next annotation under
    this key. :func:`sims_tools.get.evaluation_df` reads these tables:

    `adata.uns[key]["evaluation"]["overall"]` : :class:`pandas.DataFrame`
        `score`, `cells` ("known", "novel" or "all"), `n_cells` of these, and `value`.

        Of known cells: `accuracy`; `balanced_accuracy` (mean recall); `macro_f1`, `median_f1`, `weighted_f1`, over
        the classes that have true cells; `accuracy_called` (of the cells that are not "Unknown"); `rejected` (share
        called "Unknown"); `nll` (negative log-likelihood, nats), `brier` (0 to 2) and `ece` (expected calibration
        error) of the probabilities; `set_coverage` and `set_size`, share of prediction sets that hold the true class
        and their mean size, where there are sets; `aurc_confidence`, the area under the risk-coverage curve, and
        `aurc_novelty` where a novelty score is there.

        Of novel cells: `rejected`. Of all, where there are novel ones: `accuracy`, with "Unknown" right for a novel
        cell; `aurc_confidence` and `aurc_novelty`, novel cells being wrong wherever they are kept;
        `auroc_confidence` and `auroc_novelty`, how often of a novel and a known cell the novel one has the lower
        confidence or the higher novelty.
    `adata.uns[key]["evaluation"]["per_class"]` : :class:`pandas.DataFrame`
        For each class with true or called cells: `label`, `n_cells`, `n_called` (known cells called so),
        `n_novel_called` (novel cells called so), `precision`, `recall`, `f1`, `confidence` (mean over the known cells
        called so; it should be the precision), `set_coverage`, `set_size`. NaN where no cells are to divide by.
    `adata.uns[key]["evaluation"]["reliability"]` : :class:`pandas.DataFrame`
        For each bin of the largest probability: `lower` and `upper` edge, `n_cells`, their mean `confidence`,
        `accuracy` of the most probable class, and its Wilson interval `accuracy_low`, `accuracy_high`.
    `adata.uns[key]["evaluation"]["risk_coverage"]` : :class:`pandas.DataFrame`
        `cells` ("known", or "all"), what they are `sorted_by` ("confidence" or "novelty"), `threshold`, `n_cells`
        kept by it, `coverage` (their share), and `risk`, the share of them whose most probable class is wrong. At most
        500 rows for each curve.
    `adata.uns[key]["evaluation"]["confusion"]` : :class:`pandas.DataFrame`
        `true` label, label `called`, `n_cells`: all pairs that occur, novel labels and "Unknown" included.
    `adata.uns[key]["evaluation"]["novel"]` : :class:`pandas.DataFrame`
        For each true label the model could not call, where there are any: `label`, `n_cells`, `rejected`,
        `auroc_confidence`, `auroc_novelty`.
    `adata.uns[key]["evaluation"]["params"]` : :class:`dict`
        `labels_key`, `unlabeled_category`, `n_bins`.

    Raises
    ------
    KeyError
        A column or an entry of the annotation does not exist.
    ValueError
        No cell has both a call and a true label, none of the true labels is among the classes, or calls are not.

    Examples
    --------
    >>> sims.tl.evaluate(query, "cell_type")
    >>> sims.get.evaluation_df(query, "per_class").nsmallest(5, "f1")
    """
    check_count("n_bins", n_bins)
    keys = Keys(key)
    with opened(adata, f"uns/{keys.uns}", copy=copy) as target:
        calls = read_calls(target, labels_key, keys, unlabeled_category=unlabeled_category)
        tables = evaluation_tables(**vars(calls), n_bins=n_bins)
        params = {"labels_key": labels_key, "unlabeled_category": unlabeled_category, "n_bins": n_bins}
        write_scores(target, keys, "evaluation", tables | {"params": params})
    return target if copy else None
