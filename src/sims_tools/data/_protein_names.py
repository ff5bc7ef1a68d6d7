"""Proteins of a panel matched by name, whatever vendors and pipelines have added to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from ._align import GeneMatch

_TAG = re.compile(r"[-_. ]?total[-_ ]?seq[-_ ]?[a-d]?$|[-_. ](adt|ab|tsa|tsb|tsc|prot|protein|antibody)$")
_HEAD = re.compile(r"^(adt|ab|prot|protein|anti[-_ ]?(human|mouse)|hu|anti)[-_. :]+")
_JOINTS = re.compile(r"[-_. /()]+")

_SAME = (
    ("cd1c", "bdca1"),
    ("cd3", "cd3e", "cd3d"),
    ("cd8", "cd8a"),
    ("cd11a", "itgal"),
    ("cd11b", "itgam"),
    ("cd11c", "itgax"),
    ("cd16", "fcgr3a"),
    ("cd20", "ms4a1"),
    ("cd25", "il2ra"),
    ("cd27", "tnfrsf7"),
    ("cd31", "pecam1"),
    ("cd32", "fcgr2a"),
    ("cd45", "ptprc"),
    ("cd56", "ncam1", "ncam"),
    ("cd57", "b3gat1"),
    ("cd62l", "sell", "lselectin"),
    ("cd64", "fcgr1a"),
    ("cd66b", "ceacam8"),
    ("cd79a", "mb1"),
    ("cd90", "thy1"),
    ("cd94", "klrd1"),
    ("cd95", "fas"),
    ("cd103", "itgae"),
    ("cd117", "kit", "ckit"),
    ("cd122", "il2rb"),
    ("cd123", "il3ra"),
    ("cd127", "il7r", "il7ra"),
    ("cd134", "ox40", "tnfrsf4"),
    ("cd137", "41bb", "tnfrsf9"),
    ("cd138", "sdc1"),
    ("cd141", "bdca3", "thbd"),
    ("cd152", "ctla4"),
    ("cd161", "klrb1"),
    ("cd183", "cxcr3"),
    ("cd184", "cxcr4"),
    ("cd185", "cxcr5"),
    ("cd194", "ccr4"),
    ("cd195", "ccr5"),
    ("cd196", "ccr6"),
    ("cd197", "ccr7"),
    ("cd223", "lag3"),
    ("cd226", "dnam1"),
    ("cd272", "btla"),
    ("cd273", "pdl2", "pdcd1lg2"),
    ("cd274", "pdl1"),
    ("cd278", "icos"),
    ("cd279", "pd1", "pdcd1"),
    ("cd303", "bdca2", "clec4c"),
    ("cd304", "bdca4", "nrp1"),
    ("cd314", "nkg2d", "klrk1"),
    ("cd335", "nkp46", "ncr1"),
    ("cd336", "nkp44", "ncr2"),
    ("cd337", "nkp30", "ncr3"),
    ("cd366", "tim3", "havcr2"),
    ("hladr", "hladra"),
    ("tcrab", "tcralphabeta", "tcrαβ"),
    ("tcrgd", "tcrgammadelta", "tcrγδ"),
    ("b2m", "b2microglobulin", "beta2microglobulin"),
)
"""Names of one antigen: CD numbers of the HLDA workshops beside gene symbols (HGNC) and common names."""

_GROUP = {name: group[0] for group in _SAME for name in group}


def plain_name(name: object) -> str:
    """A protein's name in lower case, without vendor's tags, hyphens and underscores: "CD8a_TotalSeqB" is "cd8a"."""
    text = str(name).strip().lower()
    before = ""
    while text != before:
        before = text
        text = _HEAD.sub("", _TAG.sub("", text))
    return _JOINTS.sub("", text)


def antigen(name: object) -> str:
    """The antigen by one of its names: "CD8a" is "cd8"."""
    plain = plain_name(name)
    return _GROUP.get(plain, plain)


def match_proteins(query: pd.Index, model_proteins: Sequence[str]) -> GeneMatch:
    """Find each protein of a model among those of a query.

    Exact names first; then, for proteins still missing, names without tags and punctuation; then names of the same
    antigen. A name that is not unique on either side matches nothing.

    Parameters
    ----------
    query
        (n_query,) names, unique.
    model_proteins
        (n_model_proteins,) names, unique.
    """
    ours = pd.Index(np.asarray(model_proteins, dtype=object))
    columns = query.get_indexer(ours)
    rules: tuple[Callable[[object], str], ...] = (plain_name, antigen)
    for rule in rules:
        missing = np.flatnonzero(columns < 0)
        free = np.setdiff1d(np.arange(len(query)), columns)
        if not (missing.size and free.size):
            break
        theirs, wanted = pd.Index([rule(query[i]) for i in free]), pd.Index([rule(ours[i]) for i in missing])
        once = ~theirs.duplicated(keep=False)
        hit = theirs[once].get_indexer(wanted)
        hit[wanted.duplicated(keep=False)] = -1
        columns[missing[hit >= 0]] = free[once][hit[hit >= 0]]
    names = np.full(len(columns), "", dtype=object)
    names[columns >= 0] = np.asarray(query, dtype=object)[columns[columns >= 0]]
    return GeneMatch(columns, np.asarray(ours).astype(str), names.astype(str), len(query))
