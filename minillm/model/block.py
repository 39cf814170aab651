"""One block: attention mixes positions, the feed-forward layer works on each, both add to x.

    pre-norm                            post-norm

    x ----------+                       x ----------+
    |           |                       |           |
    |         norm                      |       attention
    |           |                       |           |
    |       attention                   +---( + )---+
    |           |                             |
    +---( + )---+                           norm
          |                                   |
    (the same with the feed-forward)    (the same with the feed-forward)

In pre-norm a sum runs through the whole stack untouched, and so does its gradient; the stack ends
with one more norm. In post-norm every block normalises the sum itself.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from minillm.model.attention import Attention
from minillm.model.config import DecoderConfig
from minillm.model.feedforward import FeedForward
from minillm.model.norm import make_norm


class Block(nn.Module):
    """Attention and a feed-forward layer, each with a norm and a residual connection.

        pre:   x = x + attention(norm(x));   x = x + feedforward(norm(x))
        post:  x = norm(x + attention(x));   x = norm(x + feedforward(x))

    Args:
        config: the model the block belongs to.
        device, dtype: where the weights live, and in what precision.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.1 (post); Xiong et al. 2020,
        arXiv:2002.04745, figure 1 (both).
    Lesson: notebooks/11_norm.ipynb
    """

    def __init__(
        self,
        config: DecoderConfig,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        D = config.d_model
        self.pre_norm = config.norm.place == "pre"
        self.attention_norm = make_norm(config.norm, D, device=device, dtype=dtype)
        self.attention = Attention(
            D,
            config.attention,
            interleaved=config.position.interleaved,
            device=device,
            dtype=dtype,
        )
        self.feedforward_norm = make_norm(config.norm, D, device=device, dtype=dtype)
        self.feedforward = FeedForward(D, config.feedforward, device=device, dtype=dtype)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        *,
        causal: bool = True,
        bias: Tensor | None = None,
        rotation: tuple[Tensor, Tensor] | None = None,
        remember: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
    ) -> Tensor:
        """Map (B, T, D) to (B, T, D); the keywords are those of Attention.forward."""

        def attend(h: Tensor) -> Tensor:
            return self.attention(
                h, mask, causal=causal, bias=bias, rotation=rotation, remember=remember
            )

        if self.pre_norm:
            x = x + attend(self.attention_norm(x))
            return x + self.feedforward(self.feedforward_norm(x))
        x = self.attention_norm(x + attend(x))
        return self.feedforward_norm(x + self.feedforward(x))
