"""Errors that say which of several references they are about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def naming(name: str, *, many: bool = True) -> Iterator[None]:
    """Put the name of a reference before the message of what is raised, where there are several."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        if not many or len(error.args) != 1:
            raise
        raise type(error)(f"Reference {name!r}: {error.args[0]}") from error
