"""A decoder with learned keys and values to the left of its text, and nothing else changed.

    keys(layer) = [P_k ; k_1 .. k_T]        values(layer) = [P_v ; v_1 .. v_T]

- Where P_k and P_v come from is a module of its own, the source: free numbers (prefix tuning),
  what the frozen blocks make of learned embeddings (prompt tuning), or a network; see prompts.py.
- They enter through the interface of the key/value cache. The model's code does not know of them:
  to it they are positions that were read earlier, so the text starts at position P.
- The PrefixedDecoder shares all parts with the decoder it was made of, under the same names. Its
  output has the T positions of the text; what the prefix "says" is nobody's business.

Shape letters (the table is in notebooks/NOTATION.md):
    B  batch     T  new positions     S  positions so far     P  positions of the prefix
    L  layers    K  key/value heads   H  head width           D  model width
"""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minillm.finetune.parts import freeze
from minillm.model import Decoder, DecoderConfig, KVCache
from minillm.model.stack import Stack


class Source(Protocol):
    """What makes a prefix: a module with a length and this one method."""

    n_tokens: int

    def keys_values(self, model: "PrefixedDecoder") -> tuple[Tensor, Tensor]:
        """Give keys and values of all layers, each (L, K, P, H), as attention reads them."""
        ...


class ListeningCache(KVCache):
    """A cache that keeps what each layer says as it is, with its gradient, and copies nothing."""

    def __init__(self) -> None:
        self.length = 0
        self.heard: list[tuple[Tensor, Tensor]] = []

    def check_room(self, batch_size: int, n_new: int) -> None:
        """There is always room."""

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Note keys and values, (B, K, T, H), and give them back."""
        self.heard.append((k, v))
        return k, v

    def advance(self, n_new: int) -> None:
        """Move on by n_new positions."""
        self.length += n_new

    def keys_values(self) -> tuple[Tensor, Tensor]:
        """Give what was heard from a single sequence, each (L, K, T, H)."""
        keys, values = zip(*self.heard, strict=True)
        return torch.cat(keys), torch.cat(values)


class PrefixCache(KVCache):
    """A prefix in front of a cache, or in front of nothing.

    Args:
        keys, values: of the prefix, (L, K, P, H).
        cache: what was read of the text so far; None if the text begins now.
    """

    def __init__(self, keys: Tensor, values: Tensor, cache: KVCache | None) -> None:
        self.prefix_keys, self.prefix_values, self.cache = keys, values, cache
        self.length = keys.shape[2] + (0 if cache is None else cache.length)

    def check_room(self, batch_size: int, n_new: int) -> None:
        """Ask the cache behind the prefix."""
        if self.cache is not None:
            self.cache.check_room(batch_size, n_new)

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Give keys and values of prefix and text, each (B, K, P + S, H)."""
        B = k.shape[0]
        if self.cache is not None:
            k, v = self.cache.append(layer, k, v)
        front_k = self.prefix_keys[layer].to(k.dtype).expand(B, -1, -1, -1)
        front_v = self.prefix_values[layer].to(v.dtype).expand(B, -1, -1, -1)
        return torch.cat([front_k, k], dim=2), torch.cat([front_v, v], dim=2)

    def advance(self, n_new: int) -> None:
        """Move on by n_new positions."""
        if self.cache is not None:
            self.cache.advance(n_new)
        self.length += n_new


class PrefixedDecoder(Decoder):
    """A frozen decoder that reads every text after a learned prefix.

    Masks and documents are those of the text; every position may look at the whole prefix.
    Positions count on from P. A KVCache holds the text alone, so that it needs no more room than
    without a prefix.

    Args:
        model: a Decoder. Its parts are shared, and its parameters are frozen.
        source: where the prefix comes from; its parameters are what is trained.

    Raises:
        ValueError: if the model has a prefix already, or the prefix and the context together do
            not fit into a table of learned positions.

    Cost: each position attends to P more keys and values; 4 N P H FLOPs a layer and position.
    Source: Li and Liang 2021, arXiv:2101.00190, section 4.2.
    Lesson: notebooks/32_peft.ipynb
    """

    def __init__(self, model: Decoder, source: nn.Module) -> None:
        if isinstance(model, PrefixedDecoder):
            raise ValueError("the model has a prefix already; make the new one from model.base()")
        nn.Module.__init__(self)
        self.config: DecoderConfig = freeze(model).config  # type: ignore[assignment]
        self._tables = model._tables
        for name, part in model.named_children():
            self.add_module(name, part)
        for name in ("position", "relative", "embedding_norm", "head"):
            if getattr(model, name) is None:
                setattr(self, name, None)
        self.source = source
        self.train(model.training)
        P, table = source.n_tokens, self.position
        if table is not None and table.n_rows <= P:  # type: ignore[operator]
            raise ValueError(
                f"a prefix of {P} leaves no room in {table.n_rows} learned positions; shorten it"
            )

    @property
    def n_prefix(self) -> int:
        """P, positions of the prefix."""
        return self.source.n_tokens  # type: ignore[return-value]

    def keys_values(self) -> tuple[Tensor, Tensor]:
        """Give the prefix of all layers, keys and values, each (L, K, P, H)."""
        keys, values = self.source.keys_values(self)  # type: ignore[operator]
        return keys, values

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Let the blocks read embeddings, (P, D), without a prefix; give their keys and values.

        Returns:
            Keys and values, each (L, K, P, H), with the gradient back to x.
        """
        cache = ListeningCache()
        Stack.run(self, x[None], cache=cache)
        return cache.keys_values()

    def run(  # type: ignore[override]
        self,
        x: Tensor,
        *,
        cache: KVCache | None = None,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
        causal: bool = True,
    ) -> Tensor:
        """Take embedded tokens, (B, T, D), through all blocks, behind the prefix."""
        front = PrefixCache(*self.keys_values(), cache)
        if mask is not None:
            S = x.shape[1] + (0 if cache is None else cache.length)
            mask = F.pad(mask.expand(*mask.shape[:-1], S), (self.n_prefix, 0), value=True)
        if positions is not None:
            positions = positions + self.n_prefix
        return super().run(x, cache=front, mask=mask, positions=positions, causal=causal)

    def base(self) -> Decoder:
        """Give the decoder without the prefix, still frozen; it shares all parts with this one."""
        bare = Decoder(self.config, device="meta")
        for name, part in self.named_children():
            if name != "source":
                setattr(bare, name, part)
        bare._tables = self._tables
        return bare.train(self.training)
