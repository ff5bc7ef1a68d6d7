"""The console command `sims-tools`: thin over `tl`."""

from ._main import main

__all__ = ["main"]
