"""Results appended to a zarr store on a disk, which can be read all the while.

They are written beside the store and renamed into it. What is left to do is kept in a list, each entry of which can be
done twice, so that a run that was killed can be finished.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anndata.io import write_elem

from sims_tools._whole_file import whole_file
from sims_tools.stores._elements import Element, column_order, write_element

_STAGED, _OLD, _LIST = "staged.zarr", "replaced", "to-do.json"


def append_zarr(
    path: Path,
    folder: Path,
    elements: Sequence[Element],
    n_obs: int,
    *,
    uns: tuple[str, dict[str, Any]] | None,
    replaced: Sequence[str],
) -> None:
    """Add results to a store, in place of those that are there under the same names.

    Parameters
    ----------
    path
        The store.
    folder
        For what is not in its place yet; on the disk of the store.
    elements, n_obs, uns, replaced
        As :func:`~sims_tools.stores._append_hdf5.append_hdf5` takes them.
    """
    import zarr

    store: Any = zarr.open_group(str(path), mode="r", use_consolidated=False)
    staged = folder / _STAGED
    shutil.rmtree(staged, ignore_errors=True)
    try:
        root = zarr.open_group(str(staged), mode="w", zarr_format=store.metadata.zarr_format)
        for name in ("obs", "obsm", "uns"):
            write_elem(root, name, {})
        for element in elements:
            write_element(root, element, n_obs)
        if uns is not None:
            write_elem(root["uns"], uns[0], uns[1])
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    slots = [element.slot for element in elements] + ([] if uns is None else [f"uns/{uns[0]}"])
    columns = column_order(store["obs"].attrs["column-order"], slots, replaced)
    to_do = {
        "store": str(path.absolute()),
        "is_consolidated": _is_consolidated(path),
        "kept": [name for name in columns if f"obs/{name}" not in slots],
        "columns": columns,
        "taken_out": [slot for slot in replaced if slot not in slots],
        "put_in": slots,
    }
    with whole_file(folder / _LIST) as draft:
        draft.write_text(json.dumps(to_do), encoding="utf-8")
    recover_zarr(folder)


def recover_zarr(folder: Path) -> None:
    """Do what is left of putting results into their places, if anything is."""
    if not (folder / _LIST).exists():
        return
    import zarr

    to_do = json.loads((folder / _LIST).read_text(encoding="utf-8"))
    path, old = Path(to_do["store"]), folder / _OLD
    _drop_consolidated(path)
    root = zarr.open_group(str(path), mode="r+", use_consolidated=False)
    for name in ("obsm", "uns"):
        if name not in root:
            write_elem(root, name, {})
    if not _all_in_place(folder, to_do):
        root["obs"].attrs["column-order"] = to_do["kept"]
    for slot in to_do["taken_out"]:
        _take_out(path, slot, old)
    for slot in to_do["put_in"]:
        if (folder / _STAGED / slot).exists():
            _take_out(path, slot, old)
            (folder / _STAGED / slot).rename(path / slot)
    root["obs"].attrs["column-order"] = to_do["columns"]
    if to_do["is_consolidated"]:
        zarr.consolidate_metadata(str(path), zarr_format=root.metadata.zarr_format)
    (folder / _LIST).unlink()
    shutil.rmtree(folder / _STAGED)
    shutil.rmtree(old, ignore_errors=True)


def _all_in_place(folder: Path, to_do: dict[str, Any]) -> bool:
    return not any((folder / _STAGED / slot).exists() for slot in to_do["put_in"])


def _take_out(path: Path, slot: str, old: Path) -> None:
    """Move an element out of the store in one step."""
    if (path / slot).exists():
        target = old / slot
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        (path / slot).rename(target)


def _is_consolidated(path: Path) -> bool:
    return (path / ".zmetadata").exists() or "consolidated_metadata" in _root_metadata(path)


def _drop_consolidated(path: Path) -> None:
    """Without the copy of all metadata at the root, each element is found by its own."""
    (path / ".zmetadata").unlink(missing_ok=True)
    metadata = _root_metadata(path)
    if metadata.pop("consolidated_metadata", None) is not None:
        with whole_file(path / "zarr.json") as draft:
            draft.write_text(json.dumps(metadata, indent=2), encoding="utf-8")


def _root_metadata(path: Path) -> dict[str, Any]:
    """Of zarr version 3; nothing of version 2."""
    file = path / "zarr.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
