"""A plain network of linear layers and ReLU, and a first layer that reads sparse rows as they are stored."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._output import NetworkOutput
from ._rows import SparseRows


class InputLinear(nn.Linear):
    """Linear layer that reads :class:`SparseRows` without making them dense, and dense rows likewise.

    Weights of one input lie side by side in memory, as those who read few of many inputs want them.

    Parameters
    ----------
    n_in
        Width p of the input.
    n_out
        Width of the output.
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(n_in, n_out)
        self.weight.data = self.weight.data.t().contiguous().t()

    def forward(self, x: Tensor | SparseRows) -> Tensor:
        """(B, p) to (B, n_out)."""
        if not isinstance(x, SparseRows):
            return super().forward(x)
        summed = F.embedding_bag(
            x.indices,
            self.weight.t(),
            x.indptr.to(x.indices.dtype),
            mode="sum",
            per_sample_weights=x.values.to(self.weight.dtype),
            include_last_offset=True,
        )
        return summed + self.bias


class MLP(nn.Module):
    """Layers of linear units, each with ReLU and dropout, and a linear output layer.

    Parameters
    ----------
    n_in
        Number p of features.
    n_classes
        Number of classes.
    hidden
        Width of each hidden layer, one or more.
    dropout
        Share of the units set to zero while training, after each hidden layer but the last.
    xavier
        Draw weights by Xavier's uniform initialisation (Glorot and Bengio 2010) and set biases to zero; otherwise
        both are drawn as torch does.

    Raises
    ------
    ValueError
        There is no hidden layer, or one without units, or `dropout` is out of range.
    """

    accepts_sparse = True

    def __init__(
        self,
        n_in: int,
        n_classes: int,
        *,
        hidden: Sequence[int],
        dropout: float = 0.0,
        xavier: bool = False,
    ) -> None:
        super().__init__()
        if not hidden or min(hidden) < 1:
            raise ValueError(f"`hidden={tuple(hidden)}` must have the width, above 0, of one layer or more.")
        if not 0 <= dropout < 1:
            raise ValueError(f"`dropout={dropout!r}` must be a share between 0 and 1.")
        widths = [n_in, *hidden]
        layers = [InputLinear(n_in, widths[1]), *map(nn.Linear, widths[1:-1], widths[2:])]
        self.hidden = nn.ModuleList(layers)
        self.dropout = dropout
        self.output = nn.Linear(widths[-1], n_classes)
        if xavier:
            for each in (*layers, self.output):
                nn.init.xavier_uniform_(each.weight)
                nn.init.zeros_(each.bias)

    def forward(self, x: Tensor | SparseRows, *, explain: bool = False) -> NetworkOutput:
        """Classify cells.

        Parameters
        ----------
        x
            (B, p) features.
        explain
            Ignored: such a network has no masks.

        Returns
        -------
        logits (B, n_classes); embedding (B, width of the last hidden layer), what the output layer reads; no masks;
        no penalty.
        """
        first, *others = self.hidden
        embedding = F.relu(first(x))
        for layer in others:
            embedding = F.relu(layer(F.dropout(embedding, self.dropout, self.training)))
        logits = self.output(embedding)
        return NetworkOutput(logits, embedding, None, torch.zeros((), device=logits.device))
