"""What a trained CITE-seq autoencoder says of cells, block by block, always by the names of their features."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from sims_tools._validate import check_positive
from sims_tools.data._paired_cells import PairedCells
from sims_tools.models._cite_knowledge import CITEKnowledge


class CITEInferred(NamedTuple):
    """What the network says of n consecutive cells.

    Attributes
    ----------
    latent
        (n, n_latent) float32.
    logits
        (n, n_classes) float32; None without a classifier.
    squared_errors
        Sum over the cells of the mean squared error of RNA and of protein, in the units of the network's input.
    """

    latent: np.ndarray
    logits: np.ndarray | None
    squared_errors: tuple[float, float]


@torch.inference_mode()
def infer_paired(module: Any, cells: PairedCells, batch_size: int, progress_bar: bool) -> Iterator[CITEInferred]:
    """Run a module, put into evaluation mode, over all cells in order."""
    check_positive("batch_size", batch_size)
    module.eval()
    with tqdm(total=len(cells), unit="cell", desc="embed", disable=not progress_bar, leave=False) as bar:
        for batch in cells.batches(batch_size):
            inferred, generated, output = module(batch)
            n = output.n_obs_minibatch
            told = [float(output.extra_metrics[name]) * n for name in ("rna_mse", "protein_mse")]
            logits = generated["logits"]
            yield CITEInferred(
                _numpy(inferred["latent"]), None if logits is None else _numpy(logits), (told[0], told[1])
            )
            bar.update(n)


class CITEPrediction(CITEKnowledge):
    """Prediction for :class:`~sims_tools.models.CITEAutoencoder`."""

    def infer(
        self, adata: Any = None, *, batch_size: int = 512, progress_bar: bool = False, **reading: Any
    ) -> Iterator[CITEInferred]:
        """Run the network over all cells, in order and block by block.

        Parameters
        ----------
        adata
            MuData or AnnData, stored any way; None takes the cells the model was set up with. It is only read.
        batch_size
            Cells at a time.
        progress_bar
            Show a progress bar.
        **reading
            As for :meth:`get_latent_representation`.

        Yields
        ------
        Latent space, logits and squared errors of each block.
        """
        self.check_trained()
        yield from infer_paired(self.module, self.read_cells(adata, **reading), batch_size, progress_bar)

    def get_latent_representation(self, adata: Any = None, *, batch_size: int = 512, **reading: Any) -> np.ndarray:
        """Where cells are in the latent space.

        Parameters
        ----------
        adata
            MuData, or AnnData with proteins in `.obsm`, stored any way; None takes the cells the model was set up with.
            Genes and proteins are matched by name; missing ones are taken as average.
        batch_size
            Cells at a time.
        **reading
            Where the values are, and what: `modalities`, `rna_layer`, `protein_layer`, `protein_obsm_key`, `rna_kind`,
            `protein_kind`, as in the setup. Of the model's own cells, what is not named is as it was set up; of
            others, layers that are not named are `.X`.

        Returns
        -------
        (n_obs, n_latent) float32, in the order of the cells of `adata`.

        Raises
        ------
        RuntimeError
            The model is not trained.
        KeyError
            A modality, layer or `.obsm` entry does not exist.
        TypeError
            `adata` is neither MuData nor AnnData, or its proteins have no names.
        ValueError
            A modality is empty or lacks cells, names repeat, nearly no feature is known, values are NaN or infinite,
            or scaled where the model reads counts, or the other way round.

        Warns
        -----
        UserWarning
            More than 20 % of the genes or proteins are missing.
        """
        return np.concatenate([each.latent for each in self.infer(adata, batch_size=batch_size, **reading)])

    def predict(
        self, adata: Any = None, *, soft: bool = False, batch_size: int = 512, **reading: Any
    ) -> np.ndarray | pd.DataFrame:
        """Predict labels with the classifier, or class probabilities.

        Parameters
        ----------
        adata
            Cells; None takes those the model was set up with.
        soft
            Give probabilities. They are not calibrated.
        batch_size
            Cells at a time.
        **reading
            As for :meth:`get_latent_representation`.

        Returns
        -------
        Labels (n_obs,), or a table of probabilities (n_obs, n_classes).

        Raises
        ------
        RuntimeError
            The model is not trained, or has no classifier.
        """
        if not self.classes_:
            raise RuntimeError("The model has no classifier; name the labels with `labels_key=` in its setup.")
        adata = self._own_object() if adata is None else adata
        blocks = [each.logits for each in self.infer(adata, batch_size=batch_size, **reading)]
        logits = np.concatenate([each for each in blocks if each is not None])
        if not soft:
            return self.classes[logits.argmax(1)]
        prob = torch.from_numpy(logits).softmax(1).numpy()
        return pd.DataFrame(prob, index=adata.obs_names, columns=self.classes)

    def get_reconstruction_error(self, adata: Any = None, *, batch_size: int = 512, **reading: Any) -> dict[str, float]:
        """Mean squared error of what the network makes of cells, in the units of its input.

        Parameters
        ----------
        adata
            Cells; None takes those the model was set up with.
        batch_size
            Cells at a time.
        **reading
            As for :meth:`get_latent_representation`.

        Returns
        -------
        `rna_mse` and `protein_mse`, and `mse`, their mean with the weights of training. A missing feature counts with
        the average it is taken for.
        """
        self.check_trained()
        return self.error_of(self.read_cells(adata, **reading), batch_size)

    def error_of(self, cells: PairedCells, batch_size: int = 512) -> dict[str, float]:
        """The same for cells that were read; NaN where there are none."""
        blocks = [each.squared_errors for each in infer_paired(self.module, cells, batch_size, progress_bar=False)]
        rna, protein = np.sum(blocks, axis=0) / len(cells) if blocks else (np.nan, np.nan)
        first, second = self.module.weights
        mean = (first * rna + second * protein) / (first + second)
        return {"mse": float(mean), "rna_mse": float(rna), "protein_mse": float(protein)}


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.float().cpu().numpy()
