"""Labelled sets: every `.h5ad` of a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
from scipy import sparse

from .cells import COUNTS, LOGNORM, Cells

LABEL = "cell_type"
GROUPS = ("donor", "batch")
"""Columns whose groups are held out: the first of them that has two or more."""


@dataclass(frozen=True)
class LabelledSet:
    """A set and its labels.

    Parameters
    ----------
    name
        Of the file, without its ending.
    cells
        n of them.
    labels
        (n,) text.
    group_key
        Column of the groups; None where there are fewer than two.
    groups
        (n,) donor or batch as text.
    obs
        Every column as text, to choose cells by.
    """

    name: str
    cells: Cells
    labels: np.ndarray
    group_key: str | None
    groups: np.ndarray
    obs: dict[str, np.ndarray]


def find(folder: Path, names: list[str] | None = None) -> dict[str, Path]:
    """Files of the sets by name; all of the folder, or those that are wanted."""
    found = {path.stem: path for path in sorted(folder.glob("*.h5ad"))}
    missing = [name for name in names or [] if name not in found]
    if missing or not found:
        raise ValueError(
            f"No set {', '.join(missing) or 'at all'} in {folder.name}; it has {', '.join(found) or 'none'}."
        )
    return {name: found[name] for name in names} if names else found


def read(path: Path) -> LabelledSet:
    """One set. Cells without a label are left out.

    Raises
    ------
    ValueError
        The file does not say what its values are, or has no labels.
    """
    adata = ad.read_h5ad(path)
    kind = adata.uns.get("x_kind")
    if kind not in (COUNTS, LOGNORM):
        raise ValueError(f"{path.name}: uns['x_kind'] is {kind!r}; expected {COUNTS!r} or {LOGNORM!r}.")
    if LABEL not in adata.obs:
        raise ValueError(f"{path.name} has no column {LABEL!r} of labels.")
    adata = adata[adata.obs[LABEL].notna().to_numpy()]
    cells = Cells(sparse.csr_matrix(adata.X, dtype=np.float32), adata.var_names.to_numpy().astype(str), kind)
    obs = {str(key): adata.obs[key].to_numpy().astype(str) for key in adata.obs}
    key = next((key for key in GROUPS if len(set(obs.get(key, ()))) > 1), None)
    groups = obs[key] if key else np.full(len(cells), "")
    return LabelledSet(path.stem, cells, obs[LABEL], key, groups, obs)
