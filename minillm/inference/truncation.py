"""Which tokens may be drawn at all: two rules besides top-k and top-p (sampling.py).

- Both take logits and return logits, with minus infinity for what is dropped, so that they go
  before filtered_probabilities or sample_next, which divide by what is left.
- Temperature comes first in sampling.py, so here, too: divide the logits before the rule, and
  leave temperature at 1 in what follows, as in

      sample_next(min_p(logits / 0.8, 0.05), top_k=50)

Shape letters: V vocabulary.
"""

import math

import torch
from torch import Tensor


def min_p(logits: Tensor, threshold: float) -> Tensor:
    """Keep the tokens whose probability is not too small a part of the largest one.

        keep v  if  p(v) >= threshold max p        that is  z(v) >= max z + ln threshold

    A sure model keeps few, an unsure one many. Adding a constant, or a top-k or top-p before it,
    does not change the choice: only ratios to the largest matter, and the largest always stays.

    Args:
        logits: (..., V), already divided by the temperature.
        threshold: in [0, 1]; 0 keeps all, 1 only the largest (with all its equals).

    Returns:
        Logits, (..., V), in the dtype they came in; what is dropped is minus infinity.

    Raises:
        ValueError: if threshold is outside [0, 1], or a row has a NaN, plus infinity, or no
            finite entry.

    Cost: O(V), no sort.
    Source: Nguyen et al. 2024, arXiv:2407.01082 (min-p).
    Lesson: notebooks/19_decoding.ipynb
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must lie in [0, 1], got {threshold}")
    best = _checked_best(logits)
    if threshold == 0:
        return logits.clone()
    below = logits.double() - best.double() < math.log(threshold)  # (..., V)
    return logits.masked_fill(below, -math.inf)


def typical(logits: Tensor, mass: float) -> Tensor:
    """Keep the tokens that surprise about as much as the model expects to be surprised.

        H = -sum p ln p          d(v) = |-ln p(v) - H|
        keep the shortest list of the smallest d whose probabilities sum to at least mass

    Unlike top-k and top-p it can drop the most likely token: one that says less than expected.

    Args:
        logits: (..., V), already divided by the temperature. What is minus infinity has
            probability 0 and stays so: a filter before this one changes p and H.
        mass: which probability to keep, in (0, 1]; 1 keeps all. At least one token stays.

    Returns:
        Logits, (..., V), in the dtype they came in; what is dropped is minus infinity. Between
        equal distances the smaller id is kept.

    Raises:
        ValueError: if mass is not in (0, 1], or a row has a NaN, plus infinity, or no finite
            entry.

    Cost: one sort of V.
    Source: Meister et al. 2022, arXiv:2202.00666 (locally typical sampling).
    Lesson: notebooks/19_decoding.ipynb
    """
    if not 0 < mass <= 1:
        raise ValueError(f"mass must lie in (0, 1], got {mass}")
    best = _checked_best(logits)
    if mass == 1:
        return logits.clone()
    log_p = (logits.double() - best.double()).log_softmax(dim=-1)  # (..., V)
    entropy = torch.special.entr(log_p.exp()).sum(dim=-1, keepdim=True)  # nats; 0 ln 0 = 0
    distance = (-log_p - entropy).abs()  # infinite where p = 0: those come last
    ids = distance.sort(dim=-1, stable=True).indices  # ties: the smaller id first
    ordered = log_p.exp().gather(-1, ids)
    before = ordered.cumsum(dim=-1) - ordered  # probability of everything nearer to H
    dropped = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, ids, before >= mass)
    return logits.masked_fill(dropped, -math.inf)


def _checked_best(logits: Tensor) -> Tensor:
    """The largest logit of each row, (..., 1)."""
    best = logits.amax(dim=-1, keepdim=True)  # NaN where the row has one
    if not best.isfinite().all():
        raise ValueError("a row of logits has a NaN, an infinity, or no finite entry at all")
    return best
