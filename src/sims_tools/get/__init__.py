"""Tables out of an annotated object."""

from __future__ import annotations

from sims_tools.get._evaluation import evaluation_df
from sims_tools.get._masks import mask_df
from sims_tools.get._modality_share import modality_share_df
from sims_tools.get._prob import prob_df
from sims_tools.get._study import study_df

__all__ = ["evaluation_df", "mask_df", "modality_share_df", "prob_df", "study_df"]
