"""How many threads a small network should use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_VALUES_PER_THREAD = 1 << 20


@contextmanager
def enough_threads(batch_size: int, n_genes: int) -> Iterator[None]:
    """Use one thread for each million values of a minibatch inside the block; put the number back after it.

    Threads of a small network wait for each other at every operation. Where another process wants the same cores that
    costs more than it gains; alone, it gives some speed away (`benchmarks/threads.py`).

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
