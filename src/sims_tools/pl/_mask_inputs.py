"""What every picture of feature masks starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from anndata import AnnData
from mudata import MuData
from numpy.typing import NDArray

from sims_tools._keys import Keys
from sims_tools._validate import listing
from sims_tools.data._class_masks import GroupedMasks, group_masks, read_grouped_masks
from sims_tools.data._in_memory import uns_or_nothing
from sims_tools.data._mask_stats import StoredMasks, display_names, gene_object, group_means
from sims_tools.pl._colors import label_colors


@dataclass(frozen=True)
class MaskInputs:
    """Masks with the labels to group them by.

    Parameters
    ----------
    masks
        Of cells, with the label of each; or of labels, where only means were kept.
    column
        Column of `.obs` with the labels.
    colors
        Colour of each category, used or not.
    names
        What to call each column of the masks.
    chosen
        Columns the user asked for, in the user's order; `None`: the strongest.
    n_genes
        How many of the strongest.
    explanation
        What the masks are, as the annotation says.
    """

    masks: GroupedMasks
    column: str
    colors: dict[str, str]
    names: list[str]
    chosen: NDArray[np.intp] | None
    n_genes: int
    explanation: str = "masks"

    @property
    def stored(self) -> StoredMasks:
        """The masks, and names of their columns."""
        return self.masks.stored

    @property
    def codes(self) -> NDArray[np.intp]:
        """Label of each row, -1 for none."""
        return self.masks.codes

    @property
    def groups(self) -> list[str]:
        """The labels in use."""
        return self.masks.groups

    @property
    def weight(self) -> str:
        """What the number of a cell and a gene is called."""
        return "mask weight" if self.explanation == "masks" else self.explanation

    @property
    def mean_weight(self) -> str:
        """What its mean over cells is called."""
        return "mean mask" if self.explanation == "masks" else f"mean {self.explanation}".replace(" ", "\n")

    def strongest(self, scores: NDArray[np.float64]) -> NDArray[np.intp]:
        """The columns to draw, strongest first: the user's, or the `n_genes` that score highest (and above zero)."""
        if self.chosen is not None:
            return self.chosen
        best = np.argsort(-scores, kind="stable")[: self.n_genes]
        best = best[scores[best] > 0]
        if best.size == 0:
            raise ValueError("The masks hold no weight at all: every cell is empty, or has none of the model's genes.")
        return best

    def class_means(self) -> NDArray[np.float64]:
        """Mean mask of each label in use, (n_groups, n_features)."""
        return group_means(self.stored.weights, self.codes, len(self.groups))

    def by_class(self, columns: NDArray[np.intp], means: NDArray[np.float64]) -> NDArray[np.intp]:
        """The columns with genes of the same label side by side, strong ones first; the user's own order is kept."""
        if self.chosen is not None:
            return columns
        home = means[:, columns].argmax(axis=0)
        return columns[np.lexsort((-means[home, columns], home))]


def mask_inputs(
    adata: AnnData | MuData,
    key: str,
    groupby: str,
    genes: Sequence[str] | None,
    n_genes: int,
    gene_symbols: str | None,
    *,
    by_group: bool = False,
) -> MaskInputs:
    """Read the masks of `key` and the labels in `groupby`; with `by_group`, means of the groups are enough."""
    masks = read_grouped_masks(adata, key, groupby) if by_group else group_masks(adata, key, groupby)
    stored = masks.stored
    if not masks.groups:
        raise ValueError(f"No cell has a label in `adata.obs[{groupby!r}]`.")
    names = display_names(gene_object(adata, key), stored, gene_symbols)
    return MaskInputs(
        masks=masks,
        column=groupby,
        colors=label_colors(adata, groupby),
        names=names,
        chosen=None if genes is None else _columns_of(genes, stored, names),
        n_genes=n_genes,
        explanation=str(uns_or_nothing(adata, Keys(key).uns).get("explanation", "masks")),
    )


def _columns_of(genes: Sequence[str], stored: StoredMasks, symbols: Sequence[str]) -> NDArray[np.intp]:
    """Columns of the genes the user named, by the model's name, the name in `adata`, or the symbol."""
    genes = [genes] if isinstance(genes, str) else list(genes)
    where: dict[str, int] = {}
    for names in (symbols, stored.var_names, stored.features):  # the later one wins
        where.update({str(name): column for column, name in enumerate(names) if name != ""})
    unknown = [gene for gene in genes if gene not in where]
    if unknown:
        close = [match for gene in unknown for match in get_close_matches(str(gene), where, n=3)]
        hint = f" Did you mean {listing(close)}?" if close else ""
        raise KeyError(f"Not among the model's {len(stored.features)} genes: {listing(unknown)}.{hint}")
    if not genes:
        raise ValueError("`genes` is empty; leave it out to see the strongest genes.")
    return np.array([where[gene] for gene in genes], dtype=np.intp)
