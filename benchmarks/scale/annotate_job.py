"""One annotation of a store, timed from inside: `python -m benchmarks.scale.annotate_job ARGUMENTS` as JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sims_tools as sims
from sims_tools.tl import _annotate_store

from .store import size_on_disk

MARK = "result: "


def annotate(store: str, model: str, mode: str, n: int, masks: str, part_size: int) -> dict[str, Any]:
    """Annotate under a key of this run's own, so that the store may hold other annotations."""
    path, key = Path(store), f"{mode}_{n}"
    before = size_on_disk(path)
    with _workers(mode, n) as options:
        parts = _Parts()
        start = time.perf_counter()
        sims.tl.annotate(store, model, masks=masks, part_size=part_size, key_added=key, progress_bar=False, **options)
        seconds = time.perf_counter() - start
    n_cells = sum(each.stop - each.start for each in parts.summaries)
    of = {
        what: sum(getattr(each, f"seconds_{what}") for each in parts.summaries)
        for what in ("reading", "computing", "writing")
    }
    return {
        "mode": mode,
        "n": n,
        "masks": masks,
        "part_size": part_size,
        "n_cells": n_cells,
        "seconds": seconds,
        "planning": parts.began - start,
        "parts": parts.ended - parts.began,
        "committing": start + seconds - parts.ended,
        "of_workers": of,
        "part_bytes": sum(each.n_bytes for each in parts.summaries),
        "growth": size_on_disk(path) - before,
    }


class _Parts:
    """Listens to the parts of the one annotation of this process."""

    def __init__(self) -> None:
        self.summaries: list[Any] = []
        self._run = _annotate_store.run_parts
        _annotate_store.run_parts = self

    def __call__(self, *args: Any, **options: Any) -> Iterator[Any]:
        self.began = time.perf_counter()
        for each in self._run(*args, **options):
            self.summaries.append(each)
            yield each
        self.ended = time.perf_counter()


@contextmanager
def _workers(mode: str, n: int) -> Iterator[dict[str, Any]]:
    """Options of the annotation. Dask workers have loaded the package before; of processes, loading is measured."""
    if mode == "processes":
        yield {"n_jobs": n}
        return
    from distributed import Client, LocalCluster

    options = {"n_workers": n, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        client.wait_for_workers(n)
        client.run(_load)
        yield {}


def _load() -> None:
    import sims_tools.tl._annotate_part  # noqa: F401


def main() -> None:
    print(MARK + json.dumps(annotate(**json.loads(sys.argv[1]))))


if __name__ == "__main__":
    main()
