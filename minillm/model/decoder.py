"""The decoder: a table, a stack of blocks, and a matrix back to the vocabulary.

- Built from a DecoderConfig alone; knows nothing of training, decoding or distribution.
- The embedding table is padded to a multiple of 128 rows. The padding is zero, is never read, and
  no logit is computed for it, so that it cannot be sampled.
- The parts are laid out on the meta device first, which allocates nothing; then the weights are
  drawn once, in initialise, where the caller wants them.
- RoPE's angles are computed in float32, as transformers does and as LLaMA was trained.
- With sinusoidal positions the embedding is multiplied by sqrt(D) first, as in the paper.

Shape letters (the table is in notebooks/NOTATION.md):
    B  batch      T  new positions      S  positions so far      D  model width      V  vocabulary
"""

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minillm.model.block import Block
from minillm.model.cache import KVCache
from minillm.model.config import DecoderConfig, count_parameters
from minillm.model.documents import document_mask, document_positions
from minillm.model.layers import Embedding, Linear
from minillm.model.norm import LayerNorm, RMSNorm, make_norm
from minillm.model.position import alibi_bias, alibi_slopes, sinusoidal
from minillm.model.rope import rope_angles


class Decoder(nn.Module):
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
        super().__init__()
        self.config = config
        rows, D, kind = config.padded_vocab_size, config.d_model, config.position.kind
        with torch.device("meta"):
            self.embedding = Embedding(rows, D, dtype=dtype)
            learned = kind == "learned"
            self.position = Embedding(config.context, D, dtype=dtype) if learned else None
            self.blocks = nn.ModuleList(Block(config, dtype=dtype) for _ in range(config.n_layers))
            pre = config.norm.place == "pre"
            self.final_norm = make_norm(config.norm, D, dtype=dtype) if pre else nn.Identity()
            self.head = None if config.tie_embeddings else Linear(D, rows, dtype=dtype)
        self._tables: dict[torch.device, tuple[Tensor, Tensor]] = {}  # RoPE's, made when needed
        self.to_empty(device=torch.get_default_device() if device is None else device)
        initialise(self)

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
                ALiBi ignores them: it counts the distance within the row.
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
        B, T = self._check_ids(ids)
        start = 0
        if cache is not None:
            cache.check_room(B, T)
            start = cache.length
        if documents is not None:
            if cache is not None or documents.shape != ids.shape:
                raise ValueError(
                    f"documents {tuple(documents.shape)} must have the shape of the ids, {(B, T)}, "
                    "and cannot be used with a cache: decode one document a row"
                )
            own = document_mask(documents)  # (B, 1, T, T)
            mask = own if mask is None else mask & own
            positions = document_positions(documents) if positions is None else positions
        x = self._embed(ids, positions, start)  # (B, T, D)
        rotation = self._rotation(x, positions, start)
        bias = self._alibi(x, start)
        for layer, block in enumerate(self.blocks):
            remember = None if cache is None else partial(cache.append, layer)
            x = block(x, mask, causal=causal, bias=bias, rotation=rotation, remember=remember)
        if cache is not None:
            cache.advance(T)
        return self.final_norm(x)

    def logits(self, x: Tensor) -> Tensor:
        """Map features (..., D) to logits (..., V)."""
        return F.linear(x, self.output_matrix())

    def output_matrix(self) -> Tensor:
        """Give the matrix of the logits, (V, D), without the rows that pad the vocabulary."""
        weight = self.embedding.weight if self.head is None else self.head.weight
        V = self.config.vocab_size
        return weight if weight.shape[0] == V else weight[:V]

    def n_parameters(self) -> int:
        """Count the trained numbers, without the padding of the vocabulary."""
        return count_parameters(self.config)

    def extra_repr(self) -> str:
        """Say the size when the model is printed."""
        return f"{self.n_parameters():,} parameters"

    def _check_ids(self, ids: Tensor) -> tuple[int, int]:
        if ids.ndim != 2 or ids.is_floating_point() or ids.dtype == torch.bool:
            raise ValueError(f"ids must be (B, T) integers, got {tuple(ids.shape)} {ids.dtype}")
        if ids.device.type == "cpu" and ids.numel():  # elsewhere a look would stall the device
            low, high = (int(i) for i in torch.aminmax(ids))
            V = self.config.vocab_size
            if low < 0 or high >= V:
                raise ValueError(f"id {low if low < 0 else high} is not in the vocabulary of {V}")
        return ids.shape[0], ids.shape[1]

    def _embed(self, ids: Tensor, positions: Tensor | None, start: int) -> Tensor:
        """Look up the ids, and add learned or sinusoidal positions: (B, T, D)."""
        x = self.embedding(ids)
        kind, T = self.config.position.kind, ids.shape[1]
        if kind not in ("learned", "sinusoidal"):
            return x
        if positions is None:
            if self.position is not None and start + T > self.position.n_rows:
                raise ValueError(
                    f"{start + T} positions do not fit in the {self.position.n_rows} learned ones; "
                    "shorten the text, or use a position kind without a table"
                )
            positions = torch.arange(start, start + T, device=ids.device)  # (T,)
        if self.position is not None:
            return x + self.position(positions)
        D = self.config.d_model
        return x * math.sqrt(D) + sinusoidal(positions, D).to(x.dtype)

    def _rotation(
        self, x: Tensor, positions: Tensor | None, start: int
    ) -> tuple[Tensor, Tensor] | None:
        """Give RoPE's cos and sin for these positions, each (T, H/2) or (B, T, H/2)."""
        if self.config.position.kind != "rope":
            return None
        H, theta = self.config.head_width, self.config.position.rope_theta
        angles = partial(rope_angles, head_width=H, theta=theta, dtype=torch.float32)
        if positions is not None:
            return angles(positions)
        end = start + x.shape[1]
        table = self._tables.get(x.device)
        if table is None or table[0].shape[0] < end:
            with torch.inference_mode(False):  # the table may later be used in training
                table = angles(torch.arange(max(end, self.config.context), device=x.device))
            self._tables[x.device] = table
        return table[0][start:end], table[1][start:end]

    def _alibi(self, x: Tensor, start: int) -> Tensor | None:
        """Give ALiBi's bias, (N, T, S)."""
        if self.config.position.kind != "alibi":
            return None
        keys = torch.arange(start + x.shape[1], device=x.device)  # (S,)
        slopes = torch.tensor(alibi_slopes(self.config.attention.n_heads), device=x.device)
        return alibi_bias(slopes, keys[start:], keys, dtype=x.dtype)


