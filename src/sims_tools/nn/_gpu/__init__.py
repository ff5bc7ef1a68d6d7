"""TabNet for sparse minibatches on a GPU: the same function as the plain network."""

from ._encode import Encoded, encode, supported

__all__ = ["Encoded", "encode", "supported"]
