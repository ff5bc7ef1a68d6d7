"""What a training is: all that must be the same for it to end with the same weights."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch

from sims_tools._digest import digest
from sims_tools.models._settings import TrainingSettings
from sims_tools.models._storage import package_versions

Identity = dict[str, Any]
"""Plain values by the name they have in a message."""

INITIAL = "initial weights"

_VERSIONS = ("sims-tools", "torch")
"""Packages whose versions the weights depend on."""


def identify(model: Any, data: Any, settings: TrainingSettings, precision: str | int) -> Identity:
    """Cells, weights to start from, parameters and versions of a training.

    Parameters
    ----------
    model
        About to be trained.
    data
        The data module; its `digests()` say what the minibatches are made of.
    settings, precision
        Of training.
    """
    versions = package_versions()
    return {
        **data.digests(),
        "features": digest("\0".join([*model.genes_, "", *model.proteins_]).encode()),
        "classes": digest("\0".join(model.classes_).encode()),
        INITIAL: _digest_weights(model.module),
        **{name: value for name, value in model.params_.items() if name != "network"},
        **model.params_.get("network", {}),
        **asdict(settings),
        "precision": str(precision),
        **{f"{name} version": versions[name] for name in _VERSIONS},
    }


def _digest_weights(module: torch.nn.Module) -> str:
    tensors = [*module.state_dict().values(), *module.buffers()]
    return digest(*(each.detach().cpu().contiguous().numpy() for each in tensors))


def differences(there: Identity, here: Identity) -> str:
    """In words, what differs; nothing where nothing does."""
    differing = [name for name in here | there if here.get(name) != there.get(name)]
    return ", ".join(_in_words(name, there.get(name), here.get(name)) for name in differing)


def _in_words(name: str, there: Any, here: Any) -> str:
    """A digest says nothing to anybody."""
    is_digest = isinstance(here, str) and len(here) == 32
    return name if is_digest else f"{name} ({there!r} there, {here!r} here)"