@torch.no_grad()
def initialise(model: Decoder) -> None:
    """Set every weight of a decoder to its start, in place, from torch's random generator.

        embedding, learned positions, head           normal, spread init_std
        projections to q, k, v; gate, up             normal, spread init_std
        projections back to x: out, down             normal, spread init_std / sqrt(2 n_layers)
        biases                                       0
        gains of the norms                           1
        rows that pad the vocabulary                 0

    2 n_layers sub-layers add to the residual stream; dividing by the root of their number keeps
    the spread of the sum from growing with depth.

    Args:
        model: a Decoder; on the meta device nothing happens.

    Source: Radford et al. 2019 (GPT-2), section 2.3.
    Lesson: notebooks/09_attention.ipynb
    """
    if model.embedding.weight.is_meta:
        return
    std, residual = model.config.init_std, (2 * model.config.n_layers) ** -0.5
    for name, module in model.named_modules():
        if isinstance(module, Linear | Embedding):
            back_to_x = name.endswith((".out", ".down"))
            nn.init.normal_(module.weight, std=std * residual if back_to_x else std)
        elif isinstance(module, RMSNorm | LayerNorm):
            nn.init.ones_(module.weight)
        bias = getattr(module, "bias", None)
        if bias is not None:
            nn.init.zeros_(bias)
    model.embedding.weight[model.config.vocab_size :] = 0
    if model.head is not None:
        model.head.weight[model.config.vocab_size :] = 0
