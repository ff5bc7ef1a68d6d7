"""What the computation of a part may use: threads, and a GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Part = tuple[int, int]
"""Index of a first row, and of the row after the last."""


@dataclass(frozen=True)
class Resources:
    """What a part may use.

    Attributes
    ----------
    n_threads
        Threads; None leaves the number as it is.
    device
        Index of the CUDA device among those that the process sees; None leaves the choice to the model.
    """

    n_threads: int | None = None
    device: int | None = None


def device_ids(environment: Mapping[str, str], n_found: int) -> list[str]:
    """Names by which a child process can be shown one of the CUDA devices that this one sees.

    Parameters
    ----------
    environment
        Of this process; "CUDA_VISIBLE_DEVICES" may list numbers or UUIDs.
    n_found
        CUDA devices that this process finds.
    """
    listed = environment.get("CUDA_VISIBLE_DEVICES")
    known = None if listed is None else [each.strip() for each in listed.split(",") if each.strip()]
    return [str(number) for number in range(n_found)] if known is None else known[:n_found]


def turn(addresses: Sequence[str], own: str, n_devices: int) -> int:
    """Index of the device for one of several processes of a machine: each takes the next, and so on from the first.

    Parameters
    ----------
    addresses
        Of all processes of the machine, in any order.
    own
        That of the process in question.
    n_devices
        Devices of the machine.
    """
    return sorted(addresses).index(own) % n_devices


def n_devices() -> int:
    """CUDA devices that this process sees; none of them is taken into use."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
