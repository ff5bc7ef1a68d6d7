"""Extra peak memory of each phase, and cost of construction; each network in a fresh process."""

from __future__ import annotations

import time
from typing import Any

import torch
from pytorch_tabnet.tab_network import TabNetNoEmbeddings

from sims_tools.nn import TabNet

from .counts import planted
from .networks import Config
from .phases import PHASES, Contest, contest_on
from .timing import set_threads
from .watermark import Watermark

SMALL = 300


def measure(config: dict[str, Any], who: str, threads: int) -> dict[str, Any]:
    """Extra peak bytes of one network by phase: what one minibatch adds to network, input and optimiser.

    A small contest runs before, so that what is loaded or compiled at the first call is not counted.
    """
    set_threads(threads)
    small = Config(**{**config, "n_genes": SMALL, "batch": 256})
    for phase in PHASES:
        _contest(small, who).contestants(phase)[who]()
    contest = _contest(Config(**config), who)
    extra = {}
    for phase in ("predict", "masks", "train"):
        run = contest.contestants(phase)[who]
        if phase == "train":  # gradients and moments are made at the first step and stay
            run()
        with Watermark() as water:
            run()
        extra[phase] = water.extra
    return {"config": config, "who": who, "extra": extra}


def _contest(config: Config, who: str) -> Contest:
    cells = planted(config.batch, config.n_genes)
    return contest_on(cells, config, rivals=() if who == "ours" else (who,))


def construct(who: str, n_genes: int, width: int, n_classes: int = 20) -> dict[str, Any]:
    """Seconds and extra peak bytes of building a network, and bytes of its weights and statistics."""
    _build(who, SMALL, 8, n_classes)
    with Watermark() as water:
        start = time.perf_counter()
        network = _build(who, n_genes, width, n_classes)
        seconds = time.perf_counter() - start
    weights = {each.data_ptr(): each.nbytes for each in [*network.parameters(), *network.buffers()]}
    size = sum(weights.values())
    beyond = None if water.extra is None else water.extra - size
    return {"who": who, "n_genes": n_genes, "width": width, "seconds": seconds, "weights": size, "beyond": beyond}


def _build(who: str, n_genes: int, width: int, n_classes: int) -> torch.nn.Module:
    if who == "ours":
        return TabNet(n_genes, n_classes, n_d=width, n_a=width)
    groups = torch.eye(n_genes)  # pytorch-tabnet and scsims make it whether or not there are groups
    return TabNetNoEmbeddings(n_genes, n_classes, n_d=width, n_a=width, group_attention_matrix=groups)
