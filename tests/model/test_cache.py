"""The cache: what it remembers, what it refuses, and that decoding with it changes nothing."""

import dataclasses

import pytest
import torch

from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    KVCache,
    NormConfig,
    PositionConfig,
)

CONFIG = DecoderConfig(
    vocab_size=50,
    d_model=24,
    n_layers=2,
    context=16,
    attention=AttentionConfig(4, 2),
    feedforward=FeedForwardConfig("swiglu", 32),
    init_std=0.2,
)
IDS = torch.randint(0, 50, (2, 12), generator=torch.Generator().manual_seed(0))


def build(**settings):
    torch.manual_seed(0)
    return Decoder(dataclasses.replace(CONFIG, **settings), dtype=torch.float64)


def in_chunks(model, sizes, ids=IDS):
    cache = KVCache(model.config, ids.shape[0], ids.shape[1], torch.float64)
    return torch.cat([model(part, cache=cache) for part in ids.split(sizes, dim=1)], dim=1)


@pytest.mark.parametrize("kind", ["rope", "learned", "sinusoidal", "alibi", "none"])
@pytest.mark.parametrize("K", [1, 2, 4])
@pytest.mark.parametrize("implementation", ["fast", "readable"])
@torch.no_grad()
def test_cached_equals_uncached(kind, K, implementation):
    model = build(
        position=PositionConfig(kind),
        attention=AttentionConfig(4, K, implementation=implementation),
    )
    whole = model(IDS)
    for sizes in ([12], [1] * 12, [5, 1, 4, 2], [11, 1], [1, 11]):
        torch.testing.assert_close(in_chunks(model, sizes), whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "settings",
    [
        {"norm": NormConfig("layernorm", place="post")},
        {"position": PositionConfig("rope", 100.0, interleaved=True)},
        {"tie_embeddings": False, "attention": AttentionConfig(4, head_width=10, bias=True)},
    ],
)
@torch.no_grad()
def test_cached_equals_uncached_for_other_shapes(settings):
    model = build(**settings)
    torch.testing.assert_close(in_chunks(model, [7, 1, 4]), model(IDS), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["rope", "learned", "sinusoidal", "alibi"])
@torch.no_grad()
def test_a_forgotten_position_would_be_seen(kind):
    model = build(position=PositionConfig(kind))
    cache = KVCache(model.config, 2, 12, torch.float64)
    model(IDS[:, :6], cache=cache)
    cache.length, true = 5, cache.length  # the next chunk overwrites one position
    wrong = model(IDS[:, 6:11], cache=cache)
    assert true == 6
    assert (wrong - model(IDS)[:, 6:11]).abs().max() > 1e-3


@torch.no_grad()
def test_a_mask_reaches_over_the_remembered_positions():
    model = build()
    mask = torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(1)) < 0.7
    whole = model(IDS, mask=mask)
    cache = KVCache(model.config, 2, 12, torch.float64)
    parts = [
        model(IDS[:, a:b], cache=cache, mask=mask[:, :, a:b, :b])
        for a, b in ((0, 5), (5, 6), (6, 12))
    ]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=0, atol=1e-12)
    assert not torch.allclose(whole, model(IDS))


def test_append_writes_after_what_is_there_and_hands_out_views():
    cache = KVCache(CONFIG, 2, 5, torch.float64)
    assert cache.keys.shape == cache.values.shape == (2, 2, 2, 5, 6)
    k, v = torch.randn(2, 2, 2, 6).double(), torch.randn(2, 2, 2, 6).double()
    for layer in (0, 1):
        keys, values = cache.append(layer, k + layer, v + layer)
        assert torch.equal(keys, k + layer)
        assert torch.equal(values, v + layer)
    assert cache.length == 0
    cache.advance(2)
    assert cache.length == 2
    keys, values = cache.append(1, k[:, :, :1], v[:, :, :1])
    assert torch.equal(keys, torch.cat([k + 1, k[:, :, :1]], dim=2))
    assert torch.equal(values, torch.cat([v + 1, v[:, :, :1]], dim=2))
    assert keys.data_ptr() == cache.keys[1].data_ptr()  # no copy
    assert cache.keys[0, :, :, 2:].count_nonzero() == 0  # the other layer is untouched


def test_a_full_cache_is_refused_before_anything_is_written():
    model = build()
    cache = KVCache(model.config, 2, 8, torch.float64)
    with torch.no_grad():
        model(IDS[:, :6], cache=cache)
        before = cache.keys.clone()
        with pytest.raises(ValueError, match=r"6 positions held \+ 3 new > max_length=8"):
            model(IDS[:, :3], cache=cache)
        assert torch.equal(cache.keys, before)
        assert cache.length == 6
        model(IDS[:, :2], cache=cache)
    assert cache.length == 8
    with pytest.raises(ValueError, match=r"8 positions held \+ 1 new"):
        cache.append(0, before[0, :, :, :1], before[0, :, :, :1])
    with pytest.raises(ValueError, match=r"8 positions held \+ 1 new"):
        cache.advance(1)


def test_another_batch_size_is_refused():
    model = build()
    with pytest.raises(ValueError, match="holds 3 sequences, got a batch of 2"):
        model(IDS, cache=KVCache(CONFIG, 3, 12, torch.float64))


@pytest.mark.parametrize("sizes", [(0, 4), (4, 0), (-1, 4)])
def test_sizes_below_one_are_refused(sizes):
    with pytest.raises(ValueError, match=f"batch_size={sizes[0]}, max_length={sizes[1]}"):
        KVCache(CONFIG, *sizes)
    assert KVCache(CONFIG, 1, 1).keys.shape == (2, 1, 2, 1, 6)


@torch.no_grad()
def test_truncate_goes_back_in_time():
    model = build()
    whole = model(IDS)
    cache = KVCache(model.config, 2, 12, torch.float64)
    model(IDS.flip(1)[:, :9], cache=cache)
    cache.truncate(0)
    model(IDS[:, :7], cache=cache)
    model(IDS[:, :4], cache=cache)  # a wrong continuation
    cache.truncate(7)
    torch.testing.assert_close(model(IDS[:, 7:], cache=cache), whole[:, 7:], rtol=0, atol=1e-12)
    for length in (-1, 13):
        with pytest.raises(ValueError, match=f"0 to 12 positions, got {length}"):
            cache.truncate(length)


def test_device_and_dtype_are_honoured():
    cache = KVCache(CONFIG, 2, 4, torch.float16, "meta")
    assert cache.keys.is_meta
    assert cache.values.is_meta
    assert cache.keys.dtype == cache.values.dtype == torch.float16
    assert KVCache(CONFIG, 2, 4).keys.dtype == torch.float32
