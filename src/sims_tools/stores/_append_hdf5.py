"""Results appended to an h5ad file: all of them or none."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from anndata.io import write_elem

from sims_tools.stores._elements import Element, write_element
from sims_tools.stores._overlay import Overlay

_NEW = "sims-tools-new"
"""Group for what is written until it is moved to its place."""


def append_hdf5(
    path: Path, elements: Sequence[Element], n_obs: int, *, uns: tuple[str, dict[str, Any]], replaced: Sequence[str]
) -> None:
    """Add results to a file, in place of those that are there under the same names.

    Parameters
    ----------
    path
        The file.
    elements
        Results by cell.
    n_obs
        Number of cells.
    uns
        Entry of `.uns`, with its name.
    replaced
        Slots to take out. Their room in the file is not used again.

    Raises
    ------
    OSError
        It cannot be written, on a full disk say; the file is as it was, then.
    """
    import h5py

    overlay = Overlay(path)
    try:
        with overlay.uninterrupted(), h5py.File(overlay, "r+") as root:
            _write(root, [_checking(each, overlay) for each in elements], n_obs, uns, replaced)
        overlay.check()
        overlay.commit()
    except BaseException as error:
        overlay.drop()
        cause = overlay.failure or error
        if isinstance(cause, OSError) and cause.errno == errno.ENOSPC:
            raise no_space(path.parent, cause) from error
        if cause is not error:
            raise cause from error
        raise
    finally:
        overlay.close()


def _write(
    root: Any, elements: Sequence[Element], n_obs: int, uns: tuple[str, dict[str, Any]], replaced: Sequence[str]
) -> None:
    """All that is new is written before anything is taken out: otherwise HDF5 would write it where that was."""
    write_elem(root, _NEW, {})
    for number, element in enumerate(elements):
        write_element(root, element, n_obs, at=f"{_NEW}/{number}")
    write_elem(root[_NEW], "uns", uns[1])
    for name in ("obsm", "uns"):
        if name not in root:
            write_elem(root, name, {})
    columns = [str(name) for name in root["obs"].attrs["column-order"]]
    for slot in replaced:
        if slot in root:
            del root[slot]
        columns = [name for name in columns if f"obs/{name}" != slot]
    places = [f"{_NEW}/{number}" for number in range(len(elements))]
    for source, target in [
        *zip(places, (each.slot for each in elements), strict=True),
        (f"{_NEW}/uns", f"uns/{uns[0]}"),
    ]:
        if target in root:
            del root[target]
        root.move(source, target)
    del root[_NEW]
    new = [each.slot.removeprefix("obs/") for each in elements if each.slot.startswith("obs/")]
    root["obs"].attrs["column-order"] = columns + [name for name in new if name not in columns]


def _checking(element: Element, overlay: Overlay) -> Element:
    """The same, which stops at the first piece after something has gone wrong."""

    def pieces() -> Iterator[Any]:
        for piece in element.pieces():
            overlay.check()
            yield piece

    return replace(element, pieces=pieces)


def check_space(folder: Path, n_bytes: int) -> None:
    """Raise OSError where a disk has no room for so many bytes."""
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise OSError(
            errno.ENOSPC,
            f"The disk of `{folder}` has {free / 1e9:.2f} GB left; the results need {n_bytes / 1e9:.2f} GB there. "
            "Make room and go on with `resume=True`, or ask for less: `masks='top'`, `probabilities=False`",
        )


def no_space(folder: Path, error: OSError) -> OSError:
    """The error of a full disk, with what can be done."""
    free = shutil.disk_usage(folder).free
    return OSError(
        errno.ENOSPC,
        f"The disk of `{folder}` became full ({free / 1e9:.2f} GB left); the store is as it was. Make room and go on "
        f"with `resume=True` ({error})",
    )
