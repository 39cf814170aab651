"""Means over the places that count, and whitening: mean 0 and variance 1.

Shape letters: B rows, T positions.
"""

from typing import Literal

import torch
from torch import Tensor

AVERAGES = ("tokens", "rows", "length")
Average = Literal["tokens", "rows", "length"]


def check_mask(mask: Tensor, **tensors: Tensor) -> None:
    """Refuse a mask that is not boolean (B, T), is empty, or does not fit, by name.

    Raises:
        ValueError: with the shapes, or if no place counts at all.
    """
    if mask.dtype != torch.bool or mask.ndim != 2:
        raise ValueError(f"mask must be (B, T) and boolean, got {tuple(mask.shape)} {mask.dtype}")
    for name, x in tensors.items():
        if x.shape != mask.shape:
            raise ValueError(
                f"{name} {tuple(x.shape)} must have the shape of the mask, {tuple(mask.shape)}"
            )
    if not bool(mask.any()):
        raise ValueError(f"mask {tuple(mask.shape)} is all False: there is no answer token")


def masked_mean(x: Tensor, mask: Tensor, average: Average = "tokens") -> Tensor:
    """Average over the places that count.

        tokens   sum over all places / number of places            every token counts alike
        rows     mean over rows of (sum over the row / its n)      every answer counts alike
        length   sum over all places / (B T)                       every token, fixed divisor

    The three differ when answers differ in length: "rows" tells a token of a long answer less.

    Args:
        x: (B, T). What stands at masked places is never read, NaN included.
        mask: True where it counts, (B, T).
        average: one of AVERAGES. With "rows" a row without a place counts for nothing.

    Returns:
        A scalar.

    Raises:
        ValueError: if the shapes do not fit, no place counts, or average is unknown.

    Source: the three ways are those of Liu et al. 2025, arXiv:2503.20783, section 3 (as to what
        the length does), and of Yu et al. 2025 (DAPO), arXiv:2503.14476, section 3.3.
    Lesson: notebooks/34b_ppo.ipynb
    """
    check_mask(mask, x=x)
    kept = torch.where(mask, x, torch.zeros_like(x))
    if average == "tokens":
        return kept.sum() / mask.sum()
    if average == "rows":
        n = mask.sum(dim=1)  # (B,)
        return (kept.sum(dim=1) / n.clamp(min=1)).sum() / (n > 0).sum()
    if average == "length":
        return kept.sum() / mask.numel()
    raise ValueError(f"average must be one of {', '.join(AVERAGES)}; got {average!r}")


def n_counted(mask: Tensor, average: Average = "tokens") -> int:
    """Give what masked_mean divides by: how much some rows count among more of them.

    Args:
        mask, average: as in masked_mean.

    Returns:
        True places, rows that have one, or all places.

    Raises:
        ValueError: if average is unknown.
    """
    if average not in AVERAGES:
        raise ValueError(f"average must be one of {', '.join(AVERAGES)}; got {average!r}")
    if average == "length":
        return mask.numel()
    return int(mask.sum() if average == "tokens" else mask.any(dim=1).sum())


def masked_variance(x: Tensor, mask: Tensor, *, unbiased: bool = True) -> Tensor:
    """Measure the spread over the places that count: the mean square about the mean.

    Args:
        x, mask: as in masked_mean.
        unbiased: divide by n - 1 instead of n, where n > 1.

    Returns:
        A scalar; 0 if only one place counts.

    Lesson: notebooks/34b_ppo.ipynb
    """
    spread = masked_mean((x - masked_mean(x, mask)).square(), mask)
    n = mask.sum()
    return spread * (n / (n - 1).clamp(min=1)) if unbiased else spread


def whiten(x: Tensor, mask: Tensor, *, shift: bool = True, eps: float = 1e-8) -> Tensor:
    """Bring the numbers that count to variance 1, and to mean 0.

        y = (x - mean) / sqrt(variance + eps)   (+ mean, without the shift)

    Advantages are whitened with the shift: only differences between them steer. Rewards, if at all,
    without it: their mean says how good an answer is, and has to stay.

    Args:
        x, mask: as in masked_mean.
        shift: take the mean away.
        eps: keeps equal numbers from being divided by 0; they become 0.

    Returns:
        (B, T); 0 where the mask is False.

    Raises:
        ValueError: as masked_mean.

    Source: Ziegler et al. 2019, arXiv:1909.08593, section 2.2, and the code that came with it.
    Lesson: notebooks/34b_ppo.ipynb
    """
    mean = masked_mean(x, mask)
    y = (x - mean) * torch.rsqrt(masked_variance(x, mask) + eps)
    return torch.where(mask, y if shift else y + mean, torch.zeros_like(x))
