"""Parts of a piece of work, done where they can be: here, in processes, or on a dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from sims_tools._log import logger
from sims_tools.stores._dask import active_client, run_on_dask
from sims_tools.stores._part_file import PartSummary
from sims_tools.stores._processes import count_processes, run_in_processes
from sims_tools.stores._resources import Part, Resources, n_devices

Work = Callable[[Any, int, int, Resources], PartSummary]


def run_parts(
    function: Work,
    job: Any,
    parts: Sequence[Part],
    *,
    plan_file: Path,
    n_jobs: int | None = None,
    progress_bar: bool = True,
) -> Iterator[PartSummary]:
    """Call a function for each part, and give its summaries as parts are finished, in any order.

    Parameters
    ----------
    function
        Of the job, a part's first row, the row after its last, and what it may use; defined in a module, so that
        another process finds it. It keeps its results itself, and they are the same whatever it may use.
    job
        What is to be done; it can be sent to another process.
    parts
        Rows of each part.
    plan_file
        A file beside the results, by which workers see whether they share the folder.
    n_jobs
        Processes, or -1 for one for each CUDA device, for each core where there are none. None takes the workers of
        the active dask client, or this process where there is no client.
    progress_bar
        Show a bar over the cells.

    Raises
    ------
    RuntimeError
        Processes or workers died over the same part again and again, or workers cannot do it.
    ValueError
        `n_jobs` is not a number of processes.
    """
    n_cells = sum(stop - start for start, stop in parts)
    with tqdm(total=n_cells, desc="annotate", unit="cell", unit_scale=True, disable=not progress_bar) as bar:
        with closing(_run(function, job, parts, plan_file, n_jobs)) as summaries:
            for summary in summaries:
                bar.update(summary.stop - summary.start)
                yield summary


def _run(
    function: Work, job: Any, parts: Sequence[Part], plan_file: Path, n_jobs: int | None
) -> Generator[PartSummary]:
    client = active_client() if n_jobs is None else None
    if client is not None:
        logger.info("Annotating on the dask cluster at %s.", client.scheduler.address)
        return run_on_dask(client, function, job, parts, plan_file)
    n_processes = count_processes(1 if n_jobs is None else n_jobs, n_devices())
    if n_processes == 1:
        return (function(job, *part, Resources()) for part in parts)
    return run_in_processes(function, job, parts, n_processes, _threads_here())


def _threads_here() -> int:
    import torch

    return torch.get_num_threads()
