"""Attention: the definition one can look into, its fast twin, and the layer around them.

- attention_weights is the definition; attention is the same without the weights;
  fast_attention never stores the weights, and a test holds it equal to the definition.
- A mask says where one may look: True = may attend. A query that may look nowhere gets zeros,
  not NaN: an average over nothing adds nothing to the residual stream.
- Products and the softmax run in float32 at least; float64 stays float64.

Shape letters (the table is in notebooks/NOTATION.md):
    B  batch        T  query positions     N  query heads        H  width of one head
    D  model width  S  key positions       K  key/value heads
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minillm.model.functional import accumulation_dtype
from minillm.model.layers import Linear
from minillm.model.rope import apply_rope


@dataclass(frozen=True)
class AttentionConfig:
    """The heads of an attention layer.

    Attributes:
        n_heads: N, query heads.
        n_kv_heads: K, key/value heads, a divisor of N; None means N (multi-head attention), 1 is
            multi-query attention, anything between is grouped-query attention.
        head_width: H; None means d_model / n_heads.
        bias: add biases to the four projections, as GPT-2 does.
        implementation: "fast" (fast_attention) or "readable" (attention_weights).
    """

    n_heads: int
    n_kv_heads: int | None = None
    head_width: int | None = None
    bias: bool = False
    implementation: Literal["fast", "readable"] = "fast"

    def __post_init__(self) -> None:
        if self.n_heads < 1:
            raise ValueError(f"attention.n_heads must be at least 1, got {self.n_heads}")
        if self.key_heads < 1 or self.n_heads % self.key_heads:
            raise ValueError(
                f"attention.n_kv_heads must divide n_heads={self.n_heads}, got {self.n_kv_heads}"
            )
        if self.head_width is not None and self.head_width < 1:
            raise ValueError(f"attention.head_width must be at least 1, got {self.head_width}")
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
    allowed = _allowed(q, k, v, mask, causal)  # broadcastable to (B, N, T, S), or None
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
        lowest = torch.finfo(wide).min
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
    Lesson: notebooks/16a_heads_and_cache.ipynb
    """
    T, S = q.shape[2], k.shape[2]
    shared = k.shape[1] != q.shape[1]
    if mask is None and bias is None and (not causal or T == S or T == 1):
        _check_shapes(q, k, v, causal)
        return F.scaled_dot_product_attention(
            q, k, v, is_causal=causal and T > 1, enable_gqa=shared
        )
    added = _allowed(q, k, v, mask, causal)
    if bias is not None:
        bias = bias.to(q.dtype)
        added = bias if added is None else torch.where(added, bias, -math.inf)
    if added is not None:
        added = added.expand(*q.shape[:3], S)  # (B, N, T, S), a view
    return F.scaled_dot_product_attention(q, k, v, attn_mask=added, enable_gqa=shared)


def _check_shapes(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> None:
    shapes = f"q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}"
    if q.ndim != 4 or k.ndim != 4 or v.shape != k.shape:
        raise ValueError(f"need q (B, N, T, H) and k, v (B, K, S, H); got {shapes}")
    B, N, T, H = q.shape
    K, S = k.shape[1:3]
    if k.shape[0] != B or k.shape[3] != H or K < 1 or N % K:
        raise ValueError(f"shapes do not fit, B and H must agree and K divide N: {shapes}")
    if causal and T > S:
        raise ValueError(f"causal attention needs T <= S, got T={T}, S={S}")


def _allowed(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor | None:
    """Check the inputs, and combine mask and causality into one boolean tensor (None = all)."""
    _check_shapes(q, k, v, causal)
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


class Attention(nn.Module):
    """Project to queries, keys and values, attend, and project back.

        y = concat_heads(attention(x W_q^T, x W_k^T, x W_v^T)) W_o^T

    Args:
        d_model: D, width of the input and the output.
        config: heads, biases and implementation.
        interleaved: how RoPE pairs the coordinates, when forward is given a rotation.
        device, dtype: where the weights live, and in what precision.

    Raises:
        ValueError: if head_width is not set and n_heads does not divide d_model.

    Cost: 2 D H (2 N + 2 K) FLOPs a token for the projections, 4 N S H for the attention.
    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2.
    Lesson: notebooks/09_attention.ipynb
    """

    def __init__(
        self,
        d_model: int,
        config: AttentionConfig,
        *,
        interleaved: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if config.head_width is None and d_model % config.n_heads:
            raise ValueError(
                f"n_heads={config.n_heads} does not divide d_model={d_model}; set head_width"
            )
        H = config.head_width or d_model // config.n_heads
        N, K = config.n_heads, config.key_heads
        self.config, self.head_width, self.interleaved = config, H, interleaved

        def projection(d_in: int, d_out: int) -> Linear:
            return Linear(d_in, d_out, bias=config.bias, device=device, dtype=dtype)

        self.q = projection(d_model, N * H)
        self.k = projection(d_model, K * H)
        self.v = projection(d_model, K * H)
        self.out = projection(N * H, d_model)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        *,
        causal: bool = True,
        bias: Tensor | None = None,
        rotation: tuple[Tensor, Tensor] | None = None,
        remember: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
    ) -> Tensor:
        """Attend within x, (B, T, D), and what the cache remembers of earlier positions.

        Args:
            x: features, (B, T, D).
            mask: True = may attend, broadcastable to (B, N, T, S).
            causal: hide later positions.
            bias: added to the scores, broadcastable to (B, N, T, S).
            rotation: cos and sin of rope_angles for these T positions, or None for no RoPE.
            remember: takes the new keys and values, (B, K, T, H), and returns all so far,
                (B, K, S, H); KVCache.append is one. None: only x itself.

        Returns:
            y, (B, T, D).
        """
        B, T, _ = x.shape
        q = self.q(x).view(B, T, -1, self.head_width).transpose(1, 2)  # (B, N, T, H)
        k = self.k(x).view(B, T, -1, self.head_width).transpose(1, 2)  # (B, K, T, H)
        v = self.v(x).view(B, T, -1, self.head_width).transpose(1, 2)  # (B, K, T, H)
        if rotation is not None:
            q = apply_rope(q, *rotation, interleaved=self.interleaved)
            k = apply_rope(k, *rotation, interleaved=self.interleaved)
        if remember is not None:
            k, v = remember(k, v)  # (B, K, S, H)
        attend = fast_attention if self.config.implementation == "fast" else attention
        y = attend(q, k, v, mask, causal=causal, bias=bias)  # (B, N, T, H)
        return self.out(y.transpose(1, 2).reshape(B, T, -1))  # (B, T, D)
