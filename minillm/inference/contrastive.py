"""Contrastive search: among the likely tokens, the one that least repeats what the text means.

Shape letters: S text so far, k candidates, D model width, V vocabulary.
"""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from minillm.inference.prompts import check_prompt, one_prompt
from minillm.inference.rows import follow_cache_rows
from minillm.inference.rules import Rule, apply_rules
from minillm.model import Decoder, KVCache


def contrastive_scores(p: Tensor, candidates: Tensor, text: Tensor, alpha: float) -> Tensor:
    """Weigh how likely a candidate is against how much it looks like something said before.

        score(v) = (1 - alpha) p(v) - alpha max_j cos(h_v, h_j)        j: positions of the text

    Args:
        p: probabilities of the candidates, (k,).
        candidates: last hidden state of each, read after the text, (k, D).
        text: last hidden states of the text so far, prompt included, (S, D), S >= 1.
        alpha: in [0, 1]; 0 looks at probability only, 1 at likeness only.

    Returns:
        Scores, (k,), between -1 and 1.

    Raises:
        ValueError: if alpha is outside [0, 1], or the shapes do not fit together.

    Cost: 2 k S D FLOPs.
    Source: Su et al. 2022, arXiv:2202.06417, eq. 5.
    Lesson: notebooks/19_decoding.ipynb
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie in [0, 1], got {alpha}")
    fits = p.ndim == 1 and candidates.ndim == text.ndim == 2 and len(text) > 0
    if not fits or len(p) != len(candidates) or candidates.shape[1] != text.shape[1]:
        raise ValueError(
            f"shapes do not fit: p {tuple(p.shape)}, candidates {tuple(candidates.shape)}, "
            f"text {tuple(text.shape)}"
        )
    likeness = F.normalize(candidates, dim=-1) @ F.normalize(text, dim=-1).T  # (k, S)
    return (1 - alpha) * p - alpha * likeness.amax(dim=-1)


@torch.no_grad()
def contrastive_search(
    model: Decoder,
    ids: Tensor | Sequence[int],
    max_new_tokens: int,
    *,
    top_k: int = 4,
    alpha: float = 0.6,
    rules: Sequence[Rule] = (),
    stop_ids: Collection[int] = (),
) -> list[int]:
    """Continue one prompt with the best of the top_k likeliest tokens by contrastive_scores.

    Args:
        model: a Decoder.
        ids: one prompt, a list of ids, (T,) or (1, T).
        max_new_tokens: at most so many are appended.
        top_k: candidates, at least 1; 1 is greedy, V and more take all.
        alpha: as in contrastive_scores; 0 is greedy.
        rules: as in generate; they see the text with the prompt. What they forbid is no candidate.
        stop_ids: the text ends with the first of these it produces.

    Returns:
        The new ids, the stopping one included. There is no randomness.

    Raises:
        ValueError: if ids are not one prompt, top_k < 1, alpha is outside [0, 1], prompt and
            continuation exceed the context, or the rules leave no token.

    Cost: each token costs top_k positions instead of 1, and top_k copies of the cache.
    Source: Su et al. 2022, arXiv:2202.06417, eq. 5. The hidden state is the one that the output
        matrix sees, after the last norm.
    Lesson: notebooks/19_decoding.ipynb
    """
    prompt = one_prompt(model, ids)
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie in [0, 1], got {alpha}")
    check_prompt(model, prompt, max_new_tokens)
    weight = model.embedding.weight
    length = prompt.shape[1] + max(max_new_tokens, 1)
    cache = KVCache(model.config, 1, length, weight.dtype, weight.device)
    text = model.features(prompt, cache=cache)[0]  # (S, D)
    new: list[int] = []
    row = 0
    while len(new) < max_new_tokens and (not new or new[-1] not in stop_ids):
        so_far = torch.cat([prompt, prompt.new_tensor([new])], dim=1) if rules else prompt
        logits = apply_rules(rules, so_far, model.logits(text[-1:]))[0]  # (V,)
        p, candidates = _likeliest(logits, top_k)  # (k,)
        follow_cache_rows(cache, [row] * len(candidates))
        hidden = model.features(candidates[:, None], cache=cache)[:, 0]  # (k, D)
        row = int(contrastive_scores(p, hidden, text, alpha).argmax())
        text = torch.cat([text, hidden[row : row + 1]])
        new.append(int(candidates[row]))
    return new


def _likeliest(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The probabilities and ids of the k likeliest tokens, (k,), without those of probability 0."""
    p, ids = logits.double().softmax(dim=-1).sort(descending=True, stable=True)
    allowed = logits[ids[:k]] > -torch.inf
    return p[:k][allowed], ids[:k][allowed]
