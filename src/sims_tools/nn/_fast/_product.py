"""Matrix product of small blocks that stay in the cache, to be called from other kernels."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic

from ._jit import Array, compiled, inlined, run_tasks
from ._memory import unset

LANES = 16
"""Columns are a multiple of this wherever a product is to be fast."""


def _registers() -> tuple[int, bool]:
    """Bytes of a vector register here, and whether there are 32 of them, not 16."""
    known = binding.get_host_cpu_features()
    if known.get("avx512vl", False):
        return 64, True
    return (32, False) if known.get("avx", False) else (16, bool(known.get("neon", False)))


_INDEX = ir.IntType(64)
_ROWS_OF_TASK = 256
BYTES, MANY = _registers()
"""Bytes of a register, and whether there are many of them."""

HALF = max(16, BYTES // 2)
"""Bytes of the smallest vector that is used."""

ROWS, _WIDE = (6, 4) if MANY else (6, 2)
"""Rows and vectors of a block whose sums fill the registers."""

_DEPTH, _MANY_ROWS = 128, 64
"""Columns and rows of the first factor from which a part of the second is copied to lie close together."""


@intrinsic
def _any_layout(typing_context: Any, array: Any) -> Any:
    """The same array with strides of any kind, so that what takes it is compiled once and not for each layout."""
    general = array.copy(layout="A")

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return impl_ret_borrowed(context, builder, general, args[0])

    return general(array), generate


def _address(builder: ir.IRBuilder, array: Any, places: tuple[ir.Value, ir.Value], kind: ir.Type) -> ir.Value:
    """Pointer to one element of a two-dimensional array, as one to `kind`."""
    strides = cgutils.unpack_tuple(builder, array.strides)
    steps = [builder.mul(place, stride) for place, stride in zip(places, strides, strict=True)]
    return cgutils.pointer_add(builder, array.data, builder.add(*steps), kind.as_pointer())


def _vectors(builder: ir.IRBuilder, start: ir.Value, n_vectors: int, n_bytes: int) -> list[ir.Value]:
    """Pointers to so many vectors that follow each other."""
    steps = [ir.Constant(_INDEX, n_bytes * v) for v in range(n_vectors)]
    return [cgutils.pointer_add(builder, start, step, start.type) for step in steps]


def _block(n_rows: int, n_vectors: int, n_bytes: int) -> Callable:
    """Intrinsic ``z[zi + r, zj + c] += sum_k a[i + r, start + k] b[row + k, j + c]``, k < size.

    Of n_rows rows and so many vectors of columns. What `z` holds counts only where `add`. The sums stay in registers.
    `a` may have any strides; rows of `b` and `z` are contiguous.
    """

    @intrinsic
    def block(
        typing_context: Any, a: Any, i: Any, start: Any, size: Any, b: Any, row: Any, j: Any, z: Any, zi: Any, zj: Any,
        add: Any,
    ) -> Any:  # fmt: skip
        signature = types.void(a, i, start, size, b, row, j, z, zi, zj, add)

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            element = context.get_value_type(a.dtype)
            item = context.get_abi_sizeof(element)
            lanes = n_bytes // item
            vector = ir.VectorType(element, lanes)
            first, second, out = (
                context.make_array(kind)(context, builder, args[at]) for at, kind in ((0, a), (4, b), (7, z))
            )
            rows = [[builder.add(args[at], ir.Constant(_INDEX, r)) for r in range(n_rows)] for at in (1, 8)]
            places = [
                _vectors(builder, _address(builder, out, (r, args[9]), vector), n_vectors, n_bytes) for r in rows[1]
            ]
            zero = ir.Constant(vector, [0.0] * lanes)
            sums = [[cgutils.alloca_once_value(builder, zero) for _ in line] for line in places]
            with builder.if_then(args[10]):
                for place, total in zip(chain(*places), chain(*sums), strict=True):
                    builder.store(builder.load(place, align=item), total)
            lane0 = ir.Constant(ir.IntType(32), 0)
            spread = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
            empty = ir.Constant(vector, ir.Undefined)
            with cgutils.for_range(builder, args[3]) as loop:
                line = _address(builder, second, (builder.add(args[5], loop.index), args[6]), vector)
                loaded = [builder.load(place, align=item) for place in _vectors(builder, line, n_vectors, n_bytes)]
                column = builder.add(args[2], loop.index)
                for r in range(n_rows):
                    scalar = builder.load(_address(builder, first, (rows[0][r], column), element))
                    factor = builder.shuffle_vector(builder.insert_element(empty, scalar, lane0), empty, spread)
                    for v in range(n_vectors):
                        term = builder.fmul(factor, loaded[v], flags=("contract",))
                        total = builder.fadd(builder.load(sums[r][v]), term, flags=("contract",))
                        builder.store(total, sums[r][v])
            for place, total in zip(chain(*places), chain(*sums), strict=True):
                builder.store(builder.load(total), place, align=item)
            return context.get_dummy_value()

        return signature, generate

    return block


def _copy(n_vectors: int, n_bytes: int) -> Callable:
    """Intrinsic ``panel[k, c] = b[row + k, j + c]``, k < size, of so many vectors of columns."""

    @intrinsic
    def copy(typing_context: Any, b: Any, row: Any, j: Any, size: Any, panel: Any) -> Any:
        signature = types.void(b, row, j, size, panel)

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            element = context.get_value_type(b.dtype)
            item = context.get_abi_sizeof(element)
            vector = ir.VectorType(element, n_bytes // item)
            second, out = (context.make_array(kind)(context, builder, args[at]) for at, kind in ((0, b), (4, panel)))
            with cgutils.for_range(builder, args[3]) as loop:
                line = _address(builder, second, (builder.add(args[1], loop.index), args[2]), vector)
                to = _address(builder, out, (loop.index, ir.Constant(_INDEX, 0)), vector)
                for place, own in zip(*(_vectors(builder, at, n_vectors, n_bytes) for at in (line, to)), strict=True):
                    builder.store(builder.load(place, align=item), own, align=item)
            return context.get_dummy_value()

        return signature, generate

    return copy


def _columns(n_vectors: int, n_bytes: int) -> Callable:
    """Product of some rows with a part of so many vectors of columns, copied to `panel` if it has rows."""
    block, row, copy = _block(ROWS, n_vectors, n_bytes), _block(1, n_vectors, n_bytes), _copy(n_vectors, n_bytes)

    @inlined
    def columns(
        a: Array, i: int, n_rows: int, start: int, size: int, b: Array, j: int, panel: Array, z: Array, zi: int,
        zj: int, add: bool,
    ) -> None:  # fmt: skip
        own, k, at = b, start, j
        if len(panel) > 0:
            copy(b, start, j, size, panel)
            own, k, at = panel, 0, 0
        last_block = n_rows - n_rows % ROWS
        for r in range(0, last_block, ROWS):
            block(a, i + r, start, size, own, k, at, z, zi + r, zj, add)
        for r in range(last_block, n_rows):
            row(a, i + r, start, size, own, k, at, z, zi + r, zj, add)

    return columns


_wide, _narrow, _half = (_columns(*shape) for shape in ((_WIDE, BYTES), (1, BYTES), (1, HALF)))


@compiled
def _product(
    a: Array, i: int, n_rows: int, b: Array, j: int, n_columns: int, z: Array, zi: int, zj: int, add: bool
) -> None:
    """``z[zi + r, zj + c] = sum_k a[i + r, k] b[k, j + c]``, or added to it; any layouts."""
    depth = a.shape[1]
    wide, narrow, half = _WIDE * BYTES // z.itemsize, BYTES // z.itemsize, HALF // z.itemsize
    panel = _any_layout(np.empty((min(depth, _DEPTH) if n_rows >= _MANY_ROWS else 0, wide), z.dtype))
    c = 0
    while c + half <= n_columns:
        step = wide if c + wide <= n_columns else narrow if c + narrow <= n_columns else half
        for start in range(0, depth, _DEPTH):
            size, more = min(_DEPTH, depth - start), add or start > 0
            if step == wide:
                _wide(a, i, n_rows, start, size, b, j + c, panel, z, zi, zj + c, more)
            elif step == narrow:
                _narrow(a, i, n_rows, start, size, b, j + c, panel, z, zi, zj + c, more)
            else:
                _half(a, i, n_rows, start, size, b, j + c, panel, z, zi, zj + c, more)
        c += step
    for r in range(n_rows):
        for last in range(c, n_columns):
            total = z[zi + r, zj + last] if add else z.dtype.type(0)
            for k in range(depth):
                total += a[i + r, k] * b[k, j + last]
            z[zi + r, zj + last] = total


@inlined
def set_product(a: Array, i: int, n_rows: int, b: Array, j: int, n_columns: int, z: Array, zi: int, zj: int) -> None:
    """``z[zi + r, zj + c] = sum_k a[i + r, k] b[k, j + c]`` for n_rows rows and n_columns columns."""
    _product(
        _any_layout(a), np.int64(i), np.int64(n_rows), _any_layout(b), np.int64(j), np.int64(n_columns),
        _any_layout(z), np.int64(zi), np.int64(zj), False,
    )  # fmt: skip


@inlined
def add_product(a: Array, i: int, n_rows: int, b: Array, j: int, n_columns: int, z: Array, zi: int, zj: int) -> None:
    """The same, added to what `z` holds."""
    _product(
        _any_layout(a), np.int64(i), np.int64(n_rows), _any_layout(b), np.int64(j), np.int64(n_columns),
        _any_layout(z), np.int64(zi), np.int64(zj), True,
    )  # fmt: skip


@compiled
def _product_rows(task: int, a: Array, b: Array, out: Array) -> None:
    first = task * _ROWS_OF_TASK
    n_rows = min(_ROWS_OF_TASK, len(a) - first)
    set_product(a, first, n_rows, b, 0, b.shape[1], out, first, 0)


def matmul(a: Array, b: Array) -> Array:
    """``a @ b`` with the same bits on any number of threads.

    Parameters
    ----------
    a
        (m, k), any strides.
    b
        (k, n).

    Returns
    -------
    (m, n).
    """
    out = unset((len(a), b.shape[1]), b.dtype)
    run_tasks(_product_rows, -(-len(a) // _ROWS_OF_TASK), a, np.ascontiguousarray(b), out)
    return out
