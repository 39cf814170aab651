"""How a model reads the text it continues: three readers of one behaviour, the simplest first.

A reader takes the ids that are new, (B, T), and returns the logits that follow the last of them,
(B, V); each(ids) returns those that follow every one, (B, T, V); truncate(length) forgets what
stands behind. Tests hold the three equal.

- AnewReader reads the whole text again for every token: the definition.
- CachedReader keeps the keys and values of what it has read.
- FusedReader does that too, and takes all further tokens through matrices prepared for it: on a
  small model most of the time goes into starting operations, not into arithmetic, and it starts
  a third as many.

Shape letters: B batch, T new positions, S positions so far, N query heads, K key/value heads,
    H head width, D model width, F feed-forward width, V vocabulary.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minillm.model import Decoder, DecoderConfig, KVCache, NormConfig, RMSNorm
from minillm.model.attention_layer import Attention
from minillm.model.block import Block
from minillm.model.feedforward import FeedForward
from minillm.model.layers import Embedding, Linear
from minillm.model.rope import half_to_interleaved, rope_angles

FUSE_UP_TO = 64_000_000  # parameters: above that arithmetic outweighs, and the copy costs memory
_PLAIN = {Decoder, nn.ModuleList, Block, Attention, FeedForward, Linear, Embedding, RMSNorm}


class AnewReader:
    """Read the whole text again for every token.

    Args:
        model: maps ids (B, S) to logits (B, S, V).

    Cost: S positions for one token.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.text: Tensor | None = None

    def __call__(self, ids: Tensor) -> Tensor:
        """Read ids, (B, T), and return the logits after the last one, (B, V)."""
        return self.each(ids)[:, -1]

    def each(self, ids: Tensor) -> Tensor:
        """Read ids, (B, T), and return the logits after each, (B, T, V)."""
        self.text = ids if self.text is None else torch.cat([self.text, ids], dim=1)
        logits: Tensor = self.model(self.text)
        return logits[:, -ids.shape[1] :]

    @property
    def length(self) -> int:
        """Positions read so far."""
        return 0 if self.text is None else self.text.shape[1]

    def truncate(self, length: int) -> None:
        """Forget everything after the first `length` positions."""
        _check_length(length, self.length)
        self.text = None if self.text is None or length == 0 else self.text[:, :length]


class CachedReader:
    """Read only what is new, with the keys and values of the rest kept in a KVCache.

    Args:
        model: a Decoder.
        batch_size: B.
        max_length: positions there is room for.

    Cost: T positions; reads all weights once.
    """

    def __init__(self, model: Decoder, batch_size: int, max_length: int) -> None:
        weight = model.embedding.weight
        self.model = model
        self.cache = KVCache(model.config, batch_size, max_length, weight.dtype, weight.device)

    def __call__(self, ids: Tensor) -> Tensor:
        """Read ids, (B, T), and return the logits after the last one, (B, V)."""
        return self.model.logits(self.model.features(ids, cache=self.cache)[:, -1])

    def each(self, ids: Tensor) -> Tensor:
        """Read ids, (B, T), and return the logits after each, (B, T, V)."""
        return self.model.logits(self.model.features(ids, cache=self.cache))

    @property
    def length(self) -> int:
        """Positions read so far."""
        return self.cache.length

    def truncate(self, length: int) -> None:
        """Forget everything after the first `length` positions."""
        self.cache.truncate(length)


