"""Genes and proteins of a query on those of a model, each by its own names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sims_tools._log import logger
from sims_tools._validate import listing

from ._align import GeneMatch, check_coverage, match_genes
from ._features import PROTEIN, RNA, feature_names
from ._parts import Part, Parts
from ._protein_names import match_proteins

_FEW = 0.8
"""Share of the mask weight on proteins below which missing ones are warned of."""


@dataclass(frozen=True)
class JointMatch(GeneMatch):
    """Where each feature of the model stands among the genes of the query and the proteins that are read of it.

    Attributes
    ----------
    genes, proteins
        Each by itself; None where the query does not have the modality.
    n_genes
        Genes of the model; its other features are proteins.
    modalities
        Of a MuData, the modalities that are read, by role.
    """

    genes: GeneMatch | None
    proteins: GeneMatch | None
    n_genes: int
    modalities: Mapping[str, str] = field(default_factory=dict)

    @property
    def read_proteins(self) -> np.ndarray:
        """Columns of the query's proteins that the model knows, rising."""
        return (
            np.empty(0, dtype=np.intp) if self.proteins is None else np.sort(self.proteins.columns[self.proteins.found])
        )

    def coverage(self, weights: np.ndarray) -> float:
        """Share of the model's mask weight that is on features of the query, in the modalities that it has."""
        have = np.repeat([self.genes is not None, self.proteins is not None], self._sizes)
        total = float(weights[have].sum())
        return float(weights[self.found].sum()) / total if total > 0 else float(self.found[have].mean())

    def report(self, weights: np.ndarray) -> dict[str, Any]:
        """What `.uns[key]["gene_match"]` says, with what there is to say of proteins under "proteins"."""
        names, parts = self.model_genes, np.split(weights, [self.n_genes])
        genes = self.genes or _absent(names[: self.n_genes])
        if self.n_genes == len(names):
            return genes.report(weights)
        proteins = self.proteins or _absent(names[self.n_genes :])
        of_proteins = proteins.report(parts[1])
        renamed = proteins.found & (proteins.query_names != proteins.model_genes)
        return {
            **genes.report(parts[0]),
            "modalities": np.array([role for role, each in ((RNA, self.genes), (PROTEIN, self.proteins)) if each]),
            "proteins": {
                "n_model_proteins": of_proteins["n_model_genes"],
                "n_query_proteins": of_proteins["n_query_genes"],
                **{name: of_proteins[name] for name in ("n_matched", "n_renamed", "weight_coverage", "missing")},
                "renamed": proteins.model_genes[renamed].astype(str),
                "renamed_from": proteins.query_names[renamed].astype(str),
            },
        }

    @property
    def _sizes(self) -> list[int]:
        return [self.n_genes, len(self.columns) - self.n_genes]


def _absent(names: np.ndarray) -> GeneMatch:
    """Nothing found of these names."""
    return GeneMatch(np.full(len(names), -1), names.astype(str), np.full(len(names), ""), 0)


def match_parts(
    parts: Parts, genes: Sequence[str], proteins: Sequence[str], weights: np.ndarray
) -> tuple[JointMatch, Parts]:
    """Match an object's genes and proteins with a model's.

    Parameters
    ----------
    parts
        The object; a modality of it that the model does not read is left alone.
    genes, proteins
        What the model reads.
    weights
        (n_genes + n_proteins,) mean mask weight of each feature in the model.

    Returns
    -------
    The match, and the parts that are read.

    Raises
    ------
    ValueError
        Names repeat, or nearly all of what the model decides by is missing in a modality.
    """
    own = {RNA: genes, PROTEIN: proteins}
    read = {role: part for role, part in parts.parts.items() if len(own[role])}
    read = _told_apart(read, genes, proteins)
    rna, protein = read.get(RNA), read.get(PROTEIN)
    of_genes = None if rna is None else match_genes(rna.adata.var_names, np.asarray(genes))
    if rna is not None and of_genes is not None:
        check_coverage(of_genes, weights[: len(genes)], rna.adata)
    of_proteins = None if protein is None else _match_proteins(protein, proteins, weights[len(genes) :])
    if protein is not None and of_proteins is None:
        del read[PROTEIN]
    if of_genes is None and of_proteins is None:
        raise ValueError(
            f"The query has nothing that the model reads: it knows {len(genes)} genes and {len(proteins)} proteins, "
            f"the query has {listing(parts.parts)}."
        )
    _tell_missing(of_genes, of_proteins, own)
    names = {role: name for role, name in parts.names.items() if role in read}
    return _joined(of_genes, of_proteins, genes, proteins, names), Parts(parts.obs_names, read, names)


