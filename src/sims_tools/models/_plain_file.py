"""Nested plain values and tensors in one safetensors file: nothing of it is unpickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from sims_tools._digest import digest
from sims_tools._whole_file import whole_file

_CONTENT, _DIGEST = "content", "digest"
"""Entries of the file's metadata: the nested values as JSON, and a digest of them and of the tensors."""


def write_plain(path: Path, value: Any) -> None:
    """Write dicts, lists, tuples, tensors, text, numbers and None, nested in any way; whole or not at all.

    Raises
    ------
    TypeError
        A value is of another type.
    """
    tensors: dict[str, torch.Tensor] = {}
    content = json.dumps(_packed(value, tensors))
    with whole_file(path) as draft:
        save_file(tensors, draft, metadata={_CONTENT: content, _DIGEST: _digest(content, tensors)})


def read_plain(path: Path) -> Any:
    """What :func:`write_plain` wrote, tensors on the CPU, rows in order.

    Raises
    ------
    ValueError
        The file is damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}
    except SafetensorError as error:
        raise ValueError(f"{str(path)!r} is damaged ({error}).") from error
    content = metadata.get(_CONTENT, "")
    if metadata.get(_DIGEST) != _digest(content, tensors):
        raise ValueError(f"{str(path)!r} is damaged: it does not match its digest.")
    return _unpacked(json.loads(content), tensors)


def _packed(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """The same for JSON; tensors go to `tensors`, under a number."""
    if isinstance(value, dict):
        return {"dict": [[_packed(key, tensors), _packed(each, tensors)] for key, each in value.items()]}
    if isinstance(value, list | tuple):
        return {"list" if isinstance(value, list) else "tuple": [_packed(each, tensors) for each in value]}
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        whole = torch.empty(value.shape, dtype=value.dtype)
        tensors[name] = whole.copy_(value.detach())
        return {"tensor": name}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"{value!r} is of type {type(value).__name__}; expected numbers, text, tensors, lists or dicts.")


def _unpacked(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """The inverse of :func:`_packed`."""
    if not isinstance(value, dict):
        return value
    ((kind, held),) = value.items()
    if kind == "dict":
        return {_unpacked(key, tensors): _unpacked(each, tensors) for key, each in held}
    if kind == "tensor":
        return tensors[held]
    return (list if kind == "list" else tuple)(_unpacked(each, tensors) for each in held)


def _digest(content: str, tensors: dict[str, torch.Tensor]) -> str:
    arrays = (each.reshape(-1).view(torch.uint8).numpy() for _, each in sorted(tensors.items()))
    return digest(content.encode(), *arrays)
