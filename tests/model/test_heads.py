"""Fewer and more key/value heads: by hand, on whole models, and one step of decoding."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    PositionConfig,
    attention,
    rope_angles,
)
from minillm.model.heads import convert_heads, decode_attention, merge_heads, repeat_heads

ROWS = torch.arange(8.0).view(8, 1)  # four heads of width 2
CONFIG = DecoderConfig(
    vocab_size=40,
    d_model=32,
    n_layers=2,
    context=16,
    attention=AttentionConfig(8, bias="qkv"),
    feedforward=FeedForwardConfig("swiglu", 24),
    init_std=0.3,
)
IDS = torch.randint(0, 40, (2, 11), generator=torch.Generator().manual_seed(0))


def decoder(n_kv_heads=8, seed=0, **changes):
    torch.manual_seed(seed)
    heads = dataclasses.replace(CONFIG.attention, n_kv_heads=n_kv_heads)
    model = Decoder(dataclasses.replace(CONFIG, attention=heads, **changes), dtype=torch.float64)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("bias"):
                p.normal_()  # a new model has none
    return model


def test_by_hand():
    assert merge_heads(ROWS, 4, 2).flatten().tolist() == [1, 2, 5, 6]
    assert merge_heads(ROWS, 4, 1).flatten().tolist() == [3, 4]
    assert merge_heads(ROWS, 4, 2, "first").flatten().tolist() == [0, 1, 4, 5]
    assert repeat_heads(ROWS[:4], 2, 4).flatten().tolist() == [0, 1, 0, 1, 2, 3, 2, 3]
    bias = ROWS.flatten()
    assert merge_heads(bias, 4, 2).tolist() == [1, 2, 5, 6]
    assert repeat_heads(bias[:2], 1, 2).tolist() == [0, 1, 0, 1]


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.sampled_from(["mean", "first"]))
def test_repeating_then_merging_is_nothing(n_heads, times, width, how):
    weight = torch.randn(n_heads * width, 3, dtype=torch.float64)
    many = repeat_heads(weight, n_heads, n_heads * times)
    assert many.shape == (n_heads * times * width, 3)
    once = merge_heads(many, n_heads * times, n_heads, how)
    torch.testing.assert_close(once, weight, rtol=0, atol=1e-14)
    assert once.data_ptr() != weight.data_ptr()


@pytest.mark.parametrize("position", ["rope", "alibi", "learned"])
@pytest.mark.parametrize("n_kv_heads", [1, 2, 4])
def test_more_heads_compute_the_same(n_kv_heads, position):
    model = decoder(n_kv_heads, position=PositionConfig(position))
    for more in (2 * n_kv_heads, 8):
        copy = convert_heads(model, more)
        assert copy.config.attention.key_heads == more
        torch.testing.assert_close(copy(IDS), model(IDS), rtol=0, atol=1e-12)


@pytest.mark.parametrize("how", ["mean", "first"])
@pytest.mark.parametrize("n_kv_heads", [1, 2])
def test_equal_heads_are_merged_without_loss(n_kv_heads, how):
    many = convert_heads(decoder(n_kv_heads), 8)
    few = convert_heads(many, n_kv_heads, how)
    torch.testing.assert_close(few(IDS), many(IDS), rtol=0, atol=1e-12)
    for name, weight in few.state_dict().items():
        back = convert_heads(few, 8).state_dict()[name]
        torch.testing.assert_close(back, many.state_dict()[name], rtol=0, atol=1e-14)
        assert weight.dtype == torch.float64


def test_different_heads_are_not_merged_without_loss():
    model = decoder()
    before = model(IDS)
    outputs = [convert_heads(model, 2, how)(IDS) for how in ("mean", "first", "random")]
    for i, out in enumerate(outputs):
        assert not torch.allclose(out, before, atol=0.1)
        assert all(not torch.allclose(out, other, atol=0.1) for other in outputs[:i])
    assert torch.equal(model(IDS), before)  # the first model is as it was


def test_keys_may_be_merged_before_rope():
    """Mean of turned keys = turned mean: merged weights give the mean of the keys that are seen."""
    model, seen = decoder(), {}
    few = convert_heads(model, 2)
    for name, m in (("many", model), ("few", few)):
        layer = m.blocks[0].attention

        def look(k, v, name=name):
            seen[name] = (k, v)
            return k, v

        layer(
            torch.randn(1, 5, 32, generator=torch.Generator().manual_seed(1)).double(),
            rotation=rope_angles(torch.arange(5), 4),
            remember=look,
        )
    for many, fewer in zip(seen["many"], seen["few"], strict=True):
        mean = many.unflatten(1, (2, 4)).mean(dim=2)
        torch.testing.assert_close(fewer, mean, rtol=0, atol=1e-12)


def test_random_heads_are_those_of_a_new_model():
    model = decoder()
    torch.manual_seed(5)
    copy = convert_heads(model, 2, "random")
    torch.manual_seed(5)
    new = Decoder(copy.config, dtype=torch.float64)
    for name, weight in copy.state_dict().items():
        fresh = ".attention.k." in name or ".attention.v." in name
        wanted = (new if fresh else model).state_dict()[name]
        assert torch.equal(weight, wanted), name


def test_copy_is_a_copy_in_the_same_mode():
    model = decoder().eval()
    copy = convert_heads(model, 8)
    assert not copy.training
    assert torch.equal(copy(IDS), model(IDS))
    ours = {p.data_ptr() for p in model.parameters()}
    assert not ours & {p.data_ptr() for p in copy.parameters()}
    assert convert_heads(decoder().float(), 1).embedding.weight.dtype == torch.float32
    assert all(p.requires_grad and p.is_leaf for p in copy.parameters())


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 9), st.integers(1, 6)
)
def test_decode_attention_is_attention_for_one_position(batch, n_kv, group, length, width):
    torch.manual_seed(batch + 10 * length)
    q = torch.randn(batch, n_kv * group, 1, width, dtype=torch.float64)
    k, v = torch.randn(2, batch, n_kv, length, width, dtype=torch.float64)
    wanted = attention(q, k, v, causal=True)
    torch.testing.assert_close(decode_attention(q, k, v), wanted, rtol=0, atol=1e-12)


def test_decode_attention_reads_a_view_of_a_cache():
    q = torch.randn(2, 6, 1, 4)
    k, v = torch.randn(2, 2, 3, 20, 4)[..., :7, :]
    wanted = attention(q, k, v)
    torch.testing.assert_close(decode_attention(q, k, v), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: merge_heads(ROWS, 4, 3), "n_kv_heads must divide the 4 heads there are, got 3"),
        (lambda: merge_heads(ROWS, 4, 0), "got 0"),
        (lambda: merge_heads(ROWS, 3, 1), "8 rows do not divide into 3 heads"),
        (lambda: merge_heads(ROWS, 16, 1), "8 rows do not divide into 16 heads"),
        (lambda: merge_heads(torch.tensor(1.0), 1, 1), "0 rows"),
        (lambda: merge_heads(ROWS, 4, 2, "median"), "'mean' or 'first', got 'median'"),
        (lambda: merge_heads(ROWS, 4, 2, "random"), "got 'random'"),
        (lambda: repeat_heads(ROWS, 4, 6), "n_kv_heads must be a multiple of 4, got 6"),
        (lambda: repeat_heads(ROWS, 4, 0), "got 0"),
        (lambda: convert_heads(decoder(), 3), "must divide n_heads=8, got 3"),
        (lambda: convert_heads(decoder(), 16), "must divide n_heads=8, got 16"),
        (lambda: convert_heads(decoder(), 2, "last"), "mean, first, random; got 'last'"),
        (lambda: decode_attention(*torch.randn(3, 1, 2, 4, 4)), "takes one position"),
        (
            lambda: decode_attention(torch.randn(1, 3, 1, 4), *torch.randn(2, 1, 2, 5, 4)),
            "K divide N",
        ),
        (
            lambda: decode_attention(torch.randn(1, 2, 1, 4), *torch.randn(2, 1, 2, 5, 3)),
            "shapes do not fit",
        ),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_neither_divisor_nor_multiple():
    heads = AttentionConfig(12, 4)
    model = Decoder(dataclasses.replace(CONFIG, d_model=48, attention=heads))
    with pytest.raises(ValueError, match="divide the 4 key/value heads there are"):
        convert_heads(model, 6)
