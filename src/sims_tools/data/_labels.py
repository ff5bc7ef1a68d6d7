"""A label column of any dtype as clean codes and class names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sims_tools._validate import listing


@dataclass(frozen=True)
class Labels:
    """Labels of n cells over C classes.

    Attributes
    ----------
    codes
        (n,) int64 in [0, C); -1 marks an unlabelled cell.
    classes
        (C,) names, in the order of the categories (categorical column) or of the values.
    """

    codes: np.ndarray
    classes: np.ndarray

    @property
    def labelled(self) -> np.ndarray:
        """Indices of the cells that carry a label."""
        return np.flatnonzero(self.codes >= 0)

    @property
    def counts(self) -> np.ndarray:
        """(C,) number of cells of each class."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.classes))

    def without(self, cells: np.ndarray) -> Labels:
        """The same with some cells unlabelled and classes that lost all their cells removed."""
        codes = self.codes.copy()
        codes[cells] = -1
        kept = np.flatnonzero(np.bincount(codes[codes >= 0], minlength=len(self.classes)))
        renumber = np.full(len(self.classes) + 1, -1)
        renumber[kept] = np.arange(len(kept))
        return Labels(renumber[codes], self.classes[kept])


def encode_labels(column: pd.Series, unlabeled_category: str | None) -> Labels:
    """Read labels of any dtype; NaN, "" and `unlabeled_category` are unlabelled, unused categories vanish.

    Parameters
    ----------
    column
        (n,) labels: categorical, strings, numbers or booleans.
    unlabeled_category
        Name that means "no label".
    """
    used = column.astype("category").cat.remove_unused_categories()
    categories = used.cat.categories
    labels = Labels(used.cat.codes.to_numpy().astype(np.int64), categories.astype(str).to_numpy(dtype=object))
    unlabelled = [code for code, value in enumerate(categories) if _means_unlabelled(value, unlabeled_category)]
    return labels.without(np.flatnonzero(np.isin(labels.codes, unlabelled))) if unlabelled else labels


def of_one_class(totals: np.ndarray) -> Labels:
    """Labels of cells that have none: those with counts are of one class, the others of none.

    Raises
    ------
    ValueError
        Fewer than two have counts.
    """
    if (n_cells := int((totals > 0).sum())) < 2:
        raise ValueError(f"{n_cells} of {len(totals)} cells have counts; at least two are needed.")
    return Labels(np.where(totals > 0, 0, -1), np.array(["cell"], dtype=object))


def _means_unlabelled(value: object, unlabeled_category: str | None) -> bool:
    """An empty name, or the name that means "no label", also where a column of whole numbers became float."""
    text = str(value)
    if isinstance(value, float | np.floating) and value.is_integer() and str(int(value)) == str(unlabeled_category):
        return True
    return not text.strip() or (unlabeled_category is not None and text == str(unlabeled_category))


def check_classes(labels: Labels, labels_key: str) -> None:
    """Raise ValueError unless there are two classes or more to tell apart."""
    if len(labels.classes) < 2:
        found = f"only {labels.classes[0]!r}" if len(labels.classes) else "no label at all"
        raise ValueError(
            f"`adata.obs[{labels_key!r}]` has {found} among {len(labels.codes)} cells; a classifier needs at least "
            "two classes. Is this the right column, and is `unlabeled_category=` what you mean?"
        )
    if len(set(labels.classes)) < len(labels.classes):
        repeated = pd.Index(labels.classes)[pd.Index(labels.classes).duplicated()]
        raise ValueError(f"`adata.obs[{labels_key!r}]` holds labels that read the same as text: {listing(repeated)}.")


def spelt_alike(classes: np.ndarray) -> list[list[str]]:
    """Classes whose names differ in upper and lower case or in white space only, together."""
    groups: dict[str, list[str]] = {}
    for name in map(str, classes):
        groups.setdefault("".join(name.split()).casefold(), []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def check_clean_labels(column: pd.Series, unlabeled_category: str) -> None:
    """Raise ValueError unless scvi-tools can take the labels as they are: text, no NaN, no category without cells."""
    use = f"or use `sims_tools.tl.sims_train`, which reads labels of any kind from `{column.name}` as it is."
    if column.isna().any():
        raise ValueError(
            f"`adata.obs[{column.name!r}]` holds NaN; give those cells the label {unlabeled_category!r}, {use}"
        )
    categories = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column.unique()
    if not all(isinstance(label, str) for label in categories):
        raise ValueError(
            f"`adata.obs[{column.name!r}]` holds labels that are not text; cast them with `.astype(str)`, {use}"
        )
    if unused := sorted(set(categories) - set(column.unique()) - {unlabeled_category}):
        raise ValueError(
            f"`adata.obs[{column.name!r}]` has categories without cells: {listing(unused)}; take them out with "
            f"`.cat.remove_unused_categories()`, {use}"
        )
