"""Readers for rows of different length: how rollouts read prompts at once and go on.

A reader takes the ids that are new, (B, T), first the prompts and then a token a row, and returns
the logits after the last of each, (B, V). The prompts are padded on the left: their last tokens
stand in one column, and so do all that follow. Nobody sees the padding, and positions are counted
from each row's first token. keep(rows) drops all other rows.

- PaddedReader runs any Decoder, adapters and all: the definition.
- FusedPaddedReader does the same with a third of the operations, where FusedReader can.

Shape letters: B rows, P longest prompt, T new positions, S positions so far, N query heads,
    K key/value heads, H head width, D model width, V vocabulary.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from minillm.inference.readers import FusedReader, fusable
from minillm.model import Decoder, KVCache
from minillm.model.documents import document_mask


class PaddedReader:
    """Read left-padded rows, with keys and values kept.

    Args:
        model: a Decoder.
        real: True where the prompts have a token, (B, P): the end of each row.
        max_new_tokens: how many tokens may follow.

    Cost: P positions a row, then one a row and token.
    """

    def __init__(self, model: Decoder, real: Tensor, max_new_tokens: int) -> None:
        (B, P), weight = real.shape, model.embedding.weight
        self.model = model
        self.cache = KVCache(model.config, B, P + max_new_tokens, weight.dtype, weight.device)
        self.seen = F.pad(real, (0, max_new_tokens), value=True)  # (B, P + n)
        self.n_read = real.sum(dim=1)  # (B,)
        self.n_prompt = P

    def __call__(self, ids: Tensor) -> Tensor:
        """Read the prompts, (B, P), or a token a row, (B, 1); the logits after them, (B, V)."""
        if self.cache.length == 0:
            real = self.seen[:, : self.n_prompt]
            mask = document_mask(real.long())  # (B, 1, P, P): the padding sees itself, no NaN
            positions = (real.cumsum(dim=1) - 1).clamp(min=0)  # (B, P)
        else:
            mask = self.seen[:, None, None, : self.cache.length + 1]  # (B, 1, 1, S)
            positions = self.n_read[:, None]  # (B, 1)
            self.n_read = self.n_read + 1
        x = self.model.features(ids, cache=self.cache, mask=mask, positions=positions)
        return self.model.logits(x[:, -1])

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these, (R,); row i becomes what row rows[i] was."""
        cache = self.cache
        cache.keys = cache.keys.index_select(1, rows)
        cache.values = cache.values.index_select(1, rows)
        cache.batch_size = len(rows)
        self.seen, self.n_read = self.seen[rows], self.n_read[rows]


class FusedPaddedReader(FusedReader):
    """Read left-padded rows as FusedReader reads rows of one length: see there.

    RoPE turns by differences of positions only, so places in the padded row do for positions.

    Args:
        model: a Decoder for which fusable is true; its weights are copied as they are now.
        real, max_new_tokens: as for PaddedReader.
    """

    def __init__(self, model: Decoder, real: Tensor, max_new_tokens: int) -> None:
        B, P = real.shape
        super().__init__(model, B, P + max_new_tokens)
        self.ragged = not bool(real.all())
        self.prompt = real
        self.seen = F.pad(real, (0, max_new_tokens), value=True)[:, None, None]  # (B, 1, 1, P + n)

    def __call__(self, ids: Tensor) -> Tensor:
        """Read the prompts, (B, P), or a token a row, (B, 1); the logits after them, (B, V)."""
        if self.length == 0:
            return self._begin(ids, self._read_prompts)
        return self._token(ids[:, 0])

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these, (R,); row i becomes what row rows[i] was."""
        self.memory = [memory[rows] for memory in self.memory]
        self.seen = self.seen[rows]

    def _read_prompts(self, ids: Tensor) -> Tensor:
        model, cache = self.first.model, self.first.cache
        mask = document_mask(self.prompt.long()) if self.ragged else None
        return model.logits(model.features(ids, cache=cache, mask=mask)[:, -1])

    def _token(self, ids: Tensor) -> Tensor:
        """Read one token a row, (B,); the logits after it, (B, V). See FusedReader._follow."""
        B, N, H, here = len(ids), self.n_heads, self.width, self.length
        self.length = end = here + 1
        mask = self.seen[..., :end] if self.ragged else None
        x = F.embedding(ids, self.embedding)  # (B, D)
        turn = self.turns[here]  # (N + 2 K, H/2)
        for (w_qkv, w_out, w_in, w_down), memory in zip(self.layers, self.memory, strict=True):
            qkv = torch.mm(self._norm(x), w_qkv).view(B, -1, H // 2, 2)
            qkv = torch.view_as_real(torch.view_as_complex(qkv) * turn).view(B, -1, 1, H)
            memory[:, :, here:end] = qkv[:, N:]
            k, v = memory[:, :, :end].chunk(2, dim=1)  # (B, K, S, H)
            y = F.scaled_dot_product_attention(
                qkv[:, :N], k, v, attn_mask=mask, scale=1.0, enable_gqa=self.shared
            )  # (B, N, 1, H)
            x = torch.addmm(x, y.reshape(B, N * H), w_out)
            gate, up = torch.mm(self._norm(x), w_in).chunk(2, dim=1)  # (B, F)
            x = torch.addmm(x, F.silu(gate).mul_(up), w_down)
        return torch.mm(self._norm(x), self.head)


RaggedReader = PaddedReader | FusedPaddedReader


def make_ragged_reader(
    model: Decoder, real: Tensor, max_new_tokens: int, *, fast: bool = True
) -> RaggedReader:
    """Choose the fastest reader that fits.

    Args:
        model: a Decoder.
        real: True where the prompts have a token, (B, P), each row's at its end.
        max_new_tokens: how many tokens may follow.
        fast: False takes the definition.

    Raises:
        ValueError: if the model is no Decoder, or a row has no token or has one left of a gap.
    """
    if not isinstance(model, Decoder):
        raise ValueError(f"{type(model).__name__} has no cache: rollouts need a Decoder")
    ends = real[:, -1].all() and bool((real[:, 1:] >= real[:, :-1]).all())
    if real.ndim != 2 or real.dtype != torch.bool or not ends:
        raise ValueError("real must be (B, P), boolean, and True up to the end of each row only")
    if fast and fusable(model):
        return FusedPaddedReader(model, real, max_new_tokens)
    return PaddedReader(model, real, max_new_tokens)
