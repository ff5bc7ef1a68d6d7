"""Markdown tables, and their places in a page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers_from: int = 1) -> str:
    """A table; columns from `numbers_from` on are flush right. Nothing without rows."""
    if not rows:
        return ""
    rule = ["---" if i < numbers_from else "---:" for i in range(len(head))]
    return "\n".join("| " + " | ".join(each) + " |" for each in (head, rule, *rows))


def paragraphs(*parts: str) -> str:
    """Parts that are not empty, with an empty line between them."""
    return "\n\n".join(part for part in parts if part)


def fill(page: str, name: str, text: str) -> str:
    """`page` with everything between the comments `name: start` and `name: end` replaced.

    Raises
    ------
    ValueError
        The page has no such place, or more than one.
    """
    pattern = re.compile(rf"(<!-- {name}: start -->\n).*?(<!-- {name}: end -->)", re.DOTALL)
    if len(pattern.findall(page)) != 1:
        raise ValueError(f"Expected one place `<!-- {name}: start -->` ... `<!-- {name}: end -->` in the page.")
    return pattern.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page)


def publish(texts: Mapping[str, str], page: Path | None) -> None:
    """Write texts between their marks in a page, or on the screen where there is none."""
    if page is None:
        for name, text in texts.items():
            print(f"## {name}\n\n{text}\n")
        return
    filled = page.read_text()
    for name, text in texts.items():
        filled = fill(filled, name, text)
    page.write_text(filled)
