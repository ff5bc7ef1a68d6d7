"""What a new classifier takes from a model that was trained before: weights, by the names of genes and classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from sims_tools._validate import listing
from sims_tools.data._align import match_genes

Axes = tuple[tuple[int, ...], tuple[int, ...]]
"""Dimensions of a weight that run over genes, and those that run over classes."""


def find_axes(network: type[nn.Module], params: Mapping[str, Any], n_genes: int, n_classes: int) -> dict[str, Axes]:
    """Dimensions of each weight of an architecture that grow with its genes and with its classes.

    Parameters
    ----------
    network
        Called as `network(n_genes, n_classes, **params)`, on no device: it costs neither time nor memory.
    params
        Of the network.
    n_genes, n_classes
        Its size.
    """
    with torch.device("meta"):
        shapes, wider, taller = (
            {name: tuple(value.shape) for name, value in network(*size, **params).state_dict().items()}
            for size in ((n_genes, n_classes), (n_genes + 1, n_classes), (n_genes, n_classes + 1))
        )
    return {name: (_grown(shape, wider[name]), _grown(shape, taller[name])) for name, shape in shapes.items()}


def _grown(shape: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(i for i, (n, m) in enumerate(zip(shape, other, strict=True)) if n != m)


class Shared:
    """Names that a new model has in common with an old one.

    Parameters
    ----------
    new, old
        (n,) and (m,) names; each is there once.
    positions
        (n,) position of each new name among the old ones, -1 for none; None finds those that are spelt alike.
    """

    def __init__(self, new: Sequence[str], old: Sequence[str], positions: np.ndarray | None = None) -> None:
        found = pd.Index(old).get_indexer(pd.Index(new)) if positions is None else positions
        self.into = torch.from_numpy(np.flatnonzero(found >= 0))
        self.out_of = torch.from_numpy(found[found >= 0].astype(np.int64))

    def __len__(self) -> int:
        return len(self.into)


def shared_genes(new: Sequence[str], old: Sequence[str]) -> Shared:
    """Features of both models: alike, or Ensembl ids alike but for their version.

    Raises
    ------
    ValueError
        There is none.
    """
    columns = match_genes(pd.Index(old), np.asarray(new, dtype=object)).columns
    shared = Shared(new, old, columns)
    if not len(shared):
        raise ValueError(
            f"None of the {len(old)} genes of `init_from` ({listing(old, 3)}) is among those to train on "
            f"({listing(new, 3)}). Is it a model of another species, or of other gene names? Train without `init_from`."
        )
    return shared


def check_alike(
    new: nn.Module, old: nn.Module, axes: Mapping[str, Axes], params: Mapping[str, Any], old_params: Mapping[str, Any]
) -> None:
    """Raise ValueError unless the weights of an old network fit into a new one, but for genes and classes.

    Parameters
    ----------
    new, old
        The networks. The old one may lack an output layer.
    axes
        See :func:`find_axes`.
    params, old_params
        Parameters of the networks.
    """
    ours, theirs = _widths(new, axes), _widths(old, axes)
    odd = [name for name in theirs if theirs[name] != ours.get(name)]
    odd += [name for name in ours if name not in theirs and not axes[name][1]]
    if odd:
        told = [f"`{name}={old_params.get(name)!r}`, not {params[name]!r}" for name in params]
        told = [each for name, each in zip(params, told, strict=True) if params[name] != old_params.get(name)]
        raise ValueError(
            f"The weights of `init_from` do not fit into this network ({listing(sorted(odd), 2)}). It was trained with "
            f"{', '.join(told) or 'other layers'}. Leave these out, they are taken from it; or train without "
            "`init_from`."
        )


def _widths(network: nn.Module, axes: Mapping[str, Axes]) -> dict[str, tuple[int, ...]]:
    """Shape of each weight without genes and classes."""
    free = {name: {*genes, *classes} for name, (genes, classes) in axes.items()}
    return {
        name: tuple(n for i, n in enumerate(value.shape) if i not in free.get(name, ()))
        for name, value in _weights(network).items()
    }


def _weights(network: nn.Module) -> dict[str, Tensor]:
    """What is learned; whole numbers are settings, such as how far masks have narrowed."""
    return {name: value for name, value in network.state_dict().items() if value.is_floating_point()}


@torch.no_grad()
def carry_network(new: nn.Module, old: nn.Module, axes: Mapping[str, Axes], genes: Shared, classes: Shared) -> None:
    """Copy the weights that two networks of one architecture have in common; others stay as they are.

    Parameters
    ----------
    new, old
        For which :func:`check_alike` holds.
    axes
        See :func:`find_axes`.
    genes, classes
        What they have in common.
    """
    ours = _weights(new)
    for name, value in _weights(old).items():
        into, (of_genes, of_classes) = ours[name], axes[name]
        if not into.ndim:
            into.copy_(value)
            continue
        shared = {**dict.fromkeys(of_genes, genes), **dict.fromkeys(of_classes, classes)}
        every = [torch.arange(size) for size in into.shape]
        to = [shared[i].into if i in shared else all_ for i, all_ in enumerate(every)]
        out_of = [shared[i].out_of if i in shared else all_ for i, all_ in enumerate(every)]
        taken = value[torch.meshgrid(*(each.to(value.device) for each in out_of), indexing="ij")]
        into[torch.meshgrid(*(each.to(into.device) for each in to), indexing="ij")] = taken.to(into.device, into.dtype)
