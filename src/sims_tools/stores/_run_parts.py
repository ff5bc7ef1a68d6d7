"""Parts of a piece of work, done where they can be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tqdm.auto import tqdm

from sims_tools.stores._part_file import PartSummary


def run_parts(
    function: Callable[[Any, int, int], PartSummary],
    job: Any,
    parts: Sequence[tuple[int, int]],
    *,
    n_jobs: int = 1,
    progress_bar: bool = True,
) -> Iterator[PartSummary]:
    """Call a function for each part, and give its summaries as parts are finished, in any order.

    Parameters
    ----------
    function
        Of the job and a part's first row and the row after its last; defined in a module, so that another process
        finds it. It keeps its results itself.
    job
        What is to be done; it can be sent to another process.
    parts
        Rows of each part.
    n_jobs
        Parts at a time.
    progress_bar
        Show a bar over the cells.
    """
    with tqdm(
        total=sum(stop - start for start, stop in parts), unit="cell", unit_scale=True, disable=not progress_bar
    ) as bar:
        for start, stop in parts:
            yield function(job, start, stop)
            bar.update(stop - start)
