"""Make a model repeat itself less: rules that change logits by what the text already holds.

- Each takes logits and the ids that count as already said, and returns logits, so that they come
  before the filters and the draw, and before the temperature.
- Which ids count is the caller's choice: prompt and continuation (transformers, CTRL) or only
  the continuation (the APIs with presence and frequency penalties).

Shape letters: B batch, T ids that count, V vocabulary.
"""

import math

import torch
from torch import Tensor


def repetition_penalty(logits: Tensor, ids: Tensor, penalty: float) -> Tensor:
    """Make every token that was said less likely, by a factor on its logit.

        z(v) / penalty  if z(v) > 0        z(v) * penalty  if z(v) <= 0        for v in ids

    The paper divides always, which would make a token with a negative logit more likely; the
    second case is what everybody computes. Softmax does not notice a constant added to all
    logits, this rule does: it is a rule about logits, not about probabilities, and it never
    changes a logit of 0.

    Args:
        logits: (B, V).
        ids: what was said, (B, T); T may be 0. How often does not matter.
        penalty: above 0; 1 changes nothing, above 1 discourages, below 1 encourages. The paper
            takes 1.2.

    Returns:
        Logits, (B, V), in the dtype they came in.

    Raises:
        ValueError: if penalty is not positive and finite, or logits and ids do not fit together.

    Cost: O(B (V + T)).
    Source: Keskar et al. 2019 (CTRL), arXiv:1909.05858, section 4.1.
    Lesson: notebooks/19_decoding.ipynb
    """
    if not 0 < penalty < math.inf:
        raise ValueError(f"penalty must be positive and finite, got {penalty}")
    said = _counts(logits, ids) > 0  # (B, V)
    changed = torch.where(logits > 0, logits / penalty, logits * penalty)
    return torch.where(said, changed, logits)


def presence_frequency_penalty(
    logits: Tensor, ids: Tensor, *, presence: float = 0.0, frequency: float = 0.0
) -> Tensor:
    """Subtract from the logit of a token once for being there, and once for each time it was said.

        z(v) - presence [c(v) > 0] - frequency c(v)        c(v): how often v is in ids

    In probabilities: odds are multiplied by e^-presence and e^(-frequency c).

    Args:
        logits: (B, V).
        ids: what was said, (B, T); T may be 0.
        presence: in nats; negative encourages what is there.
        frequency: in nats for each time; negative encourages repetition.

    Returns:
        Logits, (B, V), in the dtype they came in.

    Raises:
        ValueError: if presence or frequency is not finite, or logits and ids do not fit together.

    Cost: O(B (V + T)).
    Source: OpenAI API reference, "Frequency and presence penalties", which allows -2 to 2 and
        counts the continuation only.
    Lesson: notebooks/19_decoding.ipynb
    """
    for name, value in (("presence", presence), ("frequency", frequency)):
        if not math.isfinite(value):
            raise ValueError(f"{name} must be finite, got {value}")
    counts = _counts(logits, ids).to(logits.dtype)  # (B, V)
    return logits - presence * counts.clamp(max=1) - frequency * counts


def no_repeat_ngram(logits: Tensor, ids: Tensor, n: int) -> Tensor:
    """Forbid the tokens that would complete an n-gram for the second time.

        v is forbidden if  ids[-(n-1):] + [v]  occurs in ids

    Args:
        logits: (B, V).
        ids: the text so far, (B, T); T may be 0.
        n: length of what must not come twice, at least 1; 1 forbids every token that was said.

    Returns:
        Logits, (B, V), minus infinity for what is forbidden. A row may lose all its tokens;
        sampling from it is then a ValueError.

    Raises:
        ValueError: if n < 1, or logits and ids do not fit together.

    Cost: O(B (n T + V)).
    Source: Paulus et al. 2017, arXiv:1705.04304 (trigrams, at test time).
    Lesson: notebooks/19_decoding.ipynb
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    _check(logits, ids)
    T = ids.shape[1]
    if n > T:
        return logits.clone()
    grams = ids.unfold(1, n, 1)  # (B, T - n + 1, n): every n-gram of the text
    same = (grams[..., :-1] == ids[:, None, T - n + 1 :]).all(dim=-1)  # (B, T - n + 1)
    hits = torch.zeros(logits.shape, dtype=torch.int64, device=logits.device)
    hits.scatter_add_(1, grams[..., -1], same.long())  # (B, V)
    return logits.masked_fill(hits > 0, -math.inf)


def _counts(logits: Tensor, ids: Tensor) -> Tensor:
    """How often each token of the vocabulary is in ids, (B, V), int64."""
    _check(logits, ids)
    zeros = torch.zeros(logits.shape, dtype=torch.int64, device=logits.device)
    return zeros.scatter_add_(1, ids, torch.ones_like(ids))


def _check(logits: Tensor, ids: Tensor) -> None:
    if logits.ndim != 2 or ids.ndim != 2 or len(logits) != len(ids):
        raise ValueError(
            "logits must be (B, V) and ids (B, T), "
            f"got logits {tuple(logits.shape)} and ids {tuple(ids.shape)}"
        )
    if ids.numel() and not (ids.min() >= 0 and ids.max() < logits.shape[1]):
        raise ValueError(
            f"ids must lie in 0 to {logits.shape[1] - 1}, got {ids.min()} to {ids.max()}"
        )
