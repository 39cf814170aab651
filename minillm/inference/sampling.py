"""From logits to the next token: which ones may be drawn, with which probability, and the draw.

- filtered_probabilities is the definition of every rule of choice; sample_next draws from it.
- The order is fixed, and that of transformers: temperature, top-k, top-p, min-p, typical; each
  looks at what those before it left. Ties go to the smaller id everywhere.
- continuation.py makes texts of it, token by token.

Shape letters: V vocabulary.
"""

import math

import torch
from torch import Tensor

from minillm.inference import truncation


def filtered_probabilities(
    logits: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    typical_p: float | None = None,
) -> Tensor:
    """Turn logits into the distribution that the next token is drawn from.

        p = softmax(logits / temperature)
        top-k: keep the k largest;   top-p: keep the shortest list of the largest whose sum is
        at least top_p;   min-p and typical: see truncation.py
        what is dropped gets 0, and the rest is divided by its sum

    Args:
        logits: (..., V).
        temperature: below 1 sharper, above 1 flatter; 0 puts everything on the largest logit.
        top_k: how many to keep; None, or V and more, keeps all.
        top_p: which probability to keep, in (0, 1]; None or 1 keeps all. At least one token stays.
        min_p: keep what has at least this share of the largest probability, in [0, 1]; None or 0
            keeps all.
        typical_p: which probability to keep of the tokens nearest to the entropy, in (0, 1]; None
            or 1 keeps all.

    Returns:
        Probabilities, (..., V), float64, rows summing to 1. Between equal logits the smaller id
        is kept.

    Raises:
        ValueError: if temperature < 0, top_k < 1, top_p or typical_p is not in (0, 1], min_p is
            not in [0, 1], or a row of logits has a NaN or no finite entry.

    Cost: one sort of V where top_k or top_p is set, one more for typical_p.
    Source: top-k: Fan et al. 2018, arXiv:1805.04833, section 5.4; top-p: Holtzman et al. 2020,
        arXiv:1904.09751, section 3.1; the others: truncation.py.
    Lesson: notebooks/19_decoding.ipynb
    """
    check_settings(temperature, top_k, top_p, min_p, typical_p)
    best, where = _largest(logits)
    if temperature == 0:
        return torch.zeros_like(logits, dtype=torch.float64).scatter_(-1, where, 1.0)
    p = ((logits.double() - best) / temperature).softmax(dim=-1)  # (..., V)
    p = _likeliest(p, top_k, top_p)
    if min_p:
        p = truncation.min_p(p.log(), min_p).softmax(dim=-1)
    if typical_p is not None and typical_p < 1:
        p = truncation.typical(p.log(), typical_p).softmax(dim=-1)
    return p


def _likeliest(p: Tensor, top_k: int | None, top_p: float | None) -> Tensor:
    """Top-k, then top-p on what it left, of probabilities (..., V)."""
    V = p.shape[-1]
    if (top_k is None or top_k >= V) and (top_p is None or top_p == 1):
        return p
    ordered, ids = p.sort(dim=-1, descending=True, stable=True)  # ties: the smaller id first
    if top_k is not None and top_k < V:
        ordered[..., top_k:] = 0
        ordered = ordered / ordered.sum(dim=-1, keepdim=True)
    if top_p is not None and top_p < 1:
        before = ordered.cumsum(dim=-1) - ordered  # probability of everything more likely
        ordered = ordered.masked_fill(before >= top_p, 0.0)
        ordered = ordered / ordered.sum(dim=-1, keepdim=True)
    return torch.zeros_like(p).scatter_(-1, ids, ordered)


def sample_next(
    logits: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    typical_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Choose one token for each row.

    Args:
        logits: (..., V).
        temperature, top_k, top_p, min_p, typical_p: as in filtered_probabilities. Temperature 0
            is greedy: the largest logit, without any randomness.
        generator: source of the randomness, on the device of the logits; None is torch's own.

    Returns:
        Ids, (...), int64.

    Raises:
        ValueError: as filtered_probabilities.

    Lesson: notebooks/19_decoding.ipynb
    """
    if temperature == 0:
        check_settings(temperature, top_k, top_p, min_p, typical_p)
        return _largest(logits)[1][..., 0]
    p = filtered_probabilities(
        logits,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        typical_p=typical_p,
    )
    drawn = torch.multinomial(p.reshape(-1, p.shape[-1]), 1, generator=generator)
    return drawn.view(p.shape[:-1])


def _largest(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The largest logit and its id, (..., 1) each; the smaller id where two are equal."""
    where = logits.argmax(dim=-1, keepdim=True)  # a NaN counts as the largest of all
    best = logits.gather(-1, where)
    if not math.isfinite(best.double().sum()):
        raise ValueError("a row of logits has a NaN, an infinity, or no finite entry at all")
    return best, where


def check_settings(
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    typical_p: float | None = None,
) -> None:
    """Refuse settings that are out of range; see filtered_probabilities.

    Raises:
        ValueError: by the name of the setting.
    """
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature must be finite and not negative, got {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}; None keeps all tokens")
    for name, share in (("top_p", top_p), ("typical_p", typical_p)):
        if share is not None and not 0 < share <= 1:
            raise ValueError(f"{name} must lie in (0, 1], got {share}; None keeps all tokens")
    if min_p is not None and not 0 <= min_p <= 1:
        raise ValueError(f"min_p must lie in [0, 1], got {min_p}; None keeps all tokens")
