"""Bytes of caches: the formula against what is held, published shapes, and what fits on a card."""

import dataclasses

import pytest
import torch

from minillm.model import (
    AttentionConfig,
    DecoderConfig,
    FeedForwardConfig,
    KVCache,
    kv_bytes_per_token,
    presets,
)
from minillm.model.cache_sizes import (
    CHATGLM_6B,
    DEEPSEEK_67B,
    DEEPSEEK_V2,
    LLAMA2_34B,
    CacheShape,
    cache_shape,
    held_bytes,
    largest_batch,
)
from minillm.model.latent import LatentCache, LatentConfig

SMALL = DecoderConfig(50, 32, 3, 16, AttentionConfig(8, 2), FeedForwardConfig("relu", 8))


@pytest.mark.parametrize("name", presets.PRESETS)
def test_shape_agrees_with_the_count_of_a_config(name):
    config = presets.PRESETS[name]()
    for number_bytes in (1, 2, 4):
        bits = 8 * number_bytes
        wanted = kv_bytes_per_token(config, bytes_per_number=number_bytes)
        assert cache_shape(config).bytes_per_token(bits) == wanted


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("n_kv_heads", [1, 2, 8])
def test_bytes_held_are_bytes_computed(dtype, n_kv_heads):
    config = dataclasses.replace(SMALL, attention=AttentionConfig(8, n_kv_heads, head_width=6))
    cache = KVCache(config, batch_size=3, max_length=7, dtype=dtype)
    wanted = 3 * 7 * cache_shape(config).bytes_per_token(8 * dtype.itemsize)
    assert (
        held_bytes(cache.keys, cache.values)
        == wanted
        == 3 * 7 * 2 * 3 * n_kv_heads * 6 * dtype.itemsize
    )


def test_latent_cache_holds_what_its_config_says():
    config = LatentConfig(n_heads=4, head_width=8, rope_width=4, latent_width=10)
    cache = LatentCache(config, 3, 2, 5, dtype=torch.float32)
    shape = CacheShape(3, config.numbers)
    assert held_bytes(cache.latents, cache.keys) == 2 * 5 * shape.bytes_per_token(32)
    assert config.numbers == 14


def test_shared_memory_counts_once():
    x = torch.zeros(10, dtype=torch.float32)
    assert held_bytes(x, x[:3], x.view(2, 5)) == 40  # the whole storage, once
    assert held_bytes(x, torch.zeros(2)) == 48
    assert held_bytes() == 0


def test_published_sizes():
    kib = {
        "chatglm": CHATGLM_6B.bytes_per_token() / 1024,
        "chatglm2": cache_shape(presets.chatglm2_6b()).bytes_per_token() / 1024,
        "llama": cache_shape(presets.llama_7b()).bytes_per_token() / 1024,
        "70b": cache_shape(presets.llama2_70b()).bytes_per_token() / 1024,
        "falcon": cache_shape(presets.falcon_7b()).bytes_per_token() / 1024,
        "mistral": cache_shape(presets.mistral_7b()).bytes_per_token() / 1024,
        "34b": LLAMA2_34B.bytes_per_token() / 1024,
    }
    assert kib == {"chatglm": 448, "chatglm2": 28, "llama": 512, "70b": 320, "falcon": 8,
                   "mistral": 128, "34b": 192}  # fmt: skip
    # 93.3 % less than DeepSeek 67B, says the abstract of DeepSeek-V2: 6 bits on average against 16
    saved = 1 - DEEPSEEK_V2.bytes_per_token(6) / DEEPSEEK_67B.bytes_per_token(16)
    assert round(100 * saved, 1) == 93.3
    # "equal to GQA with only 2.25 groups", table 1: (512 + 64) / (2 * 128)
    assert DEEPSEEK_V2.numbers / (2 * 128) == 2.25


def test_a_window_bounds_what_is_kept():
    shape = cache_shape(presets.mistral_7b())
    assert shape.window == 4096
    assert shape.bytes_of(4096) == shape.bytes_of(100_000) == 4096 * 128 * 1024
    assert shape.bytes_of(10) == 10 * 128 * 1024
    assert shape.bytes_of(0) == 0


def test_largest_batch():
    shape = CacheShape(2, 8)  # 32 bytes a token
    assert largest_batch(1000, 360, shape, 10) == 2  # 640 bytes for sequences of 320
    assert largest_batch(1000, 361, shape, 10) == 1
    assert largest_batch(1000, 360, shape, 10, bits=8) == 4
    assert largest_batch(1000, 1001, shape, 10) == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: CacheShape(0, 4), "n_layers must be at least 1, got 0"),
        (lambda: CacheShape(1, 0), "numbers must be at least 1, got 0"),
        (lambda: CacheShape(1, 1, 0), "window must be at least 1, got 0"),
        (lambda: CacheShape(1, 1).bytes_per_token(0), "bits must be positive, got 0"),
        (lambda: CacheShape(1, 1).bytes_of(-1), "length must not be negative, got -1"),
        (lambda: largest_batch(1, 1, CacheShape(1, 1), 0), "length must be at least 1, got 0"),
        (lambda: largest_batch(-1, 1, CacheShape(1, 1), 1), "must not be negative, got -1 and 1"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()
