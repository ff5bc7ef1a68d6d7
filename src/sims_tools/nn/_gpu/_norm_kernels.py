"""Triton kernels of the batch norm of scores: one program per chunk of rows and block of columns.

Annotations are evaluated here, unlike elsewhere in the package: Triton reads them.
"""

import triton  # type: ignore[import-not-found,unused-ignore]
import triton.language as tl  # type: ignore[import-not-found,unused-ignore]


@triton.jit(do_not_specialize=["n_rows", "chunk_size"])
def second_moment_kernel(
    scores: tl.tensor,
    out: tl.tensor,
    n_rows: tl.tensor,
    n_columns: tl.tensor,
    chunk_size: tl.tensor,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
) -> None:
    """Mean square of each column over the rows of a chunk; the last chunk takes all rows that are left."""
    chunk = tl.program_id(1)
    start = chunk * chunk_size
    stop = tl.where(chunk == tl.num_programs(1) - 1, n_rows, start + chunk_size)
    columns = tl.program_id(0) * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)
    total = tl.zeros((BLOCK_ROWS, BLOCK_COLUMNS), dtype=out.dtype.element_ty)
    for first in range(start, stop, BLOCK_ROWS):
        rows = first + tl.arange(0, BLOCK_ROWS)
        inside = (rows < stop)[:, None] & (columns < n_columns)[None, :]
        z = tl.load(scores + rows[:, None].to(tl.int64) * n_columns + columns[None, :], mask=inside, other=0.0)
        total += z * z
    moment = tl.sum(total, 0) / (stop - start).to(out.dtype.element_ty)
    tl.store(out + chunk.to(tl.int64) * n_columns + columns, moment, mask=columns < n_columns)


@triton.jit(do_not_specialize=["n_rows", "chunk_size"])
def norm_backward_kernel(
    grad: tl.tensor,
    scores: tl.tensor,
    scale: tl.tensor,
    rstd: tl.tensor,
    total: tl.tensor,
    along: tl.tensor,
    n_rows: tl.tensor,
    n_columns: tl.tensor,
    chunk_size: tl.tensor,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
) -> None:
    """Gradient of batch norm, in the place of the upstream one, and its sums; see `norm_backward` in `_torch_ops`.

    The second pass over the block finds it in the cache.
    """
    chunk = tl.program_id(1)
    start = chunk * chunk_size
    stop = tl.where(chunk == tl.num_programs(1) - 1, n_rows, start + chunk_size)
    columns = tl.program_id(0) * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)
    there = columns < n_columns
    sums = tl.zeros((BLOCK_ROWS, BLOCK_COLUMNS), dtype=grad.dtype.element_ty)
    products = tl.zeros((BLOCK_ROWS, BLOCK_COLUMNS), dtype=grad.dtype.element_ty)
    for first in range(start, stop, BLOCK_ROWS):
        rows = first + tl.arange(0, BLOCK_ROWS)
        inside = (rows < stop)[:, None] & there[None, :]
        places = rows[:, None].to(tl.int64) * n_columns + columns[None, :]
        upstream = tl.load(grad + places, mask=inside, other=0.0)
        sums += upstream
        products += upstream * tl.load(scores + places, mask=inside, other=0.0)
    summed = tl.sum(sums, 0)
    projected = tl.sum(products, 0)
    here = chunk.to(tl.int64) * n_columns + columns
    tl.store(total + here, summed, mask=there)
    tl.store(along + here, projected, mask=there)

    n = (stop - start).to(grad.dtype.element_ty)
    deviation = tl.load(rstd + here, mask=there, other=0.0)
    mean = (summed / n)[None, :]
    slope = (projected / n * deviation * deviation)[None, :]
    factor = tl.load(scale + here, mask=there, other=0.0)[None, :]
    for first in range(start, stop, BLOCK_ROWS):
        rows = first + tl.arange(0, BLOCK_ROWS)
        inside = (rows < stop)[:, None] & there[None, :]
        places = rows[:, None].to(tl.int64) * n_columns + columns[None, :]
        upstream = tl.load(grad + places, mask=inside, other=0.0)
        centred = tl.load(scores + places, mask=inside, other=0.0)
        tl.store(grad + places, factor * (upstream - mean - centred * slope), mask=inside)
