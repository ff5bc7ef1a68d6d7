"""TabNet for sparse minibatches on a GPU: the same function as the plain network."""

from ._encode import encode, supported

__all__ = ["encode", "supported"]
