"""The native classes with RNA and proteins, and the modality that is hidden while training."""

from __future__ import annotations

import warnings

import mudata
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

import sims_tools as sims
from sims_tools.models import SIMS
from sims_tools.models._inference import seen_modalities
from sims_tools.models._inputs import CountTransform
from sims_tools.nn import SparseRows

SMALL = {"n_d": 4, "n_a": 4, "n_steps": 2, "n_members": 1}


@pytest.fixture
def cells() -> mudata.MuData:
    return sims.data.planted_cite(120, 40, 6, ("rna", "protein", "both"))


def text_labels(cells: mudata.MuData) -> mudata.MuData:
    cells.obs["cell_type"] = cells.obs["cell_type"].astype(str)
    return cells


def test_setup_mudata_trains_predicts_and_saves(cells, tmp_path):
    cells = text_labels(cells)
    SIMS.setup_mudata(cells, "cell_type", modalities={"rna": "rna", "protein": "prot"})
    model = SIMS(cells, **SMALL)
    model.train(max_epochs=3, progress_bar=False)
    assert model.proteins_ == list(cells.mod["prot"].var_names)
    assert model.n_rna == 40
    own = model.predict(soft=True)
    pd.testing.assert_frame_equal(own, model.predict(cells, soft=True))
    assert model.get_latent_representation().shape == (120, 4)
    model.save(tmp_path / "model")
    loaded = SIMS.load(tmp_path / "model", cells)
    pd.testing.assert_frame_equal(loaded.predict(cells, soft=True), own)


def test_native_and_tl_are_one_model(cells):
    own = text_labels(cells.copy())
    trained = sims.tl.sims_train(own, "cell_type", max_epochs=2, batch_size=32, progress_bar=False, **SMALL)
    split = [np.flatnonzero(own.obs["sims_split"] == name) for name in ("train", "validation")]
    native = text_labels(cells)
    SIMS.setup_mudata(native, "cell_type")
    model = SIMS(native, **SMALL)
    model.train(max_epochs=2, batch_size=32, split=tuple(split), progress_bar=False)
    for one, same in zip(model.module.state_dict().values(), trained.module.state_dict().values(), strict=True):
        assert bool((one == same).all())


def test_labels_of_a_modality_whose_cells_come_in_another_order(cells):
    whole = text_labels(cells)
    other = mudata.MuData({"rna": whole.mod["rna"].copy(), "prot": whole.mod["prot"][::-1].copy()})
    other.mod["prot"].obs["kind"] = whole.obs["cell_type"].reindex(other.mod["prot"].obs_names)
    SIMS.setup_mudata(other, "kind", modalities={"rna_layer": "rna", "protein_layer": "prot", "labels_key": "prot"})
    SIMS.setup_mudata(whole, "cell_type")
    found = []
    for each in (other, whole):
        model = SIMS(each, **SMALL)
        model.train(max_epochs=1, batch_size=32, progress_bar=False)
        found.append(model)
    for one, same in zip(*(each.module.state_dict().values() for each in found), strict=True):
        assert bool((one == same).all())


@pytest.mark.parametrize("frame", [True, False])
def test_setup_anndata_with_proteins(cells, frame):
    adata = cells.mod["rna"].copy()
    adata.obs["cell_type"] = cells.obs["cell_type"].astype(str).to_numpy()
    proteins, names = cells.mod["prot"].X.toarray(), list(cells.mod["prot"].var_names)
    adata.obsm["protein"] = pd.DataFrame(proteins, adata.obs_names, names) if frame else proteins
    adata.uns["names"] = names
    SIMS.setup_anndata(adata, "cell_type", protein_obsm_key="protein", protein_names_uns_key=None if frame else "names")
    model = SIMS(adata, exclude_proteins="*_0", **SMALL)
    assert list(model.proteins) == names[1:]
    model.train(max_epochs=1, progress_bar=False)
    assert model.predict().shape == (120,)


def test_unpaired_cells_are_refused_by_scvi_tools(cells):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = mudata.MuData({"rna": cells.mod["rna"].copy(), "prot": cells.mod["prot"][:100].copy()})
    other.obs["cell_type"] = cells.obs["cell_type"].astype(str)
    with pytest.raises(ValueError, match="unpaired"):
        SIMS.setup_mudata(other, "cell_type")


def test_what_setup_mudata_refuses(cells):
    with pytest.raises(TypeError, match="expected a MuData"):
        SIMS.setup_mudata(cells.mod["rna"], "cell_type")
    with pytest.raises(ValueError, match="must name genes and proteins"):
        SIMS.setup_mudata(cells, "cell_type", modalities={"rna": "rna"})
    with pytest.raises(KeyError, match="labels_key='kind'"):
        SIMS.setup_mudata(cells, "kind")


# --- what is hidden while training ------------------------------------------------------------------------------------


def hidden_rows(*, sparse_rows: bool, share: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    """What is left of 3,000 cells of 4 genes and 3 proteins: whether any gene, and any protein."""
    transform = CountTransform(7, n_proteins=3, modality_dropout=share).train()
    counts = torch.ones(3000, 7)
    counts[:500, 4:] = 0  # genes alone
    counts[500:1000, :4] = 0
    torch.manual_seed(0)
    given = SparseRows.from_dense(counts) if sparse_rows else counts
    found = transform(given, torch.full((3000, 1), 1e4))
    dense = (found.to_dense() if sparse_rows else found).numpy()
    return (dense[:, :4] > 0).any(1), (dense[:, 4:] > 0).any(1)


@pytest.mark.parametrize("sparse_rows", [True, False])
def test_one_modality_or_the_other_is_hidden_never_all(sparse_rows):
    genes, proteins = hidden_rows(sparse_rows=sparse_rows)
    assert (genes[:500]).all()
    assert (proteins[500:1000]).all()
    both = slice(1000, None)
    assert (genes[both] | proteins[both]).all()
    assert np.mean(~genes[both]) == pytest.approx(0.2, abs=0.03)
    assert np.mean(~proteins[both]) == pytest.approx(0.2, abs=0.03)


def test_nothing_is_hidden_from_predictions_or_from_genes_alone():
    counts = SparseRows.from_dense(torch.ones(100, 7))
    for transform in (
        CountTransform(7, n_proteins=3, modality_dropout=0.9).eval(),
        CountTransform(7, modality_dropout=0.9).train(),
        CountTransform(7, n_proteins=3).train(),
    ):
        assert bool((transform(counts, torch.full((100, 1), 7.0)).values > 0).all())


def test_what_is_seen_of_cells():
    counts = sparse.csr_matrix([[1.0, 0, 2, 0], [0, 3, 0, 0], [0, 0, 0, 4], [0, 0, 0, 0]])
    totals = np.array([1e4, 1e4, 1e4, 0])
    assert seen_modalities(counts, totals, 2).tolist() == [3, 1, 2, 0]
    assert seen_modalities(counts, totals, 0).tolist() == [1, 1, 1, 0]
