"""Latent attention: keys and values are made from a small vector, and only that is remembered.

- expanded: keys and values of every head are computed from the remembered vectors. The definition.
- absorbed: the matrices that would expand them are moved over to the query and behind the average,
  so that decoding works on the small vectors themselves. The same numbers, fewer to read.
- RoPE cannot be moved so: its turn stands between the two matrices, and differs from position to
  position. So the position is told by a second, narrow key that all heads share.

One layer for study and for decoding by hand; a Decoder does not offer it in its config.

Shape letters:
    B  batch        T  query positions     N  heads              H  width of a head's content part
    D  model width  S  key positions       C  width of the latent    R  width of the rotary part
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from minillm.model.functional import accumulation_dtype
from minillm.model.layers import Linear
from minillm.model.norm import RMSNorm
from minillm.model.rope import apply_rope


@dataclass(frozen=True)
class LatentConfig:
    """The widths of latent attention.

    Attributes:
        n_heads: N.
        head_width: H, of the part of a query or key that carries content, and of a value.
        rope_width: R, even: of the part that carries the position.
        latent_width: C, of what is remembered in the place of keys and values.
        query_latent_width: compress the queries, too, which saves memory in training only; None:
            project them directly.
        eps: of the norms behind the compressions.
        interleaved: RoPE pairs (2j, 2j + 1), as DeepSeek's files do.
    """

    n_heads: int
    head_width: int
    rope_width: int
    latent_width: int
    query_latent_width: int | None = None
    eps: float = 1e-6
    interleaved: bool = False

    def __post_init__(self) -> None:
        for name in ("n_heads", "head_width", "rope_width", "latent_width", "query_latent_width"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.rope_width % 2:
            raise ValueError(f"RoPE turns pairs, so rope_width must be even, got {self.rope_width}")

    @property
    def numbers(self) -> int:
        """What one token leaves in one layer: C + R. Times layers and bytes it is the cache."""
        return self.latent_width + self.rope_width


class LatentCache:
    """Latents and rotary keys of up to max_length positions, for several layers; as KVCache.

    Args:
        config: the widths.
        n_layers: layers that append.
        batch_size: B.
        max_length: positions there is room for.
        dtype, device: of the tensors.

    Attributes:
        latents: (n_layers, B, max_length, C).
        keys: (n_layers, B, max_length, R), already turned.
        length: positions remembered so far.

    Raises:
        ValueError: if a size is smaller than 1.

    Cost: n_layers B max_length (C + R) numbers.
    Lesson: notebooks/16a_heads_and_cache.ipynb
    """

    def __init__(
        self,
        config: LatentConfig,
        n_layers: int,
        batch_size: int,
        max_length: int,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        if min(n_layers, batch_size, max_length) < 1:
            raise ValueError(
                "n_layers, batch_size and max_length must be at least 1, got "
                f"{n_layers}, {batch_size} and {max_length}"
            )
        shape = (n_layers, batch_size, max_length)
        self.latents = torch.zeros(*shape, config.latent_width, dtype=dtype, device=device)
        self.keys = torch.zeros(*shape, config.rope_width, dtype=dtype, device=device)
        self.length = 0

    def append(self, layer: int, latents: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Write a layer's new rows, (B, T, C) and (B, T, R); give all so far, as views.

        Raises:
            ValueError: if they do not fit; nothing is written then.
        """
        B, T, _ = latents.shape
        end, (_, size, room, _) = self.length + T, self.latents.shape
        if size != B or end > room:
            raise ValueError(f"a cache of {size} x {room} has no room for {B} x {end} positions")
        self.latents[layer, :, self.length : end] = latents
        self.keys[layer, :, self.length : end] = keys
        return self.latents[layer, :, :end], self.keys[layer, :, :end]

    def advance(self, n_new: int) -> None:
        """Move on by n_new positions, once every layer has appended them."""
        self.length += n_new


