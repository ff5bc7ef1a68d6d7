"""Many runs: side by side where wished, with a progress bar, each kept as soon as it is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from tqdm.auto import tqdm

from sims_tools.studies._cells import StudyCells
from sims_tools.studies._checkpoint import Checkpoint
from sims_tools.studies._run import Result, Run, execute_numbered


def run_all(
    runs: Sequence[Run], cells: StudyCells, checkpoint: Checkpoint, *, n_jobs: int, progress_bar: bool
) -> list[Result]:
    """Do the runs that are not in the checkpoint.

    Parameters
    ----------
    runs
        To be done, in any order.
    cells
        Of the study. Processes read the counts from memory they share.
    checkpoint
        Where finished runs are.
    n_jobs
        Runs at a time, each in a process of its own; they share the threads that torch has here.
    progress_bar
        Show one.

    Returns
    -------
    Results in the order of the runs, the same for any `n_jobs`.

    Raises
    ------
    ValueError
        The checkpoint is that of another study; no run is begun then.
    """
    done = {number: found for number, run in enumerate(runs) if (found := checkpoint.read(run)) is not None}
    left = [(number, run) for number, run in enumerate(runs) if number not in done]
    with tqdm(total=len(runs), initial=len(done), desc="Runs", unit="run", disable=not progress_bar) as bar:
        for number, result in _finished(left, cells, n_jobs):
            checkpoint.write(runs[number], result)
            done[number] = result
            bar.set_postfix_str(runs[number].label)
            bar.update()
    return [done[number] for number in range(len(runs))]


def _finished(left: Sequence[tuple[int, Run]], cells: StudyCells, n_jobs: int) -> Iterator[tuple[int, Result]]:
    """Number and result of each run, as they come to an end."""
    from joblib import Parallel, delayed, effective_n_jobs, parallel_config

    n_jobs = min(effective_n_jobs(n_jobs), max(len(left), 1))
    n_threads = max(1, torch.get_num_threads() // n_jobs)
    tasks = [(number, run, cells, n_threads) for number, run in left]
    if n_jobs == 1:
        yield from (execute_numbered(*task) for task in tasks)
        return
    with parallel_config("loky", inner_max_num_threads=n_threads):
        side_by_side = Parallel(n_jobs, return_as="generator_unordered")
        yield from side_by_side(delayed(execute_numbered)(*task) for task in tasks)
