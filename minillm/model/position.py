"""Where a token stands: sinusoidal vectors, learned vectors, and ALiBi's penalty on distance.

- Sinusoidal and learned vectors are added to the embedding, once, below the first block.
- ALiBi adds to the attention scores of every layer, and so do T5's learned numbers, one for each
  range of distances (relative.py); RoPE (rope.py) turns queries and keys.
- "none" adds nothing: a causal mask alone already tells a deep model something about order.

Shape letters: B batch, T query positions, S key positions, N query heads, D model width.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from minillm.model.long_rope import RopeScaling

PositionKind = Literal["rope", "learned", "sinusoidal", "alibi", "t5", "none"]
KINDS = ("rope", "learned", "sinusoidal", "alibi", "t5", "none")


@dataclass(frozen=True)
class PositionConfig:
    """How a model knows where a token stands.

    Attributes:
        kind: "rope" (LLaMA), "learned" (GPT-2), "sinusoidal" (the first Transformer), "alibi"
            (BLOOM), "t5" (a learned number for each head and range of distances), or "none".
        rope_theta: the base of RoPE's frequencies; must be positive. Read by "rope" only.
        interleaved: RoPE pairs (2j, 2j + 1) instead of (j, j + H/2). Read by "rope" only.
        rotary_share: share of each head that RoPE turns, from its first coordinate on; GLM turns
            one half. Read by "rope" only.
        n_buckets, max_distance: ranges of distances, and where the last one begins. Read by "t5".
        scaling: how RoPE is taken beyond its trained length (lesson 15); None means it is not.
    """

    kind: PositionKind = "rope"
    rope_theta: float = 10000.0
    interleaved: bool = False
    rotary_share: float = 1.0
    n_buckets: int = 32
    max_distance: int = 128
    scaling: RopeScaling | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"position.kind must be one of {', '.join(KINDS)}; got {self.kind!r}")
        if not self.rope_theta > 0:
            raise ValueError(f"position.rope_theta must be positive, got {self.rope_theta}")
        if not 0 < self.rotary_share <= 1:
            raise ValueError(
                f"position.rotary_share must be above 0 and at most 1, got {self.rotary_share}"
            )
        if self.n_buckets < 4 or self.n_buckets % 4:
            raise ValueError(
                f"position.n_buckets must be a multiple of 4, got {self.n_buckets}: half of them "
                "are exact distances, and looking both ways takes half for each side"
            )
        if self.max_distance <= self.n_buckets // 2:
            raise ValueError(
                f"position.max_distance must be more than n_buckets / 2 = {self.n_buckets // 2}, "
                f"got {self.max_distance}"
            )
        if self.scaling is not None:
            self._check_scaling(self.scaling)

    def _check_scaling(self, scaling: RopeScaling) -> None:
        if self.kind != "rope":
            raise ValueError(
                f"position.scaling {scaling.kind!r} is for RoPE, but position.kind is "
                f"{self.kind!r}; set scaling to None"
            )
        if scaling.kind == "yarn" and not self.rope_theta > 1:
            raise ValueError(
                f"YaRN needs position.rope_theta above 1, so that pairs differ in speed, got "
                f"{self.rope_theta}"
            )


def sinusoidal(positions: Tensor, width: int) -> Tensor:
    """Describe each position by sines and cosines whose wavelengths grow from 2 pi to 20 000 pi.

        p[t, 2i] = sin(t / 10000^(2i/D))        p[t, 2i + 1] = cos(t / 10000^(2i/D))

    Args:
        positions: any shape, usually (T,) or (B, T); from 0.
        width: D, even.

    Returns:
        Vectors of length sqrt(D / 2), positions.shape + (D,), float64.

    Raises:
        ValueError: if width is not a positive even number.

    Cost: one sine or cosine a number, computed in float64.
    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.5.
    Lesson: notebooks/13_positions.ipynb
    """
    if width < 2 or width % 2:
        raise ValueError(f"width must be even and at least 2, one sine to each cosine; got {width}")
    two_i = torch.arange(0, width, 2, dtype=torch.float64, device=positions.device)  # (D/2,)
    angles = positions.to(torch.float64)[..., None] / 10000.0 ** (two_i / width)  # (..., D/2)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)  # (..., D)


def alibi_slopes(n_heads: int) -> list[float]:
    """Give each head the steepness of its penalty on distance.

        N a power of two:  slope_h = 2^(-8 h / N),  h = 1 .. N
        otherwise:         the slopes of the power of two P below N, and then every second one
                           of the slopes for 2 P, until there are N

    The second line is not in the paper; it is what the authors' code does, and so do models that
    were trained with it. With 8 heads: 1/2, 1/4, ..., 1/256.

    Args:
        n_heads: N.

    Returns:
        N slopes, each in (0, 1), in the order of the heads.

    Raises:
        ValueError: if n_heads is smaller than 1.

    Source: Press et al. 2021, arXiv:2108.12409, section 3, and the authors' get_slopes.
    Lesson: notebooks/13_positions.ipynb
    """
    if n_heads < 1:
        raise ValueError(f"n_heads must be at least 1, got {n_heads}")
    power = 2 ** int(math.log2(n_heads))  # the largest power of two that is not above n_heads
    slopes = [2 ** (-8 * h / power) for h in range(1, power + 1)]
    if power < n_heads:
        slopes += alibi_slopes(2 * power)[0::2][: n_heads - power]
    return slopes


def alibi_bias(
    slopes: Tensor, query_positions: Tensor, key_positions: Tensor, *, dtype: torch.dtype
) -> Tensor:
    """Penalise each score in proportion to the distance between query and key.

        bias[h, t, s] = -slope_h |t - s|

    Under a causal mask the bars do nothing; they only matter where a query may look ahead.

    Args:
        slopes: (N,), from alibi_slopes.
        query_positions: (T,).
        key_positions: (S,).
        dtype: of the result.

    Returns:
        bias, (N, T, S), to be added to the scores before the softmax.

    Cost: N T S numbers; made once for all layers.
    Source: Press et al. 2021, arXiv:2108.12409, section 3.   Lesson: notebooks/13_positions.ipynb
    """
    distance = (query_positions[:, None] - key_positions[None, :]).abs()  # (T, S)
    return -slopes.to(dtype)[:, None, None] * distance.to(dtype)
