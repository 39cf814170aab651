"""Adapters: a narrow layer with a way around it, behind attention and feed-forward of each block.

    h + W_up f(W_down h + b_down) + b_up

W_up and b_up start at zero, so that a model with fresh adapters computes what it did before.

    Houlsby:   behind attention and behind the feed-forward layer     2 a block
    Pfeiffer:  behind the feed-forward layer only                     1 a block

Both stand before the sum with the residual stream. (Pfeiffer's adapter reads after BERT's norm;
in a pre-norm block there is no norm there, and nothing to choose.)

Shape letters: B batch, T positions, D model width, M inner width of an adapter.
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minillm.finetune.parts import freeze, swap
from minillm.model import Decoder
from minillm.model.layers import Linear

Places = Literal["houlsby", "pfeiffer"]
PLACES: dict[str, tuple[str, ...]] = {
    "houlsby": ("attention", "feedforward"),
    "pfeiffer": ("feedforward",),
}


class Adapter(nn.Module):
    """Narrow, bend, widen, and add: the identity at the start.

        y = h + W_up gelu(W_down h + b_down) + b_up

    Args:
        d_model: D, width of the input and the output.
        width: M, inner width.
        device, dtype: where the weights live, and in what precision.

    Raises:
        ValueError: if a width is smaller than 1.

    Cost: 2 D M + D + M numbers; 4 D M FLOPs a position, which no merging can take away.
    Source: Houlsby et al. 2019, arXiv:1902.00751, section 2.1.
    Lesson: notebooks/32_peft.ipynb
    """

    def __init__(
        self,
        d_model: int,
        width: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.down = Linear(d_model, width, bias=True, device=device, dtype=dtype)
        self.up = Linear(width, d_model, bias=True, device=device, dtype=dtype)
        nn.init.zeros_(self.up.weight)

    def forward(self, h: Tensor) -> Tensor:
        """Map (..., D) to (..., D)."""
        y: Tensor = h + self.up(F.gelu(self.down(h)))
        return y


class Adapted(nn.Module):
    """A part of a block, and an adapter that changes what it says before it is added.

    Args:
        base: attention or feed-forward layer, (B, T, D) to (B, T, D).
        adapter: maps (B, T, D) to (B, T, D).
    """

    def __init__(self, base: nn.Module, adapter: Adapter) -> None:
        super().__init__()
        self.base, self.adapter = base, adapter

    def forward(self, *args: object, **keywords: object) -> Tensor:
        """Map (B, T, D) to (B, T, D); the arguments are those of the base."""
        y: Tensor = self.adapter(self.base(*args, **keywords))
        return y


def add_adapters(model: Decoder, width: int, *, places: Places = "houlsby") -> Decoder:
    """Freeze a model and put adapters into each of its blocks.

    Args:
        model: a Decoder; changed in place.
        width: M, inner width of each adapter.
        places: "houlsby" (two a block) or "pfeiffer" (one).

    Returns:
        The model itself.

    Raises:
        ValueError: if the width is smaller than 1, places is unknown, or there are adapters
            already.

    Source: Houlsby et al. 2019, arXiv:1902.00751, figure 2; Pfeiffer et al. 2020,
        arXiv:2005.00247, section 3.
    Lesson: notebooks/32_peft.ipynb
    """
    if places not in get_args(Places):
        raise ValueError(f"places must be one of {', '.join(get_args(Places))}; got {places!r}")
    if any(isinstance(part, Adapted) for part in model.modules()):
        raise ValueError("the model has adapters already; a second set would hide the first")
    freeze(model)
    D, weight = model.config.d_model, model.embedding.weight

    def adapted(base: nn.Module) -> nn.Module:
        adapter = Adapter(D, width, device=weight.device, dtype=weight.dtype)
        return Adapted(base, adapter)

    swap(model, PLACES[places], adapted)
    return model
