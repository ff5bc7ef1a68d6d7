"""Training steps with one kernel thread and with all, alone and beside a process that wants the same cores.

Run: ``python benchmarks/threads.py``. Prints medians over rounds in which the settings take turns, and their ratio.
"""

import multiprocessing
import os
import statistics
import time

import torch

from sims_tools.nn import SparseRows, TabNet, steady_threads

STEPS, ROUNDS = 10, 5
SIZES = ((64, 765), (64, 3000), (256, 20000))
NETWORK = {"n_d": 64, "n_a": 64, "n_steps": 3, "selector": "entmax15", "center": False, "attention_scale": 0.1}


def spin() -> None:
    torch.set_num_threads(1)
    while True:
        torch.rand(256, 256) @ torch.rand(256, 256)


def seconds_per_step(network: torch.nn.Module, rows: SparseRows, threads: int) -> float:
    torch.set_num_threads(threads)
    start = time.perf_counter()
    with steady_threads():
        for _ in range(STEPS):
            network.zero_grad()
            network(rows).logits.square().mean().backward()
    return (time.perf_counter() - start) / STEPS


def compare(batch: int, genes: int, threads: int) -> tuple[float, float]:
    torch.manual_seed(0)
    x = torch.rand(batch, genes) * (torch.rand(batch, genes) < 0.07)
    network, rows = TabNet(genes, 10, **NETWORK), SparseRows.from_dense(x)
    seconds_per_step(network, rows, 1)
    rounds = [(seconds_per_step(network, rows, 1), seconds_per_step(network, rows, threads)) for _ in range(ROUNDS)]
    one, many = zip(*rounds, strict=True)
    return statistics.median(one), statistics.median(many)


def main() -> None:
    threads = os.cpu_count() or 1
    print(f"{'beside':10}{'cells x genes':>16}{'1 thread':>12}{f'{threads} threads':>12}{'ratio':>8}")
    for beside in ("nothing", "one busy"):
        busy = multiprocessing.Process(target=spin, daemon=True)
        if beside != "nothing":
            busy.start()
        for batch, genes in SIZES:
            one, many = compare(batch, genes, threads)
            size = f"{batch} x {genes}"
            print(f"{beside:10}{size:>16}{one * 1e3:>9.1f} ms{many * 1e3:>9.1f} ms{many / one:>8.2f}", flush=True)
        if busy.is_alive():
            busy.terminate()


if __name__ == "__main__":
    main()
