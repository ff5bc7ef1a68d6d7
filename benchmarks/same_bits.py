"""Does the same seed give the same bits in every process? `python benchmarks/same_bits.py`.

Each recipe is trained by three processes of their own: the first with an empty folder for compiled kernels, so that it
compiles them all; the second with what the first left there; the third too, on another number of threads. Prints a
digest of the weights for each, and ends with an error where they differ.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile

PRESETS = ("default", "sims", "sctab")
RUNS = (("empty cache, 1 thread", 1), ("full cache, 1 thread", 1), ("full cache, 2 threads", 2))


def digest(preset: str) -> str:
    """Of the weights of a model of planted cells."""
    import sims_tools as sims

    cells = sims.data.planted_cells()
    model = sims.tl.sims_train(cells, "cell_type", preset=preset, max_epochs=3, progress_bar=False)
    found = hashlib.sha256()
    for name, weights in sorted(model.module.state_dict().items()):
        found.update(name.encode() + weights.cpu().numpy().tobytes())
    return found.hexdigest()[:16]


def in_process(preset: str, folder: str, threads: int) -> str:
    """The digest that a process of its own finds."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": folder, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, __file__, "--train", preset]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=PRESETS)
    parser.add_argument("--train", choices=PRESETS, help="train in this process and print the digest")
    chosen = parser.parse_args()
    if chosen.train:
        print(digest(chosen.train))
        return
    differ = []
    for preset in chosen.presets:
        with tempfile.TemporaryDirectory() as folder:
            found = [in_process(preset, folder, threads) for _, threads in RUNS]
        for (run, _), each in zip(RUNS, found, strict=True):
            print(f"{preset:10}{run:24}{each}", flush=True)
        if len(set(found)) > 1:
            differ.append(preset)
    if differ:
        sys.exit(f"Not the same bits: {', '.join(differ)}.")


if __name__ == "__main__":
    main()
