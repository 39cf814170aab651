"""Read a text of any length with a cache of fixed size: the first positions and a window.

The cache keeps keys as they were before RoPE turned them. At each step they are turned by how far
back they stand *in the cache*, so that no distance is larger than the cache is long, however far
the text has come (StreamingLLM). Only the difference of two turns matters to a score, so the query
stays as it is, and each key is turned backwards by its distance.

Shape letters (the table is in notebooks/NOTATION.md):
    B  batch   T  tokens   S  positions held   K  key heads   H  head width   V  vocabulary
"""

from functools import partial

import torch
from torch import Tensor

from minillm.model.config import DecoderConfig
from minillm.model.decoder import Decoder, check_ids
from minillm.model.rope import apply_rope, rope_angles


class SinkCache:
    """Keys, not yet turned, and values: of the first n_sink positions and of the last `window`.

    Args:
        config: the model, with RoPE.
        batch_size: B.
        n_sink: first positions that are never forgotten, at least 0. The paper: 4.
        window: positions held besides, the present one among them.
        dtype, device: of keys and values; use the model's.

    Attributes:
        seen: positions read so far. The cache holds min(seen, n_sink + window) of them.

    Raises:
        ValueError: if the model has no RoPE or a window of its own, n_sink is negative, or window
            or batch_size is smaller than 1.

    Cost: 2 n_layers B K (n_sink + window) H numbers, whatever the length of the text.
    Source: Xiao et al. 2023 (StreamingLLM), arXiv:2309.17453, section 3.2.
    Lesson: notebooks/15_long_context.ipynb
    """

    def __init__(
        self,
        config: DecoderConfig,
        batch_size: int,
        *,
        n_sink: int,
        window: int,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        if config.position.kind != "rope":
            raise ValueError(
                f"a SinkCache turns keys by RoPE, but position.kind is {config.position.kind!r}; "
                "use sink_mask"
            )
        if config.attention.window is not None:
            raise ValueError(
                f"attention.window={config.attention.window} would hide the sinks; set it to None"
            )
        if n_sink < 0 or window < 1 or batch_size < 1:
            raise ValueError(
                "need n_sink >= 0, window >= 1 and batch_size >= 1, got "
                f"n_sink={n_sink}, window={window}, batch_size={batch_size}"
            )
        K, H = config.attention.key_heads, config.head_width
        shape = (config.n_layers, batch_size, K, n_sink + window, H)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.config, self.n_sink, self.window = config, n_sink, window
        self.batch_size, self.seen = batch_size, 0
        self._at = torch.zeros(n_sink + window, dtype=torch.int64, device=device)

    @property
    def room(self) -> int:
        """n_sink + window."""
        return self.n_sink + self.window

    def begin(self) -> tuple[int, Tensor, Tensor]:
        """Make a place for the next position, and the turns of all keys as seen from it.

        Returns:
            Its place in the cache, and cos and sin for the keys held, each (S, R/2).
        """
        t, first = self.seen, self.n_sink
        place = t if t < first else first + (t - first) % self.window  # the oldest makes room
        self._at[place] = t
        at = self._at[: min(t + 1, self.room)]  # (S,): which position each place holds
        distance = t - at
        distance[:first] = min(t, self.room - 1) - at[:first]  # sinks come no farther
        p, R = self.config.position, self.config.rotary_width
        if p.scaling is None:
            cos, sin = rope_angles(-distance, R, p.rope_theta, dtype=torch.float32)
            return place, cos, sin
        length = min(t + 1, self.room)
        cos, sin = p.scaling.angles(-distance, R, p.rope_theta, length=length, dtype=torch.float32)
        return place, p.scaling.gain * cos, p.scaling.gain * sin  # the query's gain as well

    def append(
        self, layer: int, place: int, cos: Tensor, sin: Tensor, k: Tensor, v: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Keep one position's key and value of a layer; give all that are held, keys turned.

        Args:
            layer: index of the block.
            place, cos, sin: from begin.
            k, v: (B, K, 1, H), the key not turned.

        Returns:
            Keys and values, each (B, K, S, H).
        """
        S, R = cos.shape[0], 2 * cos.shape[-1]
        self.keys[layer, :, :, place] = k[:, :, 0]
        self.values[layer, :, :, place] = v[:, :, 0]
        held = self.keys[layer, :, :, :S]  # (B, K, S, H)
        turned = apply_rope(held[..., :R], cos, sin, interleaved=self.config.position.interleaved)
        return torch.cat((turned, held[..., R:]), dim=-1), self.values[layer, :, :, :S]


@torch.no_grad()
def read_with_sinks(
    model: Decoder,
    ids: Tensor,
    *,
    n_sink: int = 4,
    window: int | None = None,
    cache: SinkCache | None = None,
) -> Tensor:
    """Predict what follows each position of a text that may be far longer than the context.

    Each query sees what sink_mask allows, at the distances of sink_distances.

    Args:
        model: a decoder with RoPE.
        ids: token ids, (B, T).
        n_sink: first positions that stay in sight.
        window: positions in sight besides; None fills the model's context: context - n_sink.
        cache: what was read before; ids continue it, and n_sink and window are its own.

    Returns:
        Logits, (B, T, V).

    Raises:
        ValueError: as SinkCache; or if ids are not (B, T) ids, or not the cache's batch.

    Cost: one position at a time, 4 N H (n_sink + window) FLOPs a layer for attention at most, so
        linear in T; memory for n_sink + window positions.
    Source: Xiao et al. 2023 (StreamingLLM), arXiv:2309.17453, section 3.2.
    Lesson: notebooks/15_long_context.ipynb
    """
    config = model.config
    B, T = check_ids(ids, config.vocab_size)
    if cache is None:
        window = config.context - n_sink if window is None else window
        kind = model.embedding.weight
        cache = SinkCache(
            config, B, n_sink=n_sink, window=window, dtype=kind.dtype, device=kind.device
        )
    elif cache.batch_size != B:
        raise ValueError(f"the cache holds {cache.batch_size} sequences, got a batch of {B}")
    x = model.embedding(ids)  # (B, T, D)
    if model.embedding_norm is not None:
        x = model.embedding_norm(x)
    said = []
    for t in range(T):
        h = x[:, t : t + 1]  # (B, 1, D)
        held = cache.begin()
        for layer, block in enumerate(model.blocks):
            h = block(h, None, causal=False, remember=partial(cache.append, layer, *held))
        cache.seen += 1
        said.append(h)
    y = torch.cat(said, dim=1) if said else x
    return model.logits(model.final_norm(y))  # (B, T, V)
