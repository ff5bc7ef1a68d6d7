"""What is being done to a store, kept beside it, so that an interrupted run can go on."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sims_tools._log import logger
from sims_tools._whole_file import whole_file
from sims_tools.stores._part_file import Part, part_path

_PLAN = "plan.json"

_FORMAT = 1


def parts_folder(target: Path) -> Path:
    """Where the parts of results for a file or folder are kept until they are appended to it."""
    return target.with_name(f"{target.name}.sims-parts")


def boundaries(n_obs: int, part_size: int) -> list[tuple[int, int]]:
    """First row of each part and the row after its last."""
    return [(start, min(start + part_size, n_obs)) for start in range(0, n_obs, part_size)]


class Plan:
    """The folder of parts.

    Parameters
    ----------
    folder
        Where it is; it is made.
    asked
        What must be the same for parts to belong together: names of what it is, and their values, which JSON can hold.
        It is that which an error names.
    parts
        Rows of each part.
    resume
        Keep the parts that are there; they must be of the same plan. Otherwise they are deleted.

    Raises
    ------
    ValueError
        Parts that are there are of another plan.
    """

    def __init__(self, folder: Path, asked: Mapping[str, Any], parts: list[tuple[int, int]], *, resume: bool) -> None:
        self.folder, self.parts, self._store = folder, parts, asked["store"]
        plan = json.loads(json.dumps({"format": _FORMAT, "parts": len(parts), **asked}))
        found = _read(folder)
        if found is not None and resume:
            _check_same(folder, found, plan)
        elif folder.exists():
            if found is not None:
                logger.info("Parts of an earlier run in `%s` are deleted; `resume=True` would have kept them.", folder)
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(self.file) as draft:
            draft.write_text(json.dumps(plan, indent=1), encoding="utf-8")

    @property
    def file(self) -> Path:
        """Where the plan is written."""
        return self.folder / _PLAN

    def left(self) -> list[tuple[int, int]]:
        """Parts that are not done; those that are damaged are not."""
        return [rows for rows in self.parts if not _is_whole(part_path(self.folder, *rows))]

    def check_store(self, found: Mapping[str, Any]) -> None:
        """Raise ValueError where the store is not what it was.

        Parameters
        ----------
        found
            Its fingerprint, as `asked` has that of the beginning under "store".
        """
        differing = [name for name, value in self._store.items() if found[name] != value]
        if differing:
            told = ", ".join(f"{name} ({self._store[name]} then, {found[name]} now)" for name in differing)
            raise ValueError(f"The store was changed while it was annotated: {told}. Nothing was written; begin anew.")

    def finished(self) -> list[Part]:
        """All parts, in order."""
        return [Part(part_path(self.folder, *rows)) for rows in self.parts]

    def delete(self) -> None:
        """Take the folder away."""
        shutil.rmtree(self.folder)


def digest_of(content: Any) -> str:
    """Of anything that JSON can hold."""
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()


def _read(folder: Path) -> dict[str, Any] | None:
    """The plan in a folder; None where there is none that can be read."""
    try:
        found = json.loads((folder / _PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _check_same(folder: Path, found: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
    differing = [name for name in {**plan, **found} if found.get(name) != plan.get(name)]
    if differing:
        told = ", ".join(f"{name} ({_shown(found.get(name))} then, {_shown(plan.get(name))} now)" for name in differing)
        raise ValueError(
            f"`resume=True` cannot go on: the parts in `{folder}` are of another run. What differs: {told}. Ask for "
            "the same again, or leave out `resume` to begin anew."
        )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_whole(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        Part(path).check()
    except ValueError as error:
        logger.info("%s It is done again.", error)
        return False
    return True
