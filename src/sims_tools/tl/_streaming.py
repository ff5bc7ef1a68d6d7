"""Whether cells are streamed from where they are stored, or brought into memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anndata import AnnData

from sims_tools._log import logger
from sims_tools._validate import listing
from sims_tools.data._free_memory import STREAM_ABOVE, fits_in_memory
from sims_tools.data._joined import JoinedReference
from sims_tools.data._matrix import n_stored, parent_of
from sims_tools.data._parts import is_mudata

if TYPE_CHECKING:
    from contextlib import ExitStack

    from sims_tools.data._reference import Reference

_VALUE = 8
"""Bytes of a value and its column."""


def check_stream(stream: Any, adata: Any) -> None:
    """Raise unless it says whether to stream, and cells can be streamed that it asks for.

    Raises
    ------
    ValueError
        It is something else, or the cells have proteins.
    """
    if stream not in (True, False, "auto") or not isinstance(stream, bool | str):
        raise ValueError(f"`stream={stream!r}` must be True, False or 'auto'.")
    if stream is True and is_mudata(adata):
        raise ValueError(
            'A MuData cannot be streamed. Give the modality that holds genes, `mdata.mod["rna"]`, or leave `stream` '
            "out."
        )


def may_stream(stream: bool | str, adata: Any, layer: str | None) -> bool:
    """Whether one object should be read as a stream could read it: asked for, or backed and too large for memory."""
    if not isinstance(adata, AnnData) or stream is False:
        return False
    if stream is True:
        return True
    parent = parent_of(adata)
    if (
        not parent.isbacked
        or (layer is None and parent.X is None)
        or (layer is not None and layer not in parent.layers)
    ):
        return False
    return not fits_in_memory(_VALUE * n_stored(parent.X if layer is None else parent.layers[layer]))


def at_hand(
    reference: Reference | JoinedReference, stream: bool | str, closing: ExitStack
) -> Reference | JoinedReference:
    """The cells as they are trained on: one matrix in memory, whose files are closed, or what is streamed.

    Parameters
    ----------
    reference
        With the genes to train on.
    stream
        As :func:`check_stream` takes it.
    closing
        Closes the files.
    """
    if isinstance(reference, JoinedReference):
        if streams(stream, reference):
            return reference
        reference = reference.in_memory()
    closing.close()
    return reference


def streams(stream: bool | str, reference: JoinedReference) -> bool:
    """Whether a reference of known genes is streamed.

    Raises
    ------
    ValueError
        It should be, and a row of it can only be read with all others.
    """
    if stream is False or (stream == "auto" and fits_in_memory(reference.n_bytes)):
        return False
    if stream is True and (by_column := reference.column_major):
        raise ValueError(
            f"{listing(by_column)} holds a CSC matrix, of which a row is read only with all others; it cannot be "
            "streamed. Write it as CSR (`adata.X = adata.X.tocsr()`), or leave `stream` out."
        )
    size = f"{reference.n_bytes / 1e9:.1f} GB"
    if by_column := reference.column_major:
        logger.warning("%s: CSC in a file cannot be streamed; a matrix of %s is made.", listing(by_column), size)
        return False
    why = "as asked" if stream is True else f"more than {STREAM_ABOVE:.0%} of the free memory"
    logger.info("Training streams its cells: %s in one matrix, %s.", size, why)
    return True
