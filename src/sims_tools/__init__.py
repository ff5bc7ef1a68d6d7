"""What a cell is, how sure we are, and which genes decided.

The public rooms (`tl`, `pl`, `pp`, `get`, `data`, `models`, `nn`) load when they are first used, so that importing the
package costs nothing and says nothing.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from types import ModuleType

__all__ = ["__version__", "data", "get", "models", "nn", "pl", "pp", "tl"]

__version__ = version("sims-tools")

_ROOMS = frozenset(__all__) - {"__version__"}


def __getattr__(name: str) -> ModuleType:
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
