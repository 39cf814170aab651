"""The decoder: a table, a stack of blocks, and a matrix back to the vocabulary.

- Built from a DecoderConfig alone; knows nothing of training, decoding or distribution.
- The embedding table is padded to a multiple of 128 rows. The padding is zero, is never read, and
  no logit is computed for it, so that it cannot be sampled.
- The parts are laid out on the meta device first, which allocates nothing; then the weights are
  drawn once, in initialise, where the caller wants them.
- RoPE's angles are computed in float32, as transformers does and as LLaMA was trained.
- With sinusoidal positions the embedding is multiplied by sqrt(D) first, as in the paper.
- What else a model may have (config): a norm on the embedding (BLOOM), an output matrix with rows
  of length 1 (Baichuan-2), a window of attention (Mistral), T5's positions, experts (Mixtral).

Shape letters (the table is in notebooks/NOTATION.md):
    B  batch      T  new positions      S  positions so far      D  model width      V  vocabulary
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minillm.model.cache import KVCache
from minillm.model.config import DecoderConfig, count_parameters
from minillm.model.documents import document_mask, document_positions
from minillm.model.initialise import initialise
from minillm.model.layers import Embedding, Linear
from minillm.model.stack import Stack


class Decoder(Stack):
    """A causal language model: ids in, one logit for each entry of the vocabulary out.

        x = embedding[ids] (+ positions);   x = block_l(x) for all l;   logits = norm(x) W^T

    Args:
        config: the shape of the model.
        device: where the weights live; None means torch's default device. On "meta" nothing is
            allocated.
        dtype: of the weights; None means torch's default dtype.

    Cost: config.flops_per_token(config) / 3 FLOPs a token forward.
    Source: Radford et al. 2019 (GPT-2); Touvron et al. 2023 (LLaMA), arXiv:2302.13971, section 2.
    Lesson: notebooks/09_attention.ipynb
    """

    def __init__(
        self,
        config: DecoderConfig,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        nn.Module.__init__(self)
        self.config = config
        rows, D = config.padded_vocab_size, config.d_model
        with torch.device("meta"):
            self.embedding = Embedding(rows, D, dtype=dtype)
            self.build(config, dtype=dtype)
            self.head = None if config.tie_embeddings else Linear(D, rows, dtype=dtype)
        self.to_empty(device=torch.get_default_device() if device is None else device)
        initialise(self, config)

    def forward(
        self,
        ids: Tensor,
        *,
        cache: KVCache | None = None,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
        causal: bool = True,
        documents: Tensor | None = None,
    ) -> Tensor:
        """Predict what follows each position.

        Args:
            ids: token ids, (B, T), integers in [0, V).
            cache: what was said before; ids continue it and are added to it. None: ids are all.
            mask: True = may attend, broadcastable to (B, N, T, S), besides causality.
            positions: of the ids, (T,) or (B, T); None counts on from the length of the cache.
                ALiBi and T5 ignore them: they count the distance within the row.
            causal: False lets every position see every other, as an encoder does.
            documents: numbers, (B, T), that say where one document ends and the next begins.
                Attention stays within a document, and positions start anew in each (unless
                positions are given). None: a row is one document.

        Returns:
            Logits, (B, T, V), in the dtype of the weights.

        Raises:
            ValueError: if the ids are not (B, T) integers in [0, V), do not fit in the cache, or
                reach beyond the table of learned positions; or if documents do not fit the ids,
                or come together with a cache.
        """
        x = self.features(
            ids, cache=cache, mask=mask, positions=positions, causal=causal, documents=documents
        )
        return self.logits(x)

    def features(
        self,
        ids: Tensor,
        *,
        cache: KVCache | None = None,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
        causal: bool = True,
        documents: Tensor | None = None,
    ) -> Tensor:
        """Compute the last hidden state, (B, T, D), normalised; arguments as in forward.

        Decoding needs logits at the last position only: logits(features(ids, cache=cache)[:, -1:]).
        """
        B, T = check_ids(ids, self.config.vocab_size)
        if cache is not None:
            cache.check_room(B, T)
        if documents is not None:
            if cache is not None or documents.shape != ids.shape:
                raise ValueError(
                    f"documents {tuple(documents.shape)} must have the shape of the ids, {(B, T)}, "
                    "and cannot be used with a cache: decode one document a row"
                )
            own = document_mask(documents)  # (B, 1, T, T)
            mask = own if mask is None else mask & own
            positions = document_positions(documents) if positions is None else positions
        x = self.embedding(ids)  # (B, T, D)
        return self.run(x, cache=cache, mask=mask, positions=positions, causal=causal)

    def logits(self, x: Tensor) -> Tensor:
        """Map features (..., D) to logits (..., V)."""
        return F.linear(x, self.output_matrix())

    def output_matrix(self) -> Tensor:
        """Give the matrix of the logits, (V, D), without the rows that pad the vocabulary."""
        weight: Tensor = self.embedding.weight if self.head is None else self.head.weight
        V = self.config.vocab_size
        weight = weight if weight.shape[0] == V else weight[:V]
        return F.normalize(weight, dim=-1, eps=1e-12) if self.config.norm.head else weight

    def n_parameters(self) -> int:
        """Count the trained numbers, without the padding of the vocabulary."""
        return count_parameters(self.config)

    def extra_repr(self) -> str:
        """Say the size when the model is printed."""
        return f"{self.n_parameters():,} parameters"


def check_ids(ids: Tensor, vocab_size: int) -> tuple[int, int]:
    """Refuse ids that are no integers (B, T) in [0, V), by name; return B and T."""
    if ids.ndim != 2 or ids.is_floating_point() or ids.dtype == torch.bool:
        raise ValueError(f"ids must be (B, T) integers, got {tuple(ids.shape)} {ids.dtype}")
    if ids.device.type == "cpu" and ids.numel():  # elsewhere a look would stall the device
        low, high = (int(i) for i in torch.aminmax(ids))
        if low < 0 or high >= vocab_size:
            raise ValueError(
                f"id {low if low < 0 else high} is not in the vocabulary of {vocab_size}"
            )
    return ids.shape[0], ids.shape[1]
