"""A stack of blocks, with what tells it where a token stands: the body of every model here.

A Decoder is a stack with an embedding below and an output matrix above; an encoder-decoder is two
stacks, of which the second also looks into what the first has read.

RoPE's tables are made once, but for "dynamic" scaling: there each pass takes the angles for the
length that the text has now. Keys that a cache holds keep the turn they were given at a shorter
length, as in transformers; for the exact result read the text without a cache.

Shape letters (the table is in notebooks/NOTATION.md):
    B  batch      T  new positions      S  positions so far      D  model width
"""

import math
from functools import partial

import torch
from torch import Tensor, nn

from minillm.model.block import Block, CrossBlock
from minillm.model.cache import KVCache
from minillm.model.config import DecoderConfig
from minillm.model.layers import Embedding
from minillm.model.masks import window_mask
from minillm.model.norm import make_norm
from minillm.model.position import alibi_bias, alibi_slopes, sinusoidal
from minillm.model.relative import RelativeBias
from minillm.model.rope import rope_angles

ROPE_DTYPE = torch.float32  # as in transformers, and as LLaMA was trained


class Stack(nn.Module):
    """Blocks, one after another: features in, features out.

        x = x (+ positions);   x = block_l(x) for all l;   x = norm(x), where the config has it

    Args:
        config: the shape of the model.
        n_layers: blocks; None means config.n_layers.
        both_ways: T5's relative positions look to the right as well (an encoder).
        cross: the blocks also attend to what an encoder has read.
        dtype: of the weights; None means torch's default dtype.

    Lesson: notebooks/10_shapes.ipynb
    """

    def __init__(
        self,
        config: DecoderConfig,
        *,
        n_layers: int | None = None,
        both_ways: bool = False,
        cross: bool = False,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.build(config, n_layers=n_layers, both_ways=both_ways, cross=cross, dtype=dtype)

    def build(
        self,
        config: DecoderConfig,
        *,
        n_layers: int | None = None,
        both_ways: bool = False,
        cross: bool = False,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Make the parts. Apart from __init__, so that a Decoder can put its embedding first."""
        D, kind, place = config.d_model, config.position.kind, config.position
        n = config.n_layers if n_layers is None else n_layers
        make = CrossBlock if cross else Block
        self.position = Embedding(config.context, D, dtype=dtype) if kind == "learned" else None
        self.relative = None
        if kind == "t5":
            heads = config.attention.n_heads
            self.relative = RelativeBias(heads, place, both_ways=both_ways, dtype=dtype)
        self.embedding_norm = None
        if config.norm.embedding:
            self.embedding_norm = make_norm(config.norm, D, dtype=dtype)
        self.blocks = nn.ModuleList(make(config, dtype=dtype) for _ in range(n))
        last = config.norm.ends_the_stack
        self.final_norm = make_norm(config.norm, D, dtype=dtype) if last else nn.Identity()
        self._tables: dict[torch.device, tuple[Tensor, Tensor]] = {}  # RoPE's, made when needed

    def run(
        self,
        x: Tensor,
        *,
        cache: KVCache | None = None,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
        causal: bool = True,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> Tensor:
        """Take embedded tokens through all blocks, (B, T, D) to (B, T, D).

        Args:
            x: embedded tokens, (B, T, D).
            cache, mask, positions, causal: as in Decoder.forward.
            memory: what the encoder has read, (B, S, D); only for a stack with cross-attention.
            memory_mask: True = may attend, broadcastable to (B, N, T, S).
        """
        T, start = x.shape[1], 0 if cache is None else cache.length
        x = self._place(x, positions, start)
        rotation = self._rotation(x, positions, start)
        bias = self._score_bias(x, start)
        window = self.config.attention.window
        if window is not None:
            near = window_mask(window, T, start + T, device=x.device)  # (T, S)
            mask = near if mask is None else mask & near
        extra = {} if memory is None else {"memory": memory, "memory_mask": memory_mask}
        for layer, block in enumerate(self.blocks):
            remember = None if cache is None else partial(cache.append, layer)
            x = block(
                x, mask, causal=causal, bias=bias, rotation=rotation, remember=remember, **extra
            )
        if cache is not None:
            cache.advance(T)
        y: Tensor = self.final_norm(x)
        return y

    def _place(self, x: Tensor, positions: Tensor | None, start: int) -> Tensor:
        """Normalise the embedding where the config says so, and add learned or sinusoidal
        positions: (B, T, D)."""
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        kind, T = self.config.position.kind, x.shape[1]
        if kind not in ("learned", "sinusoidal"):
            return x
        if positions is None:
            if self.position is not None and start + T > self.position.n_rows:
                raise ValueError(
                    f"{start + T} positions do not fit in the {self.position.n_rows} learned ones; "
                    "shorten the text, or use a position kind without a table"
                )
            positions = torch.arange(start, start + T, device=x.device)  # (T,)
        if self.position is not None:
            return x + self.position(positions)
        D = self.config.d_model
        return x * math.sqrt(D) + sinusoidal(positions, D).to(x.dtype)

    def _rotation(
        self, x: Tensor, positions: Tensor | None, start: int
    ) -> tuple[Tensor, Tensor] | None:
        """Give RoPE's cos and sin for these positions, each (T, R/2) or (B, T, R/2)."""
        if self.config.position.kind != "rope":
            return None
        end, scaling = start + x.shape[1], self.config.position.scaling
        if positions is not None:
            return self._angles(positions)
        if scaling is not None and scaling.kind == "dynamic":  # other angles for other lengths
            return self._angles(torch.arange(start, end, device=x.device))
        table = self._tables.get(x.device)
        if table is None or table[0].shape[0] < end:
            with torch.inference_mode(False):  # the table may later be used in training
                table = self._angles(torch.arange(max(end, self.config.context), device=x.device))
            self._tables[x.device] = table
        return table[0][start:end], table[1][start:end]

    def _angles(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Compute RoPE's cos and sin; how long the text is so far, the last position says."""
        R, theta = self.config.rotary_width, self.config.position.rope_theta
        scaling = self.config.position.scaling
        if scaling is None:
            return rope_angles(positions, R, theta, dtype=ROPE_DTYPE)
        length = int(positions.max()) + 1 if scaling.kind == "dynamic" else 1
        return scaling.angles(positions, R, theta, length=length, dtype=ROPE_DTYPE)

    def _score_bias(self, x: Tensor, start: int) -> Tensor | None:
        """Give ALiBi's or T5's bias, (N, T, S)."""
        if self.config.position.kind not in ("alibi", "t5"):
            return None
        keys = torch.arange(start + x.shape[1], device=x.device)  # (S,)
        if self.relative is not None:
            bias: Tensor = self.relative(keys[start:], keys)
            return bias
        heads = self.config.attention.n_heads
        slopes = torch.tensor(alibi_slopes(heads), dtype=x.dtype, device=x.device)
        return alibi_bias(slopes, keys[start:], keys, dtype=x.dtype)
