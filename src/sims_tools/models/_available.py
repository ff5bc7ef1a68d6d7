"""Which architectures there are, and loading a model whatever its architecture."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from sims_tools._validate import check_choice
from sims_tools.models._base import ClassifierModel
from sims_tools.models._persist import read_header
from sims_tools.models._saved import SavedModel

Model = TypeVar("Model", bound=SavedModel)


def _classes(base: type[Model]) -> dict[str, type[Model]]:
    """Named classes below another, by name."""
    found: dict[str, type[Model]] = {}
    queue = list(base.__subclasses__())
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
        for name, each in _classes(ClassifierModel).items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")


def get_model_class(name: str) -> type[ClassifierModel]:
    """The class of an architecture by its short name.

    Raises
    ------
    ValueError
        There is no such architecture.
    """
    return _named(name, ClassifierModel)


def _named(name: str, base: type[Model]) -> type[Model]:
    found = _classes(base)
    check_choice("model", name, found)
    return found[name]


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
    model_class = _named(read_header(Path(folder))["model"], SavedModel)
    return model_class.load(folder, accelerator=accelerator, device=device)
