"""Whether masks name the genes that decide, and which genes those are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from sims_tools._docs import docs
from sims_tools._keys import DEFAULT_KEY, Keys
from sims_tools._validate import check_choice, check_count, check_positive, listing
from sims_tools.data._gene_families import family_table
from sims_tools.data._gene_rankings import differential_expression
from sims_tools.data._in_memory import uns_or_nothing
from sims_tools.data._mask_stats import StoredMasks, display_names, gene_object, read_masks
from sims_tools.data._moments import log_cp10k
from sims_tools.models import ClassifierModel, load
from sims_tools.tl._faithfulness import ACTIONS, Probe, faithfulness
from sims_tools.tl._gene_lists import AGAINST, gene_lists
from sims_tools.tl._mask_agreement import agreement, differential_markers, given_markers
from sims_tools.tl._mask_cells import MaskCells, choose_cells
from sims_tools.tl._mask_modes import TOP
from sims_tools.tl._mask_stability import Other, masks_of_model, stability
from sims_tools.tl._opened import opened
from sims_tools.tl._write import storable, write_scores

_SAME = 0.01
"""Share of a mask that may lie elsewhere when it is worked out again, on another machine say."""


@docs.dedent
def evaluate_masks(
    adata: AnnData | MuData | str | Path,
    model: ClassifierModel | str | Path,
    labels_key: str | None = None,
    *,
    key: str = DEFAULT_KEY,
    n_genes: Sequence[int] = (5, 10, 20, 50),
    against: Sequence[str] = AGAINST,
    retrained: Sequence[Other] | Other | None = None,
    markers: Mapping[str, Iterable[str]] | None = None,
    n_top: int = 20,
    gene_symbols: str | None = None,
    max_cells: int = 2000,
    layer: str | None = None,
    input_kind: str | None = None,
    batch_size: int = 512,
    random_state: int | None = 0,
    progress_bar: bool = True,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Measure whether the masks of an annotation can be believed.

    Four questions, each class by itself: does the model lose its calls when the genes of the masks are taken away
    (faithfulness), do models trained again look at the same genes (stability), are these the genes that mark the class
    (agreement), and how much of the masks lies on genes that seldom make a cell type (families)?

    For faithfulness, every cell loses the first 5, 10, ... genes in the list of its class, or keeps only those, and the
    model is asked again. A gene is lost by setting its counts to zero; the total that counts are divided by stays that
    of the whole cell, so nothing else changes. Lists are made of the same cells and by one rule: the genes of largest
    mean mask in the class; of highest score in a rank-sum test against the other cells; of largest coefficient in a
    logistic regression; or drawn at random. Genes that a class hardly expresses are cheap to lose, so next to genes
    drawn from all that are expressed stand genes drawn among those that the class expresses about as much as the genes
    of its masks. Beside all these, each cell loses the first genes of its own mask.

    Parameters
    ----------
    adata
        Annotated cells with masks: the result of ``sims.tl.annotate(..., masks="full")``. %(or_store)s
    model
        The model that annotated them, or the folder of it.
    labels_key
        Column of `.obs` with true labels, which then make the classes; cells without a label that the model knows are
        left out. By default the labels of the annotation, so that accuracy is the share of calls that stay.
    %(key)s
    n_genes
        How many genes to delete or keep; numbers above that of the model's genes in `adata` are passed over.
    against
        What to set the masks against: any of `"logistic"`, `"differential"`, `"matched"` (random genes, expressed
        alike) and `"random"`. The random ones are drawn three times.
    retrained
        The same model trained again, best with other seeds: models, folders of saved ones, or keys of other
        annotations of these cells. Without them stability is not measured.
    markers
        Marker genes of some or all classes, to compare masks with. The genes of the rank-sum test always are.
    n_top
        How many of the heaviest genes to compare among models and with markers.
    gene_symbols
        Column of `.var` with gene symbols, by which families are told, where the names are others.
    max_cells
        The most cells to examine, drawn at random from each class. The model runs over them some 80 times.
    layer
        Layer that holds the counts; None takes what the annotation was made of.
    input_kind
        What the values are, as in :func:`~sims_tools.tl.annotate`; None takes what was said there.
    batch_size
        Cells at a time.
    random_state
        Seed of the draws of cells and genes; None draws anew each time.
    %(progress_bar)s
    copy
        Work on a copy and return it.

    Returns
    -------
    `None`, or the copy if `copy=True`. Sets `adata.uns[key]["mask_quality"]`, which the next annotation under this key
    removes: a :class:`dict` of `params` and these tables (:class:`pandas.DataFrame`), in which names of classes and
    genes are values only.

    `faithfulness`
        Over all examined cells: `ranking` (`"masks"`, `"cell_masks"`, those in `against`, and `"none"` for the
        untouched cells), `action` (`"none"`, `"deleted"`, `"kept"`), `n_genes`, `repeat`, `n_cells`, `accuracy`,
        `balanced_accuracy` and `probability`, the mean probability of the cell's class.
    `faithfulness_by_class`
        The same for each `class`, without balanced accuracy.
    `stability`
        For each `class`: `n_cells`, `n_models`, and means over all pairs of models: `jaccard` of the `n_top` heaviest
        genes, `spearman` rank correlation of the weights of all genes that a model has (`retrained`).
    `agreement`
        For each `class` and `source` of markers (`"differential"`: at most `n_top` genes of highest score with an
        adjusted p-value below 0.05; `"given"`: `markers`): `n_markers`, `n_found` of them in model and `adata`, `n_top`
        genes compared, `overlap`, `precision` and `recall`, `chance` (the precision of random genes) and `auroc`, the
        probability that a marker weighs more than another gene.
    `families`
        For each `class` and `family` the `share` of the mean mask, the `n_genes` of the model that belong to it and the
        `even_share` they would have if all genes weighed alike. `"ribosomal"`, `"mitochondrial"` and `"heat_shock"`
        (HSP and DNAJ) go by the symbols that HGNC and MGI give; `"dissociation"` is a list of our own of stress genes,
        after van den Brink et al. (Nature Methods, 2017). No rows where genes have Ensembl ids only.

    Raises
    ------
    FileNotFoundError
        There is no model in a folder.
    KeyError
        There are no masks under `key`, or a column or layer does not exist.
    ValueError
        The masks are not those of this model and layer, fewer than two classes have three cells or more, or no marker
        is known.

    Notes
    -----
    Which genes are left tells the class when lists differ among classes. The accuracy with a few genes kept is
    therefore to be read against the other lists', not as what a panel of so many genes would reach.

    Examples
    --------
    >>> sims.tl.annotate(query, model)
    >>> sims.tl.evaluate_masks(query, model, "cell_type", retrained=[model_of_seed_1, model_of_seed_2])
    >>> query.uns["sims"]["mask_quality"]["faithfulness"].query("n_genes == 20")
    >>> sims.pl.mask_quality(query)
    """
    _check_request(n_genes, against, n_top, max_cells, batch_size)
    asked = {name: value for name, value in locals().items() if name not in ("adata", "copy")}
    with opened(adata, f"uns/{Keys(key).uns}", copy=copy) as target:
        write_scores(target, Keys(key), "mask_quality", _quality(target, **asked))
    return target if copy else None


