"""What a phase costs at least on this machine: bytes that must move, operations that must happen.

A floor is the larger of two times: the bytes at the measured bandwidth of a copy, and the operations at the measured
speed of a large float32 matrix product. Nothing can be faster in float32; no code reaches both at once. Multiplying and
adding count as two operations. With B cells, p genes, S steps, n stored values, k genes in a mask and r of them read
(all where genes are centred, else those that the cell expresses):

- input: n values with their columns are read, and the first linear map has 2 n h operations, h = 2 (n_d + n_a);
- scores: which genes are in a mask is known only when each gene's score is, 2 B p n_a operations a step;
- masked input: 2 B r h operations a step;
- the other layers: a product of widths n_d + n_a and h for each cell and layer, in S + 1 feature transformers;
- weights are read once for a minibatch;
- with masks, B S k values with their columns are written.

Training adds statistics of the scores (two operations a score, or p n_a^2 a chunk where that is less), the backward
passes of the small layers (twice the forward), of the input (2 n h) and of the masked genes (twice the forward), the
scores' backward pass on the masked genes and through their statistics, and what Adam reads and writes: four arrays in,
three out, as large as the weights, after gradients of that size were written.
"""

from __future__ import annotations

import time
from typing import Any

import torch

from .networks import Config

LAYERS = 4
FLOAT, COLUMN = 4, 4
ADAM_ARRAYS = 7


def machine_speed(rounds: int = 15, device: str = "cpu") -> dict[str, float]:
    """Bandwidth of a copy in bytes/s, read and written, and float32 operations/s of products, best of some rounds."""
    source = torch.zeros(1 << 26, device=device)
    target = torch.empty_like(source).copy_(source)
    copy = min(_seconds(lambda: target.copy_(source), device) for _ in range(rounds))
    square, thin = torch.rand(2048, 2048, device=device), torch.rand(1024, 64, device=device)
    wide = torch.rand(64, 20_000, device=device)
    out, scores = torch.empty_like(square), torch.empty(1024, 20_000, device=device)
    products = {
        "matrix": (2 * 2048**3, lambda: torch.mm(square, square, out=out)),
        "thin_matrix": (2 * 1024 * 64 * 20_000, lambda: torch.mm(thin, wide, out=scores)),
    }
    for _, run in products.values():
        run()
    best = {name: n / min(_seconds(run, device) for _ in range(rounds)) for name, (n, run) in products.items()}
    return {"bandwidth": 2 * source.nbytes / copy, **best}


def _seconds(run: Any, device: str) -> float:
    synchronize = torch.cuda.synchronize if device.startswith("cuda") else (lambda: None)
    synchronize()
    start = time.perf_counter()
    run()
    synchronize()
    return time.perf_counter() - start


def work(config: Config, phase: str, *, n_stored: int, support: float, read: float) -> dict[str, float]:
    """Operations and bytes of a phase over one minibatch, as the module says.

    `n_stored` is n, of the whole minibatch, `support` is k, `read` is r.
    """
    p, steps, a = config.n_genes, config.n_steps, config.width
    hidden, h = 2 * config.width, 4 * config.width
    first = 2 * n_stored * h
    scores = 2 * config.batch * p * a * steps
    masked = 2 * config.batch * read * h * steps
    small = 2 * config.batch * (hidden * h * (LAYERS - 1) * (steps + 1) + a * config.n_classes)
    weights = FLOAT * (p * h + steps * p * (a + 2) + small / (2 * config.batch))
    rows = (FLOAT + COLUMN) * n_stored
    chosen = config.batch * steps * support
    if phase == "predict":
        return {"operations": first + scores + masked + small, "bytes": rows + weights}
    if phase == "masks":
        written = (FLOAT + COLUMN) * min(chosen, config.batch * p)
        return {"operations": first + scores + masked + small, "bytes": rows + weights + written}
    chunk = min(config.virtual_batch_size, config.batch)
    n_chunks = -(-config.batch // chunk)
    statistics = steps * n_chunks * 2 * p * min(a * a, chunk)
    touched = min(p, chunk * support)
    back = 2 * small + first + 2 * masked + 4 * chosen * a + steps * n_chunks * 4 * touched * a * a
    return {
        "operations": first + scores + masked + small + statistics + back,
        "bytes": rows + (2 + ADAM_ARRAYS) * weights,
    }


def floor(config: Config, phase: str, speed: dict[str, float], **sizes: float) -> dict[str, float]:
    """Seconds of a phase at least: of its operations, of its bytes, and the larger one."""
    needed = work(config, phase, **sizes)
    operations, moved = needed["operations"] / speed["matrix"], needed["bytes"] / speed["bandwidth"]
    return {**needed, "operations_s": operations, "bytes_s": moved, "floor_s": max(operations, moved)}
