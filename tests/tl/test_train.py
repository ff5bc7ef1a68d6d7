"""Training of any architecture by name."""

import numpy as np
import pytest

import sims_tools as sims


def test_sims_is_what_sims_train_trains(cells, small):
    twin = cells.copy()
    first = sims.tl.train(cells, "cell_type", max_epochs=1, **small)
    second = sims.tl.sims_train(twin, "cell_type", max_epochs=1, **small)
    assert type(first) is sims.models.SIMS
    np.testing.assert_array_equal(first.predict(cells, soft=True), second.predict(cells, soft=True))
    assert list(cells.uns["sims"]["params"]) == list(twin.uns["sims"]["params"])
    assert cells.uns["sims"]["params"]["gene_choice"] == "variance_and_class"


def test_an_unknown_architecture_is_refused_before_anything_is_read(cells):
    with pytest.raises(ValueError, match=r"`model='simms'` is not one of .*Did you mean 'sims'"):
        sims.tl.train(cells, "no such column", model="simms")
    assert "sims" not in cells.uns


@pytest.mark.parametrize(
    ("options", "n_genes"),
    [
        ({"gene_choice": "highly_variable", "n_top_genes": 25}, 25),
        ({"gene_choice": "detected"}, 60),
        ({"gene_choice": "detected", "n_top_genes": None}, 60),
        ({"gene_choice": "all"}, 60),
        ({"n_top_genes": None}, 60),
        ({"n_top_genes": 30}, 30),
        ({"gene_choice": "expression_percentiles"}, 56),
    ],
)
def test_genes_are_chosen_as_asked(cells, small, options, n_genes):
    model = sims.tl.train(cells, "cell_type", max_epochs=1, **options, **small)
    assert len(model.genes) == n_genes == len(cells.uns["sims"]["features"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gene_choice": "most_variable"}, "gene_choice='most_variable'` is not one of"),
        ({"gene_choice": "detected", "n_top_genes": 20}, "ranks no genes"),
        ({"gene_choice": "highly_variable", "preset": "sims"}, "say how many of them with `n_top_genes`"),
        ({"n_top_genes": 0}, "positive whole number"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused_before_anything_is_written(cells, small, options, message):
    with pytest.raises(ValueError, match=message):
        sims.tl.train(cells, "cell_type", **options, **small)
    assert "sims" not in cells.uns
    assert "sims_split" not in cells.obs


def test_the_key_is_the_name_of_the_architecture_unless_another_is_given(cells, small):
    model = sims.tl.train(cells, "cell_type", max_epochs=1, key_added="mine", **small)
    assert "mine_split" in cells.obs
    assert "sims" not in cells.uns
    sims.tl.annotate(cells, model, progress_bar=False)
    sims.tl.embed(cells, model, progress_bar=False)
    assert {"sims_prob", "X_sims"} <= set(cells.obsm)
