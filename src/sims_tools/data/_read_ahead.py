"""The next item is made while the last one is used."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")

_END = object()


def read_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items in the same order, one of them made beforehand by a thread of its own."""
    with ThreadPoolExecutor(1, thread_name_prefix="read_ahead") as pool:
        coming = pool.submit(next, items, _END)
        while (item := coming.result()) is not _END:
            coming = pool.submit(next, items, _END)
            yield item  # type: ignore[misc]
