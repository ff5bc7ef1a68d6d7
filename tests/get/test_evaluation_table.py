import anndata as ad
import numpy as np
import pandas as pd
import pytest

from sims_tools import get


@pytest.fixture
def adata():
    tables = {
        "overall": pd.DataFrame({"score": ["accuracy"], "cells": ["known"], "n_cells": [3], "value": [0.5]}),
        "per_class": pd.DataFrame({"label": ["T/NK"], "f1": [0.5]}),
        "params": {"labels_key": "truth"},
    }
    uns = {"sims": {"classes": np.array(["T/NK"])}, "other": {"classes": np.array(["T/NK"]), "evaluation": tables}}
    return ad.AnnData(np.ones((3, 1), dtype=np.float32), uns=uns)


def test_a_table_is_a_copy(adata):
    table = get.evaluation_df(adata, "per_class", key="other")
    assert table["label"].tolist() == ["T/NK"]
    table["f1"] = 1
    assert get.evaluation_df(adata, "per_class", key="other")["f1"].tolist() == [0.5]
    assert get.evaluation_df(adata, key="other")["score"].tolist() == ["accuracy"]
    assert get.evaluation_df(adata[:2], key="other")["value"].tolist() == [0.5]


def test_errors(adata):
    with pytest.raises(KeyError, match=r"has no 'evaluation'. Run `sims.tl.evaluate"):
        get.evaluation_df(adata)
    with pytest.raises(KeyError, match=r"'third' is not in `adata.uns`.*sims.tl.evaluate"):
        get.evaluation_df(adata, key="third")
    with pytest.raises(ValueError, match="`table='per_clas'` is not one of 'overall', 'per_class'.*mean 'per_class'"):
        get.evaluation_df(adata, "per_clas", key="other")
    with pytest.raises(ValueError, match="`table='params'` is not one of"):
        get.evaluation_df(adata, "params", key="other")
