"""Which version of the wide operations runs on a device."""

from __future__ import annotations

import logging
import subprocess
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch

from . import _torch_ops

_log = logging.getLogger("sims_tools")


def ops_for(device: torch.device) -> ModuleType:
    """`_triton_ops` on a GPU where its kernels run, `_torch_ops` everywhere else."""
    if device.type == "cuda" and _triton_runs(device):
        from . import _triton_ops

        return _triton_ops
    return _torch_ops


@cache
def _triton_runs(device: torch.device) -> bool:
    """Try a kernel, once per device: Triton may be absent, lack the compiler it needs, or find the GPU too old."""
    remedy = (
        "TabNet uses plain torch operations there, which are exact but slower. Remedy: install triton and a C compiler."
    )
    if find_spec("triton") is None:
        _log.warning("Triton is not installed for %s. %s", device, remedy)
        return False
    from triton import TritonError  # type: ignore[import-not-found,unused-ignore]

    from . import _triton_ops

    scores = torch.zeros(1, 2, device=device)
    try:
        how: dict[str, Any] = {"chunks": None, "power": 1, "gamma": 1.0, "limit": 2, "allowed": None, "go_on": False}
        selected = _triton_ops.select(scores, None, None, None, **how)
        selected.mask.tolist()  # waits, so that an error shows here
    except (TritonError, RuntimeError, OSError, ImportError, subprocess.SubprocessError) as error:
        _log.warning("Triton's kernels do not run on %s (%s). %s", device, error, remedy)
        return False
    return True