def _quality(
    adata: AnnData | MuData,
    model: ClassifierModel | str | Path,
    labels_key: str | None,
    *,
    key: str,
    n_genes: Sequence[int],
    against: Sequence[str],
    retrained: Sequence[Other] | Other | None,
    markers: Mapping[str, Iterable[str]] | None,
    n_top: int,
    gene_symbols: str | None,
    max_cells: int,
    layer: str | None,
    input_kind: str | None,
    batch_size: int,
    random_state: int | None,
    progress_bar: bool,
) -> dict[str, Any]:
    """What is written."""
    stored = read_masks(adata, key)
    symbols = np.array(display_names(gene_object(adata, key), stored, gene_symbols), dtype=object)
    model = load(model) if isinstance(model, str | Path) else model
    facts = uns_or_nothing(adata, Keys(key).uns)
    _check_model(facts, model, stored, key)
    asked = facts.get("params", {})
    if asked.get("masks") == TOP:
        raise ValueError(
            f"The annotation {key!r} was made with `masks='top'`, and masks are examined whole. A sample of the cells "
            "will do: `sample = adata[rows].to_memory()`, annotate it with `masks='full'`, and examine that."
        )
    layer = _recorded(asked, "layer") if layer is None else layer
    input_kind = input_kind or _recorded(asked, "input_kind") or "auto"
    rng = np.random.default_rng(random_state)
    where = {name: asked[name] for name in ("modalities", "protein_layer", "protein_obsm_key") if name in asked}
    reading = {"layer": layer, "input_kind": input_kind, **where}
    source: dict[str, Any] = {"key": key, "reading": reading, "max_cells": max_cells}
    cells = choose_cells(adata, model, stored, labels_key, **source, rng=rng)
    _check_masks(cells, masks_of_model(model, cells, batch_size), key)
    values = log_cp10k(cells.counts, cells.totals)
    tested = differential_expression(values, cells.codes)
    probe = Probe(model, cells, batch_size)
    lengths = _lengths(n_genes, int(cells.match.found.sum()))
    lists = gene_lists(probe, cells, values, tested, against, max(lengths), rng)
    tables = faithfulness(probe, lists, lengths, cells.classes, progress_bar=progress_bar)
    if retrained is not None:
        options = {"n_top": n_top, "batch_size": batch_size}
        tables["stability"] = stability(adata, cells, stored.features, retrained, **options)
    known = {"differential": differential_markers(tested, n_top)}
    if markers is not None:
        known["given"] = given_markers(markers, cells.classes, [stored.var_names, stored.features, symbols])
    found = np.flatnonzero(cells.match.found)
    tables["agreement"] = agreement(cells.mask_means, cells.classes, found, known, n_top)
    tables["families"] = family_table(cells.mask_means, cells.classes, symbols)
    params = {"labels_key": labels_key, "n_genes": lengths, "n_top": n_top, "layer": layer, "input_kind": input_kind}
    params |= {"n_cells": len(cells.rows), "max_cells": max_cells, "random_state": random_state}
    return {"params": storable(params), **{name: _storable(table, cells) for name, table in tables.items()}}


