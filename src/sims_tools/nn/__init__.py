"""Networks and their parts, in torch and in kernels; knows nothing of cells, files or the rest of the package."""

from ._ghost_norm import GhostBatchNorm
from ._output import NetworkOutput
from ._paths import steady_threads
from ._rows import SparseRows
from ._selectors import SELECTORS, entmax15, get_selector, sparsemax
from ._tabnet import TabNet

__all__ = [
    "SELECTORS",
    "GhostBatchNorm",
    "NetworkOutput",
    "SparseRows",
    "TabNet",
    "entmax15",
    "get_selector",
    "sparsemax",
    "steady_threads",
]
