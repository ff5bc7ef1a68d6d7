"""Vector instructions that the compiler does not come to on its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ._product import LANES

UNROLLED = 4
"""Vectors at a time, of a line whose length is a multiple of as many."""

_WORD, _SHORT = ir.IntType(64), ir.IntType(32)


def _vector(element: ir.Type, value: float) -> ir.Constant:
    return ir.Constant(ir.VectorType(element, LANES), [value] * LANES)


def _spread(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """A vector of one value."""
    vector = ir.VectorType(value.type, LANES)
    lane0 = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(_SHORT, 0))
    return builder.shuffle_vector(lane0, lane0, ir.Constant(ir.VectorType(_SHORT, LANES), [0] * LANES))


def _place(context: Any, builder: ir.IRBuilder, kind: Any, array: ir.Value, at: ir.Value) -> tuple[ir.Value, int]:
    """Pointer to the vector that begins at one element of a contiguous array, and the size of an element."""
    element = context.get_value_type(kind.dtype)
    size = context.get_abi_sizeof(element)
    data = context.make_array(kind)(context, builder, array).data
    offset = builder.mul(at, ir.Constant(_WORD, size))
    return cgutils.pointer_add(builder, data, offset, ir.VectorType(element, LANES).as_pointer()), size


@intrinsic
def bits_above(typing_context: Any, line: Any, bound: Any, at: Any) -> Any:
    """A number whose bit i tells whether ``line[at + i] > bound[at + i]``, i < `LANES`; `bound` may be a scalar."""
    signature = types.uint64(line, bound, at)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        def several(kind: Any, value: ir.Value) -> ir.Value:
            if isinstance(kind, types.Float):
                return _spread(builder, value)
            place, size = _place(context, builder, kind, value, args[2])
            return builder.load(place, align=size)

        above = builder.fcmp_ordered(">", several(line, args[0]), several(bound, args[1]))
        return builder.zext(builder.bitcast(above, ir.IntType(LANES)), _WORD)

    return signature, generate


@intrinsic
def lowest_bit(typing_context: Any, bits: Any) -> Any:
    """Place of the lowest bit that is set; there must be one."""
    signature = types.int64(types.uint64)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return signature, generate


def _over_line(
    context: Any, builder: ir.IRBuilder, kind: Any, line: ir.Value, n_sums: int, first: float, take: Callable
) -> list[list[ir.Value]]:
    """Run ``sums = take(value, sums)`` over all vectors of a line; the sums of each of the unrolled vectors."""
    element = context.get_value_type(kind.dtype)
    start = _vector(element, first)
    sums = [[cgutils.alloca_once_value(builder, start) for _ in range(n_sums)] for _ in range(UNROLLED)]
    length = cgutils.unpack_tuple(builder, context.make_array(kind)(context, builder, line).shape)[0]
    step = ir.Constant(_WORD, UNROLLED * LANES)
    with cgutils.for_range_slice(builder, ir.Constant(_WORD, 0), length, step, _WORD, inc=True) as (at, _):
        for u, own in enumerate(sums):
            place, size = _place(context, builder, kind, line, builder.add(at, ir.Constant(_WORD, u * LANES)))
            new = take(builder.load(place, align=size), [builder.load(each) for each in own])
            for value, each in zip(new, own, strict=True):
                builder.store(value, each)
    return [[builder.load(each) for each in own] for own in sums]


@intrinsic
def largest_of(typing_context: Any, line: Any, out: Any) -> Any:
    """The largest value of each lane of a line into `out` (LANES,); NaN counts as nothing."""
    signature = types.void(line, out)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        def larger(value: ir.Value, best: ir.Value) -> ir.Value:
            return builder.select(builder.fcmp_ordered(">", value, best), value, best)

        best = _over_line(
            context, builder, line, args[0], 1, float("-inf"), lambda value, own: [larger(value, own[0])]
        )  # fmt: skip
        total = best[0][0]
        for each in best[1:]:
            total = larger(each[0], total)
        place, size = _place(context, builder, out, args[1], ir.Constant(_WORD, 0))
        builder.store(total, place, align=size)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def sums_above(typing_context: Any, line: Any, level: Any, out: Any) -> Any:
    """How many values of each lane are above a level, by how much together, and the squares, into `out` (3 LANES,)."""
    signature = types.void(line, line.dtype, out)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        element = context.get_value_type(line.dtype)
        zero, one, bound = _vector(element, 0.0), _vector(element, 1.0), _spread(builder, args[1])

        def take(value: ir.Value, own: list[ir.Value]) -> list[ir.Value]:
            inside = builder.fcmp_ordered(">", value, bound)
            above = builder.select(inside, builder.fsub(value, bound), zero)
            square = builder.fmul(above, above, flags=("contract",))
            return [
                builder.fadd(own[0], builder.select(inside, one, zero)),
                builder.fadd(own[1], above),
                builder.fadd(own[2], square, flags=("contract",)),
            ]

        sums = _over_line(context, builder, line, args[0], 3, 0.0, take)
        for i in range(3):
            total = sums[0][i]
            for each in sums[1:]:
                total = builder.fadd(total, each[i])
            place, size = _place(context, builder, out, args[2], ir.Constant(_WORD, i * LANES))
            builder.store(total, place, align=size)
        return context.get_dummy_value()

    return signature, generate
