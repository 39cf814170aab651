"""DoRA: learn how long each row of a matrix is apart from where it points.

    W' = m * V / ||V||,     V = W + scale B A,     m starts at ||W||

LoRA moves length and direction of a row together, as B A changes both. Here the length of each
row of W is a number of its own, m_o, and the low-rank correction only turns the row.

The paper speaks of the norms of columns, for matrices written with their outputs across. torch
keeps W as (O, I), so that here, as in peft, it is one length for each output: the norm of a row.

Shape letters: O outputs (d_out) and I inputs (d_in) of a matrix, r rank.
"""

from typing import Any

import torch
from torch import Tensor, nn

from minillm.finetune.lora import LoRALinear
from minillm.finetune.low_rank import LowRank


class TurningLowRank(LowRank):
    """LowRank, and the length m of each row of the matrix that it turns.

    Args:
        weight: W, (O, I), whose rows give m its start.
        rank, alpha, options: as in LowRank.
    """

    def __init__(self, weight: Tensor, rank: int, alpha: float, **options: Any) -> None:
        d_out, d_in = weight.shape
        super().__init__(d_in, d_out, rank, alpha, **options)
        with torch.no_grad():
            self.m = nn.Parameter(lengths(weight.to(self.a.dtype)))

    def turned(self, weight: Tensor) -> Tensor:
        """V = W + scale B A, (O, I), in the wider dtype of the two."""
        return weight + self.update()


class DoRALinear(LoRALinear):
    """A linear layer whose rows are turned by a LoRA adapter, and scaled by numbers of their own.

        y = (m / ||W + scale B A||) * (x W^T + scale (x A^T) B^T) + bias

    Args: as LoRALinear. The base needs a matrix that can be read, `weight`.

    Attributes:
        detach: treat the length in the denominator as a constant in the backward pass, as the
            paper advises to save memory. False takes its gradient too.

    Raises:
        ValueError: as LoRALinear; and if several adapters are to be active at once, or by row:
            matrices that are turned and scaled do not add up.

    Cost: that of LoRA, and 2 O I r FLOPs a forward pass for the lengths; O numbers more.
    Source: Liu et al. 2024 (DoRA), arXiv:2402.09353, equation 5 and section 4.3.
    Lesson: notebooks/31_lora.ipynb
    """

    detach = True

    def make_adapter(self, rank: int, alpha: float, **options: Any) -> LowRank:
        """Make LowRank with the lengths of the rows."""
        return TurningLowRank(self.matrix().detach(), rank, alpha, **options)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., I) to (..., O)."""
        y: Tensor = self.base(x)
        if self.merged or not self.active:
            return y
        adapter = self._adapter()
        plain = y if self.bias is None else y - self.bias
        share = self._share(adapter)  # (O,), exactly 1 before the first step
        return (y + (share - 1) * plain + share * adapter(x)).to(y.dtype)

    def adapted(self, weight: Tensor) -> Tensor:
        """Turn and scale the rows of a matrix, (O, I)."""
        adapter = self._adapter()
        return self._share(adapter)[:, None] * adapter.turned(weight)

    def choose(self, active: dict[str, float]) -> None:
        """Let one adapter speak, or none."""
        if len(active) > 1 or any(weight != 1 for weight in active.values()):
            raise ValueError(f"DoRA takes one adapter at a time, with weight 1; got {active}")
        super().choose(active)

    def assign(self, rows: tuple[str | None, ...] | None) -> None:
        """Refuse to give each row an adapter of its own."""
        if rows is not None:
            raise ValueError("DoRA cannot give each row of a batch an adapter of its own")

    def _adapter(self) -> TurningLowRank:
        (name,) = self.active
        adapter = self.adapter(name)
        assert isinstance(adapter, TurningLowRank)  # make_adapter made it
        return adapter

    def _share(self, adapter: TurningLowRank) -> Tensor:
        """What each row is multiplied by, m / ||V||, (O,)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.detach):
            length = lengths(adapter.turned(self.matrix()))
        return adapter.m / length


def lengths(weight: Tensor) -> Tensor:
    """Give the length of each row of a matrix, (O, I) -> (O,)."""
    return torch.linalg.vector_norm(weight, dim=1)
