"""The methods of a study by name: our models, scikit-learn's, scANVI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from sims_tools._validate import check_choice, check_names
from sims_tools.data import planted_cells
from sims_tools.models import ClassifierModel, available, get_model_class
from sims_tools.models._settings import SETTING_NAMES, change_settings
from sims_tools.studies._baselines import BASELINES
from sims_tools.studies._cells import LABELS, PROTEINS, StudyCells
from sims_tools.studies._method import Fitted, Method, Prediction
from sims_tools.studies._scanvi import ScanviMethod
from sims_tools.tl._annotation import probabilities_of
from sims_tools.tl._asked import param_names
from sims_tools.tl._gather import gather
from sims_tools.tl._train import train

TRAINING_NAMES = (
    "preset", "n_top_genes", "gene_choice", "validation_size", "split_by", "max_epochs", "accelerator", "devices",
    "precision",
)  # fmt: skip
"""What users may ask of the training of a model beside parameters of its network and its settings."""

PROTEIN_NAMES = ("protein_transform", "exclude_proteins")


@dataclass(frozen=True)
class ModelMethod(Method):
    """A model of ours, trained and asked as by :func:`~sims_tools.tl.annotate`."""

    model: str = "sims"

    reads_proteins = True

    def check_options(self) -> None:
        """See :class:`Method`."""
        known = (*TRAINING_NAMES, *PROTEIN_NAMES, *param_names(_class(self)))
        check_names(f"parameter of {self.model!r} in a study", self.options, dict.fromkeys(known))
        preset = self.options.get("preset", "default")
        check_choice("preset", preset, _class(self).presets)
        settings = {name: value for name, value in self.options.items() if name in SETTING_NAMES}
        change_settings(_class(self).presets[preset].training, **settings)

    @property
    def name(self) -> str:
        """How users ask for it."""
        return self.model

    @property
    def obs_columns(self) -> tuple[str, ...]:
        """See :class:`Method`."""
        split_by = self.options.get("split_by")
        return () if split_by is None else (split_by,)

    def threads(self, available: int) -> int:
        """All, where the network has kernels whose bits do not depend on their number."""
        return available if getattr(_class(self).Network, "accepts_sparse", False) else 1

    def warm_up(self) -> None:
        """Load compiled kernels, or compile them."""
        _load_kernels(self.model, self.options.get("preset", "default"))

    def fit(self, cells: StudyCells, rows: np.ndarray, seed: int) -> Fitted:
        """See :class:`Method`."""
        where = {} if cells.proteins is None else {"protein_obsm_key": PROTEINS}
        usual = {"input_kind": cells.input_kind, "random_state": seed, "progress_bar": False}
        model = train(cells.adata(rows), LABELS, model=self.model, **usual, **where, **self.options)
        if model.was_interrupted_:
            raise KeyboardInterrupt("A model of the study was interrupted while it was trained.")
        return _FittedModel(model, where)


class _FittedModel(Fitted):
    def __init__(self, model: ClassifierModel, where: dict[str, str]) -> None:
        self.model, self.where = model, where
        self.classes, self.history = np.asarray(model.classes, dtype=object), model.history_by_epoch

    def predict(self, cells: StudyCells, rows: np.ndarray) -> Prediction:
        """See :class:`Fitted`."""
        query = self.model.query(cells.adata()[rows], input_kind=cells.input_kind, **self.where)
        found = gather(self.model.read(query), len(rows), embedding=False)
        prob = probabilities_of(self.model, found)
        return Prediction(prob, np.where(found.empty, len(self.classes), prob.argmax(1)))


def _class(method: ModelMethod) -> type[ClassifierModel]:
    return get_model_class(method.model)


@cache
def _load_kernels(model: str, preset: str) -> None:
    """Train on a few cells, once in a process."""
    few = planted_cells(60, 40, 2)
    fitted = train(few, "cell_type", model=model, preset=preset, max_epochs=1, progress_bar=False)
    gather(fitted.read(fitted.query(few)), few.n_obs, embedding=False)


def resolve_methods(models: Sequence[str] | Mapping[str, Mapping[str, Any]]) -> list[Method]:
    """The methods, in the order in which they are named, their parameters checked.

    Parameters
    ----------
    models
        Names; or for each title its parameters, `model` among them where it is not the title.

    Raises
    ------
    TypeError
        A parameter is unknown.
    ValueError
        A name is unknown or given twice, or there is none.
    """
    if isinstance(models, str):
        models = [models]
    asked = dict(models) if isinstance(models, Mapping) else {name: {} for name in models}
    if not asked or len(asked) < len(models):
        raise ValueError(f"`models={models!r}` must name at least one method, and none of them twice.")
    return [_resolve(str(title), dict(options)) for title, options in asked.items()]


def _resolve(title: str, options: dict[str, Any]) -> Method:
    name = options.pop("model", title)
    ours = list(available().index)
    check_choice("model", name, [*ours, *BASELINES, ScanviMethod.name])
    if name in ours:
        return ModelMethod(title, options, name)
    return ScanviMethod(title, options) if name == ScanviMethod.name else BASELINES[name](title, options)
