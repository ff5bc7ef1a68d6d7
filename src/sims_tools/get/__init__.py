"""Tables out of an annotated object."""

from __future__ import annotations

from sims_tools.get._masks import mask_df
from sims_tools.get._prob import prob_df

__all__ = ["mask_df", "prob_df"]
