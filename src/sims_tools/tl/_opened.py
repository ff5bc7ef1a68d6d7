"""What a function reads and writes to: the user's object, a copy of it, or a store that is opened for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sims_tools._log import logger
from sims_tools.data._in_memory import in_memory
from sims_tools.stores._append import append, check_appendable
from sims_tools.stores._elements import Element
from sims_tools.stores._source import StoreRef, open_group
from sims_tools.tl._write import check_target

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


@contextmanager
def opened(cells: Any, slot: str, *, copy: bool = False) -> Iterator[AnnData | MuData]:
    """An object whose slot is written in the block.

    Parameters
    ----------
    cells
        An object; or the path of an `.h5ad` or `.zarr` store, which is opened lazily, and to which the slot is appended
        at the end of the block where that raised nothing.
    slot
        What is written: "uns/sims", "obsm/X_sims".
    copy
        Give a copy of the object.

    Raises
    ------
    FileNotFoundError
        There is no such store.
    ImportError
        Stores cannot be opened lazily here.
    OSError
        A store cannot be written to, or is open elsewhere.
    TypeError
        It is something else.
    ValueError
        A copy of something that is not in memory is asked for.
    """
    if not isinstance(cells, str | Path):
        check_target(cells, copy=copy)
        yield cells.copy() if copy else cells
        return
    if copy:
        raise ValueError("`copy` is for an object; the results are appended to the store.")
    store = StoreRef(str(cells))
    check_appendable(store)
    axis, name = slot.split("/", 1)
    with ExitStack() as closing:
        adata = read_lazily(store, closing)
        yield adata
        written, n_obs = in_memory(getattr(adata, axis)[name]), adata.n_obs
    if axis == "uns":
        append(store, [], n_obs, uns=(name, written))
    else:
        append(store, [Element(slot, written[:0], lambda: iter([written]))], n_obs)
    logger.info("`%s` is in `%s`.", slot, store.path)


def read_lazily(store: StoreRef, closing: ExitStack) -> AnnData:
    """A store as an object that reads what it is asked for, until `closing` closes."""
    try:
        import dask  # noqa: F401
        import xarray  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"Reading `{store.location}` where it lies needs dask and xarray: `pip install 'sims-tools[lazy]'`. "
            "Or read it into memory, and give the object."
        ) from error
    from anndata.experimental import read_lazy

    return read_lazy(open_group(store, closing))
