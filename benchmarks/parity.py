"""How far our TabNet is from pytorch-tabnet 4.1.0 with the same weights: `python benchmarks/parity.py`.

Largest differences over all configurations of `tests/nn/tabnet_oracle.py`, in training and in evaluation mode,
absolute and relative to the largest entry of the tensor. "as shipped": the reference keeps some constants in
float32 even in a float64 network; "float64": with those constants in float64; "float32": both networks in float32.
"""

from __future__ import annotations

import importlib.util
import sys
from contextlib import nullcontext
from pathlib import Path

import torch

PATH = Path(__file__).parents[1] / "tests" / "nn" / "tabnet_oracle.py"


def load_oracle():
    spec = importlib.util.spec_from_file_location("tabnet_oracle", PATH)
    module = sys.modules["tabnet_oracle"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def worst(oracle, *, training, dtype, context):
    """Largest (absolute, relative) error of each quantity over the configurations."""
    found = {}
    for config in oracle.CONFIGS.values():
        with context():
            measured = oracle.errors(oracle.compare(config, training=training, dtype=dtype))
        for quantity, pair in measured.items():
            found[quantity] = tuple(map(max, pair, found.get(quantity, (0.0, 0.0))))
    return found


def main():
    torch.set_num_threads(1)
    oracle = load_oracle()
    settings = {
        "float64": (torch.float64, oracle.float64_constants),
        "as shipped": (torch.float64, nullcontext),
        "float32": (torch.float32, nullcontext),
    }
    print(f"{'arithmetic':<12}{'mode':<12}{'quantity':<22}{'max abs':>10}{'max rel':>10}")
    for label, (dtype, context) in settings.items():
        for mode in ("training", "evaluation"):
            found = worst(oracle, training=mode == "training", dtype=dtype, context=context)
            for quantity, (absolute, relative) in found.items():
                print(f"{label:<12}{mode:<12}{quantity:<22}{absolute:>10.1e}{relative:>10.1e}")


if __name__ == "__main__":
    main()
