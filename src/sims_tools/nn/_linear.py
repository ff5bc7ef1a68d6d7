"""Linear maps as TabNet initialises them."""

from __future__ import annotations

from torch import nn

GLU_GAIN = 2**0.5


def linear(n_in: int, n_out: int, *, gain: float = 1.0, by_input: bool = False) -> nn.Linear:
    """Linear map without bias and with weights drawn from N(0, gain^2 / sqrt(n_in)).

    This is Xavier's normal initialisation with the gains of the published code worked out: with
    ``gain=1`` its ``sqrt((in + out) / sqrt(4 in))``, with ``gain=GLU_GAIN`` its ``sqrt((in + out) / sqrt(in))``.

    Parameters
    ----------
    n_in
        Width of the input.
    n_out
        Width of the output.
    gain
        Factor on the standard deviation.
    by_input
        Lay the weights of one input side by side in memory, as those who read few of many inputs want them.

    Returns
    -------
    The layer, weight (n_out, n_in).
    """
    layer = nn.Linear(n_in, n_out, bias=False)
    nn.init.normal_(layer.weight, std=gain * n_in**-0.25)
    if by_input:
        layer.weight.data = layer.weight.data.t().contiguous().t()
    return layer
