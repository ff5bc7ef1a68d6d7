"""Ways to compute TabNet on sparse rows, and which of them suits the machine at hand."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

import torch

from ._output import Encoded
from ._rows import SparseRows

if TYPE_CHECKING:
    from ._tabnet import TabNet


def encode(network: TabNet, rows: SparseRows, *, explain: bool = False, keep_steps: bool = False) -> Encoded:
    """Everything of TabNet but its head, computed the quickest way there is.

    On the CPU compiled kernels, on CUDA kernels of its own, otherwise the plain network on dense features. All compute
    the same function.

    Parameters
    ----------
    network
        In training mode its running statistics are updated.
    rows
        (B, p) features.
    explain
        Return the masks averaged over the steps.
    keep_steps
        Return the mask of each step.
    """
    if rows.shape[1] != network.n_input:
        raise ValueError(f"Expected features of shape (n_obs, {network.n_input}), found {rows.shape}.")
    path = _path(network, rows)
    if path is None:
        return _encode_dense(network, rows, explain=explain, keep_steps=keep_steps)
    return path.encode(network, rows, explain=explain, keep_steps=keep_steps)


def _encode_dense(network: TabNet, rows: SparseRows, *, explain: bool, keep_steps: bool) -> Encoded:
    """The same by the plain network."""
    from ._tabnet import joined_masks

    embedding, entropy, steps = network.run(rows.to_dense(), keep_steps=explain or keep_steps)
    masks = SparseRows.from_dense(joined_masks(steps).detach()) if explain else None
    kept = [SparseRows.from_dense(step.mask.detach()) for step in steps] if keep_steps else None
    return Encoded(embedding, entropy, masks, kept)


def _path(network: TabNet, rows: SparseRows) -> ModuleType | None:
    """The module whose `encode` suits; None for the plain network."""
    types = {each.dtype for each in network.parameters()} | {rows.dtype}
    if rows.n_rows == 0 or rows.values.requires_grad or types not in ({torch.float32}, {torch.float64}):
        return None
    if rows.device.type == "cpu":
        return cpu_kernels()
    return _gpu() if rows.device.type == "cuda" and _gpu().supported(network, rows) else None


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
