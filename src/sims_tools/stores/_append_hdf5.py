"""Results appended to an h5ad file: all of them or none."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from anndata.io import write_elem

from sims_tools.stores._elements import Element, column_order, write_element
from sims_tools.stores._overlay import Overlay
from sims_tools.stores._second_root import Group, address, copy_group, describe

_NEW = "sims-tools-new"
"""Group for what is written until it is moved to its place. The old root has it, the new one not."""

Entry: TypeAlias = tuple[str, dict[str, Any]]
"""Of `.uns`, with its name."""

_CHANGED = ("obs", "obsm", "uns")
"""Groups that results are added to."""


def append_hdf5(
    path: Path,
    elements: Sequence[Element],
    n_obs: int,
    *,
    uns: Entry | None,
    replaced: Sequence[str],
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
        Entry of `.uns`, with its name; None is none.
    replaced
        Slots to take out. Their room in the file is not used again.

    Raises
    ------
    OSError
        It cannot be written, on a full disk say; the file is as it was, then.
    ValueError
        As :func:`check_hdf5`.
    """
    overlay = Overlay(path)
    try:
        with overlay.uninterrupted():
            root = _write(overlay, [_checking(each, overlay) for each in elements], n_obs, uns, replaced)
        overlay.check()
        overlay.commit(root)
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
    overlay: Overlay,
    elements: Sequence[Element],
    n_obs: int,
    uns: Entry | None,
    replaced: Sequence[str],
) -> int:
    """Write what is new beside the old, and a root group of both; returns where it is.

    The file is opened three times: to read, as texts must not be read while others are written; to make a group, by
    which room in the old bytes may become free; and to write, when HDF5 knows nothing of that room any more.
    """
    import h5py

    with h5py.File(overlay, "r") as root:
        _check_layout(root)
        about = describe(root, ["/", *_CHANGED])
        columns = root["obs"].attrs["column-order"]
    with h5py.File(overlay, "r+") as root:
        root.create_group(_NEW)
    with h5py.File(overlay, "r+") as root:
        places = {f"{_NEW}/{number}": element.slot for number, element in enumerate(elements)}
        for at, element in zip(places, elements, strict=True):
            write_element(root, element, n_obs, at=at)
        if uns is not None:
            write_elem(root[_NEW], "uns", uns[1])
            places[f"{_NEW}/uns"] = f"uns/{uns[0]}"
        second = _copy_root(root, about, without={*places.values(), *replaced})
        for at, slot in places.items():
            root.move(at, f"{second.name}/{slot}")
        second["obs"].attrs["column-order"] = column_order(columns, list(places.values()), replaced)
        return address(second)


def _copy_root(root: Any, about: dict[str, Group], *, without: Collection[str]) -> Any:
    """A second root with all but some slots."""
    second = copy_group(root, "/", f"{_NEW}/root", about["/"], without=[_NEW, *_CHANGED])
    for name in _CHANGED:
        if name in about:
            members = [slot.removeprefix(f"{name}/") for slot in without if slot.startswith(f"{name}/")]
            copy_group(root, name, f"{second.name}/{name}", about[name], without=members)
        else:
            write_elem(second, name, {})
    return second


def check_hdf5(path: Path) -> None:
    """Raise where nothing can be appended to a file, before there is anything.

    Raises
    ------
    OSError
        Someone has it open.
    ValueError
        It is no HDF5 file, or of a layout that it cannot be done safely with.
    """
    import h5py

    Overlay(path).close()
    with h5py.File(path) as root:
        _check_layout(root)


def _check_layout(root: Any) -> None:
    """Refuse files that keep account of free room within them, where HDF5 would write."""
    _, keeps_account, _ = root.id.get_create_plist().get_file_space_strategy()
    if keeps_account:
        raise ValueError(
            "The HDF5 file keeps account of its free space (`fs_persist`), so nothing can be appended to it safely. "
            "Give `output='results.h5ad'`, or copy it with `h5repack` first."
        )


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
