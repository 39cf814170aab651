"""The attention layer: projections to queries, keys and values, the heads, and the way back.

Shape letters (the table is in notebooks/NOTATION.md):
    B  batch        T  query positions     N  query heads        H  width of one head
    D  model width  S  key positions       K  key/value heads
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from minillm.model.attention import AttentionConfig, attention, fast_attention
from minillm.model.layers import Linear
from minillm.model.rope import apply_rope


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

        def projection(d_in: int, d_out: int, *, bias: bool) -> Linear:
            return Linear(d_in, d_out, bias=bias, device=device, dtype=dtype)

        self.q = projection(d_model, N * H, bias=bool(config.bias))
        self.k = projection(d_model, K * H, bias=bool(config.bias))
        self.v = projection(d_model, K * H, bias=bool(config.bias))
        self.out = projection(N * H, d_model, bias=config.bias is True)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        *,
        causal: bool = True,
        bias: Tensor | None = None,
        rotation: tuple[Tensor, Tensor] | None = None,
        remember: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
        source: Tensor | None = None,
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
            source: (B, S, D), what keys and values come from (cross-attention); None means x.

        Returns:
            y, (B, T, D).
        """
        B, T, _ = x.shape
        q = self._heads(self.q(x))  # (B, N, T, H)
        k = self._heads(self.k(x if source is None else source))  # (B, K, T or S, H)
        v = self._heads(self.v(x if source is None else source))
        if rotation is not None:
            q, k = self._turned(q, *rotation), self._turned(k, *rotation)
        if remember is not None:
            k, v = remember(k, v)  # (B, K, S, H)
        if not self.config.scaled:
            q = q * math.sqrt(self.head_width)  # what the division below takes away
        attend = fast_attention if self.config.implementation == "fast" else attention
        y = attend(q, k, v, mask, causal=causal, bias=bias)  # (B, N, T, H)
        return self.out(y.transpose(1, 2).reshape(B, T, -1))  # (B, T, D)

    def _heads(self, x: Tensor) -> Tensor:
        """Cut (B, T, heads H) into heads, (B, heads, T, H)."""
        return x.view(*x.shape[:2], -1, self.head_width).transpose(1, 2)

    def _turned(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Turn heads by RoPE, (B, heads, T, H): the first coordinates, if not all are turned."""
        R = 2 * cos.shape[-1]
        if self.head_width == R:
            return apply_rope(x, cos, sin, interleaved=self.interleaved)
        turned = apply_rope(x[..., :R], cos, sin, interleaved=self.interleaved)
        return torch.cat((turned, x[..., R:]), dim=-1)
