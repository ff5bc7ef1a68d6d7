"""How many threads a network should use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn

from sims_tools.nn import steady_threads
from sims_tools.nn._paths import cpu_kernels

_VALUES_PER_THREAD = 1 << 20


def training_threads(network: nn.Module, batch_size: int, n_genes: int) -> AbstractContextManager[None]:
    """Threads for the training of a network on minibatches of a size, inside the block."""
    if _has_kernels(network):
        return steady_threads()
    return enough_threads(batch_size, n_genes * getattr(network, "values_per_feature", 1))


def inference_threads(network: nn.Module) -> AbstractContextManager[None]:
    """Threads for prediction with a network, inside the block."""
    return steady_threads() if _has_kernels(network) else nullcontext()


def repeatable_threads(network: nn.Module, n_threads: int | None = None) -> AbstractContextManager[None]:
    """Threads with which a network says the same to the bit on any machine, however many threads it may use.

    Compiled kernels take all; torch's sums depend on the number of threads, so a network without kernels takes one.

    Parameters
    ----------
    network
        Of a model.
    n_threads
        Threads it may use; None is what torch uses.
    """
    shared = _has_kernels(network) and cpu_kernels() is not None
    return limited_threads((n_threads or torch.get_num_threads()) if shared else 1)


@contextmanager
def limited_threads(n_threads: int) -> Iterator[None]:
    """Let torch, and the kernels that go by it, use so many threads inside the block, and BLAS one."""
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


def _has_kernels(network: nn.Module) -> bool:
    """Whether a network takes minibatches sparse, and so brings kernels that share their work among threads."""
    return bool(getattr(network, "accepts_sparse", False))


@contextmanager
def enough_threads(batch_size: int, n_genes: int) -> Iterator[None]:
    """Use one thread for each million values of a minibatch inside the block; put the number back after it.

    Threads of a small dense network wait for each other at every operation. Where another process wants the same cores
    that costs more than it gains; alone, it gives some speed away.

    Parameters
    ----------
    batch_size, n_genes
        Size of a minibatch: cells, and values of each. A network that makes many values of each feature says so by
        `values_per_feature`.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(before, batch_size * n_genes // _VALUES_PER_THREAD)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
