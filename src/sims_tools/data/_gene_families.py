"""Families of genes that seldom make a cell type: ribosomal, mitochondrial, stress."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ._gene_ids import gene_id_kind

_DISSOCIATION = frozenset(
    """
    ARID5A ATF3 ATF4 BAG3 BHLHE40 BRD2 BTG1 BTG2 CCNL1 CEBPB CEBPD CEBPG CSRNP1 CXCL1 CCN1 CYR61 DNAJA1 DNAJB1 DNAJB4
    DUSP1 DUSP8 EGR1 EGR2 ERRFI1 FOS FOSB FOSL2 GADD45A GEM HSP90AA1 HSP90AB1 HSPA1A HSPA1B HSPA5 HSPA8 HSPB1 HSPH1 ID3
    IER2 IER3 IFRD1 IL6 IRF1 JUN JUNB JUND KLF2 KLF4 KLF6 KLF9 MAFF MAFK MCL1 MIDN MT1 MT2 MT2A MYC NFKBIA NFKBIZ NR4A1
    ODC1 PER1 PHLDA1 PNRC1 PPP1R15A RHOB SAT1 SBNO2 SERPINE1 SKIL SOCS3 SQSTM1 SRF STAT3 TIPARP TNFAIP3 TNFAIP6 TRIB1
    UBC USP2 ZC3H12A ZFAND5 ZFP36 ZFP36L1 ZFP36L2
    """.split()
)
"""A list of our own: immediate-early, stress and heat-shock genes, of the kind that rises while tissue is dissociated
(van den Brink et al., Nature Methods 14, 935, 2017); older and newer symbols. It is not the list of that study, which
also has genes that mark cell types."""

_PATTERNS = {
    "ribosomal": r"RP(?:[LS]\d+(?!\d|K|BP)|LP\d|SA)",  # with pseudogenes; neither the kinases RPS6K.. nor RPS19BP1
    "mitochondrial": r"MT[-.]",  # of the mitochondrial genome; MT. is what R makes of MT-
    "heat_shock": r"(?:HSP(?:90|[ABDEH]\d)|DNAJ[ABC]\d)",  # chaperones: HSP10 to HSP110 and their partners HSP40
}
"""How symbols of a family begin, as HGNC names human genes and MGI, in lower case, those of the mouse."""

FAMILIES = ("ribosomal", "mitochondrial", "dissociation", "heat_shock")


def family_members(symbols: Iterable[str]) -> dict[str, NDArray[np.bool_]]:
    """Which genes belong to which family; a gene may be in two.

    Parameters
    ----------
    symbols
        (n_genes,) symbols of human or mouse, in any case.

    Returns
    -------
    For each of `FAMILIES` a boolean array (n_genes,). It is empty, for no families, where the names are Ensembl ids.
    """
    names = pd.Index([str(symbol) for symbol in symbols], dtype=object)
    if gene_id_kind(names) == "ensembl":
        return {}
    upper = pd.Series(names.str.upper())
    members = {family: upper.str.match(pattern).to_numpy(dtype=bool) for family, pattern in _PATTERNS.items()}
    members["dissociation"] = upper.isin(_DISSOCIATION).to_numpy(dtype=bool)
    return {family: members[family] for family in FAMILIES}


def family_table(means: NDArray[np.float64], classes: NDArray[np.object_], symbols: Iterable[str]) -> pd.DataFrame:
    """Share of each class's mask that lies on each family.

    Parameters
    ----------
    means
        (n_classes, n_genes) mean mask of each class.
    classes
        (n_classes,) names.
    symbols
        (n_genes,).

    Returns
    -------
    One row per class and family: `share` of the mask, `n_genes` of the family that the model reads, and `even_share`,
    what they would have if all genes weighed the same. No rows where the names are Ensembl ids.
    """
    members = family_members(symbols)
    rows = [
        {
            "class": name,
            "family": family,
            "share": float(mean[inside].sum()),
            "even_share": float(inside.mean()),
            "n_genes": int(inside.sum()),
        }
        for name, mean in zip(classes, means, strict=True)
        for family, inside in members.items()
    ]
    return pd.DataFrame(rows, columns=["class", "family", "share", "even_share", "n_genes"])
