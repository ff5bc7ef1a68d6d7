"""A whole matrix in memory on a linear scale, ready for rows to be taken from it at random."""

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData
from scipy import sparse

from ._blocks import iter_blocks
from ._kind import InputKind
from ._matrix import canonical


def linear_matrix(
    adata: AnnData, layer: str | None, kind: InputKind, totals: np.ndarray | None = None
) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Read an object whole.

    Parameters
    ----------
    adata
        Any AnnData; it is only read.
    layer
        Name of the layer; None reads `.X`.
    kind
        What its values are.
    totals
        (n_obs,) totals of the cells where they are known; None sums the rows.

    Returns
    -------
    The linear values (n_obs, n_vars), CSR with rising columns and of any numeric type, which share memory with the
    object where that holds such a matrix; and the totals (n_obs,).

    Raises
    ------
    ValueError
        A value that was read is negative, NaN or infinite; where neither values nor totals were needed, none was.
    """
    matrix: Any = None if adata.is_view else (adata.X if layer is None else adata.layers[layer])
    shared = sparse.issparse(matrix) and matrix.format == "csr" and kind.scale != "log1p"
    if shared and totals is not None:
        return canonical(matrix), totals
    blocks, sums = [], []
    for start, block in iter_blocks(adata, layer):
        known = None if totals is None else totals[start : start + block.shape[0]]
        linear, found = kind.to_linear(block, known)
        sums.append(found)
        if not shared:
            blocks.append(linear)
    return canonical(matrix if shared else sparse.vstack(blocks, format="csr")), np.concatenate(sums)
