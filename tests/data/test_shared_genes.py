"""Genes of several references, matched by name."""

from __future__ import annotations

import logging
import re
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sims_tools.data._shared_genes import share_genes


def genes(names: list[str], **columns: list[str]) -> ad.AnnData:
    return ad.AnnData(np.ones((2, len(names)), np.float32), var=pd.DataFrame(columns, index=names))


def test_inner_keeps_the_order_of_the_first_and_outer_appends():
    references = {"one": genes(["a", "b", "c"]), "two": genes(["x", "c", "a"]), "three": genes(["y", "x", "a", "c"])}
    inner, outer = share_genes(references, "inner"), share_genes(references, "outer")
    assert list(inner.names) == ["a", "c"]
    assert inner.n_common == outer.n_common == 2
    assert list(outer.names) == ["a", "b", "c", "x", "y"]
    np.testing.assert_array_equal(outer.measured, [[1, 1, 1, 0, 0], [1, 0, 1, 1, 0], [1, 0, 1, 1, 1]])
    assert inner.matches[1].columns.tolist() == [2, 1]
    assert outer.matches[1].columns.tolist() == [2, -1, 1, 0, -1]
    np.testing.assert_array_equal(inner.has[2], [[0, 0, 1], [0, 1, 1], [1, 1, 1], [1, 1, 1]])
    assert share_genes({"one": references["one"]}, "inner").has is None


def test_ensembl_versions_do_not_tell_genes_apart():
    one, two = genes(["ENSG00000000001.4", "ENSG00000000002"]), genes(["ENSG00000000002.7", "ENSG00000000001.5"])
    assert list(share_genes({"one": one, "two": two}, "outer").names) == list(one.var_names)


def test_no_gene_in_common_is_refused_and_the_names_are_described():
    symbols, ids = ["ACTB", "CD4", "MALAT1"], ["ENSG00000075624", "ENSG00000010610", "ENSG00000251562"]
    for join in ("inner", "outer"):
        with pytest.raises(ValueError, match=r"'s' has 3, 'e' has 3.*symbols.*Ensembl ids.*same kind of names"):
            share_genes({"s": genes(symbols), "e": genes(ids)}, join)
    with pytest.raises(ValueError, match=re.escape("`.var['symbol']` of 'e' holds names that match 's'")):
        share_genes({"s": genes(symbols), "e": genes(ids, symbol=symbols)}, "inner")
    with pytest.raises(ValueError, match="'e' and the other references have no gene in common"):
        share_genes({"s": genes(symbols), "t": genes(symbols), "e": genes(ids)}, "outer")
    apart = {"s": genes(["A", "B"]), "t": genes(["B", "C"]), "u": genes(["C", "A"])}
    with pytest.warns(UserWarning, match="0 genes in common"):
        outer = share_genes(apart, "outer")
    assert list(outer.names) == ["A", "B", "C"]


def test_few_genes_in_common_are_a_warning(caplog):
    with caplog.at_level(logging.INFO), pytest.warns(UserWarning, match="1 genes in common, 33% of those"):
        share_genes({"one": genes(["a", "b", "c"]), "two": genes(["c", "d", "e"])}, "inner")
    assert "'one' has 3, 'two' has 3; 1 in common, 5 in all" in caplog.text


def test_repeated_names_say_in_which_reference():
    with pytest.raises(ValueError, match=r"Reference 'two': `adata.var_names` are not unique: 'a'"):
        share_genes({"one": genes(["a"]), "two": genes(["a", "a"])}, "inner")


@settings(max_examples=30)
@given(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, unique=True), min_size=1, max_size=4))
def test_every_gene_of_the_union_is_someones_and_matches_point_at_its_name(lists):
    shared = [["z", *names] for names in lists]
    references = {str(at): genes(names) for at, names in enumerate(shared)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of few genes in common
        inner, outer = share_genes(references, "inner"), share_genes(references, "outer")
    assert sorted(outer.names) == sorted(set().union(*shared))
    for adata, match in zip(references.values(), outer.matches, strict=True):
        assert list(adata.var_names[match.columns[match.found]]) == list(outer.names[match.found])
        assert match.found.sum() == adata.n_vars
    assert set(inner.names) == set.intersection(*map(set, shared))
