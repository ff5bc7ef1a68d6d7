"""TabNet on sparse rows with compiled kernels: the same function as the plain network, without its work on zeros."""

from ._check import check
from ._encode import encode
from ._jit import kernel_threads

__all__ = ["check", "encode", "kernel_threads"]
