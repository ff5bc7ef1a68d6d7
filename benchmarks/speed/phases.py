"""What one minibatch costs: training step by parts, prediction, prediction with masks; ours and rivals in turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional as F

from sims_tools.nn import ThreadedAdam, steady_threads

from .counts import Cells, as_rows, planted
from .networks import Config, disagreement, ours, rival, support_sizes
from .timing import Laps, Watch, medians, paired, ratios, set_threads

PHASES = ("train", "predict", "masks")
Contestants = dict[str, Callable[[], Laps]]


class Contest:
    """Ours and its rivals over one minibatch.

    Parameters
    ----------
    config
        Network and batch.
    matrix
        (batch, n_genes) network input, log1p CP10K.
    codes
        (batch,) classes.
    rivals
        Kinds of :func:`~benchmarks.speed.networks.rival`.
    clock
        "wall" or "cpu".
    device
        Where all of it is.
    """

    def __init__(
        self,
        config: Config,
        matrix: sparse.csr_matrix,
        codes: Tensor,
        *,
        rivals: tuple[str, ...],
        clock: str = "wall",
        device: str = "cpu",
    ) -> None:
        self.config, self.clock, self.device = config, clock, device
        matrix.sort_indices()
        self.rows, self.codes = as_rows(matrix).to(device), codes.to(device)
        start = time.perf_counter()
        self.dense = torch.from_numpy(matrix.toarray()) if rivals else torch.empty(0)
        self.densification = time.perf_counter() - start
        self.dense = self.dense.to(device)
        self.ours = ours(config, self.rows)
        self.rivals = {kind: rival(kind, config, self.ours) for kind in rivals}
        self.disagreement = disagreement(self.ours, self.rivals, self.rows, self.dense)
        self.optimizers = {"ours": ThreadedAdam(self.ours.parameters(), lr=0.0, fused=True)}
        self.optimizers |= {name: _adam(network) for name, network in self.rivals.items()}

    def contestants(self, phase: str) -> Contestants:
        """A function of no arguments for each network."""
        mine: dict[str, Callable[[], Laps]] = {"ours": _with_steady_threads(getattr(self, f"_{phase}_ours"))}
        theirs = getattr(self, f"_{phase}_rival")
        return mine | {kind: (lambda kind=kind: theirs(kind)) for kind in self.rivals}

    def _train_ours(self) -> Laps:
        network, watch = self.ours.train(), self._watch()
        output = network(self.rows)
        watch.lap("forward")
        loss = F.cross_entropy(output.logits, self.codes) + output.penalty
        return self._learn("ours", loss, watch)

    def _train_rival(self, kind: str) -> Laps:
        network, watch = self.rivals[kind].train(), self._watch()
        logits, entropy = network(self.dense)
        watch.lap("forward")
        loss = F.cross_entropy(logits, self.codes) - self.config.sparsity * entropy
        return self._learn(kind, loss, watch)

    def _learn(self, name: str, loss: Tensor, watch: Watch) -> Laps:
        watch.lap("loss")
        loss.backward()
        watch.lap("backward")
        self.optimizers[name].step()
        self.optimizers[name].zero_grad()
        watch.lap("optimiser")
        return watch.stop()

    @torch.no_grad()
    def _predict_ours(self) -> Laps:
        network, watch = self.ours.eval(), self._watch()
        network(self.rows)
        return watch.stop()

    @torch.no_grad()
    def _predict_rival(self, kind: str) -> Laps:
        network, watch = self.rivals[kind].eval(), self._watch()
        network(self.dense)
        return watch.stop()

    @torch.no_grad()
    def _masks_ours(self) -> Laps:
        network, watch = self.ours.eval(), self._watch()
        network(self.rows, explain=True)
        return watch.stop()

    @torch.no_grad()
    def _masks_rival(self, kind: str) -> Laps:
        """One pass of `forward_masks`, which returns the masks alone: prediction would be a second pass."""
        network, watch = self.rivals[kind].eval(), self._watch()
        network.forward_masks(self.dense)
        return watch.stop()

    def _watch(self) -> Watch:
        return Watch(self.clock, self.device)


def _with_steady_threads(run: Callable[[], Laps]) -> Callable[[], Laps]:
    """Ours as the package runs it, in training and in annotation."""

    def steady() -> Laps:
        with steady_threads():
            return run()

    return steady


def _adam(network: nn.Module) -> torch.optim.Optimizer:
    """Adam in its quickest form, and at rate 0, so that every round computes the same function."""
    return torch.optim.Adam(network.parameters(), lr=0.0, fused=True)


def measure(contest: Contest, *, rounds: int, budget: float, phases: tuple[str, ...] = PHASES) -> list[dict[str, Any]]:
    """One result for each phase: medians in seconds, ratios, and what was measured.

    `budget` is seconds for each phase.
    """
    shared = {
        "config": asdict(contest.config),
        "n_stored": len(contest.rows.values),
        "densification": contest.densification,
        "disagreement": contest.disagreement,
        **support_sizes(contest.ours, contest.rows),
    }
    results = []
    for phase in phases:
        found = paired(contest.contestants(phase), rounds=rounds, budget=budget)
        measured = {"rounds": len(found["ours"]), "seconds": medians(found), "ratios": ratios(found)}
        results.append({**shared, "phase": phase, **measured})
    return results


def contest_on(
    cells: Cells, config: Config, *, rivals: tuple[str, ...], clock: str = "wall", device: str = "cpu"
) -> Contest:
    """A contest over a minibatch drawn from some cells."""
    rows = np.random.default_rng(0).permutation(len(cells.codes))[: config.batch]
    codes = torch.from_numpy(cells.codes[rows])
    return Contest(config, cells.log1p_cp10k()[rows], codes, rivals=rivals, clock=clock, device=device)


def job(
    config: dict[str, Any], rivals: list[str], rounds: int, budget: float, threads: int, clock: str
) -> dict[str, Any]:
    """`measure` on planted cells, for a process of its own."""
    set_threads(threads)
    chosen = Config(**config)
    contest = contest_on(planted(chosen.batch, chosen.n_genes), chosen, rivals=tuple(rivals), clock=clock)
    return {"results": measure(contest, rounds=rounds, budget=budget)}
