"""The encoder-decoder: one stack reads the source both ways, another writes and looks into it.

- The same blocks as the Decoder's; the second stack has cross-attention in each.
- One embedding serves both stacks and, tied, the output.
- T5 is one of these: see presets.t5_small.

Shape letters (the table is in notebooks/NOTATION.md):
    B  batch     S  source positions     T  target positions     D  model width     V  vocabulary
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minillm.model.cache import KVCache
from minillm.model.config import DecoderConfig, count_parameters
from minillm.model.decoder import check_ids
from minillm.model.initialise import initialise
from minillm.model.layers import Embedding, Linear
from minillm.model.stack import Stack


@dataclass(frozen=True)
class EncoderDecoderConfig:
    """The shape of an encoder-decoder.

    Attributes:
        decoder: of the writing stack, and of all that both share (width, heads, norms, positions).
        n_encoder_layers: blocks of the reading stack.
    """

    decoder: DecoderConfig
    n_encoder_layers: int

    def __post_init__(self) -> None:
        if self.n_encoder_layers < 1:
            raise ValueError(f"n_encoder_layers must be at least 1, got {self.n_encoder_layers}")
        if self.decoder.parallel:
            raise ValueError("decoder.parallel leaves no place for cross-attention; use False")
        if self.decoder.feedforward.experts is not None:
            raise ValueError("decoder.feedforward.experts: experts are for decoders only")


class EncoderDecoder(nn.Module):
    """Source and target ids in, one logit for each entry of the vocabulary out.

        memory = encoder(embedding[source]);   logits = decoder(embedding[target], memory) W^T

    With tied embeddings the features are divided by sqrt(D) before the product, as T5 does.

    Args:
        config: the shape of the model.
        device, dtype: as in Decoder.

    Cost: source positions go through the reading stack once, target positions through the other.
    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3; Raffel et al. 2019 (T5),
        arXiv:1910.10683, section 2.1.
    Lesson: notebooks/10_shapes.ipynb
    """

    def __init__(
        self,
        config: EncoderDecoderConfig,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.config, shape = config, config.decoder
        rows, D = shape.padded_vocab_size, shape.d_model
        with torch.device("meta"):
            self.embedding = Embedding(rows, D, dtype=dtype)
            self.encoder = Stack(
                shape, n_layers=config.n_encoder_layers, both_ways=True, dtype=dtype
            )
            self.decoder = Stack(shape, cross=True, dtype=dtype)
            self.head = None if shape.tie_embeddings else Linear(D, rows, dtype=dtype)
        self.to_empty(device=torch.get_default_device() if device is None else device)
        initialise(self, shape)

    def forward(
        self, source: Tensor, target: Tensor, *, source_mask: Tensor | None = None
    ) -> Tensor:
        """Predict what follows each position of the target.

        Args:
            source: token ids, (B, S), integers in [0, V).
            target: token ids, (B, T); position t sees target[:, :t + 1] and all of the source.
            source_mask: True = a token, False = padding, (B, S); None: no padding.

        Returns:
            Logits, (B, T, V), in the dtype of the weights.

        Raises:
            ValueError: if ids are not (B, S) and (B, T) integers in [0, V) of one B, or the mask
                does not fit the source.
        """
        memory = self.encode(source, source_mask)
        return self.decode(target, memory, source_mask)

    def encode(self, source: Tensor, source_mask: Tensor | None = None) -> Tensor:
        """Read the source, (B, S) ids, and return the memory, (B, S, D)."""
        check_ids(source, self.config.decoder.vocab_size)
        mask = self._see(source_mask, source)
        return self.encoder.run(self.embedding(source), mask=mask, causal=False)

    def decode(
        self,
        target: Tensor,
        memory: Tensor,
        source_mask: Tensor | None = None,
        *,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Give the logits after each target id, (B, T, V); with a cache, target continues it.

        Args:
            target: token ids, (B, T).
            memory: from encode, (B, S, D).
            source_mask: as in forward.
            cache: of this model's decoder config; keys and values of the memory are not in it.
        """
        B, T = check_ids(target, self.config.decoder.vocab_size)
        if memory.shape[0] != B:
            raise ValueError(f"target has {B} rows, the memory {memory.shape[0]}")
        if cache is not None:
            cache.check_room(B, T)
        seen = self._see(source_mask, memory)
        x = self.decoder.run(self.embedding(target), cache=cache, memory=memory, memory_mask=seen)
        V = self.config.decoder.vocab_size
        if self.head is not None:
            return F.linear(x, self.head.weight[:V])
        return F.linear(x * x.shape[-1] ** -0.5, self.embedding.weight[:V])

    def n_parameters(self) -> int:
        """Count the trained numbers, without the padding of the vocabulary."""
        return count_encoder_decoder(self.config)

    def extra_repr(self) -> str:
        """Say the size when the model is printed."""
        return f"{self.n_parameters():,} parameters"

    @staticmethod
    def _see(source_mask: Tensor | None, source: Tensor) -> Tensor | None:
        """Turn (B, S) into a mask of attention, (B, 1, 1, S)."""
        if source_mask is None:
            return None
        if source_mask.shape != source.shape[:2] or source_mask.dtype != torch.bool:
            raise ValueError(
                f"source_mask must be booleans {tuple(source.shape[:2])}, True = a token; got "
                f"{tuple(source_mask.shape)} {source_mask.dtype}"
            )
        return source_mask[:, None, None, :]


def count_encoder_decoder(config: EncoderDecoderConfig) -> int:
    """Count every trained number of an encoder-decoder, exactly, without building it.

        two stacks, cross-attention with its norm in each block of the second, one table

    Returns:
        The number of parameters: 60 506 624 for T5-small.

    Lesson: notebooks/10_shapes.ipynb
    """
    shape = config.decoder
    whole = count_parameters(shape)
    table = shape.vocab_size * shape.d_model * (1 if shape.tie_embeddings else 2)
    outside = _outside(shape)
    a_block = (whole - table - outside) // shape.n_layers
    a, D = shape.attention, shape.d_model
    norm = D if shape.norm.kind == "rmsnorm" else 2 * D
    cross = 2 * D * shape.head_width * (a.n_heads + a.key_heads)
    cross += norm * (2 if shape.norm.place == "sandwich" else 1)
    if a.bias:
        cross += shape.head_width * (a.n_heads + 2 * a.key_heads) + (D if a.bias is True else 0)
    blocks = a_block * (shape.n_layers + config.n_encoder_layers) + cross * shape.n_layers
    return table + 2 * outside + blocks


def _outside(shape: DecoderConfig) -> int:
    """Numbers of a stack outside its blocks: positions and the norms around them."""
    norm = shape.d_model if shape.norm.kind == "rmsnorm" else 2 * shape.d_model
    n = norm * (shape.norm.ends_the_stack + shape.norm.embedding)
    if shape.position.kind == "learned":
        n += shape.context * shape.d_model
    if shape.position.kind == "t5":
        n += shape.position.n_buckets * shape.attention.n_heads
    return n
