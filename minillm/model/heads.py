"""Key/value heads: fewer by merging, more by repeating, and a decoding step that reads each once.

- merge_heads and repeat_heads work on one projection, convert_heads on a whole Decoder.
- Repeating changes nothing that the model computes. Merging loses what the heads of a group did
  not share; some further training ("up-training") brings most of it back.
- decode_attention is attention for one new position, with the query heads of a group as rows.

Shape letters (the table is in notebooks/NOTATION.md):
    B  batch        T  query positions     N  query heads        H  width of one head
    D  model width  S  key positions       K  key/value heads
"""

import dataclasses
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from minillm.model.decoder import Decoder

Merge = Literal["mean", "first", "random"]


def merge_heads(weight: Tensor, n_heads: int, n_kv_heads: int, how: Merge = "mean") -> Tensor:
    """Make fewer key or value heads out of many: one for each group of neighbours.

        "mean":   head g = mean of heads g G .. g G + G - 1,    G = n_heads / n_kv_heads
        "first":  head g = head g G

    Keys may be merged before RoPE: the turn is linear and the same for all heads of a position.

    Args:
        weight: a projection to keys or values, (n_heads H, D), or its bias, (n_heads H,).
        n_heads: heads that it has now.
        n_kv_heads: heads that it shall have; a divisor of n_heads.
        how: "mean" or "first".

    Returns:
        A new tensor, (n_kv_heads H, D), or (n_kv_heads H,).

    Raises:
        ValueError: if the rows do not divide into n_heads heads, n_kv_heads does not divide
            n_heads, or how is unknown ("random" is for convert_heads, which has a fresh model).

    Source: Ainslie et al. 2023, arXiv:2305.13245, section 2.1 (mean); the other way of choosing
        is compared in its ablations.
    Lesson: notebooks/16a_heads_and_cache.ipynb
    """
    if n_kv_heads < 1 or n_heads % n_kv_heads:
        raise ValueError(f"n_kv_heads must divide the {n_heads} heads there are, got {n_kv_heads}")
    groups = _heads(weight, n_heads).unflatten(0, (n_kv_heads, -1))  # (K, G, H, ...)
    if how == "mean":
        return groups.mean(dim=1).flatten(0, 1)
    if how == "first":
        return groups[:, 0].flatten(0, 1).clone()
    raise ValueError(f"how must be 'mean' or 'first', got {how!r}")


def repeat_heads(weight: Tensor, n_heads: int, n_kv_heads: int) -> Tensor:
    """Make more key or value heads out of few, by copying each: what attention does when it reads.

        head g G + i = head g,   i = 0 .. G - 1,   G = n_kv_heads / n_heads

    Args:
        weight: a projection to keys or values, (n_heads H, D), or its bias, (n_heads H,).
        n_heads: heads that it has now.
        n_kv_heads: heads that it shall have; a multiple of n_heads.

    Returns:
        A new tensor, (n_kv_heads H, D), or (n_kv_heads H,).

    Raises:
        ValueError: if the rows do not divide into n_heads heads, or n_kv_heads is no multiple.

    Lesson: notebooks/16a_heads_and_cache.ipynb
    """
    if n_kv_heads < 1 or n_kv_heads % n_heads:
        raise ValueError(f"n_kv_heads must be a multiple of {n_heads}, got {n_kv_heads}")
    heads = _heads(weight, n_heads)  # (n_heads, H, ...)
    return heads.repeat_interleave(n_kv_heads // n_heads, dim=0).flatten(0, 1)


@torch.no_grad()
def convert_heads(model: Decoder, n_kv_heads: int, how: Merge = "mean") -> Decoder:
    """Copy a model, with another number of key/value heads.

    With more heads than before the copy computes the same (repeat_heads). With fewer it does not
    (merge_heads), unless the heads of each group were equal.

    Args:
        model: any Decoder. It is not changed.
        n_kv_heads: a divisor of the query heads; and a divisor or a multiple of the key/value
            heads there are.
        how: for fewer heads, "mean", "first", or "random": key and value projections as in a new
            model, from torch's random generator.

    Returns:
        A Decoder on the same device, in the same precision and mode, that shares no tensor with
        the first.

    Raises:
        ValueError: if n_kv_heads does not fit, or how is unknown.

    Source: Ainslie et al. 2023, arXiv:2305.13245, section 2.1.
    Lesson: notebooks/16a_heads_and_cache.ipynb
    """
    if how not in get_args(Merge):
        raise ValueError(f"how must be one of {', '.join(get_args(Merge))}; got {how!r}")
    old = model.config.attention.key_heads
    attention = dataclasses.replace(model.config.attention, n_kv_heads=n_kv_heads)  # or a refusal
    if max(old, n_kv_heads) % min(old, n_kv_heads):
        raise ValueError(
            f"n_kv_heads must divide the {old} key/value heads there are, or be a multiple of "
            f"them, got {n_kv_heads}"
        )
    config = dataclasses.replace(model.config, attention=attention)
    table = model.embedding.weight
    copy = Decoder(config, device=table.device, dtype=table.dtype)
    weights = model.state_dict()
    for name, fresh in copy.state_dict().items():
        if ".attention.k." in name or ".attention.v." in name:
            if n_kv_heads >= old:
                weights[name] = repeat_heads(weights[name], old, n_kv_heads)
            elif how == "random":
                weights[name] = fresh
            else:
                weights[name] = merge_heads(weights[name], old, n_kv_heads, how)
    copy.load_state_dict(weights)
    return copy.train(model.training)


def decode_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Compute attention for one new position, with each key/value head read once.

    The N / K query heads of a group ask the same keys. So they are laid out as N / K rows of one
    query: (B, K, N / K, H) against (B, K, S, H). Nothing is repeated, and a vector times a matrix
    becomes a matrix times a matrix.

    Args:
        q: queries of one position, (B, N, 1, H).
        k: keys, (B, K, S, H). K divides N. The new position is the last of the S.
        v: values, (B, K, S, H).

    Returns:
        out, (B, N, 1, H): what attention(q, k, v) gives.

    Raises:
        ValueError: if the shapes do not fit, or q holds more than one position (these rows would
            need a causal mask; use fast_attention).

    Cost: 4 B N S H FLOPs, as ever; 2 B K S H numbers are read.
    Source: Shazeer 2019, arXiv:1911.02150, section 3 (one key/value head for all queries).
    Lesson: notebooks/16a_heads_and_cache.ipynb
    """
    shapes = f"q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}"
    if q.ndim != 4 or q.shape[2] != 1:
        raise ValueError(f"decode_attention takes one position, q (B, N, 1, H); got {shapes}")
    B, N, _, H = q.shape
    if k.ndim != 4 or v.shape != k.shape or k.shape[0] != B or k.shape[3] != H or N % k.shape[1]:
        raise ValueError(f"shapes do not fit, B and H must agree and K divide N: {shapes}")
    rows = q.reshape(B, k.shape[1], -1, H)  # (B, K, N/K, H): neighbours share a key head
    return F.scaled_dot_product_attention(rows, k, v).reshape(q.shape)


def _heads(weight: Tensor, n_heads: int) -> Tensor:
    """Cut the rows of a projection into heads, (n_heads, H, ...)."""
    rows = weight.shape[0] if weight.dim() else 0
    if n_heads < 1 or rows < n_heads or rows % n_heads:
        raise ValueError(f"{rows} rows do not divide into {n_heads} heads")
    return weight.unflatten(0, (n_heads, -1))
