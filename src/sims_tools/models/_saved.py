"""Saving a model to a folder, and reading it back: the same for every kind of model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

from scvi.model._utils import parse_device_args

from sims_tools.models._persist import read_folder, write_folder
from sims_tools.models._storage import history_from


class SavedModel:
    """What a model needs to be kept in a folder: a name, a description, and a way to be built from that."""

    name: ClassVar[str]
    """What the folder says it holds."""

    module: Any
    is_trained_: bool
    history_: Any
    _adata: Any
    to_device: Any

    def _describe(self) -> dict[str, Any]:
        """The JSON-ready header of a trained model."""
        raise NotImplementedError

    @classmethod
    def _from_header(cls, header: dict[str, Any]) -> Self:
        """The model as it was before it had weights, with what else the header says of it."""
        raise NotImplementedError

    def save(self, dir_path: str | Path, *, overwrite: bool = False) -> None:
        """Write the model to a folder: `weights.safetensors` and a readable `model.json`, whole or not at all.

        Of several processes that trained it together, the first writes; the others have the same model.

        Parameters
        ----------
        dir_path
            The folder; it is made.
        overwrite
            Replace a model that is there.

        Raises
        ------
        FileExistsError
            The folder exists and may not be replaced.
        RuntimeError
            The model is not trained.
        """
        if not self.is_trained_:
            raise RuntimeError("The model is not trained yet; there is nothing to save.")
        trainer = getattr(self, "trainer", None)
        if trainer is None or trainer.is_global_zero:
            write_folder(Path(dir_path).absolute(), self._describe(), self.module.state_dict(), overwrite=overwrite)

    @classmethod
    def load(
        cls, dir_path: str | Path, adata: Any = None, *, accelerator: str = "auto", device: str | int = "auto"
    ) -> Self:
        """Read a model that :meth:`save` wrote; nothing is unpickled.

        Parameters
        ----------
        dir_path
            The folder.
        adata
            Cells for methods that are given none.
        accelerator
            Hardware to put the model on, as scvi-tools takes it; "auto" takes a GPU where there is one.
        device
            Which of them.

        Raises
        ------
        FileNotFoundError
            There is no such folder, or a file is missing from it.
        ValueError
            A file is damaged or was changed, its format version is unknown, or it holds another kind of model.
        """
        header, tensors = read_folder(Path(dir_path))
        if header["model"] != cls.name:
            raise ValueError(f"`{dir_path}` holds a {header['model']!r} model, not {cls.name!r}; use `models.load`.")
        model = cls._from_header(header)
        model.module.load_state_dict(tensors)
        model.history_ = history_from(header)
        model.is_trained_ = True
        model._adata = adata
        model.module.eval()
        *_, target = parse_device_args(accelerator=accelerator, devices=device, return_device="torch")
        model.to_device(target)
        return model
