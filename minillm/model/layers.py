"""Linear and Embedding as modules: a weight, its start, and nothing else.

They differ from torch.nn's in two ways: the device and dtype are passed on without a default of
their own (a model can be built on the meta device), and they start from a normal distribution.
The Decoder sets all of its weights again, in one place: see initialise.py.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Linear(nn.Module):
    """y = x W^T + b, with W of shape (d_out, d_in); the readable form is functional.linear.

    Args:
        d_in: width of the input.
        d_out: width of the output.
        bias: add a bias, which starts at zero.
        device, dtype: where the weight lives, and in what precision.

    Raises:
        ValueError: if a width is smaller than 1.

    Lesson: notebooks/09_attention.ipynb
    """

    def __init__(
        self,
        d_in: int,
        d_out: int,
        *,
        bias: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if d_in < 1 or d_out < 1:
            raise ValueError(f"widths must be at least 1, got d_in={d_in}, d_out={d_out}")
        self.d_in, self.d_out = d_in, d_out
        self.weight = nn.Parameter(torch.empty(d_out, d_in, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(d_out, device=device, dtype=dtype)) if bias else None
        nn.init.normal_(self.weight, std=d_in**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., d_in) to (..., d_out)."""
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Say the widths when the module is printed."""
        return f"{self.d_in}, {self.d_out}, bias={self.bias is not None}"


class Embedding(nn.Module):
    """A table of n_rows vectors; the readable form is functional.embedding.

    Args:
        n_rows: rows of the table.
        width: length of each row.
        device, dtype: where the table lives, and in what precision.

    Raises:
        ValueError: if a size is smaller than 1.

    Lesson: notebooks/09_attention.ipynb
    """

    def __init__(
        self,
        n_rows: int,
        width: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if n_rows < 1 or width < 1:
            raise ValueError(f"sizes must be at least 1, got n_rows={n_rows}, width={width}")
        self.n_rows, self.width = n_rows, width
        self.weight = nn.Parameter(torch.empty(n_rows, width, device=device, dtype=dtype))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        """Map ids (...) to rows (..., width)."""
        return F.embedding(ids, self.weight)

    def extra_repr(self) -> str:
        """Say the sizes when the module is printed."""
        return f"{self.n_rows}, {self.width}"
