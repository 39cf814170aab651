"""How much memory a model's memory of its text takes: from published shapes, and as it is held.

kv_bytes_per_token (config.py) counts it for a Decoder. Here also for models that a Decoder cannot
express, for caches that live, and for the question that follows: how many sequences fit?

Shape letters: N query heads, K key/value heads, H head width, L layers, S positions.
"""

from dataclasses import dataclass

from torch import Tensor

from minillm.model.config import DecoderConfig


@dataclass(frozen=True)
class CacheShape:
    """What a model keeps of each token.

    Attributes:
        n_layers: L.
        numbers: what one token leaves in one layer: 2 K H for keys and values, the latent and
            the shared rotary key for latent attention.
        window: positions after which the oldest may be overwritten; None: all are kept.

    Lesson: notebooks/16a_heads_and_cache.ipynb
    """

    n_layers: int
    numbers: int
    window: int | None = None

    def __post_init__(self) -> None:
        for name in ("n_layers", "numbers", "window"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")

    def bytes_per_token(self, bits: float = 16) -> float:
        """Bytes that each token of each sequence takes: n_layers numbers bits / 8.

        Args:
            bits: of one number; 16 for float16 and bfloat16.

        Raises:
            ValueError: if bits is not positive.
        """
        if not bits > 0:
            raise ValueError(f"bits must be positive, got {bits}")
        return self.n_layers * self.numbers * bits / 8

    def bytes_of(self, length: int, bits: float = 16) -> float:
        """Bytes of one sequence of a length; beyond the window it grows no more.

        Raises:
            ValueError: if length is negative, or bits is not positive.
        """
        if length < 0:
            raise ValueError(f"length must not be negative, got {length}")
        kept = length if self.window is None else min(length, self.window)
        return kept * self.bytes_per_token(bits)


def cache_shape(config: DecoderConfig) -> CacheShape:
    """The cache of a Decoder, or of a preset: 2 K H numbers a token and layer.

    A window is taken into account although KVCache itself does not overwrite: it keeps the keys
    that can no more be seen, and masks them.

    Lesson: notebooks/16a_heads_and_cache.ipynb
    """
    a = config.attention
    return CacheShape(config.n_layers, 2 * a.key_heads * config.head_width, a.window)


CHATGLM_6B = CacheShape(28, 2 * 32 * 128)
"""28 layers, 32 heads of width 128, as the released configuration says; a prefix decoder."""
LLAMA2_34B = CacheShape(48, 2 * 8 * 128)
"""Never released; the shape is that of Code Llama 34B, which was trained on from it (Roziere et al.
2023, arXiv:2308.12950, section 2), 8 key/value heads of width 128."""
DEEPSEEK_67B = CacheShape(95, 2 * 8 * 128)
"""DeepSeek-AI 2024, arXiv:2401.02954, table 2: 95 layers, 8 key/value heads of width 128."""
DEEPSEEK_V2 = CacheShape(60, 512 + 64)
"""DeepSeek-AI 2024, arXiv:2405.04434, section 3.1.2: 60 layers, a latent of 512 and a key of 64."""


def held_bytes(*tensors: Tensor) -> int:
    """Count the bytes of memory behind tensors; what two of them share counts once.

    Args:
        tensors: such as cache.keys and cache.values.

    Returns:
        Bytes of their storages, whole, even where a tensor is a view of a part.

    Lesson: notebooks/16a_heads_and_cache.ipynb
    """
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())


def largest_batch(
    memory: float, weights: float, shape: CacheShape, length: int, *, bits: float = 16
) -> int:
    """How many sequences of a length a card can hold beside the weights: what one step may serve.

        floor((memory - weights) / bytes of one sequence),   0 if not even the weights fit

    Activations, buffers and the allocator's losses are not counted: a real system holds fewer.

    Args:
        memory: bytes of the card.
        weights: bytes of the model.
        shape: what it keeps of a token.
        length: tokens of each sequence, prompt and answer together; at least 1.
        bits: of a number in the cache.

    Raises:
        ValueError: if length is smaller than 1, or memory or weights are negative.

    Lesson: notebooks/16a_heads_and_cache.ipynb
    """
    if length < 1:
        raise ValueError(f"length must be at least 1, got {length}")
    if memory < 0 or weights < 0:
        raise ValueError(f"memory and weights must not be negative, got {memory} and {weights}")
    return max(0, int((memory - weights) // shape.bytes_of(length, bits)))
