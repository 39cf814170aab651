"""Masks: who may attend to whom. With the same weights, the mask alone decides what a model is.

    all may look everywhere        encoder (BERT)
    only backwards                 causal decoder (GPT, LLaMA)
    everywhere within the prefix,
    backwards from there on        prefix decoder (GLM, U-PaLM)

True = may attend, everywhere in the course.

Shape letters: B batch, T query positions, S key positions.
"""

import torch
from torch import Tensor


def causal_mask(
    T: int, S: int | None = None, *, device: torch.device | str | None = None
) -> Tensor:
    """Allow each position to look at itself and to the left.

        mask[t, s] = s <= t + S - T:  the T queries are the last of the S positions

    Args:
        T: queries.
        S: keys; None means T.
        device: of the mask.

    Returns:
        (T, S), booleans.

    Raises:
        ValueError: if T < 1 or S < T.

    Lesson: notebooks/10_shapes.ipynb
    """
    S = T if S is None else S
    if T < 1 or S < T:
        raise ValueError(f"need 1 <= T <= S, got T={T}, S={S}")
    return torch.ones(T, S, dtype=torch.bool, device=device).tril(S - T)


def prefix_mask(prefix_lengths: Tensor, T: int) -> Tensor:
    """Allow the prefix to look at all of itself, and what follows to look backwards.

        mask[b, 0, t, s] = s <= t or s < prefix_length[b]

    Length 0 or 1 is a causal decoder, length T an encoder.

    Args:
        prefix_lengths: of each sequence, (B,), integers from 0 to T.
        T: positions.

    Returns:
        (B, 1, T, T), booleans; for Decoder.forward together with causal=False.

    Raises:
        ValueError: if a length is not in 0 to T.

    Source: Raffel et al. 2019 (T5), arXiv:1910.10683, figure 3; Du et al. 2021 (GLM),
        arXiv:2103.10360, section 2.1.
    Lesson: notebooks/10_shapes.ipynb
    """
    if prefix_lengths.ndim != 1 or prefix_lengths.is_floating_point():
        raise ValueError(
            f"prefix_lengths must be (B,) integers, got {tuple(prefix_lengths.shape)} "
            f"{prefix_lengths.dtype}"
        )
    outside = (prefix_lengths < 0) | (prefix_lengths > T)
    if outside.any():
        wrong = int(prefix_lengths[outside][0])
        raise ValueError(f"each prefix length must lie in 0 to T={T}, got {wrong}")
    keys = torch.arange(T, device=prefix_lengths.device)  # (T,)
    within = keys < prefix_lengths[:, None]  # (B, T)
    return (causal_mask(T, device=keys.device) | within[:, None, :])[:, None]


def window_mask(
    window: int, T: int, S: int | None = None, *, device: torch.device | str | None = None
) -> Tensor:
    """Hide what lies `window` or more positions back, as Mistral does.

        mask[t, s] = t + S - T - s < window:  a position sees itself and window - 1 before it

    Combine with causality, which this mask does not contain.

    Args:
        window: positions in sight, the present one among them.
        T: queries, the last of the S positions.
        S: keys; None means T.
        device: of the mask.

    Returns:
        (T, S), booleans.

    Raises:
        ValueError: if window < 1, T < 1 or S < T.

    Source: Jiang et al. 2023 (Mistral), arXiv:2310.06825, section 2.
    Lesson: notebooks/15_long_context.ipynb
    """
    if window < 1:
        raise ValueError(f"window must be at least 1, got {window}")
    S = T if S is None else S
    return ~causal_mask(T, S, device=device).tril(S - T - window)