def parts_as_matched(parts: Parts, match: JointMatch) -> Parts:
    """The parts that are read of an object whose features were matched already, on other cells of it."""
    read = {} if match.genes is None else {RNA: parts.parts[RNA]}
    if match.proteins is not None:
        read[PROTEIN] = replace(parts.parts.get(PROTEIN, parts.parts[RNA]), role=PROTEIN)
    return Parts(parts.obs_names, read, {role: name for role, name in parts.names.items() if role in read})


def _told_apart(read: dict[str, Part], genes: Sequence[str], proteins: Sequence[str]) -> dict[str, Part]:
    """An AnnData whose features are the model's proteins is taken for these."""
    rna = read.get(RNA)
    if rna is None or PROTEIN in read or not len(proteins):
        return read
    names = rna.adata.var_names
    if not names.is_unique or rna.adata.n_vars > 10 * len(proteins):
        return read
    n_proteins = int(match_proteins(names, proteins).found.sum())
    if n_proteins > len(proteins) / 2 and n_proteins > int(names.isin(np.asarray(genes, dtype=object)).sum()):
        return {PROTEIN: Part(PROTEIN, rna.place, rna.adata, rna.layer, rna.rows)}
    return read


def _match_proteins(part: Part, proteins: Sequence[str], weights: np.ndarray) -> GeneMatch | None:
    """The match, told of; None where no protein is known."""
    if not part.adata.var_names.is_unique:
        raise ValueError(f"Names of proteins in {part.place} are not unique; run `var_names_make_unique()` on them.")
    match = match_proteins(part.adata.var_names, proteins)
    if not match.found.any():
        logger.warning(
            "None of the model's proteins is in %s: the model knows %s, there are %s.",
            part.place, listing(proteins), listing(part.adata.var_names),
        )  # fmt: skip
        return None
    renamed = np.flatnonzero(match.found & (match.query_names != match.model_genes))
    if renamed.size:
        pairs = [f"{match.model_genes[i]} is {str(match.query_names[i])!r}" for i in renamed]
        logger.info("%d proteins are known under another name: %s.", renamed.size, ", ".join(pairs))
    if not match.found.all():
        coverage = match.coverage(weights)
        say = logger.warning if coverage < _FEW else logger.info
        say(
            "%d of the model's %d proteins are missing in %s (%.0f %% of its mask weight on proteins is there): %s.",
            int((~match.found).sum()), len(match.found), part.place, 100 * coverage,
            listing(match.model_genes[~match.found]),
        )  # fmt: skip
    return match


def _tell_missing(genes: GeneMatch | None, proteins: GeneMatch | None, own: dict[str, Sequence[str]]) -> None:
    for match, role, others in ((genes, RNA, "proteins"), (proteins, PROTEIN, "RNA")):
        if match is None and len(own[role]):
            what = "RNA" if role == RNA else "proteins"
            logger.warning(
                "The query has no %s that the model knows: cells are called from %s alone, and their probabilities "
                "are calibrated for that.", what, others,
            )  # fmt: skip


def _joined(
    genes: GeneMatch | None,
    proteins: GeneMatch | None,
    model_genes: Sequence[str],
    model_proteins: Sequence[str],
    modalities: Mapping[str, str],
) -> JointMatch:
    shown_genes = genes or _absent(np.asarray(model_genes, dtype=str))
    shown_proteins = proteins or _absent(np.asarray(model_proteins, dtype=str))
    columns, n_query = shown_genes.columns, shown_genes.n_query
    rank = np.full(len(shown_proteins.columns), -1)
    order = np.sort(shown_proteins.columns[shown_proteins.found])
    rank[shown_proteins.found] = n_query + np.searchsorted(order, shown_proteins.columns[shown_proteins.found])
    return JointMatch(
        columns=np.concatenate([columns, rank]).astype(np.intp),
        model_genes=np.asarray(feature_names(model_genes, model_proteins), dtype=str),
        query_names=np.concatenate([shown_genes.query_names, shown_proteins.query_names]).astype(str),
        n_query=n_query + len(order),
        genes=genes,
        proteins=proteins,
        n_genes=len(model_genes),
        modalities=modalities,
    )
