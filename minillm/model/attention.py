"""Attention: the definition one can look into, and its fast twin; the layer is attention_layer.py.

- attention_weights is the definition; attention is the same without the weights;
  fast_attention never stores the weights, and a test holds it equal to the definition.
- A mask says where one may look: True = may attend. A query that may look nowhere gets zeros,
  not NaN: an average over nothing adds nothing to the residual stream.
- Products and the softmax run in float32 at least; float64 stays float64.

Shape letters (the table is in notebooks/NOTATION.md):
    B  batch        T  query positions     N  query heads        H  width of one head
                    S  key positions       K  key/value heads
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from minillm.model.functional import accumulation_dtype


@dataclass(frozen=True)
class AttentionConfig:
    """The heads of an attention layer.

    Attributes:
        n_heads: N, query heads.
        n_kv_heads: K, key/value heads, a divisor of N; None means N (multi-head attention), 1 is
            multi-query attention, anything between is grouped-query attention.
        head_width: H; None means d_model / n_heads.
        bias: add biases to the four projections, as GPT-2 does; "qkv": to three, not to the
            output, as Qwen2 does.
        implementation: "fast" (fast_attention) or "readable" (attention_weights).
        window: positions in sight, the present one among them (Mistral); None: all.
        scaled: divide the scores by sqrt(H). T5 does not; it begins with smaller weights.
    """

    n_heads: int
    n_kv_heads: int | None = None
    head_width: int | None = None
    bias: Literal[False, True, "qkv"] = False
    implementation: Literal["fast", "readable"] = "fast"
    window: int | None = None
    scaled: bool = True

    def __post_init__(self) -> None:
        if self.n_heads < 1:
            raise ValueError(f"attention.n_heads must be at least 1, got {self.n_heads}")
        if self.key_heads < 1 or self.n_heads % self.key_heads:
            raise ValueError(
                f"attention.n_kv_heads must divide n_heads={self.n_heads}, got {self.n_kv_heads}"
            )
        if self.head_width is not None and self.head_width < 1:
            raise ValueError(f"attention.head_width must be at least 1, got {self.head_width}")
        if self.bias not in (True, False, "qkv"):
            raise ValueError(f"attention.bias must be True, False or 'qkv', got {self.bias!r}")
        if self.window is not None and self.window < 1:
            raise ValueError(f"attention.window must be at least 1, got {self.window}")
        if self.implementation not in ("fast", "readable"):
            raise ValueError(
                "attention.implementation must be 'fast' or 'readable', "
                f"got {self.implementation!r}"
            )

    @property
    def key_heads(self) -> int:
        """K with the default filled in: n_kv_heads, or n_heads where that is None."""
        return self.n_heads if self.n_kv_heads is None else self.n_kv_heads


def attention_weights(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    *,
    causal: bool = False,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Average the values, weighted by how well each query matches each key.

        weights = softmax(q k^T / sqrt(H) + bias)        out = weights v

    Args:
        q: queries, (B, N, T, H).
        k: keys, (B, K, S, H). K divides N: each key head serves N // K query heads.
        v: values, (B, K, S, H).
        mask: True = may attend; boolean, broadcastable to (B, N, T, S). A query with no allowed
            key gets weights and an output of zero.
        causal: hide the keys to the right of each query. With S > T the queries are the last
            T of the S positions, as in decoding with a cache.
        bias: added to the scores, broadcastable to (B, N, T, S); ALiBi is one.

    Returns:
        out, (B, N, T, H), in q's dtype; and weights, (B, N, T, S), float32 (float64 for float64
        queries), rows summing to 1.

    Raises:
        ValueError: if the shapes do not fit together, the mask is not boolean, or causal is set
            and T > S.

    Cost: 4 B N T S H FLOPs. The weights alone take 4 B N T S bytes; see fast_attention, which
        never stores them.
    Source: Vaswani et al. 2017, arXiv:1706.03762, eq. 1; shared key heads: Ainslie et al. 2023,
        arXiv:2305.13245.
    Lesson: notebooks/09_attention.ipynb
    """
    allowed = allowed_places(q, k, v, mask, causal)  # broadcastable to (B, N, T, S), or None
    groups = q.shape[1] // k.shape[1]
    wide = accumulation_dtype(q.dtype)
    k = k.repeat_interleave(groups, dim=1).to(wide)  # (B, N, S, H)
    v = v.repeat_interleave(groups, dim=1).to(wide)  # (B, N, S, H)
    scores = q.to(wide) @ k.mT / math.sqrt(q.shape[-1])  # (B, N, T, S)
    if bias is not None:
        scores = scores + bias
    if allowed is None:
        weights = scores.softmax(dim=-1)  # (B, N, T, S)
    else:  # the lowest number, not -inf: a row without any allowed key must not become NaN
        lowest = torch.finfo(scores.dtype).min
        weights = scores.masked_fill(~allowed, lowest).softmax(dim=-1).masked_fill(~allowed, 0.0)
    return (weights @ v).to(q.dtype), weights  # (B, N, T, H)


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    *,
    causal: bool = False,
    bias: Tensor | None = None,
) -> Tensor:
    """Average the values by attention, and hand back only the average: see attention_weights.

        out = softmax(q k^T / sqrt(H) + bias) v

    Args:
        q: queries, (B, N, T, H).
        k: keys, (B, K, S, H), K a divisor of N.
        v: values, (B, K, S, H).
        mask, causal, bias: as in attention_weights. A query with no allowed key gets zeros.

    Returns:
        out, (B, N, T, H), in q's dtype.

    Raises:
        ValueError: as attention_weights.

    Cost: 4 B N T S H FLOPs, and 4 B N T S bytes for the weights.
    Source: Vaswani et al. 2017, arXiv:1706.03762, eq. 1.
    Lesson: notebooks/09_attention.ipynb
    """
    return attention_weights(q, k, v, mask, causal=causal, bias=bias)[0]


