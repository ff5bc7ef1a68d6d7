"""Minibatches of any Lightning data module, brought to the form in which ours come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from sims_tools._validate import listing

from ._align import match_genes
from ._class_sums import Cells
from ._dataset import LABELS, TOTALS, Batch, X, to_batch, to_column
from ._kind import InputKind, kind_of
from ._matrix import as_csr
from ._shared_loader import alone


class ModuleBatches:
    """Reads the minibatches of a data module as scvi-tools' modules make them.

    These are dictionaries: "X" (n, n_vars) dense or sparse, of torch, scipy or numpy; "labels" (n,) or (n, 1), which
    count the names in the module's `registry`; "total_counts", where "X" does not hold all genes. The hooks of the
    module before and after the transfer to a device are run on the host.

    Parameters
    ----------
    module
        A :class:`lightning.pytorch.LightningDataModule` with a `registry`.
    genes, classes
        What the model knows. Cells of other labels are left out.
    input_kind
        What the values are: "auto", "counts" or "log1p".

    Raises
    ------
    TypeError
        The module has no registry.
    ValueError
        It lacks genes of the model.
    """

    def __init__(self, module: Any, genes: list[str], classes: list[str], input_kind: str = "auto") -> None:
        fields = fields_of(module)
        self._module, self._input_kind = module, input_kind
        self._kind: InputKind | None = None
        names = gene_names(module)
        self._match = match_genes(names, np.array(genes, dtype=object))
        if not self._match.found.all():
            missing = self._match.model_genes[~self._match.found]
            raise ValueError(
                f"The data module lacks {len(missing)} of the model's {len(genes)} genes: {listing(missing, 5)}. Its "
                f"names look like {listing(names, 3)}; build the model with the `registry` of this module, or train by "
                "`sims_tools.tl.train(datamodule=...)`, which builds one."
            )
        known = {name: code for code, name in enumerate(classes)}
        state = fields[LABELS]["state_registry"]
        self._names, self._labels = names, [str(name) for name in state["categorical_mapping"]]
        self._labels_key = str(state.get("original_key"))
        self._codes = np.array([known.get(name, -1) for name in self._labels])

    def read(self, loader: Any) -> Iterator[Cells]:
        """Labelled cells of the minibatches of a loader; minibatches without any are left out.

        Raises
        ------
        TypeError, ValueError
            A minibatch is not what is expected, or its values are no expression; the message says which it was.
        """
        self._check_data_set(getattr(loader, "dataset", None))
        for number, given in enumerate(_bounded(loader)):
            try:
                linear, totals, codes = self._convert(given)
            except (TypeError, ValueError, KeyError) as error:
                raise type(error)(f"Minibatch {number} of the data module: {error.args[0]}") from error
            kept = np.flatnonzero((codes >= 0) & (totals > 0))
            if len(kept) == len(codes):
                yield linear, totals, codes
            elif len(kept):
                yield linear[kept], totals[kept], codes[kept]

    def read_whole(self, load: Callable[[], Any], seed: int) -> Iterator[Cells]:
        """:meth:`read` of the loader that is made, as if this process were the only one, by a seed."""
        with alone(seed):
            yield from self.read(load())

    def _check_data_set(self, data_set: Any) -> None:
        """Raise ValueError where a data set of Lamin's numbers labels or genes otherwise than the registry.

        That of validation cells numbers the categories of its own files.
        """
        encoders = getattr(data_set, "encoders", None)
        encoder = encoders.get(self._labels_key, {}) if isinstance(encoders, Mapping) else {}
        there = {code: str(name) for name, code in encoder.items()}
        if any(not 0 <= code < len(self._labels) or self._labels[code] != name for code, name in there.items()):
            raise ValueError(
                f"A data set of the data module numbers the labels {listing(there.values())}, and its registry "
                f"{listing(self._labels)}: the numbers do not mean the same. Let every collection hold cells of every "
                "label, in `.obs` columns of the same categories."
            )
        joint = getattr(data_set, "var_joint", None)
        if joint is not None and [str(name) for name in joint] != list(self._names):
            raise ValueError(
                f"A data set of the data module brings genes {listing(joint, 3)}, and its registry names "
                f"{listing(self._names, 3)}. Let every collection have the same genes in the same order."
            )

    def _convert(self, given: Any) -> Cells:
        given = self._module.on_before_batch_transfer(given, 0)
        given = self._module.on_after_batch_transfer(given, 0)
        if not isinstance(given, Mapping) or X not in given or LABELS not in given:
            keys = listing(given) if isinstance(given, Mapping) else f"a {type(given).__name__}"
            raise TypeError(f"found {keys}; expected a dictionary with {X!r} and {LABELS!r}.")
        block = as_csr(_on_host(given[X]))
        if block.shape[1] != self._match.n_query:
            raise ValueError(f"`X` has {block.shape[1]} genes; its registry names {self._match.n_query}.")
        if self._kind is None:
            self._kind = kind_of(block, self._input_kind)
        totals = given.get(TOTALS)
        linear, totals = self._kind.to_linear(block, None if totals is None else _column(totals).astype(np.float64))
        return self._match.select(linear), totals, self._coded(_column(given[LABELS]).astype(np.int64))

    def _coded(self, labels: np.ndarray) -> np.ndarray:
        """Labels by which the model counts classes."""
        if labels.size and not (0 <= labels.min() and labels.max() < len(self._codes)):
            raise ValueError(
                f"labels run from {labels.min()} to {labels.max()}, and the registry names {len(self._codes)} of them."
            )
        return self._codes[labels]


def fields_of(module: Any) -> Mapping[str, Any]:
    """Fields of the registry of a data module.

    Raises
    ------
    TypeError
        There is none, or it names no genes or no labels.
    """
    fields = (getattr(module, "registry", None) or {}).get("field_registries", {})
    if missing := [name for name in (X, LABELS) if not fields.get(name, {}).get("state_registry")]:
        raise TypeError(
            f"`datamodule` is a {type(module).__name__} whose `registry` says nothing of {listing(missing)}. It has to "
            "name genes and labels as scvi-tools' data modules do: `registry['field_registries']['X']"
            "['state_registry']['column_names']` and `['labels']['state_registry']['categorical_mapping']`."
        )
    return fields


def gene_names(module: Any) -> pd.Index:
    """Names of the genes of a data module: its `var_names`, where it has any, before those of its registry."""
    own = getattr(module, "var_names", None)
    names = fields_of(module)[X]["state_registry"]["column_names"] if own is None else own
    return pd.Index([str(name) for name in names])


def to_minibatch(linear: sparse.csr_matrix, totals: np.ndarray, codes: np.ndarray) -> Batch:
    """Cells as tensors."""
    return to_batch(linear, totals) | {LABELS: to_column(codes, np.int64)}


def _bounded(loader: Any) -> Iterator[Any]:
    """Minibatches of one pass, also of a loader that never ends but says how long it is."""
    try:
        length = len(loader)
    except TypeError:
        yield from loader
        return
    for number, batch in enumerate(loader):
        if number >= length:
            return
        yield batch


def _on_host(values: Any) -> Any:
    """An array or sparse matrix of scipy."""
    if not isinstance(values, torch.Tensor):
        return values
    values = values.detach().cpu()
    if values.layout == torch.sparse_coo:
        values = values.to_sparse_csr()
    if values.layout == torch.sparse_csr:
        arrays = (each.numpy() for each in (values.values(), values.col_indices(), values.crow_indices()))
        return sparse.csr_matrix(tuple(arrays), shape=tuple(values.shape))
    return values.numpy()


def _column(values: Any) -> np.ndarray:
    return np.asarray(_on_host(values)).reshape(-1)
