"""Which architectures there are, and loading a model whatever its architecture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from sims_tools._validate import check_choice
from sims_tools.models._base import ClassifierModel
from sims_tools.models._persist import read_header
from sims_tools.models.cite_autoencoder import CITEAutoencoder


def _classes() -> dict[str, type[ClassifierModel]]:
    found, queue = {}, list(ClassifierModel.__subclasses__())
    while queue:
        each = queue.pop()
        queue += each.__subclasses__()
        if "name" in each.__dict__:
            found[each.name] = each
    return dict(sorted(found.items()))


def available() -> pd.DataFrame:
    """Tabulate the architectures.

    Returns
    -------
    A row for each, by name: its class, its publication, its presets.
    """
    rows = {
        name: {"class": each.__name__, "reference": each.reference, "presets": ", ".join(each.presets)}
        for name, each in _classes().items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")


def get_model_class(name: str) -> type[ClassifierModel]:
    """The class of an architecture by its short name.

    Raises
    ------
    ValueError
        There is no such architecture.
    """
    check_choice("model", name, _classes())
    return _classes()[name]


def load(folder: str | Path, *, accelerator: str = "auto", device: str | int = "auto") -> Any:
    """Read a model that was saved, of any architecture; nothing is unpickled.

    Parameters
    ----------
    folder
        The model's folder.
    accelerator
        Hardware to put the model on, as scvi-tools takes it; "auto" takes a GPU where there is one.
    device
        Which of them.

    Raises
    ------
    FileNotFoundError
        There is no such folder, or a file is missing from it.
    ValueError
        A file is damaged or was changed, or its format version or architecture is unknown.
    """
    name = read_header(Path(folder))["model"]
    model_class: Any = CITEAutoencoder if name == CITEAutoencoder.name else get_model_class(name)
    return model_class.load(folder, accelerator=accelerator, device=device)
