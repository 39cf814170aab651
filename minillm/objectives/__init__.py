"""The objectives room: what a model is trained to predict, and the unit it is measured in."""

from minillm.objectives.causal import (
    bits_per_byte,
    causal_loss,
    cross_entropy,
    fast_cross_entropy,
)
from minillm.objectives.fused import linear_cross_entropy
from minillm.objectives.routed import routed_loss

__all__ = [
    "bits_per_byte",
    "causal_loss",
    "cross_entropy",
    "fast_cross_entropy",
    "linear_cross_entropy",
    "routed_loss",
]
