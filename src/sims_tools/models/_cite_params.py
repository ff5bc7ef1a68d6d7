"""Parameters of the CITE-seq autoencoder: checks, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping

from sims_tools._log import logger
from sims_tools._validate import as_plain
from sims_tools.data._features import PROTEIN, RNA

_MANY_WEIGHTS = 100_000_000


def read_weights(weights: Mapping[str, float] | None) -> dict[str, float] | None:
    """Weights of RNA and protein in the loss, checked; None stays.

    Raises
    ------
    ValueError
        They are not those of "rna" and "protein", one is negative or not finite, or both are zero.
    """
    if weights is None:
        return None
    plain = {str(name): as_plain(value) for name, value in weights.items()}
    if set(plain) == {RNA, PROTEIN} and all(value >= 0 for value in plain.values()) and 0 < sum(plain.values()) < 1e30:
        return {RNA: float(plain[RNA]), PROTEIN: float(plain[PROTEIN])}
    raise ValueError(
        f"`modality_weights={plain!r}` must be two numbers, `{{'rna': ..., 'protein': ...}}`, not negative and not "
        "both zero."
    )


def warn_of_size(n_genes: int, n_proteins: int) -> None:
    """Say so where the network would be huge: its widest layers are half as wide as there are genes."""
    n_weights = n_genes * (n_genes + n_proteins)
    if n_weights > _MANY_WEIGHTS:
        logger.warning(
            "The first and the last layer have %.2g weights, %.1f GB with the optimiser: half as wide as there "
            "are genes (%d). Choose fewer with `mask_var='highly_variable'`.",
            n_weights,
            16 * n_weights / 1e9,
            n_genes,
        )
