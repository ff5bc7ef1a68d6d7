"""The part of TabNet that turns (masked) features into a decision and the input of the next attention."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn
from torch.nn import functional as F

from ._ghost_norm import GhostBatchNorm
from ._linear import GLU_GAIN, linear

RESIDUAL_SCALE = 0.5**0.5


def glu_linears(n_input: int, n_hidden: int, n_layers: int) -> nn.ModuleList:
    """Linear maps of successive gated layers: the first n_input -> 2 n_hidden, the others n_hidden -> 2 n_hidden.

    Parameters
    ----------
    n_input
        Width of what the first of them reads.
    n_hidden
        Width of each layer after gating.
    n_layers
        How many, may be 0.

    Returns
    -------
    List of :class:`torch.nn.Linear` without bias.
    """
    widths = [n_input] + [n_hidden] * n_layers
    return nn.ModuleList(
        linear(width, 2 * n_hidden, gain=GLU_GAIN, by_input=i == 0) for i, width in enumerate(widths[:n_layers])
    )


class FeatureTransformer(nn.Module):
    """Gated layers, shared ones first and own ones after (Arik and Pfister, AAAI 2021, arXiv:1908.07442, figure 4c).

    A layer is ``GLU(x) = a * sigmoid(b)`` with a and b the halves of ``norm(linear(x))``. The first layer of all is
    ``x <- GLU(x)``, every later one ``x <- (x + GLU(x)) * sqrt(0.5)``. The linear maps of the shared layers belong
    to the network, which passes them in, so that they are stored once; their norms belong to this transformer.

    Parameters
    ----------
    n_input
        Width p of the input.
    n_hidden
        Width of every layer and of the output.
    n_shared
        Number of layers whose linear map is shared.
    n_independent
        Number of layers of its own. There must be at least one layer in total.
    virtual_batch_size
        See :class:`GhostBatchNorm`.
    momentum
        See :class:`GhostBatchNorm`.
    """

    def __init__(
        self,
        n_input: int,
        n_hidden: int,
        *,
        n_shared: int,
        n_independent: int,
        virtual_batch_size: int | None,
        momentum: float,
    ) -> None:
        super().__init__()
        if n_shared + n_independent < 1:
            raise ValueError("A feature transformer needs a layer: `n_shared` and `n_independent` are both 0.")
        self.linears = glu_linears(n_hidden if n_shared else n_input, n_hidden, n_independent)
        self.norms = nn.ModuleList(
            GhostBatchNorm(2 * n_hidden, virtual_batch_size, momentum) for _ in range(n_shared + n_independent)
        )

    def forward(self, x: Tensor, shared: Iterable[nn.Module]) -> Tensor:
        """Transform features.

        Parameters
        ----------
        x
            (B, p) features.
        shared
            Linear maps of the `n_shared` shared layers.

        Returns
        -------
        (B, n_hidden).
        """
        first, *later = [*shared, *self.linears]
        return self.after_first(first(x), later)

    def after_first(self, h: Tensor, later: Iterable[nn.Module]) -> Tensor:
        """Everything after the first linear map, the only one as wide as the input.

        Parameters
        ----------
        h
            (B, 2 n_hidden), output of the first linear map.
        later
            Linear maps of all layers but the first, shared ones first.

        Returns
        -------
        (B, n_hidden).
        """
        norm, *norms = self.norms
        x = F.glu(norm(h), dim=1)
        for layer, norm in zip(later, norms, strict=True):
            x = (x + F.glu(norm(layer(x)), dim=1)) * RESIDUAL_SCALE
        return x
