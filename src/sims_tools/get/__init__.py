"""Tables out of an annotated object."""

from __future__ import annotations

from sims_tools.get._evaluation import evaluation_df
from sims_tools.get._masks import mask_df
from sims_tools.get._prob import prob_df

__all__ = ["evaluation_df", "mask_df", "prob_df"]
