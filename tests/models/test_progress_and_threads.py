"""What training shows and takes while it runs."""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch.callbacks import LambdaCallback

import sims_tools as sims
from sims_tools.models._plan import EpochMeans
from sims_tools.models._threads import enough_threads, repeatable_threads


@pytest.fixture
def cells():
    return sims.data.planted_cells(150, 40, 3, random_state=2)


def test_the_bar_counts_epochs_and_leaves_the_output_stream_alone(cells, small, capfd):
    options = small | {"progress_bar": True}
    sims.tl.sims_train(cells, "cell_type", max_epochs=2, **options)
    out, err = capfd.readouterr()
    assert out == ""
    assert "2/2" in err
    assert "validation accuracy=" in err


@pytest.mark.parametrize(("batch_size", "n_genes", "wanted"), [(64, 2000, 1), (1024, 2048, 2), (4096, 20000, 3)])
def test_threads_follow_the_work_and_come_back(monkeypatch, batch_size, n_genes, wanted):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with enough_threads(batch_size, n_genes):
            assert torch.get_num_threads() == wanted
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("network", "given", "wanted"), [("kernels", None, 3), ("kernels", 2, 2), ("plain", 2, 1)])
def test_only_kernels_take_threads_where_bits_must_not_depend_on_them(network, given, wanted):
    made = sims.nn.TabNet(8, 2) if network == "kernels" else torch.nn.Linear(8, 2)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with repeatable_threads(made, given):
            assert torch.get_num_threads() == wanted
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_training_that_diverges_says_so_and_writes_nothing(cells, small):
    def spoil(trainer, plan, *_):
        with torch.no_grad():
            next(plan.module.parameters()).fill_(float("nan"))

    watch = LambdaCallback(on_train_batch_end=spoil)
    with pytest.raises(FloatingPointError, match="learning_rate"):
        sims.tl.sims_train(cells, "cell_type", max_epochs=1, callbacks=[watch], **small)
    assert "sims" not in cells.uns
    assert "sims_split" not in cells.obs


def test_modalities_in_a_dict_are_refused(cells):
    with pytest.raises(TypeError, match="is a dict; expected an AnnData or a MuData"):
        sims.tl.annotate({"rna": cells}, "cell_type")


@pytest.mark.parametrize("call", [sims.tl.sims_train, sims.tl.annotate])
def test_what_is_not_an_anndata_is_refused(cells, call):
    with pytest.raises(TypeError, match="DataFrame"):
        call(cells.obs, "cell_type")


def test_means_of_an_epoch_weigh_minibatches_by_their_cells():
    means = EpochMeans()
    means.add("loss", torch.tensor(1.0, requires_grad=True), 3)
    means.add("loss", torch.tensor(5.0), 1)
    means.add("penalty", torch.tensor(2.0), 4)
    found = means.take()
    assert {name: float(value) for name, value in found.items()} == {"loss": 2.0, "penalty": 2.0}
    assert not found["loss"].requires_grad
    assert means.take() == {}
