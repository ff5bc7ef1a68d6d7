"""Protein values: transforms, what input each takes, and proteins that are left out."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from scipy import sparse

from sims_tools.data._clr import clr
from sims_tools.data._proteins import check_proteins, kept_proteins, to_linear

COUNTS = sparse.csr_matrix(np.random.default_rng(0).poisson(30, (50, 6)).astype(np.float32))
HERE = "`adata.obsm['protein']`"


@pytest.mark.parametrize(
    ("transform", "expected"),
    [("clr", clr(COUNTS).toarray()), ("log1p", np.log1p(COUNTS.toarray())), ("none", COUNTS.toarray() / 20)],
)
def test_the_logarithm_of_linear_values_is_the_transform(transform, expected):
    values = COUNTS / 20 if transform == "none" else COUNTS
    linear = to_linear(sparse.csr_matrix(values), transform)
    np.testing.assert_allclose(np.log1p(linear.toarray()), expected, rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, -1.0, np.inf])
def test_values_that_cannot_be_are_refused_wherever_they_are(bad):
    values = COUNTS.copy()
    values.data[-1] = bad
    with pytest.raises(ValueError, match="NaN or infinite|negative"):
        to_linear(values, "clr")
    with pytest.raises(ValueError, match="NaN or infinite|negative values .*DSB"):
        check_proteins(values, "clr", HERE)


def test_counts_are_taken_and_normalised_values_refused_with_the_remedy():
    check_proteins(COUNTS, "clr", HERE)
    check_proteins(COUNTS, "log1p", HERE)
    for transform in ("clr", "log1p"):
        with pytest.raises(ValueError, match=r"not counts: .*obsm|obsm.*not counts") as found:
            check_proteins(clr(COUNTS), transform, HERE)
        assert HERE in str(found.value)
        assert 'protein_transform="none"' in str(found.value)
        assert "protein_layer=" in str(found.value)
    check_proteins(clr(COUNTS), "none", HERE)
    with pytest.raises(ValueError, match="whole numbers, counts most likely"):
        check_proteins(COUNTS, "none", HERE)


def test_corrected_counts_are_taken_and_said(caplog):
    with caplog.at_level(logging.INFO, "sims_tools"):
        check_proteins(sparse.csr_matrix(COUNTS * 2.37), "clr", HERE)
    assert "not whole numbers: taken as corrected counts" in caplog.text


NAMES = ["CD3", "CD4", "IgG1_control", "mIgG2a", "CD19"]


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ("*IgG*", ["CD3", "CD4", "CD19"]),
        (["igg1_control", "MIGG2A"], ["CD3", "CD4", "CD19"]),
        (["CD1*", "*igg*"], ["CD3", "CD4"]),
        ((), NAMES),
    ],
)
def test_proteins_are_left_out_by_name_or_pattern(exclude, left):
    assert [name for name, stays in zip(NAMES, kept_proteins(NAMES, exclude), strict=True) if stays] == left


def test_isotype_controls_that_stay_are_pointed_out(caplog):
    with caplog.at_level(logging.INFO, "sims_tools"):
        kept_proteins(NAMES, ())
        assert "'IgG1_control', 'mIgG2a' look like isotype controls" in caplog.text
        caplog.clear()
        kept_proteins(NAMES, "*IgG*")
        kept_proteins(["CD3", "Rigged", "Big"], ())
    assert not caplog.text


def test_patterns_that_fit_nothing_or_everything_are_refused():
    with pytest.raises(ValueError, match="no protein fits 'CD99'; they are 'CD3'"):
        kept_proteins(NAMES, ["CD3", "CD99"])
    with pytest.raises(ValueError, match="leaves out all 5 proteins"):
        kept_proteins(NAMES, "*")


def test_unknown_transform():
    with pytest.raises(ValueError, match="`protein_transform='dsb'` is not one of 'clr'"):
        check_proteins(COUNTS, "dsb", HERE)
