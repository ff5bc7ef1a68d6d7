"""Matrix product of small blocks that stay in the cache, to be called from other kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ._jit import Array, compiled, run_tasks
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
_BYTES, _MANY = _registers()
_HALF = max(16, _BYTES // 2)
ROWS, _WIDE, _LONG = (6, 4, 16) if _MANY else (6, 2, 8)
"""Rows and vectors of a block, and vectors of a gathered line, whose sums fill the registers."""

_DEPTH, _MANY_ROWS = 128, 64
"""Columns and rows of the first factor from which a part of the second is copied to lie close together."""


def _block(n_rows: int, n_vectors: int, n_bytes: int) -> Callable:
    """Intrinsic ``z[zi + r, zj + c] += sum_k a[i + r, k] b[k, j + c]`` of n_rows rows and so many vectors of columns.

    The sums stay in registers. `a` may have any strides; rows of `b` and `z` are contiguous.
    """

    @intrinsic
    def block(typing_context: Any, a: Any, i: Any, b: Any, j: Any, z: Any, zi: Any, zj: Any) -> Any:
        signature = types.void(a, i, b, j, z, zi, zj)

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            element = context.get_value_type(a.dtype)
            size = context.get_abi_sizeof(element)
            lanes = n_bytes // size
            vector = ir.VectorType(element, lanes)
            first, row, second, column, out, out_row, out_column = args
            first, second, out = (
                context.make_array(kind)(context, builder, value) for kind, value in ((a, first), (b, second), (z, out))
            )

            def address(array: Any, at: ir.Value, offset: ir.Value, kind: ir.Type) -> ir.Value:
                strides = cgutils.unpack_tuple(builder, array.strides)
                place = builder.add(builder.mul(at, strides[0]), builder.mul(offset, strides[1]))
                return cgutils.pointer_add(builder, array.data, place, kind.as_pointer())

            def vectors(array: Any, at: ir.Value, offset: ir.Value) -> list[ir.Value]:
                start = address(array, at, offset, element)
                steps = [ir.Constant(_INDEX, n_bytes * v) for v in range(n_vectors)]
                return [cgutils.pointer_add(builder, start, step, vector.as_pointer()) for step in steps]

            rows = [builder.add(row, ir.Constant(_INDEX, r)) for r in range(n_rows)]
            places = [vectors(out, builder.add(out_row, ir.Constant(_INDEX, r)), out_column) for r in range(n_rows)]
            sums = [
                [cgutils.alloca_once_value(builder, builder.load(place, align=size)) for place in line]
                for line in places
            ]
            lane0 = ir.Constant(ir.IntType(32), 0)
            spread = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
            empty = ir.Constant(vector, ir.Undefined)
            with cgutils.for_range(builder, cgutils.unpack_tuple(builder, first.shape)[1]) as loop:
                loaded = [builder.load(place, align=size) for place in vectors(second, loop.index, column)]
                for r in range(n_rows):
                    scalar = builder.load(address(first, rows[r], loop.index, element))
                    factor = builder.shuffle_vector(builder.insert_element(empty, scalar, lane0), empty, spread)
                    for v in range(n_vectors):
                        term = builder.fmul(factor, loaded[v], flags=("contract",))
                        total = builder.fadd(builder.load(sums[r][v]), term, flags=("contract",))
                        builder.store(total, sums[r][v])
            for r in range(n_rows):
                for v in range(n_vectors):
                    builder.store(builder.load(sums[r][v]), places[r][v], align=size)
            return context.get_dummy_value()

        return signature, generate

    return block


def _panels(n_vectors: int, n_bytes: int, *, add: bool) -> Callable:
    """Product over panels of so many vectors of columns, from column `c` on; returns the first column left."""
    block, row = (_block(n, n_vectors, n_bytes) for n in (ROWS, 1))

    @compiled
    def panels(
        a: Array, i: int, n_rows: int, b: Array, j: int, c: int, n_columns: int, z: Array, zi: int, zj: int
    ) -> int:
        step = n_vectors * n_bytes // z.itemsize
        last_block, depth = n_rows - n_rows % ROWS, a.shape[1]
        if c + step > n_columns:
            return c
        packed = n_rows >= _MANY_ROWS
        panel = np.empty((min(depth, _DEPTH) if packed else 0, step), z.dtype)
        while c + step <= n_columns:
            for start in range(0, depth, _DEPTH):
                size = min(_DEPTH, depth - start)
                part, own, at = a[:, start : start + size], b[start : start + size], j + c
                if packed:
                    for k in range(size):
                        for column in range(step):
                            panel[k, column] = own[k, at + column]
                    own, at = panel[:size], 0
                if start == 0 and not add:
                    z[zi : zi + n_rows, zj + c : zj + c + step] = 0
                for r in range(0, last_block, ROWS):
                    block(part, i + r, own, at, z, zi + r, zj + c)
                for r in range(last_block, n_rows):
                    row(part, i + r, own, at, z, zi + r, zj + c)
            c += step
        return c

    return panels


def _product(*, add: bool) -> Callable:
    wide, narrow, half = (_panels(*shape, add=add) for shape in ((_WIDE, _BYTES), (1, _BYTES), (1, _HALF)))

    @compiled
    def product(a: Array, i: int, n_rows: int, b: Array, j: int, n_columns: int, z: Array, zi: int, zj: int) -> None:
        c = wide(a, i, n_rows, b, j, 0, n_columns, z, zi, zj)
        c = narrow(a, i, n_rows, b, j, c, n_columns, z, zi, zj)
        c = half(a, i, n_rows, b, j, c, n_columns, z, zi, zj)
        for r in range(n_rows):
            for last in range(c, n_columns):
                total = z[zi + r, zj + last] if add else z.dtype.type(0)
                for k in range(a.shape[1]):
                    total += a[i + r, k] * b[k, j + last]
                z[zi + r, zj + last] = total

    return product


set_product = _product(add=False)
"""``z[zi + r, zj + c] = sum_k a[i + r, k] b[k, j + c]`` for n_rows rows and n_columns columns."""

add_product = _product(add=True)
"""The same, added to what `z` holds."""


def _gathered(n_vectors: int, n_bytes: int) -> Callable:
    """Intrinsic ``z[r, c + i] += sum_e values[e] * b[indices[e], c + i]`` over so many vectors of columns."""

    @intrinsic
    def gathered(
        typing_context: Any, values: Any, indices: Any, at: Any, end: Any, b: Any, z: Any, r: Any, c: Any
    ) -> Any:
        signature = types.void(values, indices, at, end, b, z, r, c)

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            element, integer = context.get_value_type(b.dtype), context.get_value_type(indices.dtype)
            size = context.get_abi_sizeof(element)
            lanes = n_bytes // size
            vector = ir.VectorType(element, lanes)
            numbers, columns, dense, out = (
                context.make_array(kind)(context, builder, args[i])
                for i, kind in ((0, values), (1, indices), (4, b), (5, z))
            )

            def vectors(array: Any, row: ir.Value) -> list[ir.Value]:
                stride = cgutils.unpack_tuple(builder, array.strides)[0]
                start = builder.add(builder.mul(row, stride), builder.mul(args[7], ir.Constant(_INDEX, size)))
                steps = [builder.add(start, ir.Constant(_INDEX, n_bytes * v)) for v in range(n_vectors)]
                return [cgutils.pointer_add(builder, array.data, step, vector.as_pointer()) for step in steps]

            places = vectors(out, args[6])
            sums = [cgutils.alloca_once_value(builder, builder.load(place, align=size)) for place in places]
            lane0 = ir.Constant(ir.IntType(32), 0)
            spread = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
            empty = ir.Constant(vector, ir.Undefined)
            with cgutils.for_range_slice(builder, args[2], args[3], ir.Constant(_INDEX, 1), _INDEX, inc=True) as (e, _):
                row = builder.load(builder.gep(columns.data, [e]))
                row = builder.sext(row, _INDEX) if integer.width < 64 else row
                value = builder.load(builder.gep(numbers.data, [e]))
                factor = builder.shuffle_vector(builder.insert_element(empty, value, lane0), empty, spread)
                for total, place in zip(sums, vectors(dense, row), strict=True):
                    term = builder.fmul(factor, builder.load(place, align=size), flags=("contract",))
                    builder.store(builder.fadd(builder.load(total), term, flags=("contract",)), total)
            for total, place in zip(sums, places, strict=True):
                builder.store(builder.load(total), place, align=size)
            return context.get_dummy_value()

        return signature, generate

    return gathered


_gathered_long, _gathered_wide = _gathered(_LONG, _BYTES), _gathered(_WIDE, _BYTES)
_gathered_narrow, _gathered_half = _gathered(1, _BYTES), _gathered(1, _HALF)


@compiled
def add_gathered(values: Array, indices: Array, at: int, end: int, dense: Array, out: Array, row: int) -> None:
    """``out[row] += sum_e values[e] * dense[indices[e]]`` over e = at ... end - 1."""
    n = dense.shape[1]
    c, step = 0, _LONG * _BYTES // out.itemsize
    while c + step <= n:
        _gathered_long(values, indices, at, end, dense, out, row, c)
        c += step
    step = _WIDE * _BYTES // out.itemsize
    while c + step <= n:
        _gathered_wide(values, indices, at, end, dense, out, row, c)
        c += step
    step = _BYTES // out.itemsize
    while c + step <= n:
        _gathered_narrow(values, indices, at, end, dense, out, row, c)
        c += step
    step = _HALF // out.itemsize
    while c + step <= n:
        _gathered_half(values, indices, at, end, dense, out, row, c)
        c += step
    for e in range(at, end):
        for last in range(c, n):
            out[row, last] += values[e] * dense[indices[e], last]


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
