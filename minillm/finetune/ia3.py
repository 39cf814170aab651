"""(IA)^3: stretch keys, values and inner activations, one learned factor for each coordinate.

    k -> l_k * k          v -> l_v * v          W_down h -> W_down (l_ff * h)

All factors start at 1. They can be multiplied into the matrices afterwards: merged, the model has
its old shape and its old speed.

Shape letters: K key/value heads, H head width, F inner width of the feed-forward layer.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from minillm.finetune.parts import freeze, parts_of, refuse_experts, replace, swap
from minillm.model import Decoder
from minillm.model.layers import Linear

Side = Literal["in", "out"]


class Stretched(nn.Module):
    """A linear layer whose inputs, or whose outputs, are stretched one by one.

        side "out":  y = l * (x W^T + b)               side "in":  y = (l * x) W^T + b

    Args:
        base: the layer.
        side: which end.

    Raises:
        ValueError: if the side is unknown.

    Cost: as many numbers as the side is wide; merged, nothing.
    Source: Liu et al. 2022, arXiv:2205.05638, section 3.3.
    Lesson: notebooks/32_peft.ipynb
    """

    def __init__(self, base: Linear, side: Side) -> None:
        super().__init__()
        if side not in ("in", "out"):
            raise ValueError(f"side must be 'in' or 'out', got {side!r}")
        self.base, self.side, self.d_in, self.d_out = base, side, base.d_in, base.d_out
        width = base.d_in if side == "in" else base.d_out
        self.factors = nn.Parameter(base.weight.detach().new_ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., d_in) to (..., d_out)."""
        inside = self.side == "in"
        y: Tensor = self.base(self.factors * x) if inside else self.factors * self.base(x)
        return y

    @torch.no_grad()
    def merged(self) -> Linear:
        """Multiply the factors into the layer, and give it back; the wrapper is done with."""
        if self.side == "in":
            self.base.weight.mul_(self.factors)
        else:
            self.base.weight.mul_(self.factors[:, None])
            if self.base.bias is not None:
                self.base.bias.mul_(self.factors)
        return self.base


def add_ia3(model: Decoder) -> Decoder:
    """Freeze a model and put factors on the keys, the values and the inner activations.

    Args:
        model: a Decoder without experts; changed in place.

    Returns:
        The model itself.

    Raises:
        ValueError: if the model has factors already, a part that is no Linear in such a place, or
            experts (their matrices are read past the layers).

    Source: Liu et al. 2022, arXiv:2205.05638, section 3.3.
    Lesson: notebooks/32_peft.ipynb
    """
    if any(isinstance(part, Stretched) for part in model.modules()):
        raise ValueError("the model has factors already; merge them first")
    refuse_experts(model)
    freeze(model)
    swap(model, ("k", "v"), lambda base: Stretched(_plain(base), "out"))
    swap(model, ("down",), lambda base: Stretched(_plain(base), "in"))
    return model


def merge_ia3(model: Decoder) -> Decoder:
    """Multiply all factors into the matrices, and take the wrappers away.

    Args:
        model: with factors; changed in place. What it computes stays, but for rounding.

    Returns:
        The model itself.

    Raises:
        ValueError: if the model has no factors.

    Lesson: notebooks/32_peft.ipynb
    """
    names = [name for name, _ in parts_of(model, Stretched)]
    if not names:
        raise ValueError("there is nothing to merge: the model has no (IA)^3 factors")
    replace(model, names, lambda part: part.merged())  # type: ignore[operator]
    return model


def _plain(part: nn.Module) -> Linear:
    """Refuse a part that is no Linear."""
    if not isinstance(part, Linear):
        raise ValueError(f"(IA)^3 stretches Linear layers, got {type(part).__name__}")
    return part
