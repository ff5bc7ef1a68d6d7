"""Paired timing: in each round every contestant runs once, so that what slows the machine down slows all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch

Laps = dict[str, float]
"""Seconds by part of a run; "all" is the whole of it."""

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
MIN_ROUNDS = 3


class Watch:
    """Reads the time between the parts of a run; on a GPU after everything that was asked for is done."""

    def __init__(self, clock: str = "wall", device: str = "cpu") -> None:
        self.now, self.on_gpu = CLOCKS[clock], device.startswith("cuda")
        self.laps: Laps = {}
        self.start = self.last = self._read()

    def lap(self, name: str) -> None:
        """The part that ends here."""
        now = self._read()
        self.laps[name] = self.laps.get(name, 0.0) + now - self.last
        self.last = now

    def stop(self) -> Laps:
        """Laps of the run, and all of it."""
        return {"all": self._read() - self.start, **self.laps}

    def _read(self) -> float:
        if self.on_gpu:
            torch.cuda.synchronize()
        return self.now()


def paired(
    contestants: Mapping[str, Callable[[], Laps]],
    *,
    rounds: int = 5,
    budget: float = float("inf"),
    warm: Sequence[str] = ("ours",),
) -> dict[str, list[Laps]]:
    """Laps of each contestant in each round.

    Parameters
    ----------
    contestants
        Called without arguments, each returns its laps.
    rounds
        At most so many. The one who starts changes from round to round.
    budget
        Seconds after which no further round starts, once there are three (or `rounds`, if fewer).
    warm
        Who runs once before, untimed: what compiles at the first call.
    """
    for name in warm:
        contestants[name]()
    names, found = list(contestants), {name: [] for name in contestants}
    start = time.perf_counter()
    for i in range(rounds):
        if i >= min(MIN_ROUNDS, rounds) and time.perf_counter() - start > budget:
            break
        for j in range(len(names)):
            name = names[(i + j) % len(names)]
            found[name].append(contestants[name]())
    return found


def medians(found: Mapping[str, list[Laps]]) -> dict[str, Laps]:
    """Median over the rounds of each contestant's laps, in seconds."""
    return {
        name: {lap: statistics.median(each[lap] for each in runs) for lap in runs[0]} for name, runs in found.items()
    }


def ratios(found: Mapping[str, list[Laps]], mine: str = "ours") -> dict[str, Laps]:
    """How many times longer each other contestant takes: median over rounds of the ratio within the round."""
    result = {}
    for name, runs in found.items():
        if name != mine:
            pairs = list(zip(runs, found[mine], strict=True))
            shared = [lap for lap in runs[0] if lap in found[mine][0]]
            result[name] = {lap: statistics.median(a[lap] / b[lap] for a, b in pairs) for lap in shared}
    return result


def set_threads(threads: int) -> None:
    """Give torch and, where it is loaded, numba so many threads."""
    torch.set_num_threads(threads)
    import numba

    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
