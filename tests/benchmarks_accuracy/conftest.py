"""The benchmarks are not part of the package: they are found beside the tests, and not tested where they are not."""

import logging
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if (ROOT / "benchmarks").exists():
    sys.path.insert(0, str(ROOT))
else:
    collect_ignore_glob = ["test_*.py"]

QUIETED = ("lightning.pytorch", "lightning", "sims_tools", "scvi")


@pytest.fixture(autouse=True)
def _loud_afterwards():
    """A command may quiet the libraries for the rest of its process; a test may not."""
    levels = {name: logging.getLogger(name).level for name in QUIETED}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
