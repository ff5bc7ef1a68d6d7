"""TabNet on sparse minibatches that lie on a device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from sims_tools.nn._attentive import AttentiveTransformer
from sims_tools.nn._explanation import Steps
from sims_tools.nn._output import Encoded
from sims_tools.nn._rows import SparseRows

from ._attend import POWERS, attend
from ._chunks import Ghosts
from ._first import Reader, readers
from ._pattern import Pattern

if TYPE_CHECKING:
    from sims_tools.nn._tabnet import TabNet

BLOCK_ELEMENTS = 2**25
"""Cells x features of a buffer in evaluation (float32: 134 MB, of which five exist at a time)."""


def supported(network: TabNet, rows: SparseRows) -> bool:
    """Whether :func:`encode` is the way to compute `network` on `rows`.

    It is on a GPU, for weights in single or double precision, unless gradients of the features are wanted, which only
    the plain network gives.

    Parameters
    ----------
    network
        Its weights must lie where `rows` do.
    rows
        Minibatch of the network's features.

    Returns
    -------
    True or False, without waiting for the device.
    """
    weight = network.head.weight
    return (
        rows.device.type == "cuda"
        and weight.device == rows.device
        and weight.dtype in (torch.float32, torch.float64)
        and rows.n_columns == network.n_input
        and rows.dtype.is_floating_point
        and not rows.values.requires_grad
        and all(attentive.selector in POWERS for attentive in network.attentives)
    )


def encode(network: TabNet, rows: SparseRows, *, keep_steps: bool) -> Encoded:
    """The same as the plain network up to its output layer, never waiting for the device on the way.

    Everything is computed in the precision of the weights, under autocast, too. In training one pass keeps, for each
    step, its mask and the next step's prior: two buffers of cells x features. In evaluation without gradients a large
    batch is cut in blocks of rows, so that buffers stay below a fixed size. Only this cut and the compression of masks
    wait for the device.

    Parameters
    ----------
    network
        On the device of `rows`. In training mode its running statistics move.
    rows
        (B, p) features.
    keep_steps
        Return what the steps did.

    Returns
    -------
    See :class:`Encoded`. Differentiable in the parameters.
    """
    with torch.autocast(rows.device.type, enabled=False):
        rows = rows.to(network.head.weight.dtype)
        of_batch = readers(network, rows)
        whole = torch.is_grad_enabled() or any(module.training for module in network.modules())
        blocks = [rows] if whole else list(_blocks(rows, max(BLOCK_ELEMENTS // network.n_input, 1)))
        parts = [_encode_block(network, of_batch, block, keep_steps=keep_steps) for block in blocks]
        return parts[0] if len(parts) == 1 else _join(parts)


def _encode_block(network: TabNet, of_batch: list[Reader], rows: SparseRows, *, keep_steps: bool) -> Encoded:
    pattern, ghosts = Pattern(rows), Ghosts(rows.n_rows)
    splitter, *transformers = of_batch
    attentives = cast("list[AttentiveTransformer]", list(network.attentives))
    attention = splitter(pattern, None, ghosts)[:, network.n_d :]
    prior: Tensor | None = None
    decisions, entropies = [], []
    nonzero = rows.with_values(rows.values != 0).to_dense() if network.nonzero_only else None
    steps: list[SparseRows] | None = [] if keep_steps else None
    for number, (attentive, transformer) in enumerate(zip(attentives, transformers, strict=True), start=1):
        go_on = number < len(transformers)
        mask, prior, entropy = attend(
            attentive, attention, prior, ghosts=ghosts, gamma=network.gamma, go_on=go_on, nonzero=nonzero
        )
        decision, attention = transformer(pattern, mask, ghosts).split([network.n_d, network.n_a], dim=1)
        decisions.append(F.relu(decision))
        entropies.append(entropy)
        if steps is not None:
            steps.append(SparseRows.from_dense(mask.detach()))
        del mask
    of_steps = torch.stack(decisions)
    entropy = torch.stack(entropies).sum() / (len(entropies) * max(rows.n_rows, 1))
    return Encoded(of_steps.sum(0), entropy, None if steps is None else Steps(of_steps.detach(), steps))


def _blocks(rows: SparseRows, size: int) -> Iterator[SparseRows]:
    """Runs of `size` rows; waits for the device where there are several."""
    if rows.n_rows <= size:
        yield rows
        return
    edges = [*range(0, rows.n_rows, size), rows.n_rows]
    starts = rows.indptr[edges].tolist()
    for low, high, start, stop in zip(edges[:-1], edges[1:], starts[:-1], starts[1:], strict=True):
        indptr = rows.indptr[low : high + 1] - start
        yield SparseRows(indptr, rows.indices[start:stop], rows.values[start:stop], rows.n_columns)


def _join(parts: list[Encoded]) -> Encoded:
    """Blocks of rows one below the other."""
    sizes = [len(part.embedding) for part in parts]
    embedding = torch.cat([part.embedding for part in parts])
    entropy = torch.stack([part.entropy * size for part, size in zip(parts, sizes, strict=True)]).sum() / sum(sizes)
    traces = [part.trace for part in parts if part.trace is not None]
    if not traces:
        return Encoded(embedding, entropy)
    masks = [_below(list(of_step)) for of_step in zip(*(each.masks for each in traces), strict=True)]
    return Encoded(embedding, entropy, Steps(torch.cat([each.decisions for each in traces], dim=1), masks))


def _below(parts: list[SparseRows]) -> SparseRows:
    """Rows of several pieces, in order."""
    counts = torch.cat([part.indptr.diff() for part in parts])
    indptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    indices = torch.cat([part.indices for part in parts])
    return SparseRows(indptr, indices, torch.cat([part.values for part in parts]), parts[0].n_columns)
