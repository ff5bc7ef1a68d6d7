"""Which of several processes this one is."""

from __future__ import annotations

import os
import sys


def is_first_process() -> bool:
    """Whether this process is the first, or the only one, of those that train together.

    Before they know of each other it goes by what torchrun and Lightning tell each process.
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return bool(distributed.get_rank() == 0)
    if "RANK" in os.environ:
        return os.environ["RANK"] == "0"
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"
