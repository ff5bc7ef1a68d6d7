"""The file of results: one JSON line for each task, set, split, seed and method."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Line = dict[str, Any]
Key = tuple[Any, ...]

IDENTITY = ("task", "level", "set", "split", "seed", "method")
MACHINE, SCORE, LEFT_OUT = "machine", "score", "left out"


def read(path: Path) -> list[Line]:
    """All lines but one that a run was stopped in the middle of. None where there is no file."""
    if not path.exists():
        return []
    text = path.read_text()
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def scores(lines: list[Line]) -> list[Line]:
    """Those with results or errors; of lines about the same thing, the last."""
    return list({key(line): line for line in lines if line["section"] == SCORE}.values())


def key(line: Line) -> Key:
    """What a line is about."""
    return tuple(line[name] for name in IDENTITY)


class Writer:
    """Appends lines to a file, each at once, and prints them where asked to; a torn last line is cut off first."""

    def __init__(self, path: Path, *, prints: bool = False) -> None:
        self.prints = prints
        if path.exists():
            text = path.read_text()
            whole = text[: text.rfind("\n") + 1]
            if whole != text:
                path.write_text(whole)
        self.file = path.open("a")

    def __call__(self, section: str, line: Line) -> None:
        text = json.dumps({"section": section, **line})
        self.file.write(text + "\n")
        self.file.flush()
        if self.prints:
            print(text, flush=True)
