"""What a user asks of a training, checked and put together with the preset before any cell is read."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from sims_tools._validate import check_choice, check_names
from sims_tools.data._cell_filter import CellFilter
from sims_tools.data._gene_choice import BY_FILTER, BY_NUMBER, GeneChoice
from sims_tools.models import ClassifierModel
from sims_tools.models._random import resolve_seed
from sims_tools.models._settings import SETTING_NAMES, change_settings
from sims_tools.tl._start import building_of, preset_of, read_source

if TYPE_CHECKING:
    from sims_tools.models import Preset

Model = TypeVar("Model", bound=ClassifierModel)

FILTER_NAMES = tuple(field.name for field in fields(CellFilter))

BUILDING_NAMES = ("scale_genes", "center_genes", "gene_dropout", "n_members", "modality_dropout")
"""What a model is built with beside parameters of its network."""

PRESET = "preset"
"""What stands for "as the preset says"."""


@dataclass(frozen=True)
class Asked(Generic[Model]):
    """A training without its cells.

    Attributes
    ----------
    model_class
        The architecture.
    source
        The model to start from; None for random weights.
    building
        What the model is built with.
    settings
        Of training, as far as they differ from the preset's.
    cell_filter
        Which labelled cells take part.
    choice
        How genes are chosen.
    """

    model_class: type[Model]
    source: Any
    building: dict[str, Any]
    settings: dict[str, Any]
    cell_filter: CellFilter
    choice: GeneChoice

    @classmethod
    def read(
        cls,
        model_class: type[Model],
        *,
        preset: str,
        n_top_genes: int | str | None,
        gene_choice: str,
        random_state: int | None,
        init_from: Any,
        max_epochs: int | None,
        params: dict[str, Any],
    ) -> Self:
        """As :func:`~sims_tools.tl.train` takes it.

        Raises
        ------
        FileNotFoundError, TypeError, ValueError
            A name or value is unknown or out of range, or there is no model to start from.
        """
        check_choice("preset", preset, model_class.presets)
        source = read_source(init_from, model_class)
        preset = preset_of(source, preset)
        recipe = model_class.presets[preset]
        check_names("parameter", params, param_names(model_class))
        settings = {name: value for name, value in params.items() if name in SETTING_NAMES}
        change_settings(recipe.training, max_epochs=max_epochs, **settings)
        filtering = {name: value for name, value in params.items() if name in FILTER_NAMES}
        building = {name: params[name] for name in params.keys() - settings.keys() - filtering.keys()}
        building = building_of(source, model_class, building)
        building |= {"preset": preset, "random_state": resolve_seed(random_state)}
        choice = _gene_choice(recipe, gene_choice, n_top_genes)
        return cls(model_class, source, building, settings, replace(recipe.cell_filter, **filtering), choice)

    @property
    def random_state(self) -> int:
        """Seed of the training."""
        return self.building["random_state"]


def param_names(model_class: type[ClassifierModel]) -> tuple[str, ...]:
    """What `params` of :func:`~sims_tools.tl.train` may hold for an architecture."""
    return (*model_class.network_param_names(), *SETTING_NAMES, *BUILDING_NAMES, *FILTER_NAMES)


def _gene_choice(recipe: Preset, way: str, n_top: int | str | None) -> GeneChoice:
    """What the preset says, overruled where something else is asked for."""
    if way == PRESET:
        return GeneChoice("all") if n_top is None else GeneChoice(recipe.gene_choice, _number(recipe, n_top))
    if way in BY_FILTER and n_top == PRESET:
        return GeneChoice(way)
    found = GeneChoice(way, _number(recipe, n_top))
    if way in BY_NUMBER and found.n_top is None and n_top == PRESET:
        raise ValueError(f"`gene_choice={way!r}` ranks genes; say how many of them with `n_top_genes`.")
    return found


def _number(recipe: Preset, n_top: int | str | None) -> Any:
    return recipe.n_top_genes if n_top == PRESET else n_top
