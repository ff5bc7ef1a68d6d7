"""Weights of networks as a table of addresses: kernels are compiled once, however many layers and steps there are."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic
from torch import Tensor

from ._jit import Array, inlined

OF_NORM, OF_ATTENTIVE = 5, 6
"""Addresses of a batch norm (weight, bias, running mean and variance, number of batches), and of an attentive part
(weight, norm)."""


@intrinsic
def _pointer(typing_context: Any, address: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


@inlined
def row_at(address: int, size: int, like: Array) -> Array:
    """The (size,) numbers at an address, of the type of `like`."""
    return carray(_pointer(address), (size,), like.dtype)


@inlined
def matrix_at(address: int, n_rows: int, n_columns: int, like: Array) -> Array:
    """The (n_rows, n_columns) numbers at an address, of the type of `like`."""
    return carray(_pointer(address), (n_rows, n_columns), like.dtype)


class Weights:
    """Where the weights and running statistics of a network lie.

    The first linear map of a transformer is stored by gene, (p, 2 width); it is either that of all, or each has its
    own.

    Parameters
    ----------
    network
        A :class:`~sims_tools.nn.TabNet`.

    Attributes
    ----------
    tables
        Parameters of the first linear maps.
    later
        Parameters of the later ones, each once: shared ones first, then those of each transformer.
    norms
        Batch norms, transformer by transformer and layer by layer.
    attentives
        Weights of the attentive parts, and their batch norms.
    of_input
        Weight and bias of the input norm, where there is one.
    addresses
        int64, in this order: tables, later maps by transformer and layer, norms, attentive parts.
    """

    def __init__(self, network: Any) -> None:
        parts = network._modules  # looked up by hand: a module's own lookup takes longer than a small minibatch
        transformers = [parts["splitter"], *parts["transformers"]._modules.values()]
        shared = _weights(parts["shared"])
        own = [_weights(each._modules["linears"]) for each in transformers]
        self.tables = shared[:1] or [each[0] for each in own]
        own = own if shared else [each[1:] for each in own]
        self.later = [*shared[1:], *(weight for each in own for weight in each)]
        self.norms = [norm._modules["bn"] for each in transformers for norm in each._modules["norms"]._modules.values()]
        attentives = [each._modules for each in parts["attentives"]._modules.values()]
        self.attentives = [(_weight(each["linear"]), each["norm"]._modules["bn"]) for each in attentives]
        self.of_input = [each for norm in parts["input_norm"]._modules.values() for each in norm._parameters.values()]
        self._held: list[Tensor] = []
        places = [self._place(each.t()) for each in self.tables]
        of_shared = [self._place(each) for each in shared[1:]]
        places += [place for each in own for place in (*of_shared, *map(self._place, each))]
        for norm in self.norms:
            places += self._norm(norm)
        for weight, norm in self.attentives:
            places += [self._place(weight), *self._norm(norm)]
        self.addresses = np.array(places, np.int64)

    def parameters(self) -> list[Tensor]:
        """All: tables, later maps, weight and bias of each norm, then of each attentive part and the input norm's."""
        of_norms = [norm._parameters[name] for norm in self.norms for name in ("weight", "bias")]
        of_attentives = [
            each
            for weight, norm in self.attentives
            for each in (weight, norm._parameters["weight"], norm._parameters["bias"])
        ]
        return [*self.tables, *self.later, *of_norms, *of_attentives, *self.of_input]

    def _norm(self, norm: Any) -> list[int]:
        tensors = *norm._parameters.values(), *norm._buffers.values()  # in the order of the class above
        return [self._place(each) for each in tensors]

    def _place(self, tensor: Tensor) -> int:
        """Address of its memory, or of a copy that lies close together."""
        if not tensor.is_contiguous():
            tensor = tensor.detach().contiguous()
            self._held.append(tensor)
        return tensor.data_ptr()


def _weight(layer: Any) -> Tensor:
    return layer._parameters["weight"]


def _weights(layers: Any) -> list[Tensor]:
    return [_weight(each) for each in layers._modules.values()]
