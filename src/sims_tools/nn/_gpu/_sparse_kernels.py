"""Triton kernels that read the stored entries of a minibatch: one program per line (row or column).

Annotations are evaluated here, unlike elsewhere in the package: Triton reads them.
"""

import triton  # type: ignore[import-not-found,unused-ignore]
import triton.language as tl  # type: ignore[import-not-found,unused-ignore]


@triton.jit
def product_kernel(
    starts: tl.tensor,
    others: tl.tensor,
    values: tl.tensor,
    mask: tl.tensor,
    line_stride: tl.tensor,
    other_stride: tl.tensor,
    table: tl.tensor,
    out: tl.tensor,
    width: tl.tensor,
    BLOCK_ENTRIES: tl.constexpr,
    BLOCK_WIDTH: tl.constexpr,
) -> None:
    """out[line] = sum over its entries of value * mask[line, other] * table[other]; `mask` may be None."""
    line = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * BLOCK_WIDTH + tl.arange(0, BLOCK_WIDTH)
    start = tl.load(starts + line)
    stop = tl.load(starts + line + 1)
    total = tl.zeros((BLOCK_ENTRIES, BLOCK_WIDTH), dtype=out.dtype.element_ty)
    for first in range(start, stop, BLOCK_ENTRIES):
        entries = first + tl.arange(0, BLOCK_ENTRIES)
        stored = entries < stop
        other = tl.load(others + entries, mask=stored, other=0).to(tl.int64)
        weight = tl.load(values + entries, mask=stored, other=0.0)
        if mask is not None:
            weight *= tl.load(mask + line * line_stride + other * other_stride, mask=stored, other=0.0)
        used = weight != 0
        if tl.max(used.to(tl.int32), 0) > 0:
            inside = used[:, None] & (columns < width)[None, :]
            total += weight[:, None] * tl.load(
                table + other[:, None] * width + columns[None, :], mask=inside, other=0.0
            )
    tl.store(out + line * width + columns, tl.sum(total, 0), mask=columns < width)


@triton.jit
def add_sampled_kernel(
    starts: tl.tensor,
    others: tl.tensor,
    values: tl.tensor,
    mask: tl.tensor,
    left: tl.tensor,
    table: tl.tensor,
    out: tl.tensor,
    n_columns: tl.tensor,
    width: tl.tensor,
    BLOCK_ENTRIES: tl.constexpr,
    BLOCK_WIDTH: tl.constexpr,
) -> None:
    """out[row, column] += value * <left[row], table[column]> at the entries of a row where `mask` is not zero."""
    row = tl.program_id(0).to(tl.int64)
    start = tl.load(starts + row)
    stop = tl.load(starts + row + 1)
    for first in range(start, stop, BLOCK_ENTRIES):
        entries = first + tl.arange(0, BLOCK_ENTRIES)
        stored = entries < stop
        other = tl.load(others + entries, mask=stored, other=0).to(tl.int64)
        used = stored & (tl.load(mask + row * n_columns + other, mask=stored, other=0.0) != 0)
        if tl.max(used.to(tl.int32), 0) > 0:
            dot = tl.zeros((BLOCK_ENTRIES,), dtype=out.dtype.element_ty)
            for lowest in range(0, width, BLOCK_WIDTH):
                columns = lowest + tl.arange(0, BLOCK_WIDTH)
                factor = tl.load(left + row * width + columns, mask=columns < width, other=0.0)
                inside = used[:, None] & (columns < width)[None, :]
                tile = tl.load(table + other[:, None] * width + columns[None, :], mask=inside, other=0.0)
                dot += tl.sum(tile * factor[None, :], 1)
            value = tl.load(values + entries, mask=used, other=0.0)
            place = out + row * n_columns + other
            tl.store(place, tl.load(place, mask=used, other=0.0) + value * dot, mask=used)