def _check_request(n_genes: Sequence[int], against: Sequence[str], n_top: int, max_cells: int, batch_size: int) -> None:
    if isinstance(n_genes, str) or not isinstance(n_genes, Iterable) or not list(n_genes):
        raise ValueError(f"`n_genes={n_genes!r}` must hold one number of genes or more, such as (5, 10, 20, 50).")
    for number in (*n_genes, n_top, max_cells):
        check_count("n_genes, n_top, max_cells", number)
    check_positive("batch_size", batch_size)
    if isinstance(against, str):
        raise TypeError(f"`against={against!r}` must be a list of names.")
    for name in against:
        check_choice("against", name, AGAINST)


def _check_model(facts: Mapping[str, Any], model: object, stored: StoredMasks, key: str) -> None:
    """Raise unless the model has the genes and classes that the annotation was made with."""
    if not isinstance(model, ClassifierModel):
        raise TypeError(f"`model` is a {type(model).__name__}; expected a trained model or the folder of a saved one.")
    for kind, own, noted in (
        ("genes", model.genes, stored.features),
        ("classes", model.classes, facts.get("classes", ())),
    ):
        if [str(name) for name in own] != [str(name) for name in noted]:
            raise ValueError(
                f"The annotation {key!r} was made by another model: it has {len(noted)} {kind} "
                f"({listing(noted, 3)}), this model {len(own)} ({listing(own, 3)}). {_REMEDY}"
            )


_REMEDY = "Give the model that annotated these cells, or run `sims.tl.annotate(adata, model)` with this one first."


def _check_masks(cells: MaskCells, again: Any, key: str) -> None:
    """Raise unless the model gives the masks that are stored."""
    elsewhere = float(abs(cells.masks - again).sum() / 2 / len(cells.rows))
    if elsewhere > _SAME:
        raise ValueError(
            f"The masks under {key!r} are not those that this model gives these cells: {elsewhere:.0%} of their weight "
            f"lies on other genes. Was the annotation made by another model, of another layer, or of counts that "
            f"have changed since? {_REMEDY}"
        )


def _recorded(params: Mapping[str, Any], name: str) -> str | None:
    """An option of the annotation; None is kept as "None" there."""
    value = str(params.get(name, "None"))
    return None if value == "None" else value


def _lengths(n_genes: Sequence[int], n_found: int) -> list[int]:
    """Numbers of genes, rising, without those that the model does not have."""
    lengths = sorted({int(number) for number in n_genes if number <= n_found})
    if not lengths:
        raise ValueError(f"`n_genes={tuple(n_genes)}`: the model has {n_found} genes in `adata`; ask for fewer.")
    return lengths


def _storable(table: pd.DataFrame, cells: MaskCells) -> pd.DataFrame:
    """Names as categories, classes in their order, and an index of text, which every file format holds."""
    orders = {"class": list(cells.classes), "action": list(ACTIONS)}
    for column in [name for name in ("class", "ranking", "action", "source", "family") if name in table]:
        order = orders.get(column, list(dict.fromkeys(table[column])))
        table[column] = pd.Categorical(table[column], categories=order)
    return table.set_axis(pd.Index(np.arange(len(table)).astype(str)), axis=0)
