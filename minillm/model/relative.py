"""T5's relative positions: a learned number for each head and range of distances, added to scores.

- Near distances have a range (bucket) each, far ones share one; the ranges grow like a logarithm.
- One table serves all layers.

Shape letters: T query positions, S key positions, N query heads.
"""

import math

import torch
from torch import Tensor, nn

from minillm.model.layers import Embedding
from minillm.model.position import PositionConfig


def relative_bucket(
    distance: Tensor, *, n_buckets: int = 32, max_distance: int = 128, both_ways: bool = False
) -> Tensor:
    """Number the range that each distance falls into.

        n ranges for one direction, the first half exact:      d < n/2:   d
        the rest logarithmic, up to max_distance:              else:
            n/2 + floor(log(d / (n/2)) / log(max_distance / (n/2)) * n/2),   at most n - 1

    Args:
        distance: query position minus key position, any shape, integers; positive looks back.
        n_buckets: of all ranges.
        max_distance: from here on all distances fall into the last range.
        both_ways: half of the ranges for keys to the right (an encoder); False: those count as 0.

    Returns:
        Numbers in [0, n_buckets), int64, of the shape of distance. Looking both ways, keys to the
        right have the upper half.

    Source: Raffel et al. 2019 (T5), arXiv:1910.10683, section 2.1, and the authors' code.
    Lesson: notebooks/13_positions.ipynb
    """
    n, offset = n_buckets, torch.zeros_like(distance, dtype=torch.int64)
    if both_ways:
        n //= 2
        offset = (distance < 0).to(torch.int64) * n
        distance = distance.abs()
    else:
        distance = distance.clamp(min=0)
    exact = n // 2
    ratio = distance.clamp(min=1).float() / exact
    further = (ratio.log() / math.log(max_distance / exact) * (n - exact)).to(torch.int64)
    far = (exact + further).clamp(max=n - 1)
    return offset + torch.where(distance < exact, distance.to(torch.int64), far)


class RelativeBias(nn.Module):
    """The table of T5's numbers, and the bias that it gives to a pass.

    Args:
        n_heads: N.
        config: n_buckets and max_distance.
        both_ways: an encoder, which looks to the right as well.
        device, dtype: where the table lives, and in what precision.

    Lesson: notebooks/13_positions.ipynb
    """

    def __init__(
        self,
        n_heads: int,
        config: PositionConfig,
        *,
        both_ways: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.config, self.both_ways = config, both_ways
        self.table = Embedding(config.n_buckets, n_heads, device=device, dtype=dtype)

    def forward(self, query_positions: Tensor, key_positions: Tensor) -> Tensor:
        """Give the bias, (N, T, S), for queries at (T,) and keys at (S,)."""
        distance = query_positions[:, None] - key_positions[None, :]  # (T, S)
        c = self.config
        bucket = relative_bucket(
            distance,
            n_buckets=c.n_buckets,
            max_distance=c.max_distance,
            both_ways=self.both_ways,
        )
        bias: Tensor = self.table(bucket)  # (T, S, N)
        return bias.permute(2, 0, 1)

    def extra_repr(self) -> str:
        """Say whether it looks both ways when the module is printed."""
        return f"both_ways={self.both_ways}"
