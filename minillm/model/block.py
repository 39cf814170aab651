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
with one more norm. In post-norm every block normalises the sum itself. `sandwich` is pre-norm with
one more norm behind each part; `deep` is post-norm with x multiplied by alpha before the sum. A
parallel block reads x once: attention and feed-forward see the same input, and both are added.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from minillm.model.attention_layer import Attention
from minillm.model.config import DecoderConfig
from minillm.model.feedforward import FeedForward
from minillm.model.moe import MixtureOfExperts
from minillm.model.norm import LayerNorm, RMSNorm, deepnorm_constants, make_norm

Part = Callable[[Tensor], Tensor]


class Block(nn.Module):
    """Attention and a feed-forward layer, each with a norm and a residual connection.

        pre:       x = x + f(norm(x))               for f = attention, then feedforward
        post:      x = norm(x + f(x))
        sandwich:  x = x + norm'(f(norm(x)))
        deep:      x = norm(alpha x + f(x))
        parallel:  x = x + attention(norm(x)) + feedforward(norm(x))

    Args:
        config: the model the block belongs to.
        device, dtype: where the weights live, and in what precision.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.1 (post); Xiong et al. 2020,
        arXiv:2002.04745, figure 1 (both); Ding et al. 2021 (CogView), arXiv:2105.13290, section
        2.4 (sandwich); Wang et al. 2022 (DeepNet), arXiv:2203.00555 (deep); Chowdhery et al. 2022
        (PaLM), arXiv:2204.02311, section 2 (parallel).
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
        D, place = config.d_model, config.norm.place

        def norm() -> RMSNorm | LayerNorm:
            return make_norm(config.norm, D, device=device, dtype=dtype)

        self.place = place
        self.residual_scale = 1.0
        if place == "deep":
            self.residual_scale = (
                config.norm.residual_scale or deepnorm_constants(config.n_layers)[0]
            )
        self.attention_norm = norm()
        self.attention = Attention(
            D,
            config.attention,
            interleaved=config.position.interleaved,
            device=device,
            dtype=dtype,
        )
        self.feedforward_norm = norm() if not config.parallel else None
        kind = FeedForward if config.feedforward.experts is None else MixtureOfExperts
        self.feedforward = kind(D, config.feedforward, device=device, dtype=dtype)
        self.attention_end = norm() if place == "sandwich" else None
        self.feedforward_end = norm() if place == "sandwich" else None

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        *,
        causal: bool = True,
        bias: Tensor | None = None,
        rotation: tuple[Tensor, Tensor] | None = None,
        remember: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> Tensor:
        """Map (B, T, D) to (B, T, D); the keywords are those of Attention.forward, besides
        memory, (B, S, D), which only a CrossBlock takes, and who may look at what of it."""

        def attend(h: Tensor) -> Tensor:
            return self.attention(
                h, mask, causal=causal, bias=bias, rotation=rotation, remember=remember
            )

        if self.feedforward_norm is None:  # parallel
            h = self.attention_norm(x)
            return x + attend(h) + self.feedforward(h)
        x = self.add(x, attend, self.attention_norm, self.attention_end)
        x = self.look_up(x, memory, memory_mask)
        return self.add(x, self.feedforward, self.feedforward_norm, self.feedforward_end)

    def look_up(self, x: Tensor, memory: Tensor | None, memory_mask: Tensor | None) -> Tensor:
        """Look into what an encoder has read; a plain block has nothing to look into."""
        if memory is not None:
            raise ValueError("a plain block has no cross-attention; use CrossBlock")
        return x

    def add(self, x: Tensor, part: Part, norm: Part, end: Part | None) -> Tensor:
        """Add what a part says to x, with the norms in their place."""
        if self.place == "pre":
            return x + part(norm(x))
        if end is not None:
            return x + end(part(norm(x)))
        return norm(self.residual_scale * x + part(x) if self.place == "deep" else x + part(x))


class CrossBlock(Block):
    """A block of an encoder-decoder's second stack: between its two parts it attends to the source.

        x = x + attention(norm(x));   x = x + cross(norm(x), memory);   x = x + feedforward(norm(x))

    Queries come from x, keys and values from the memory, which the encoder wrote.

    Args:
        config: the model the block belongs to.
        device, dtype: where the weights live, and in what precision.

    Raises:
        ValueError: if the config wants a parallel block.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.3.
    Lesson: notebooks/10_shapes.ipynb
    """

    def __init__(
        self,
        config: DecoderConfig,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(config, device=device, dtype=dtype)
        if config.parallel:
            raise ValueError("parallel=True leaves no place for cross-attention; set it to False")
        D = config.d_model
        self.cross_norm = make_norm(config.norm, D, device=device, dtype=dtype)
        self.cross = Attention(D, config.attention, device=device, dtype=dtype)
        sandwich = config.norm.place == "sandwich"
        self.cross_end = make_norm(config.norm, D, device=device, dtype=dtype) if sandwich else None

    def look_up(self, x: Tensor, memory: Tensor | None, memory_mask: Tensor | None) -> Tensor:
        """Attend to the memory, (B, S, D), and add what is found to x."""
        if memory is None:
            raise ValueError("cross-attention needs memory=, what the encoder has read")

        def cross(h: Tensor) -> Tensor:
            return self.cross(h, memory_mask, causal=False, source=memory)

        return self.add(x, cross, self.cross_norm, self.cross_end)
