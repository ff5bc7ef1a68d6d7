"""One logger for the package, warnings that point at the user's line, and quiet for the libraries underneath."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger("sims_tools")

_NOISY = ("lightning", "lightning.pytorch", "lightning.fabric", "pytorch_lightning", "scvi")


def warn_user(message: str) -> None:
    """Warn at the line, outside the package, that called into it."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith("sims_tools"):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Lower scvi's and Lightning's chatter inside the block and put everything back after it."""
    loggers = [logging.getLogger(name) for name in _NOISY]
    levels = [each.level for each in loggers]
    try:
        for each in loggers:
            each.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            warnings.filterwarnings("ignore", module=r"scvi\..*")
            warnings.filterwarnings("ignore", message=".*LeafSpec.*")
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
