"""Predict the next token: cross-entropy by hand, its fast twin, and bits per byte.

Losses are in nats. Shape letters: ... any leading axes, usually B, T; V vocabulary size.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from minillm.model.decoder import Decoder
from minillm.objectives.fused import linear_cross_entropy

Reduction = Literal["mean", "sum", "none"]


def cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Tensor:
    """Measure how surprised the model is by the right tokens, in nats.

        loss = log sum_j exp(z_j - max z) - (z_target - max z)        d loss / d z = p - y

    where p = softmax(z), and y is 1 at the target and 0 elsewhere.

    Args:
        logits: z, (..., V).
        targets: token ids, (...), int64, each in [0, V) or equal to ignore_index.
        ignore_index: positions with this target count for nothing.
        reduction: "mean" over the positions that count, "sum" over them, or "none".

    Returns:
        Nats, float32 (float64 for float64 logits): a scalar, or (...) with 0 at ignored positions
        for "none". If every position is ignored the loss is 0 with gradient 0, where torch gives
        NaN: a batch without answers then leaves the weights as they are.

    Raises:
        ValueError: if the shapes do not fit, a target is not an id, or reduction is unknown.

    Cost: about 5 FLOPs and one exponential a logit.
    Lesson: notebooks/09_attention.ipynb
    """
    _check_targets(logits, targets, ignore_index)
    z = logits.to(torch.promote_types(logits.dtype, torch.float32))  # (..., V)
    z = z - z.detach().amax(dim=-1, keepdim=True)  # no change in exact arithmetic, no overflow
    counts = targets != ignore_index  # (...)
    index = targets.masked_fill(~counts, 0)[..., None]  # (..., 1)
    nll = z.exp().sum(dim=-1).log() - z.gather(-1, index)[..., 0]  # (...)
    return _reduce(nll.masked_fill(~counts, 0.0), counts, reduction)


def fast_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Tensor:
    """Compute cross_entropy through torch's fused kernel; a test holds the two equal.

    Args, Returns and Raises are those of cross_entropy, except that a target outside the
    vocabulary is found by torch (IndexError on a CPU).

    Cost: as cross_entropy, with half as many passes over the logits.
    Lesson: notebooks/09_attention.ipynb
    """
    if logits.shape[:-1] != targets.shape:
        raise ValueError(_shapes(logits, targets))
    z = logits.to(torch.promote_types(logits.dtype, torch.float32)).reshape(-1, logits.shape[-1])
    nll = F.cross_entropy(z, targets.reshape(-1), ignore_index=ignore_index, reduction="none")
    return _reduce(nll.view(targets.shape), targets != ignore_index, reduction)


def causal_loss(model: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Average the surprise at each next token of a batch.

        loss = mean over b, t of -log p(y[b, t] | x[b, :t + 1])

    Args:
        model: maps ids (B, T) to logits (B, T, V); a Decoder is one.
        x: token ids, (B, T).
        y: the same text one position later, (B, T); -100 where a position does not count.

    Returns:
        Nats a token, a scalar.

    Raises:
        ValueError: if x and y differ in shape.

    Cost: a bare Decoder's logits are never stored as a whole: see fused.linear_cross_entropy.
    Lesson: notebooks/09_attention.ipynb
    """
    if x.shape != y.shape:
        raise ValueError(f"x and y must have one shape, got {tuple(x.shape)} and {tuple(y.shape)}")
    if type(model) is Decoder and not (model._forward_hooks or model._forward_pre_hooks):
        return linear_cross_entropy(model.features(x), model.output_matrix(), y)
    return fast_cross_entropy(model(x), y)  # anything else, wrapped models among them


def bits_per_byte(nll_nats: float, n_bytes: int) -> float:
    """Turn a summed loss into bits per byte, so that two tokenizers can be compared.

    Args:
        nll_nats: negative log-likelihood of the text in nats, summed over its tokens, not averaged.
        n_bytes: length of the same text in UTF-8 bytes, special tokens not counted.

    Returns:
        Bits per byte. 8.0 is a uniform guess over the 256 byte values; lower is better.

    Raises:
        ValueError: if n_bytes < 1, or nll_nats is negative or not finite.

    Source: Gao et al. 2020 (The Pile), arXiv:2101.00027.   Lesson: notebooks/36_metrics.ipynb
    """
    if n_bytes < 1:
        raise ValueError(f"n_bytes must be at least 1, got {n_bytes}")
    if not (math.isfinite(nll_nats) and nll_nats >= 0):
        raise ValueError(f"nll_nats must be finite and not negative, got {nll_nats}")
    return nll_nats / math.log(2) / n_bytes


def _shapes(logits: Tensor, targets: Tensor) -> str:
    return (
        f"logits (..., V) and targets (...) do not fit: got {tuple(logits.shape)} "
        f"and {tuple(targets.shape)}"
    )


def _check_targets(logits: Tensor, targets: Tensor, ignore_index: int) -> None:
    if logits.shape[:-1] != targets.shape:
        raise ValueError(_shapes(logits, targets))
    if targets.dtype != torch.int64:
        raise ValueError(f"targets must be int64 ids, got {targets.dtype}; use targets.long()")
    V = logits.shape[-1]
    wrong = (targets != ignore_index) & ((targets < 0) | (targets >= V))
    if wrong.any():
        raise ValueError(
            f"target {int(targets[wrong][0])} is not an id: it must lie in 0 to {V - 1}, "
            f"or be ignore_index={ignore_index}"
        )


def _reduce(nll: Tensor, counts: Tensor, reduction: Reduction) -> Tensor:
    if reduction == "none":
        return nll
    if reduction == "sum":
        return nll.sum()
    if reduction == "mean":
        return nll.sum() / counts.sum().clamp(min=1)
    raise ValueError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
