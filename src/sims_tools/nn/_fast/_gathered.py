"""Weighted sums of rows of a dense matrix, to be called from other kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ._jit import Array, compiled
from ._product import BYTES, HALF, MANY

_INDEX = ir.IntType(64)
_LONG, _WIDE = (16, 4) if MANY else (8, 2)
"""Vectors of a line whose sums fill the registers, and of a shorter one."""


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


_gathered_long, _gathered_wide = _gathered(_LONG, BYTES), _gathered(_WIDE, BYTES)
_gathered_narrow, _gathered_half = _gathered(1, BYTES), _gathered(1, HALF)


@compiled
def add_gathered(values: Array, indices: Array, at: int, end: int, dense: Array, out: Array, row: int) -> None:
    """``out[row] += sum_e values[e] * dense[indices[e]]`` over e = at ... end - 1."""
    n = dense.shape[1]
    c, step = 0, _LONG * BYTES // out.itemsize
    while c + step <= n:
        _gathered_long(values, indices, at, end, dense, out, row, c)
        c += step
    step = _WIDE * BYTES // out.itemsize
    while c + step <= n:
        _gathered_wide(values, indices, at, end, dense, out, row, c)
        c += step
    step = BYTES // out.itemsize
    while c + step <= n:
        _gathered_narrow(values, indices, at, end, dense, out, row, c)
        c += step
    step = HALF // out.itemsize
    while c + step <= n:
        _gathered_half(values, indices, at, end, dense, out, row, c)
        c += step
    for e in range(at, end):
        for last in range(c, n):
            out[row, last] += values[e] * dense[indices[e], last]
