"""Normalisation: LayerNorm, RMSNorm, which leaves out the mean, and where in a block they stand.

- The functions are the definitions. The modules call torch's fused kernels, which a test holds
  equal to them.
- Statistics are taken over the last axis, in float32 at least (float64 stays float64).

Shape letters: ... any leading axes, D the width that is normalised.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minillm.model.functional import accumulation_dtype

NormKind = Literal["rmsnorm", "layernorm"]
NormPlace = Literal["pre", "post", "sandwich", "deep"]
PLACES = ("pre", "post", "sandwich", "deep")


@dataclass(frozen=True)
class NormConfig:
    """Which normalisation a model uses, and where.

    Attributes:
        kind: "rmsnorm" (LLaMA) or "layernorm" (GPT-2), the latter with a bias.
        eps: added to the mean square or the variance under the root; must be positive.
        place: "pre" normalises the input of each sub-layer and once more at the end of the stack;
            "post" normalises the sum after each sub-layer, as in the first Transformer;
            "sandwich" is pre with the output of each sub-layer normalised, too (CogView);
            "deep" is post with the residual made louder and smaller weights (DeepNorm).
        embedding: normalise the embedding, too, below the first block, as BLOOM does.
        head: scale each row of the output matrix to length 1, as Baichuan-2 does.
        residual_scale: alpha of "deep"; None: the paper's, from the number of layers.
    """

    kind: NormKind = "rmsnorm"
    eps: float = 1e-5
    place: NormPlace = "pre"
    embedding: bool = False
    head: bool = False
    residual_scale: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("rmsnorm", "layernorm"):
            raise ValueError(f"norm.kind must be 'rmsnorm' or 'layernorm', got {self.kind!r}")
        if not self.eps > 0:
            raise ValueError(f"norm.eps must be positive, got {self.eps}")
        if self.place not in PLACES:
            raise ValueError(f"norm.place must be one of {', '.join(PLACES)}; got {self.place!r}")
        if self.residual_scale is not None:
            if self.place != "deep":
                raise ValueError(
                    f"norm.residual_scale belongs to place 'deep'; got {self.residual_scale} with "
                    f"place {self.place!r}"
                )
            if not self.residual_scale > 0:
                raise ValueError(f"norm.residual_scale must be positive, got {self.residual_scale}")

    @property
    def ends_the_stack(self) -> bool:
        """Whether one more norm stands above the last block: it does where x itself is never
        normalised on its way."""
        return self.place in ("pre", "sandwich")


def deepnorm_constants(n_layers: int) -> tuple[float, float]:
    """Give DeepNorm's two constants for a decoder: (alpha, beta).

        x = norm(alpha x + f(x)),   alpha = (2 N)^(1/4);   weights times beta = (8 N)^(-1/4)

    beta scales the start of the matrices of values, output and feed-forward, not of queries and
    keys. With them one update of the weights changes the output of the stack by an amount that
    does not grow with N.

    Args:
        n_layers: N.

    Returns:
        alpha, at least 1.189, and beta, at most 0.595.

    Raises:
        ValueError: if n_layers is smaller than 1.

    Source: Wang et al. 2022 (DeepNet), arXiv:2203.00555, figure 2, the decoder-only row. GLM-130B
        uses alpha = (2 N)^(1/2): arXiv:2210.02414, section 2.1.
    Lesson: notebooks/11_norm.ipynb
    """
    if n_layers < 1:
        raise ValueError(f"n_layers must be at least 1, got {n_layers}")
    return (2 * n_layers) ** 0.25, (8 * n_layers) ** -0.25


def rmsnorm(x: Tensor, w: Tensor, eps: float = 1e-5) -> Tensor:
    """Divide each row by its root mean square, then scale each feature.

        y = x / sqrt(mean(x^2) + eps) * w

    Args:
        x: features, (..., D).
        w: gain, (D,).
        eps: keeps a row of zeros from dividing by zero.

    Returns:
        y, (..., D), in the dtype of x.

    Raises:
        ValueError: if w does not have the width of x, or eps is negative.

    Cost: about 4 D FLOPs a row; reads and writes each number once, so memory is the limit.
    Source: Zhang and Sennrich 2019, arXiv:1910.07467, eq. 4.
    Lesson: notebooks/11_norm.ipynb
    """
    _check_width(x, w, eps)
    z = x.to(accumulation_dtype(x.dtype))
    scale = torch.rsqrt(z.square().mean(dim=-1, keepdim=True) + eps)  # (..., 1)
    return (z * scale * w).to(x.dtype)


def layernorm(x: Tensor, w: Tensor, b: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """Shift each row to mean 0 and divide it by its spread, then scale and shift each feature.

        y = (x - mean(x)) / sqrt(var(x) + eps) * w + b,    var with 1/D, not 1/(D - 1)

    Args:
        x: features, (..., D).
        w: gain, (D,).
        b: bias, (D,), or None for no bias.
        eps: keeps a row of equal numbers from dividing by zero.

    Returns:
        y, (..., D), in the dtype of x.

    Raises:
        ValueError: if w or b does not have the width of x, or eps is negative.

    Cost: about 8 D FLOPs a row; reads and writes each number once, so memory is the limit.
    Source: Ba et al. 2016, arXiv:1607.06450, eq. 3.
    Lesson: notebooks/11_norm.ipynb
    """
    _check_width(x, w, eps)
    if b is not None:
        _check_width(x, b, eps)
    z = x.to(accumulation_dtype(x.dtype))
    centred = z - z.mean(dim=-1, keepdim=True)
    scale = torch.rsqrt(centred.square().mean(dim=-1, keepdim=True) + eps)  # (..., 1)
    y = centred * scale * w
    return (y if b is None else y + b).to(x.dtype)


def _check_width(x: Tensor, w: Tensor, eps: float) -> None:
    if w.shape != x.shape[-1:]:
        raise ValueError(
            f"gain and bias must have shape ({x.shape[-1]},), as x is {tuple(x.shape)}; "
            f"got {tuple(w.shape)}"
        )
    if eps < 0:
        raise ValueError(f"eps must not be negative, got {eps}")


class RMSNorm(nn.Module):
    """rmsnorm with a learned gain, which starts at 1.

    Args:
        width: D, the width that is normalised.
        eps: as in rmsnorm.
        device, dtype: where the gain lives, and in what precision.

    Lesson: notebooks/11_norm.ipynb
    """

    def __init__(
        self,
        width: int,
        eps: float = 1e-5,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.width, self.eps = width, eps
        self.weight = nn.Parameter(torch.ones(width, device=device, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (..., D)."""
        return F.rms_norm(x, (self.width,), self.weight, self.eps)

    def extra_repr(self) -> str:
        """Say the width and eps when the module is printed."""
        return f"{self.width}, eps={self.eps}"


class LayerNorm(nn.Module):
    """layernorm with a learned gain and bias, which start at 1 and 0.

    Args:
        width: D, the width that is normalised.
        eps: as in layernorm.
        bias: learn a bias as well.
        device, dtype: where the weights live, and in what precision.

    Lesson: notebooks/11_norm.ipynb
    """

    def __init__(
        self,
        width: int,
        eps: float = 1e-5,
        *,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.width, self.eps = width, eps
        self.weight = nn.Parameter(torch.ones(width, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(width, device=device, dtype=dtype)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (..., D)."""
        return F.layer_norm(x, (self.width,), self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Say the width and eps when the module is printed."""
        return f"{self.width}, eps={self.eps}, bias={self.bias is not None}"


def make_norm(
    config: NormConfig,
    width: int,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> RMSNorm | LayerNorm:
    """Build the module that a NormConfig names.

    Args:
        config: kind and eps.
        width: D, the width that is normalised.
        device, dtype: where the weights live, and in what precision.

    Returns:
        RMSNorm, or LayerNorm with a bias.
    """
    if config.kind == "rmsnorm":
        return RMSNorm(width, config.eps, device=device, dtype=dtype)
    return LayerNorm(width, config.eps, device=device, dtype=dtype)
