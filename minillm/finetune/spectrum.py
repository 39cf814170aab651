"""How many directions does fine-tuning really use? The spectrum of an update, W_after - W_before.

If a full fine-tune moves a matrix along few directions only, then a correction of low rank can do
the same. This is measured here before LoRA assumes it: singular values of each update, how many of
them carry most of it, and what the model loses when only the first r are kept.

Shape letters: O outputs and I inputs of a matrix, K = min(O, I), r rank.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def updates(
    before: Mapping[str, Tensor], after: Mapping[str, Tensor], *, least: int = 2
) -> dict[str, Tensor]:
    """Subtract two state dicts, matrix by matrix.

    Args:
        before, after: state dicts of the same model, from model.state_dict().
        least: matrices with a side shorter than this are left out, as are vectors.

    Returns:
        {name: W_after - W_before}, (O, I), in float64. The rows of the vocabulary's padding, which
        never move, are part of embedding.weight and add zeros to its spectrum.

    Raises:
        ValueError: if names or shapes differ.

    Lesson: notebooks/31_lora.ipynb
    """
    if before.keys() != after.keys():
        other = sorted(before.keys() ^ after.keys())
        raise ValueError(f"two different models: {other[0]!r} is in one of them only")
    found = {}
    for name, old in before.items():
        if old.shape != after[name].shape:
            raise ValueError(
                f"{name} has shape {tuple(old.shape)} before, {tuple(after[name].shape)} after"
            )
        if old.ndim == 2 and min(old.shape) >= least:
            found[name] = (after[name].detach().double() - old.detach().double()).cpu()
    return found


def spectrum(update: Tensor) -> Tensor:
    """Give the singular values of a matrix, (K,), from the largest to the smallest.

    Raises:
        ValueError: if it is no matrix.

    Cost: O(O I K) FLOPs.
    Lesson: notebooks/31_lora.ipynb
    """
    if update.ndim != 2:
        raise ValueError(f"a spectrum needs a matrix, got the shape {tuple(update.shape)}")
    values: Tensor = torch.linalg.svdvals(update.double())
    return values


def rank_for_share(values: Tensor, share: float = 0.9) -> int:
    """Count how many singular values carry a share of the whole.

        least r with  sum_{i<r} s_i^2  >=  share * sum_i s_i^2

    Args:
        values: singular values, from the largest to the smallest, (K,).
        share: in (0, 1].

    Returns:
        r, from 0 (nothing moved) to K.

    Raises:
        ValueError: if share is not in (0, 1], or the values do not fall.

    Lesson: notebooks/31_lora.ipynb
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must lie in (0, 1], got {share}")
    if bool((values.diff() > 0).any()) or bool((values < 0).any()):
        raise ValueError("singular values come from the largest to the smallest, none below 0")
    energy = values.double().square().cumsum(0)  # (K,)
    if not energy.numel() or energy[-1] == 0:
        return 0
    enough = energy >= share * energy[-1] * (1 - 1e-12)
    return int(enough.to(torch.int64).argmax()) + 1


def effective_rank(values: Tensor) -> float:
    """Count directions softly: exp of the entropy of the singular values.

        p_i = s_i / sum s,     rank = exp(-sum p_i ln p_i)

    Args:
        values: singular values, (K,), not negative.

    Returns:
        1 if one direction does it all, K if all are equally strong, 0 if nothing moved.

    Raises:
        ValueError: if a value is negative.

    Source: Roy and Vetterli 2007, "The effective rank: a measure of effective dimensionality".
    Lesson: notebooks/31_lora.ipynb
    """
    if bool((values < 0).any()):
        raise ValueError("singular values are not negative")
    total = values.double().sum()
    if total == 0:
        return 0.0
    p = values.double() / total
    return float(torch.special.entr(p).sum().exp())


def low_rank(update: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Split a matrix into the two thin ones whose product is nearest to it.

        update = U S V^T;     B = U_r sqrt(S_r),   A = sqrt(S_r) V_r^T,    B A nearest of rank r

    Args:
        update: (O, I).
        rank: r, at least 1; more than K gives zeros in the rest.

    Returns:
        B, (O, r), and A, (r, I), in the dtype of the update: what LowRank calls b and a, if its
        scale is 1.

    Raises:
        ValueError: if rank < 1, or the update is no matrix.

    Source: Eckart and Young 1936: no matrix of rank r is nearer, in the Frobenius norm.
    Lesson: notebooks/31_lora.ipynb
    """
    if update.ndim != 2 or rank < 1:
        raise ValueError(f"needs a matrix and rank >= 1, got {tuple(update.shape)} and {rank}")
    u, s, vt = torch.linalg.svd(update.double(), full_matrices=False)
    root = s[:rank].sqrt()
    b, a = u[:, :rank] * root, root[:, None] * vt[:rank]
    missing = rank - root.numel()
    if missing > 0:
        b, a = nn.functional.pad(b, (0, missing)), nn.functional.pad(a, (0, 0, 0, missing))
    return b.to(update.dtype), a.to(update.dtype)


def truncated(
    before: Mapping[str, Tensor], after: Mapping[str, Tensor], rank: int
) -> dict[str, Tensor]:
    """Give the weights after fine-tuning with every update of a matrix cut to rank r.

    Args:
        before, after: state dicts of the same model.
        rank: directions that are kept of each matrix, the strongest; 0 keeps none. What is no
            matrix (the gain of a norm, a bias) keeps its whole update at every rank.

    Returns:
        A state dict. At a rank of K or more it is `after`, but for rounding.

    Raises:
        ValueError: if names or shapes differ, or rank is negative.

    Lesson: notebooks/31_lora.ipynb
    """
    if rank < 0:
        raise ValueError(f"rank must not be negative, got {rank}")
    cut = {name: value.clone() for name, value in after.items()}
    for name, update in updates(before, after, least=1).items():
        kept = torch.zeros_like(update)
        if rank:
            b, a = low_rank(update, rank)
            kept = b @ a
        cut[name] = (before[name].double() + kept.to(before[name].device)).to(before[name].dtype)
    return cut


def overlap(first: Tensor, second: Tensor) -> float:
    """Say how much of one span of directions lies in another, from 0 to 1.

        phi = ||U_1^T U_2||_F^2 / min(i, j),    U the orthonormal bases of the two row spaces

    Args:
        first, second: A matrices of two adapters, (i, I) and (j, I), or any rows that span a space.

    Returns:
        1 if the smaller span lies in the larger; for random spans about max(i, j) / I.

    Raises:
        ValueError: if the widths differ, or there are more rows than inputs.

    Source: Hu et al. 2021, arXiv:2106.09685, section 7.2, equation 4.
    Lesson: notebooks/31_lora.ipynb
    """
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"rows of one width, got {tuple(first.shape)} and {tuple(second.shape)}")
    if max(len(first), len(second)) > first.shape[1]:
        raise ValueError("more rows than inputs: they span everything")
    u, v = (torch.linalg.qr(m.detach().double().mT).Q for m in (first, second))  # (I, i), (I, j)
    return float((u.mT @ v).square().sum()) / min(len(first), len(second))
