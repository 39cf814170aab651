"""The evaluate room: how sure a number is, and what it says about a claim."""

from minillm.evaluate.intervals import (
    Interval,
    bootstrap_interval,
    mean_interval,
    paired_difference,
    seed_spread,
)
from minillm.evaluate.verdict import verdict

__all__ = [
    "Interval",
    "bootstrap_interval",
    "mean_interval",
    "paired_difference",
    "seed_spread",
    "verdict",
]
