"""Attention inside hash buckets: an approximation, as in Reformer, not what FlashAttention does.

Like vectors shall fall into the same bucket of a random hash, and a query then looks only at the
keys of its own bucket. That saves products, and loses the pairs that were hashed apart. Here the
pairs are a mask on exact attention, so that the loss can be measured; nothing is saved.
"""

import torch
from torch import Tensor

from minillm.model.attention import attention
from minillm.model.functional import accumulation_dtype


def hash_buckets(x: Tensor, rotations: Tensor) -> Tensor:
    """Put each vector into the bucket of the signed random axis that it points to most.

        bucket(x) = argmax [x R ; -x R]

    Args:
        x: vectors, (..., T, H). Their lengths do not matter.
        rotations: R, standard normal, (rounds, H, n_buckets / 2).

    Returns:
        Buckets from 0 to n_buckets - 1, (rounds, ..., T), integers.

    Raises:
        ValueError: if rotations is not (rounds, H, half) with the H of x.

    Source: Kitaev et al. 2020 (Reformer), arXiv:2001.04451, section 2; the hash: Andoni et al.
        2015, arXiv:1509.02897.
    Lesson: notebooks/16b_flash_attention.ipynb
    """
    if rotations.ndim != 3 or rotations.shape[1] != x.shape[-1]:
        wanted, got = f"(rounds, {x.shape[-1]}, n_buckets / 2)", tuple(rotations.shape)
        raise ValueError(f"rotations must be {wanted}, got {got}")
    wide = accumulation_dtype(x.dtype)
    turned = torch.stack([x.to(wide) @ one.to(wide) for one in rotations])  # (rounds, ..., T, half)
    return torch.cat([turned, -turned], dim=-1).argmax(dim=-1)


def same_bucket(q: Tensor, k: Tensor, rotations: Tensor) -> Tensor:
    """Tell which query meets which key in at least one round of hashing.

    Args:
        q: queries, (B, N, T, H).
        k: keys, (B, K, S, H), K a divisor of N.
        rotations: as in hash_buckets; a round each.

    Returns:
        (B, N, T, S), booleans. Of vectors in random directions about 1 / n_buckets of the pairs
        meet in a round, a little more where the axes differ in length; over several rounds
        somewhat less than 1 - (1 - 1 / n_buckets)^rounds, since like pairs meet again and again.

    Raises:
        ValueError: as hash_buckets.

    Source: Kitaev et al. 2020, arXiv:2001.04451, section 2 (several rounds: the union).
    Lesson: notebooks/16b_flash_attention.ipynb
    """
    of_q, of_k = hash_buckets(q, rotations), hash_buckets(k, rotations)
    of_k = of_k.repeat_interleave(q.shape[1] // k.shape[1], dim=2)  # (rounds, B, N, S)
    return (of_q[..., None] == of_k[..., None, :]).any(dim=0)


def bucket_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    n_buckets: int,
    rounds: int = 1,
    causal: bool = False,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Attend inside hash buckets only.

        out = softmax(q k^T / sqrt(H), over the keys that share a bucket with q) v

    Reformer makes queries and keys the same vectors, sorts by bucket and cuts the row into chunks,
    which bounds the cost; here the buckets alone decide, and q may differ from k.

    Args:
        q, k, v, causal: as in attention, which is the exact result.
        n_buckets: even, at least 2.
        rounds: independent hashes; a pair counts if it meets in any.
        generator: for the random axes.

    Returns:
        out, (B, N, T, H), in q's dtype, zeros for a query that meets no key; and the pairs that
        shared a bucket, (B, N, T, S), booleans, causality not yet applied.

    Raises:
        ValueError: if n_buckets is odd or below 2, rounds < 1, or as attention.

    Cost: as attention: this is the definition, not the fast form.
    Source: Kitaev et al. 2020, arXiv:2001.04451, section 2.
    Lesson: notebooks/16b_flash_attention.ipynb
    """
    if n_buckets < 2 or n_buckets % 2:
        raise ValueError(f"n_buckets must be even and at least 2, got {n_buckets}")
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}")
    shape = rounds, q.shape[-1], n_buckets // 2
    rotations = torch.randn(shape, generator=generator, dtype=accumulation_dtype(q.dtype))
    met = same_bucket(q, k, rotations.to(q.device))
    return attention(q, k, v, met, causal=causal), met
