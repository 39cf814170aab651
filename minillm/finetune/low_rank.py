"""The thin correction of LoRA: two matrices whose product has rank r at most.

Shape letters: O outputs (d_out) and I inputs (d_in) of a matrix, r rank.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LowRank(nn.Module):
    """One adapter of one matrix: x -> scale (x A^T) B^T.

        scale = alpha / r,   or alpha / sqrt(r) where `stable` (rsLoRA)

    Args:
        d_in, d_out: I and O, widths of the matrix that is adapted.
        rank: r.
        alpha: how loud the adapter is. Held fixed while r is varied, alpha / r keeps the first
            step of Adam equal, alpha / sqrt(r) the size of a random correction: see lesson 31.
        stable: divide alpha by sqrt(r), not by r.
        dropout: share of the entries of x that the adapter does not see in training.
        device, dtype: where A and B live, and in what precision.

    Raises:
        ValueError: if rank < 1, alpha is not a positive number, or dropout is not in [0, 1).

    Cost: 2 r (I + O) FLOPs a token; r (I + O) numbers.
    Source: Hu et al. 2021 (LoRA), arXiv:2106.09685, section 4.1; Kalajdzievski 2023 (rsLoRA),
        arXiv:2312.03732.
    Lesson: notebooks/31_lora.ipynb
    """

    def __init__(
        self,
        d_in: int,
        d_out: int,
        rank: int,
        alpha: float,
        *,
        stable: bool = False,
        dropout: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if rank < 1:
            raise ValueError(f"rank must be at least 1, got {rank}; a model without LoRA has none")
        if not (math.isfinite(alpha) and alpha > 0):
            raise ValueError(f"alpha must be a positive number, got {alpha}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {dropout}")
        self.rank, self.alpha, self.stable, self.dropout = rank, float(alpha), stable, dropout
        self.a = nn.Parameter(torch.empty(rank, d_in, device=device, dtype=dtype))
        self.b = nn.Parameter(torch.empty(d_out, rank, device=device, dtype=dtype))
        self.reset()

    @property
    def scale(self) -> float:
        """What the product B A is multiplied by."""
        return self.alpha / (math.sqrt(self.rank) if self.stable else self.rank)

    @torch.no_grad()
    def reset(self) -> None:
        """Begin anew: A normal with spread 1 / sqrt(I), so that A x is as large as x; B zero."""
        nn.init.normal_(self.a, std=self.a.shape[1] ** -0.5)
        nn.init.zeros_(self.b)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., I) to the correction (..., O), in the dtype of A and B."""
        x = F.dropout(x.to(self.a.dtype), self.dropout, self.training)
        return F.linear(self.scale * F.linear(x, self.a), self.b)  # scaled where it is thin

    def update(self) -> Tensor:
        """Give the correction as a matrix, scale B A, (O, I)."""
        return self.scale * (self.b @ self.a)

    def extra_repr(self) -> str:
        """Say the settings when the module is printed."""
        return f"rank={self.rank}, alpha={self.alpha:g}, scale={self.scale:g}"
