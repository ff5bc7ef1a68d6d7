"""Seeds that leave no trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def resolve_seed(random_state: int | None) -> int:
    """The seed itself, or one drawn from torch's random stream where it is None."""
    if random_state is None:
        return int(torch.randint(2**31 - 1, (1,)))
    return int(random_state)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch inside the block and restore its generators after it."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
