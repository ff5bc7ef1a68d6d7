"""Protein counts: which transform, what input it takes, and which proteins are left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import numpy as np
from scipy import sparse

from sims_tools._log import logger
from sims_tools._validate import check_choice, listing

from ._clr import clr_sizes
from ._kind import InputKind, check_logs, check_values, classify
from ._matrix import with_data

TRANSFORMS = ("clr", "log1p", "none")
"""Names by which a model knows what it does with proteins."""

_SURELY_NO_LOG = 30.0
"""No logarithm or centred log-ratio of protein counts is larger."""

_ISOTYPE = re.compile(r"isotype|(^|[^a-z])(m|r|ah|hu)?igg([0-9]|[^a-z]|$)", re.IGNORECASE)


def to_linear(counts: sparse.csr_matrix, transform: str) -> sparse.csr_matrix:
    """Values whose log1p is the transform of protein counts.

    Parameters
    ----------
    counts
        (n, n_proteins) as stored; all proteins that the transform is to know of.
    transform
        "clr" (:func:`clr`), "log1p", or "none" for values that are used as they are.

    Raises
    ------
    ValueError
        Values are negative, NaN or infinite, or "none" and too large for normalised ones.
    """
    check_values(counts)
    if transform == "log1p":
        return counts
    if transform == "none":
        check_logs(counts)
        return with_data(counts, np.expm1(counts.data))
    sizes = clr_sizes(counts)
    return with_data(counts, counts.data / np.repeat(sizes, np.diff(counts.indptr)).astype(np.float32))


def check_proteins(sample: sparse.csr_matrix, transform: str, where: str) -> None:
    """Raise ValueError unless protein values are of the kind that a transform takes.

    Parameters
    ----------
    sample
        Some rows, (n, n_proteins).
    transform
        Name of the transform.
    where
        What the values are called in the user's object.
    """
    check_choice("protein_transform", transform, TRANSFORMS)
    data = sample.data
    if not np.isfinite(data).all():
        raise ValueError(f"The proteins in {where} hold NaN or infinite values. {_REMEDY}")
    if data.min(initial=0.0) < 0:
        raise ValueError(
            f"The proteins in {where} hold negative values (down to {data.min():.3g}): they look centred, or corrected "
            f"for background (DSB). {_REMEDY}, after `np.maximum(values, 0)`."
        )
    kind = classify(sample)
    if transform == "none":
        if kind == InputKind("counts") and data.max(initial=0.0) > 1:
            raise ValueError(
                f"The proteins in {where} are whole numbers, counts most likely, but the model takes normalised values "
                '(`protein_transform="none"`). Give it values that are normalised as those it was trained on.'
            )
        return
    if kind.scale == "counts":
        return
    if data.max(initial=0.0) > _SURELY_NO_LOG:
        logger.info("The proteins in %s are not whole numbers: taken as corrected counts.", where)
        return
    raise ValueError(
        f"The proteins in {where} are not counts: they go up to {data.max():.3g} and are not whole numbers, so they "
        f"look normalised already. {_REMEDY}."
    )


_REMEDY = (
    "Raw counts are expected: if they are in a layer, name it with `protein_layer=`. To train on values that are "
    'normalised already, and annotate queries normalised in the same way, pass `protein_transform="none"` to training'
)


def kept_proteins(names: Sequence[str], exclude: str | Iterable[str]) -> np.ndarray:
    """(n_proteins,) bool: proteins that are not left out.

    Parameters
    ----------
    names
        (n_proteins,) names.
    exclude
        Names, or patterns as file names have them (``"*IgG*"``); case does not matter.

    Raises
    ------
    ValueError
        A name or pattern fits no protein, or all are left out.
    """
    patterns = [exclude] if isinstance(exclude, str) else [str(each) for each in exclude]
    lower = [str(name).lower() for name in names]
    hits = {pattern: [fnmatchcase(name, pattern.lower()) for name in lower] for pattern in patterns}
    if unused := [pattern for pattern, hit in hits.items() if not any(hit)]:
        raise ValueError(f"`exclude_proteins`: no protein fits {listing(unused)}; they are {listing(names, 40)}.")
    out = np.array([any(hit[place] for hit in hits.values()) for place in range(len(lower))], dtype=bool)
    if len(lower) and out.all():
        raise ValueError(f"`exclude_proteins={patterns!r}` leaves out all {len(lower)} proteins.")
    kept = [str(name) for name, gone in zip(names, out, strict=True) if not gone]
    if isotypes := [name for name in kept if _ISOTYPE.search(name)]:
        logger.info("%s look like isotype controls; `exclude_proteins=` leaves them out.", listing(isotypes))
    return ~out
