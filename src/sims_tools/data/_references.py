"""A list or a mapping of objects and files, taken as one reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd
from anndata import AnnData
from mudata import MuData

from sims_tools._validate import check_names, check_obs_key, listing

from ._cells_in_file import FileCells
from ._joined import JoinedReference, join_labels
from ._labels import check_classes
from ._named import naming
from ._obs_columns import obs_column
from ._shared_genes import share_genes
from ._store import Store, read_store, report_stores
from ._stored_cells import open_cells

REFERENCE = "reference"
"""What `split_by` calls the references themselves."""


def are_references(given: Any) -> bool:
    """Whether it is a path, a list or a mapping, and not one object of cells."""
    return not isinstance(given, AnnData | MuData) and isinstance(given, str | Path | Mapping | Sequence)


def name_references(given: Any) -> dict[str, AnnData | Path]:
    """References by name: keys of a mapping; of a list the name of the file, or the position.

    Raises
    ------
    TypeError
        One of them is neither an AnnData nor a path.
    ValueError
        There is none, or an object is given twice.
    """
    if isinstance(given, str | Path):
        given = [given]
    if isinstance(given, Mapping):
        named = {str(name): each for name, each in given.items()}
    else:
        names = [Path(each).name.partition(".")[0] if isinstance(each, str | Path) else "" for each in given]
        names = [name or str(at) for at, name in enumerate(names)]
        names = names if len(set(names)) == len(names) else [str(at) for at in range(len(names))]
        named = dict(zip(names, given, strict=True))
    if not named:
        raise ValueError("There is no reference to train on: the list is empty.")
    for name, each in named.items():
        if isinstance(each, MuData):
            raise TypeError(
                f"Reference {name!r} is a MuData; several references are read by genes alone. Give the modality that "
                'holds them, `mdata.mod["rna"]`, say.'
            )
        if not isinstance(each, AnnData | str | Path):
            raise TypeError(f"Reference {name!r} is a {type(each).__name__}; expected an AnnData or a path.")
    objects = [id(each) for each in named.values() if isinstance(each, AnnData)]
    if len(set(objects)) < len(objects):
        raise ValueError(f"Of the references {listing(named)}, the same object is given twice.")
    return {name: each if isinstance(each, AnnData) else Path(each) for name, each in named.items()}


def for_each(value: Any, argument: str, names: Sequence[str]) -> dict[str, Any]:
    """An argument for each reference by name: the same for all, or one for each as a list or a mapping.

    Raises
    ------
    ValueError
        A list is of another length, or a mapping lacks a reference.
    TypeError
        A mapping names what is no reference.
    """
    if value is None or isinstance(value, str):
        return dict.fromkeys(names, value)
    if isinstance(value, Mapping):
        check_names(f"reference that `{argument}` can speak of", map(str, value), names)
        given = {str(name): each for name, each in value.items()}
        if missing := [name for name in names if name not in given]:
            raise ValueError(f"`{argument}` says nothing of {listing(missing)}; name one for each reference.")
        return {name: given[name] for name in names}
    if isinstance(value, Sequence):
        if len(value) != len(names):
            raise ValueError(f"`{argument}` has {len(value)} entries for {len(names)} references: {listing(names)}.")
        return dict(zip(names, value, strict=True))
    raise TypeError(f"`{argument}={value!r}` must be text, or text for each reference as a list or a mapping.")


def read_references(
    named: Mapping[str, AnnData | Path],
    labels_key: Any,
    closing: ExitStack,
    *,
    join: str = "inner",
    layer: Any = None,
    unlabeled_category: str = "Unknown",
    input_kind: Any = "auto",
) -> JoinedReference:
    """Check every reference and join them; none is written to.

    Parameters
    ----------
    named
        As :func:`name_references` gives them.
    labels_key, layer, input_kind
        For all, or for each as a list or a mapping. Without a column of labels all cells are of one class.
    closing
        Closes the files when all is read.
    join
        "inner" or "outer".
    unlabeled_category
        Label that means "no label".

    Raises
    ------
    KeyError, TypeError, ValueError, FileNotFoundError
        What is wrong with a reference, which the message names.
    """
    names = list(named)
    labels_keys, layers = for_each(labels_key, "labels_key", names), for_each(layer, "layer", names)
    kinds = for_each(input_kind, "input_kind", names)
    cells: dict[str, AnnData | FileCells] = {}
    for name, each in named.items():
        with naming(name):
            cells[name] = each if isinstance(each, AnnData) else open_cells(each, layers[name], closing)
            if labels_key is not None:
                check_obs_key(cells[name], labels_keys[name], "labels_key")
    genes = share_genes(cells, join)
    stores: list[Store] = []
    for name, adata in cells.items():
        with naming(name):
            in_file = not isinstance(named[name], AnnData)
            stores.append(
                read_store(
                    name,
                    adata,
                    labels_keys[name],
                    None if genes.has is None else genes.has[len(stores)],
                    layer=None if in_file else layers[name],
                    unlabeled_category=unlabeled_category,
                    input_kind=kinds[name],
                )
            )
    report_stores(stores)
    joined = JoinedReference(tuple(stores), genes, join_labels([store.labels for store in stores]))
    if labels_key is not None:
        check_classes(joined.labels, " / ".join(dict.fromkeys(labels_keys.values())))
    return joined


def groups_of(joined: JoinedReference, split_by: Any) -> pd.Series:
    """(n_obs,) group of each cell: its reference, or a column that every reference has, of whatever name."""
    if split_by == REFERENCE:
        groups = [pd.Series([store.name] * store.adata.n_obs) for store in joined.stores]
    else:
        columns = for_each(split_by, "split_by", joined.names)
        groups = []
        for store in joined.stores:
            with naming(store.name):
                column = obs_column(store.adata, columns[store.name], "split_by")
            groups.append(column.astype(object).reset_index(drop=True))
    return pd.concat(groups, ignore_index=True).rename(str(split_by))
