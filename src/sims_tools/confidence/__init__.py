"""From logits to what can be trusted: probabilities, calls, runners-up, votes."""

from ._probabilities import Calls, call_labels, restrict, runners_up, softmax
from ._vote import majority_vote

__all__ = ["Calls", "call_labels", "majority_vote", "restrict", "runners_up", "softmax"]
