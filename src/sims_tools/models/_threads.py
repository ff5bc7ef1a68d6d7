"""How many threads a small network should use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_VALUES_PER_THREAD = 1 << 20


@contextmanager
def enough_threads(batch_size: int, n_genes: int) -> Iterator[None]:
    """Use no more threads inside the block than a minibatch keeps busy, and put the number back after it.

    The operations of a small network take less time than handing them to several threads, and where another process
    wants the same cores the threads wait for each other: training then took ten times as long with two threads as
    with one.

    Parameters
    ----------
    batch_size, n_genes
        Size of a minibatch.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(before, batch_size * n_genes // _VALUES_PER_THREAD)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
