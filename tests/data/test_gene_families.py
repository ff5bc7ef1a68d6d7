"""Families of genes by symbol, human and mouse."""

from __future__ import annotations

import numpy as np
import pytest

from sims_tools.data._gene_families import FAMILIES, family_members, family_table

BELONG = {
    "ribosomal": ["RPL3", "RPL10A", "RPL13AP5", "RPLP0", "RPS4X", "RPS27A", "RPSA", "Rps6", "Rpl36al", "Rps4l"],
    "mitochondrial": ["MT-CO1", "MT-ND4L", "mt-Nd1", "mt-Rnr2", "MT.ATP6"],
    "heat_shock": ["HSPA1A", "HSPA8", "HSPB1", "HSPH1", "HSPD1", "HSPE1", "HSP90AA1", "Hsp90b1", "Dnajb1", "DNAJA4"],
    "dissociation": ["FOS", "Fosb", "JUN", "Junb", "EGR1", "Ier2", "ATF3", "HSPA1A", "Dusp1", "Zfp36", "CCN1", "Cyr61"],
}
NONE = ["RPS6KA1", "RPS6KB2", "RPS19BP1", "MRPL3", "MRPS18A", "MT1X", "MTOR", "MT3", "HSPG2", "HSPBP1", "DCN", "FOSL1",
        "JUP", "RPP14", "RPN1", "CD3E", "DNAH5", "Actb"]  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("case", [str, str.upper, str.lower, str.capitalize])
def test_members_in_any_case(family, case):
    assert family_members([case(name) for name in BELONG[family]])[family].all()
    assert not family_members([case(name) for name in NONE])[family].any()


def test_families_hardly_overlap():
    for family in ("ribosomal", "mitochondrial", "heat_shock"):
        members = family_members(BELONG[family])
        for other in set(FAMILIES) - {family, "dissociation"}:
            assert not members[other].any()


def test_ensembl_ids_tell_nothing():
    ids = [f"ENSG{rank:011d}" for rank in range(5)]
    assert family_members(ids) == {}
    table = family_table(np.ones((2, 5)) / 5, np.array(["a", "b"], dtype=object), ids)
    assert len(table) == 0
    assert list(table) == ["class", "family", "share", "even_share", "n_genes"]


def test_shares_by_hand():
    means = np.array([[0.5, 0.2, 0.2, 0.1], [0.0, 0.0, 0.3, 0.7]])
    table = family_table(means, np.array(["a/b", "c"], dtype=object), ["RPL3", "MT-CO1", "HSPA1A", "CD3E"])
    table = table.set_index(["class", "family"])
    assert table["share"].tolist() == pytest.approx([0.5, 0.2, 0.2, 0.2, 0, 0, 0.3, 0.3])
    assert (table["even_share"] == 0.25).all()
    assert (table["n_genes"] == 1).all()