def fast_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    *,
    causal: bool = False,
    bias: Tensor | None = None,
) -> Tensor:
    """Compute attention through torch's fused kernel, which never stores the weights.

        out = softmax(q k^T / sqrt(H) + bias) v

    Args, Returns and Raises are those of attention, which is the definition. Without a mask and a
    bias the kernel's own causal switch is used and no (T, S) tensor is made at all.

    Cost: 4 B N T S H FLOPs (about half with the causal switch); memory linear in T and S.
    Source: Dao et al. 2022 (FlashAttention), arXiv:2205.14135.
    Lesson: notebooks/16b_flash_attention.ipynb
    """
    T, S = q.shape[2], k.shape[2]
    shared = k.shape[1] != q.shape[1]
    if mask is None and bias is None and (not causal or T == S or T == 1):
        check_shapes(q, k, v, causal)
        return F.scaled_dot_product_attention(
            q, k, v, is_causal=causal and T > 1, enable_gqa=shared
        )
    added = allowed_places(q, k, v, mask, causal)
    if bias is not None:
        bias = bias.to(q.dtype)
        added = bias if added is None else torch.where(added, bias, -math.inf)
    if added is not None:
        added = added.expand(*q.shape[:3], S)  # (B, N, T, S), a view
    return F.scaled_dot_product_attention(q, k, v, attn_mask=added, enable_gqa=shared)


def check_shapes(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> None:
    """Raise a ValueError if these are no queries, keys and values of one attention."""
    shapes = f"q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}"
    if q.ndim != 4 or k.ndim != 4 or v.shape != k.shape:
        raise ValueError(f"need q (B, N, T, H) and k, v (B, K, S, H); got {shapes}")
    B, N, T, H = q.shape
    K, S = k.shape[1:3]
    if k.shape[0] != B or k.shape[3] != H or K < 1 or N % K:
        raise ValueError(f"shapes do not fit, B and H must agree and K divide N: {shapes}")
    if causal and T > S:
        raise ValueError(f"causal attention needs T <= S, got T={T}, S={S}")


def allowed_places(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool
) -> Tensor | None:
    """Check the inputs, and combine mask and causality into one boolean tensor (None = all)."""
    check_shapes(q, k, v, causal)
    B, N, T, _ = q.shape
    S = k.shape[2]
    if mask is not None:
        if mask.dtype != torch.bool:
            raise ValueError(f"mask must be boolean (True = may attend), got {mask.dtype}")
        fits = mask.ndim <= 4 and all(
            m in (1, n) for m, n in zip(mask.shape[::-1], (S, T, N, B), strict=False)
        )
        if not fits:
            raise ValueError(f"mask {tuple(mask.shape)} does not broadcast to {(B, N, T, S)}")
    if not causal:
        return mask
    earlier = torch.ones(T, S, dtype=torch.bool, device=q.device).tril(S - T)  # (T, S)
    return earlier if mask is None else mask & earlier