class FusedReader:
    """Read a prompt as CachedReader does, and what follows with as few operations as possible.

    - The gains of the norms, the sqrt(D) of RMSNorm and the 1/sqrt(H) of attention are multiplied
      into the matrices that follow; what is left of a norm is x / hypot(|x|, sqrt(D eps)).
    - Queries, keys and values come from one product, gate and up from another.
    - Query and key rows are put into the interleaved layout (scores do not notice), so that RoPE
      is one product of complex numbers; those for the values are 1.

    Args:
        model: a Decoder for which fusable is true; its weights are copied as they are now.
        batch_size: B.
        max_length: positions there is room for.

    Cost: as CachedReader in arithmetic; about 20 operations a layer and token where it has 60.
    """

    def __init__(self, model: Decoder, batch_size: int, max_length: int) -> None:
        config, D = model.config, model.config.d_model
        self.first = CachedReader(model, batch_size, max_length)
        self.n_heads, self.width = config.attention.n_heads, config.head_width
        self.shared = config.attention.key_heads != self.n_heads
        self.eps = torch.tensor(math.sqrt(D * config.norm.eps), dtype=model.embedding.weight.dtype)
        self.embedding = model.embedding.weight
        self.layers = [_fuse(block, config) for block in model.blocks]  # type: ignore[arg-type]
        gain = model.final_norm.weight * math.sqrt(D)  # type: ignore[operator]
        self.head = (model.output_matrix() * gain).T.contiguous()  # (D, V)
        self.turns = _turns(config, max_length, self.embedding.dtype)
        self.memory: list[Tensor] = []  # a layer: (B, 2 K, max_length, H), keys before values
        self.masks: dict[int, Tensor] = {}  # see _mask
        self.length = 0

    def __call__(self, ids: Tensor) -> Tensor:
        """Read ids, (B, T), and return the logits after the last one, (B, V)."""
        return self._follow(ids)[:, -1] if self.length else self._begin(ids, self.first)

    def each(self, ids: Tensor) -> Tensor:
        """Read ids, (B, T), and return the logits after each, (B, T, V)."""
        return self._follow(ids) if self.length else self._begin(ids, self.first.each)

    def truncate(self, length: int) -> None:
        """Forget everything after the first `length` positions."""
        _check_length(length, self.length)
        self.length = length
        if length == 0:  # the next prompt is the first reader's again
            self.first.truncate(0)

    def _begin(self, ids: Tensor, read: Callable[[Tensor], Tensor]) -> Tensor:
        """Read the prompt, (B, T), and take over the keys and values; what `read` returns."""
        logits = read(ids)
        cache, config = self.first.cache, self.first.model.config
        self.length = cache.length
        keys = cache.keys if config.position.interleaved else _interleave(cache.keys)
        self.memory = [torch.cat(kv, dim=1) for kv in zip(keys, cache.values, strict=True)]
        return logits

    def _follow(self, ids: Tensor) -> Tensor:
        """Read further tokens, (B, T); return the logits after each, (B, T, V)."""
        (B, T), N, H, start = ids.shape, self.n_heads, self.width, self.length
        end = start + T
        x = F.embedding(ids.reshape(-1), self.embedding)  # (B T, D)
        turn = self.turns[start:end]  # (T, N + 2 K, H/2)
        mask = None if T == 1 else self._mask(T)
        for (w_qkv, w_out, w_in, w_down), memory in zip(self.layers, self.memory, strict=True):
            qkv = torch.mm(self._norm(x), w_qkv).view(B, T, -1, H // 2, 2)
            qkv = torch.view_as_real(torch.view_as_complex(qkv) * turn).view(B, T, -1, H)
            qkv = qkv.transpose(1, 2)  # (B, N + 2 K, T, H)
            memory[:, :, start:end] = qkv[:, N:]
            k, v = memory[:, :, :end].chunk(2, dim=1)  # (B, K, S, H)
            y = F.scaled_dot_product_attention(
                qkv[:, :N], k, v, attn_mask=mask, scale=1.0, enable_gqa=self.shared
            )  # (B, N, T, H)
            x = torch.addmm(x, y.transpose(1, 2).reshape(B * T, N * H), w_out)
            gate, up = torch.mm(self._norm(x), w_in).chunk(2, dim=1)  # (B T, F)
            x = torch.addmm(x, F.silu(gate).mul_(up), w_down)
        self.length = end
        return torch.mm(self._norm(x), self.head).view(B, T, -1)

    def _mask(self, T: int) -> Tensor:
        """What T queries add to their scores: minus infinity to the right of each, (T, S)."""
        if T not in self.masks:  # as wide as any text; the part that ends at T is what is used
            L = len(self.turns)
            self.masks[T] = torch.full((T, L + T), -math.inf, dtype=self.eps.dtype).triu(L + 1)
        return self.masks[T][:, len(self.turns) - self.length :]

    def _norm(self, x: Tensor) -> Tensor:
        """RMSNorm without its gain and without sqrt(D): x / sqrt(|x|^2 + D eps)."""
        return x / torch.hypot(torch.linalg.vector_norm(x, dim=-1, keepdim=True), self.eps)


Reader = AnewReader | CachedReader | FusedReader


def fusable(model: nn.Module) -> bool:
    """Say whether FusedReader knows every part of a model.

    Args:
        model: any module.

    Returns:
        True for a bare Decoder of LLaMA's kind (RMSNorm before each part, RoPE not scaled, SwiGLU,
        no biases) of at most 64 M parameters in float32 or float64 on a CPU. Adapters, hooks and
        parts of other classes make it False.
    """
    if type(model) is not Decoder:
        return False
    c, weight = model.config, model.embedding.weight
    llama = c.norm == NormConfig("rmsnorm", c.norm.eps) and c.position.kind == "rope"
    llama = llama and c.position.rotary_share == 1 and c.position.scaling is None
    llama = llama and not c.parallel
    llama = llama and c.feedforward.kind == "swiglu" and c.feedforward.experts is None
    llama = llama and not (c.attention.bias or c.feedforward.bias)
    llama = llama and c.attention.window is None and c.attention.scaled
    small = weight.device.type == "cpu" and model.n_parameters() <= FUSE_UP_TO
    wide = all(p.dtype == weight.dtype for p in model.parameters())
    wide = wide and weight.dtype in (torch.float32, torch.float64)
    plain = all(
        type(m) in _PLAIN and not (m._forward_hooks or m._forward_pre_hooks)
        for m in model.modules()
    )
    return llama and small and wide and plain


def _check_length(length: int, held: int) -> None:
    if not 0 <= length <= held:
        raise ValueError(f"can keep 0 to {held} positions, got {length}")


def make_reader(
    model: nn.Module, batch_size: int, max_length: int, *, use_cache: bool = True
) -> Reader:
    """Choose the fastest reader that fits.

    Args:
        model: a Decoder; any model that maps ids to logits if use_cache is False.
        batch_size: B.
        max_length: positions there must be room for.
        use_cache: False reads the text anew for each token.

    Returns:
        The reader.

    Raises:
        ValueError: if a cache is asked for and the model is not a Decoder.
    """
    if not use_cache:
        return AnewReader(model)
    if not isinstance(model, Decoder):
        raise ValueError(f"{type(model).__name__} has no cache; pass use_cache=False")
    kind = FusedReader if fusable(model) else CachedReader
    return kind(model, batch_size, max_length)


def _fuse(block: Block, config: DecoderConfig) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The four matrices of a block: (D, (N + 2 K) H), (N H, D), (D, 2 F), (F, D)."""
    a, f = block.attention, block.feedforward
    assert isinstance(f, FeedForward)  # fusable has made sure
    assert f.gate is not None
    gains = [norm.weight for norm in (block.attention_norm, block.feedforward_norm) if norm]
    heads, root = config.attention, math.sqrt(config.d_model)
    q: Tensor = a.q.weight
    k: Tensor = a.k.weight
    if not config.position.interleaved:
        q, k = half_to_interleaved(q, heads.n_heads), half_to_interleaved(k, heads.key_heads)
    qkv = torch.cat([q / math.sqrt(config.head_width), k, a.v.weight])
    qkv = qkv * (gains[0] * root)
    gates = torch.cat([f.gate.weight, f.up.weight]) * (gains[1] * root)
    w_qkv, w_out, w_in, w_down = (
        w.T.contiguous() for w in (qkv, a.out.weight, gates, f.down.weight)
    )
    return w_qkv, w_out, w_in, w_down


def _turns(config: DecoderConfig, length: int, dtype: torch.dtype) -> Tensor:
    """RoPE's unit complex numbers, (length, N + 2 K, H/2): 1 for the values."""
    N, K, half = config.attention.n_heads, config.attention.key_heads, config.head_width // 2
    cos, sin = rope_angles(
        torch.arange(length), config.head_width, config.position.rope_theta, dtype=torch.float32
    )
    turns = torch.complex(cos.to(dtype), sin.to(dtype))[:, None].expand(length, N + K, half)
    return torch.cat([turns, torch.ones(length, K, half, dtype=turns.dtype)], dim=1)


def _interleave(keys: Tensor) -> Tensor:
    """Put half-split keys (..., H) into the interleaved layout: 0, H/2, 1, H/2 + 1, ..."""
    return keys.unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)
