"""The key/value cache: what a decoder remembers, so that each new token costs one position.

- The memory is taken once; appending copies the new keys and values into their place.
- The layers of one forward pass append at the same place; advance moves on when all are done.

Shape letters: B batch, T new positions, S positions so far, K key/value heads, H head width.
"""

import torch
from torch import Tensor

from minillm.model.config import DecoderConfig


class KVCache:
    """Keys and values of all layers for up to max_length positions of batch_size sequences.

    Args:
        config: the model, which gives layers, key/value heads and head width.
        batch_size: B.
        max_length: positions there is room for, prompt and generated tokens together.
        dtype: of keys and values; None means torch's default dtype. Use the model's.
        device: where they live; None means torch's default device. Use the model's.

    Attributes:
        keys, values: (n_layers, B, K, max_length, H); only the first `length` positions mean
            anything.
        length: positions remembered so far.

    Raises:
        ValueError: if batch_size or max_length is smaller than 1.

    Cost: 2 n_layers B K max_length H numbers; see config.kv_bytes_per_token.
    Lesson: notebooks/16a_heads_and_cache.ipynb
    """

    def __init__(
        self,
        config: DecoderConfig,
        batch_size: int,
        max_length: int,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        if batch_size < 1 or max_length < 1:
            raise ValueError(
                "batch_size and max_length must be at least 1, "
                f"got batch_size={batch_size}, max_length={max_length}"
            )
        K, H = config.attention.key_heads, config.head_width
        shape = (config.n_layers, batch_size, K, max_length, H)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.batch_size, self.max_length, self.length = batch_size, max_length, 0

    def check_room(self, batch_size: int, n_new: int) -> None:
        """Refuse a forward pass that does not fit, before any layer has written.

        Args:
            batch_size: B of the coming pass.
            n_new: T of the coming pass.

        Raises:
            ValueError: if B is not the cache's, or length + T exceeds max_length.
        """
        if batch_size != self.batch_size:
            raise ValueError(
                f"the cache holds {self.batch_size} sequences, got a batch of {batch_size}"
            )
        if self.length + n_new > self.max_length:
            raise ValueError(
                f"the cache is full: {self.length} positions held + {n_new} new > "
                f"max_length={self.max_length}; make the cache longer"
            )

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Write one layer's new keys and values after the remembered ones.

        The length does not change until advance is called, so that every layer of a forward pass
        writes at the same place.

        Args:
            layer: index of the block.
            k: new keys, (B, K, T, H).
            v: new values, (B, K, T, H).

        Returns:
            All keys and values so far, each (B, K, S, H): views into the cache, not copies.

        Raises:
            ValueError: if they do not fit.
        """
        self.check_room(k.shape[0], k.shape[2])
        end = self.length + k.shape[2]
        self.keys[layer, :, :, self.length : end] = k
        self.values[layer, :, :, self.length : end] = v
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def advance(self, n_new: int) -> None:
        """Move on by n_new positions, once every layer has appended them."""
        self.check_room(self.batch_size, n_new)
        self.length += n_new

    def truncate(self, length: int) -> None:
        """Forget everything after the first `length` positions; truncate(0) starts afresh.

        Args:
            length: positions to keep.

        Raises:
            ValueError: if length is negative or more than is held.
        """
        if not 0 <= length <= self.length:
            raise ValueError(f"can keep 0 to {self.length} positions, got {length}")
        self.length = length
