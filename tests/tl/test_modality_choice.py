"""Masks choose the modality that tells a class apart: ten proteins neither drown among the genes nor rule them."""

from __future__ import annotations

import mudata
import pandas as pd
import pytest

import sims_tools as sims


@pytest.fixture(scope="module")
def query() -> mudata.MuData:
    """300 fresh cells of six classes, annotated by a model of 400 genes and 10 proteins."""
    cells = sims.data.planted_cite(700, 400, 10)
    reference, query = cells[:400].copy(), cells[400:].copy()
    model = sims.tl.sims_train(reference, "cell_type", progress_bar=False)
    assert model.params_["network"]["max_selected"] == 16
    sims.tl.annotate(query, model, progress_bar=False)
    return query


def test_the_share_of_genes_follows_the_carrier(query):
    assert (query.obs["sims"].astype(str) == query.obs["cell_type"].astype(str)).mean() > 0.95
    share = sims.get.modality_share_df(query, groupby="cell_type").set_index("group")["rna"]
    carrier = share.index.str.split("_").str[0]
    means = share.groupby(carrier).mean()
    assert means["rna"] > 0.7
    assert means["protein"] < 0.45
    assert means["protein"] + 0.1 < means["both"] < means["rna"] - 0.1
    assert share[carrier == "rna"].min() > share[carrier == "protein"].max() + 0.2


def test_the_heaviest_features_are_markers_of_the_class(query):
    sims.tl.rank_mask_genes(query, groupby="cell_type")
    marks = pd.concat([query.mod["rna"].var["marker_of"], query.mod["prot"].var["marker_of"].add_prefix("protein:")])
    for name in query.obs["cell_type"].cat.categories:
        first = query.uns["rank_mask_genes"]["names"][name]
        n_first = {"rna": 3, "protein": 1, "both": 1}[name.split("_")[0]]
        assert (marks.astype(str)[first[:n_first]] == name).mean() > 0.6, name
