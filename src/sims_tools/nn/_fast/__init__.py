"""TabNet on sparse rows with compiled kernels: the same function as the plain network, without its work on zeros."""

from ._check import check
from ._encode import encode, encode_together
from ._jit import kernel_threads
from ._memory import release_memory
from ._update import Rows, adam_step, move_towards, sum_of_squares

__all__ = [
    "Rows",
    "adam_step",
    "check",
    "encode",
    "encode_together",
    "kernel_threads",
    "move_towards",
    "release_memory",
    "sum_of_squares",
]
