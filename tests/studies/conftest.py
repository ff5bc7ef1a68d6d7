"""Cells of a study without an object around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anndata as ad
import pytest

from sims_tools.studies._cells import StudyCells, read_cells


def _read(adata: ad.AnnData, labels_key: str = "cell_type", **how: Any) -> StudyCells:
    return read_cells(
        adata, labels_key, **{"layer": None, "unlabeled_category": "Unknown", "input_kind": "auto", **how}
    )


@pytest.fixture(scope="session")
def read() -> Callable[..., StudyCells]:
    return _read


@pytest.fixture
def study_cells(cells: ad.AnnData) -> StudyCells:
    return _read(cells)
