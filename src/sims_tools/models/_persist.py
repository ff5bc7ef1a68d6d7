"""Model folders: `model.json` and `weights.safetensors`, checked by digests, written whole or not at all.

Arrays of the description are stored with the weights, under the path of keys that leads to them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor

from sims_tools._validate import listing

FORMAT_VERSION = 1
HEADER_FILE, WEIGHTS_FILE = "model.json", "weights.safetensors"

_REFERENCE = "array in weights.safetensors"
"""Key that stands in the description for an array that is too large for it."""


def write_folder(folder: Path, header: dict[str, Any], tensors: dict[str, Tensor], *, overwrite: bool) -> None:
    """Write a model; nothing is left behind where it fails.

    Parameters
    ----------
    folder
        Where to; made with its parents.
    header
        Description, JSON-ready but for arrays, which are stored beside the tensors.
    tensors
        Weights and buffers.
    overwrite
        Replace a model that is there; anything else is never replaced.

    Raises
    ------
    FileExistsError
        `folder` exists and `overwrite` is not set, or holds something that is not a model.
    """
    _check_free(folder, overwrite)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}-{uuid4().hex}")
    draft.mkdir()
    try:
        arrays: dict[str, Tensor] = {}
        header = _take_arrays(header, "", arrays)
        plain = {name: value.detach().cpu().contiguous() for name, value in (tensors | arrays).items()}
        (draft / WEIGHTS_FILE).write_bytes(to_bytes(plain))
        content = {"format_version": FORMAT_VERSION, **header, "weights_sha256": _file_digest(draft / WEIGHTS_FILE)}
        content["header_sha256"] = _header_digest(content)
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        (draft / HEADER_FILE).write_text(text + "\n", encoding="utf-8")
        _swap(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _check_free(folder: Path, overwrite: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FileExistsError(f"`{folder}` is a file; give the name of a folder for the model.")
    held = {path.name for path in folder.iterdir()}
    if held and HEADER_FILE not in held:
        raise FileExistsError(f"`{folder}` exists and is not a model folder; choose another name.")
    if others := held - {HEADER_FILE, WEIGHTS_FILE}:
        raise FileExistsError(
            f"`{folder}` holds other files beside a model ({listing(sorted(others))}); choose another."
        )
    if held and not overwrite:
        raise FileExistsError(f"`{folder}` already holds a model; pass `overwrite=True` to replace it.")


def _swap(draft: Path, folder: Path) -> None:
    if not folder.exists():
        draft.rename(folder)
        return
    old = draft.with_name(f"{draft.name}-old")
    folder.rename(old)
    try:
        draft.rename(folder)
    except BaseException:
        old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def read_header(folder: Path) -> dict[str, Any]:
    """Read and check `model.json`.

    Raises
    ------
    FileNotFoundError
        There is no such folder, or it is not a model folder.
    ValueError
        The file is damaged, was edited, or has a format version this package does not know.
    """
    path = folder / HEADER_FILE
    if not folder.exists():
        raise FileNotFoundError(f"There is no model folder `{folder}`.")
    if not path.is_file():
        raise FileNotFoundError(f"`{folder}` is not a model folder: it has no `{HEADER_FILE}`.")
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"`{path}` is damaged ({error}); save the model again.") from error
    found = header.get("format_version") if isinstance(header, dict) else None
    if found != FORMAT_VERSION:
        raise ValueError(
            f"`{path}` has format version {found!r}; this version of sims-tools reads {FORMAT_VERSION}. "
            "Update sims-tools if the model is newer."
        )
    if header.get("header_sha256") != _header_digest(header):
        raise ValueError(f"`{path}` does not match its digest: it was edited or damaged; save the model again.")
    return header


def read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and weights of a model folder, both checked; nothing is unpickled.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`read_header`; also where the weights are missing or do not match their digest.
    """
    header = read_header(folder)
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise FileNotFoundError(f"`{folder}` lacks `{WEIGHTS_FILE}`; save the model again.")
    if header["weights_sha256"] != _file_digest(path):
        raise ValueError(f"`{path}` does not match its digest: it is truncated or was changed; save the model again.")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"`{path}` is not a safetensors file ({error}); save the model again.") from error
    return _put_arrays(header, tensors), tensors


def _take_arrays(value: Any, name: str, taken: dict[str, Tensor]) -> Any:
    """The value with a reference in place of each array, which goes to `taken` under the path of keys to it."""
    if isinstance(value, np.ndarray):
        taken[name] = torch.from_numpy(np.array(value, order="C"))
        return {_REFERENCE: name}
    if isinstance(value, dict):
        return {key: _take_arrays(each, f"{name}/{key}" if name else key, taken) for key, each in value.items()}
    return value


def _put_arrays(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The inverse of :func:`_take_arrays`; what is referred to is taken out of `tensors`."""
    if isinstance(value, dict):
        if set(value) == {_REFERENCE}:
            name = value[_REFERENCE]
            if name not in tensors:
                raise ValueError(
                    f"`{WEIGHTS_FILE}` lacks {name!r}, which `{HEADER_FILE}` refers to; save the model again."
                )
            return tensors.pop(name).numpy()
        return {key: _put_arrays(each, tensors) for key, each in value.items()}
    return value


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _header_digest(header: dict[str, Any]) -> str:
    content = {key: value for key, value in header.items() if key != "header_sha256"}
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()
