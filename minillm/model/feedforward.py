"""The feed-forward layer: two matrices with a curve between them, or three with a gate.

- Plain kinds (relu, gelu, gelu_tanh, silu): y = act(x W_up^T) W_down^T.
- Gated kinds (glu, geglu, geglu_tanh, swiglu): y = (act(x W_gate^T) * (x W_up^T)) W_down^T.

Shape letters: B batch, T positions, D model width, F inner width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minillm.model.layers import Linear
from minillm.model.routing import ExpertsConfig

FeedForwardKind = Literal[
    "swiglu", "geglu", "geglu_tanh", "glu", "gelu", "gelu_tanh", "relu", "silu"
]

GATED: dict[str, Callable[[Tensor], Tensor]] = {
    "glu": torch.sigmoid,
    "geglu": F.gelu,
    "geglu_tanh": partial(F.gelu, approximate="tanh"),
    "swiglu": F.silu,
}
PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "silu": F.silu,
}


@dataclass(frozen=True)
class FeedForwardConfig:
    """The curve and the inner width of a feed-forward layer.

    Attributes:
        kind: gated "swiglu", "geglu", "geglu_tanh" (T5 v1.1), "glu"; or plain "gelu",
            "gelu_tanh", "relu", "silu".
        width: F, the inner width.
        bias: add biases to the matrices, as GPT-2 does.
        experts: several such layers, each token going to a few (moe.py); None: one for all.
    """

    kind: FeedForwardKind
    width: int
    bias: bool = False
    experts: ExpertsConfig | None = None

    def __post_init__(self) -> None:
        if self.kind not in GATED and self.kind not in PLAIN:
            kinds = ", ".join([*GATED, *PLAIN])
            raise ValueError(f"feedforward.kind must be one of {kinds}; got {self.kind!r}")
        if self.width < 1:
            raise ValueError(f"feedforward.width must be at least 1, got {self.width}")

    @property
    def n_matrices(self) -> int:
        """3 for a gated kind, else 2."""
        return 3 if self.kind in GATED else 2


class FeedForward(nn.Module):
    """Widen each position, bend it, and narrow it again; positions do not mix.

        plain:  y = act(x W_up^T) W_down^T
        gated:  y = (act(x W_gate^T) * (x W_up^T)) W_down^T

    Args:
        d_model: D, width of the input and the output.
        config: kind, inner width and biases.
        device, dtype: where the weights live, and in what precision.

    Cost: 4 D F FLOPs a token for a plain kind, 6 D F for a gated one.
    Source: Shazeer 2020, arXiv:2002.05202, eqs. 5 and 6.
    Lesson: notebooks/12_feedforward.ipynb
    """

    def __init__(
        self,
        d_model: int,
        config: FeedForwardConfig,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.act = GATED[config.kind] if config.kind in GATED else PLAIN[config.kind]

        def matrix(d_in: int, d_out: int) -> Linear:
            return Linear(d_in, d_out, bias=config.bias, device=device, dtype=dtype)

        self.gate = matrix(d_model, config.width) if config.kind in GATED else None
        self.up = matrix(d_model, config.width)
        self.down = matrix(config.width, d_model)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) to (B, T, D)."""
        if self.gate is None:
            return self.down(self.act(self.up(x)))
        return self.down(self.act(self.gate(x)) * self.up(x))