class LatentAttention(nn.Module):
    """Multi-head latent attention (MLA).

        c_s = norm(x_s W_down),   k_s = c_s W_k,   v_s = c_s W_v,   r_s = turn_s(x_s W_r)
        score(t, s) = (q_t k_s + turn_t(p_t) r_s) / sqrt(H + R),    (q_t, p_t) = query parts

    Args:
        d_model: D.
        config: the widths.
        device, dtype: where the weights live, and in what precision.

    Cost: remembers C + R numbers a token, whatever N is; multi-head attention 2 N H. A decoding
        step against S positions costs about 2 N S (2 C + R) FLOPs absorbed; expanded it costs
        2 N S (2 H + R), and before that 4 S C N H to make keys and values anew.
    Source: DeepSeek-AI 2024 (DeepSeek-V2), arXiv:2405.04434, sections 2.1.2, 2.1.3 and 3.1.2 (the
        norms); all formulas in its appendix C.
    Lesson: notebooks/16a_heads_and_cache.ipynb
    """

    def __init__(
        self,
        d_model: int,
        config: LatentConfig,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        N, H, R, C = config.n_heads, config.head_width, config.rope_width, config.latent_width
        Q = config.query_latent_width

        def matrix(d_in: int, d_out: int) -> Linear:
            return Linear(d_in, d_out, device=device, dtype=dtype)

        def norm(width: int) -> RMSNorm:
            return RMSNorm(width, config.eps, device=device, dtype=dtype)

        self.q_down = None if Q is None else matrix(d_model, Q)
        self.q_norm = None if Q is None else norm(Q)
        self.q = matrix(d_model if Q is None else Q, N * (H + R))
        self.down = matrix(d_model, C + R)
        self.norm = norm(C)
        self.k = matrix(C, N * H)
        self.v = matrix(C, N * H)
        self.out = matrix(N * H, d_model)

    def forward(
        self,
        x: Tensor,
        rotation: tuple[Tensor, Tensor],
        *,
        causal: bool = True,
        absorbed: bool = False,
        remember: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
    ) -> Tensor:
        """Attend within x, (B, T, D), and what the cache remembers of earlier positions.

        Args:
            x: features, (B, T, D).
            rotation: cos and sin of rope_angles(positions, R) for these T positions.
            causal: hide later positions.
            absorbed: work on the latents; else expand them to keys and values.
            remember: takes the new latents, (B, T, C), and turned keys, (B, T, R), and returns
                all so far; LatentCache.append is one. None: only x itself.

        Returns:
            y, (B, T, D).
        """
        B, T, _ = x.shape
        q, turned = self._queries(x, rotation)  # (B, N, T, H), (B, N, T, R)
        latents, keys = self.down(x).split((self.config.latent_width, self.config.rope_width), -1)
        latents, keys = self.norm(latents), self._turn(keys, rotation)
        if remember is not None:
            latents, keys = remember(latents, keys)  # (B, S, C), (B, S, R)
        by_place = turned @ keys[:, None].mT  # (B, N, T, S)
        attend = self._absorbed if absorbed else self._expanded
        y = attend(q, latents, by_place, causal)  # (B, N, T, H)
        return self.out(y.transpose(1, 2).reshape(B, T, -1))  # (B, T, D)

    def _queries(self, x: Tensor, rotation: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The queries' content parts, (B, N, T, H), and their turned parts, (B, N, T, R)."""
        if self.q_down is not None and self.q_norm is not None:
            x = self.q_norm(self.q_down(x))
        q = self.q(x).unflatten(-1, (self.config.n_heads, -1)).transpose(1, 2)  # (B, N, T, H + R)
        content, place = q.split((self.config.head_width, self.config.rope_width), -1)
        return content, self._turn(place, rotation)

    def _turn(self, x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        return apply_rope(x, *rotation, interleaved=self.config.interleaved)

    def _expanded(self, q: Tensor, latents: Tensor, by_place: Tensor, causal: bool) -> Tensor:
        """Make keys and values of all heads, (B, N, S, H), and attend to them."""
        k, v = (
            up(latents).unflatten(-1, (self.config.n_heads, -1)).transpose(1, 2)
            for up in (self.k, self.v)
        )
        return self._weights(q @ k.mT, by_place, causal) @ v

    def _absorbed(self, q: Tensor, latents: Tensor, by_place: Tensor, causal: bool) -> Tensor:
        """Attend to the latents as one shared key and value: q W_k^T in, average W_v out."""
        N = self.config.n_heads
        to_latent = self.k.weight.unflatten(0, (N, -1))  # (N, H, C)
        from_latent = self.v.weight.unflatten(0, (N, -1))  # (N, H, C)
        shared = latents[:, None]  # (B, 1, S, C)
        weights = self._weights(q @ to_latent @ shared.mT, by_place, causal)
        return weights @ shared @ from_latent.mT  # (B, N, T, C) to (B, N, T, H)

    def _weights(self, by_content: Tensor, by_place: Tensor, causal: bool) -> Tensor:
        """Softmax of the summed scores, (B, N, T, S)."""
        scores = (by_content + by_place) / math.sqrt(
            self.config.head_width + self.config.rope_width
        )
        T, S = scores.shape[-2:]
        wide = scores.to(accumulation_dtype(scores.dtype))
        if causal:
            later = torch.ones(T, S, dtype=torch.bool, device=scores.device).triu(S - T + 1)
            wide = wide.masked_fill(later, -math.inf)
        return wide.softmax(dim=-1).to(scores.dtype)
