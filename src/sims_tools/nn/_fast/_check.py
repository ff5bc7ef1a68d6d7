"""Whether compiled kernels can run on this machine."""

from __future__ import annotations

import numpy as np

from ._product import matmul


def check() -> None:
    """Multiply two small matrices with the kernel on which all others stand.

    Raises
    ------
    RuntimeError
        The product is wrong. A kernel that does not compile raises what the compiler says.
    """
    a, b = (np.arange(m * n, dtype=np.float32).reshape(m, n) for m, n in ((4, 6), (6, 11)))
    if not np.allclose(matmul(a, b), np.einsum("ik,kj->ij", a, b)):
        raise RuntimeError("a product of two matrices came out wrong")
