"""Ways to compute TabNet on sparse rows, and which of them suits the machine at hand."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ._explanation import Steps
from ._output import Encoded
from ._rows import SparseRows

if TYPE_CHECKING:
    from ._tabnet import TabNet


def encode(network: TabNet, rows: SparseRows, *, keep_steps: bool = False) -> Encoded:
    """Everything of TabNet but its head, computed the quickest way there is.

    On the CPU compiled kernels, on CUDA kernels of its own, otherwise the plain network on dense features. All compute
    the same function.

    Parameters
    ----------
    network
        In training mode its running statistics are updated.
    rows
        (B, p) features.
    keep_steps
        Return what the steps did.
    """
    if rows.shape[1] != network.n_input:
        raise ValueError(f"Expected features of shape (n_obs, {network.n_input}), found {rows.shape}.")
    path = _path(network, rows)
    if path is None:
        return _encode_dense(network, rows, keep_steps=keep_steps)
    return path.encode(network, rows, keep_steps=keep_steps)


def together(networks: Sequence[TabNet], rows: SparseRows) -> Any:
    """Several networks at once, or one, where compiled kernels have a way to do that; None where not.

    Parameters
    ----------
    networks, rows
        As for :func:`encode`.

    Returns
    -------
    Embeddings (n_networks, B, n_d), entropies (n_networks,), decisions (n_networks, S, B, n_d), and what has `join`,
    from weights (n_networks, S, B) to the sum of all masks, and the decisions without gradients.
    """
    if rows.device.type != "cpu" or not _readable(rows) or any(rows.shape[1] != each.n_input for each in networks):
        return None
    kernels = cpu_kernels()
    return None if kernels is None else kernels.encode_together(networks, rows)


def _encode_dense(network: TabNet, rows: SparseRows, *, keep_steps: bool) -> Encoded:
    """The same by the plain network."""
    embedding, entropy, trace = network.run(rows.to_dense(), keep_steps=keep_steps)
    if trace is None:
        return Encoded(embedding, entropy)
    return Encoded(
        embedding,
        entropy,
        Steps(trace.decisions, [SparseRows.from_dense(mask) for mask in trace.masks if isinstance(mask, Tensor)]),
    )


def _path(network: TabNet, rows: SparseRows) -> ModuleType | None:
    """The module whose `encode` suits; None for the plain network."""
    if not _readable(rows) or any(each.dtype != rows.dtype for each in network.parameters()):
        return None
    if rows.device.type == "cpu":
        return cpu_kernels()
    return _gpu() if rows.device.type == "cuda" and _gpu().supported(network, rows) else None


def _readable(rows: SparseRows) -> bool:
    """Whether kernels can work on such features."""
    return rows.n_rows > 0 and not rows.values.requires_grad and rows.dtype in (torch.float32, torch.float64)


@cache
def cpu_kernels() -> ModuleType | None:
    """The compiled kernels, where they can run."""
    try:
        from . import _fast

        _fast.check()
    except Exception as error:  # noqa: BLE001 - whatever the compiler may say
        log = logging.getLogger("sims_tools")
        log.warning("Compiled kernels cannot run here, so TabNet runs without them, slowly: %s", error)
        return None
    return _fast


@cache
def _gpu() -> ModuleType:
    from . import _gpu

    return _gpu


@contextmanager
def steady_threads() -> Iterator[None]:
    """Leave the threads to the compiled kernels inside the block: torch itself uses one.

    Kernels give the same bits on any number of threads, torch's sums do not. Where kernels cannot run nothing changes.
    """
    path, before = cpu_kernels(), torch.get_num_threads()
    if path is None:
        yield
        return
    torch.set_num_threads(1)
    try:
        with path.kernel_threads(before):
            yield
    finally:
        torch.set_num_threads(before)
        path.release_memory()
