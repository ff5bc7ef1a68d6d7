"""Proteins of other panels are found under their other names, and never under a wrong one."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sims_tools.data._protein_names import antigen, match_proteins, plain_name


def found(query: list[str], model: list[str]) -> list[str]:
    return match_proteins(pd.Index(query), model).query_names.tolist()


@pytest.mark.parametrize(
    ("given_name", "plain"),
    [
        ("CD8a_TotalSeqB", "cd8a"),
        ("CD8a-TotalSeqC", "cd8a"),
        ("CD8a_TotalSeq-B", "cd8a"),
        ("adt_CD8a", "cd8a"),
        ("CD8a_ADT", "cd8a"),
        ("anti-human CD8a", "cd8a"),
        ("HLA-DR", "hladr"),
        ("PD-1", "pd1"),
        ("CD45RA", "cd45ra"),
        ("prot:CD4", "cd4"),
        ("CD4", "cd4"),
    ],
)
def test_tags_and_punctuation_go(given_name, plain):
    assert plain_name(given_name) == plain


@pytest.mark.parametrize(
    ("one", "other"),
    [("CD8", "CD8a"), ("CD8", "CD8A_TotalSeqB"), ("CD279", "PD-1"), ("CD16", "FCGR3A"), ("CD56", "NCAM1"),
     ("CD197", "CCR7_TotalSeqC"), ("CD3", "CD3E"), ("HLA-DR", "HLA.DR")],
)  # fmt: skip
def test_names_of_one_antigen(one, other):
    assert antigen(one) == antigen(other)
    assert found([other, "CD99"], [one]) == [other]
    assert found([one, "CD99"], [other]) == [one]


@pytest.mark.parametrize(
    ("one", "other"),
    [("CD45RA", "CD45RO"), ("CD45", "CD45RA"), ("CD8a", "CD8b"), ("CD4", "CD44"), ("CD11b", "CD11c"), ("CD1c", "CD1d")],
)
def test_names_that_look_alike_are_other_proteins(one, other):
    assert antigen(one) != antigen(other)
    assert found([other], [one]) == [""]


def test_an_exact_name_wins_and_a_name_is_used_once():
    assert found(["CD8a", "CD8"], ["CD8"]) == ["CD8"]
    assert found(["CD8a", "CD8"], ["CD8", "CD8a"]) == ["CD8", "CD8a"]
    assert found(["CD8"], ["CD8", "CD8a"]) == ["CD8", ""]


def test_what_is_ambiguous_matches_nothing():
    assert found(["CD8_TotalSeqB", "CD8_TotalSeqC"], ["CD8"]) == [""]
    assert found(["CD8A-x"], ["CD8"]) == [""]


def test_columns_and_order():
    match = match_proteins(pd.Index(["CD19", "CD8a", "CD4"]), ["CD4", "CD8", "CD14"])
    assert match.columns.tolist() == [2, 1, -1]
    assert match.found.tolist() == [True, True, False]
    assert match.n_query == 3


@given(st.lists(st.text("CD0123ab_-", min_size=1, max_size=5), unique=True, min_size=1, max_size=8), st.randoms())
def test_the_same_panel_in_any_order_matches_itself(names, random):
    shuffled = random.sample(names, len(names))
    assert found(shuffled, names) == names
