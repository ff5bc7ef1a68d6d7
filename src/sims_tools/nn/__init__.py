"""Networks and their parts, in torch and in kernels; knows nothing of cells, files or the rest of the package."""

from ._cite_network import CITENetwork, CITEOutput
from ._ensemble import Ensemble
from ._expression_bins import expression_bins
from ._ghost_norm import GhostBatchNorm
from ._masked_autoencoder import MaskedAutoencoder, TabNetDecoder, masked_error
from ._mlp import MLP, InputLinear
from ._optimizer import Follower, ThreadedAdam, ThreadedAdamW
from ._output import NetworkOutput
from ._paths import steady_threads
from ._rows import SparseRows
from ._selectors import SELECTORS, entmax15, get_selector, sparsemax
from ._tabnet import TabNet
from ._transformer_network import TransformerNetwork

__all__ = [
    "MLP",
    "SELECTORS",
    "CITENetwork",
    "CITEOutput",
    "Ensemble",
    "Follower",
    "GhostBatchNorm",
    "InputLinear",
    "MaskedAutoencoder",
    "NetworkOutput",
    "SparseRows",
    "TabNet",
    "TabNetDecoder",
    "ThreadedAdam",
    "ThreadedAdamW",
    "TransformerNetwork",
    "entmax15",
    "expression_bins",
    "get_selector",
    "masked_error",
    "sparsemax",
    "steady_threads",
]
