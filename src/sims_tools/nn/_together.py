"""TabNets that look at the same cells: what they say, and one mask for what all of them call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from ._explanation import SHARES, weighted_sum
from ._output import Trace
from ._paths import together
from ._rows import SparseRows

if TYPE_CHECKING:
    from ._tabnet import TabNet


class Reading(NamedTuple):
    """What networks make of B cells.

    Attributes
    ----------
    logits
        (n_networks, B, n_classes).
    embedding
        (n_networks, B, n_d).
    penalty
        (n_networks,).
    trace
        What their steps did: `decisions` (n_networks, S, B, n_d), and `join` from weights (n_networks, S, B) to a sum
        of masks. None unless asked for.
    """

    logits: Tensor
    embedding: Tensor
    penalty: Tensor
    trace: Any


class _Several(NamedTuple):
    """Traces of several networks as one."""

    traces: Sequence[Trace]

    @property
    def decisions(self) -> Tensor:
        return torch.stack([each.decisions for each in self.traces])

    def join(self, weights: Tensor) -> Tensor | SparseRows:
        joined: list[Any] = [each.join(own) for each, own in zip(self.traces, weights, strict=True)]
        return joined[0] if len(joined) == 1 else weighted_sum(joined, weights.new_ones(weights.shape[::2]))


def read(networks: Sequence[TabNet], x: Tensor | SparseRows, *, explain: bool) -> Reading:
    """Let TabNets of as many steps and classes look at cells, at once where there is a way to do that.

    Parameters
    ----------
    networks
        One or more.
    x
        (B, p) features.
    explain
        Keep what the steps did.
    """
    found = together(networks, x) if isinstance(x, SparseRows) else None
    if found is None:
        each = [network.encode(x, keep_steps=explain) for network in networks]
        embedding, entropy = (torch.stack(parts) for parts in zip(*(one[:2] for one in each), strict=True))
        trace: Any = _Several([one.trace for one in each if one.trace is not None])
    else:
        embedding, entropy, _, trace = found
    penalty = torch.stack([_penalty(network, own) for network, own in zip(networks, entropy, strict=True)])
    logits = torch.stack([network.head(own) for network, own in zip(networks, embedding, strict=True)])
    return Reading(logits, embedding, penalty, trace if explain else None)


def _penalty(network: TabNet, entropy: Tensor) -> Tensor:
    return network.sparsity * entropy if network.sparsity else entropy.new_zeros((), dtype=torch.float32)


@torch.no_grad()
def explanation(networks: Sequence[TabNet], reading: Reading, called: Tensor) -> Tensor | SparseRows:
    """One mask (B, p) for each cell: those of all networks and steps, averaged as the first network says.

    Parameters
    ----------
    networks, reading
        The networks and what they said.
    called
        (B,) class of each cell.
    """
    heads = torch.stack([network.head.weight for network in networks])
    return reading.trace.join(SHARES[networks[0].step_weights](reading.trace.decisions, heads, called))
