"""DecoderConfig: what it refuses, and counts that agree with models that were really built."""

import dataclasses

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    NormConfig,
    PositionConfig,
    count_padding,
    count_parameters,
    flops_per_token,
    kv_bytes_per_token,
)
from minillm.model.config import count_matrix_parameters

BASE = DecoderConfig(
    vocab_size=300,
    d_model=24,
    n_layers=2,
    context=16,
    attention=AttentionConfig(4, 2),
    feedforward=FeedForwardConfig("swiglu", 40),
)
VARIANTS = {
    "base": {},
    "untied": {"tie_embeddings": False},
    "whole vocabulary": {"vocab_size": 256},
    "layernorm": {"norm": NormConfig("layernorm")},
    "post": {"norm": NormConfig(place="post")},
    "post layernorm": {"norm": NormConfig("layernorm", place="post")},
    "learned": {"position": PositionConfig("learned")},
    "attention bias": {"attention": AttentionConfig(4, 1, bias=True)},
    "wide heads": {"attention": AttentionConfig(4, 2, head_width=10, bias=True)},
    "gated bias": {"feedforward": FeedForwardConfig("geglu", 41, bias=True)},
    "plain": {"feedforward": FeedForwardConfig("gelu", 41)},
    "plain bias": {"feedforward": FeedForwardConfig("relu", 41, bias=True)},
    "deep": {"n_layers": 5},
}


def variant(name):
    return dataclasses.replace(BASE, **VARIANTS[name])


@pytest.mark.parametrize("name", VARIANTS)
def test_the_count_equals_the_built_model(name):
    config = variant(name)
    model = Decoder(config, device="meta")
    built = sum(p.numel() for p in model.parameters())
    assert built == count_parameters(config) + count_padding(config)
    assert model.n_parameters() == count_parameters(config)
    assert f"{count_parameters(config):,} parameters" in repr(model)


def test_the_count_by_hand():
    attention = 24 * 24 * 2 + 24 * 12 * 2
    block = attention + 3 * 24 * 40 + 2 * 24
    assert count_parameters(BASE) == 300 * 24 + 2 * block + 24
    assert count_matrix_parameters(BASE) == 2 * (block - 48)


def test_padding_fills_up_to_a_multiple_of_128():
    assert BASE.padded_vocab_size == 384
    assert count_padding(BASE) == 84 * 24
    assert count_padding(variant("untied")) == 2 * 84 * 24
    assert count_padding(variant("whole vocabulary")) == 0
    sizes = {v: dataclasses.replace(BASE, vocab_size=v).padded_vocab_size for v in (1, 128, 129)}
    assert sizes == {1: 128, 128: 128, 129: 256}


def test_defaults():
    assert BASE.norm == NormConfig("rmsnorm", 1e-5, "pre")
    assert BASE.position == PositionConfig("rope", 10000.0, False)
    assert BASE.tie_embeddings
    assert BASE.init_std == 0.02
    assert BASE.head_width == 6
    assert variant("wide heads").head_width == 10
    with pytest.raises(dataclasses.FrozenInstanceError):
        BASE.d_model = 3


@pytest.mark.parametrize("name", ["vocab_size", "d_model", "n_layers", "context"])
@pytest.mark.parametrize("value", [0, -3])
def test_sizes_below_one_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got {value}"):
        dataclasses.replace(BASE, **{name: value})
    assert count_parameters(dataclasses.replace(BASE, vocab_size=1, n_layers=1, context=1)) > 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"init_std": 0.0}, r"init_std must be positive, got 0\.0"),
        ({"d_model": 26}, "n_heads=4 does not divide d_model=26"),
        ({"d_model": 12}, "must be even, got 3"),
        ({"attention": AttentionConfig(4, head_width=5)}, "must be even, got 5"),
        (
            {
                "d_model": 25,
                "attention": AttentionConfig(5),
                "position": PositionConfig("sinusoidal"),
            },
            "even d_model, got 25",
        ),
    ],
)
def test_what_cannot_be_built_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(BASE, **settings)


@pytest.mark.parametrize("kind", ["learned", "sinusoidal", "alibi", "none"])
def test_odd_heads_are_fine_without_rope(kind):
    odd = dataclasses.replace(BASE, d_model=12, position=PositionConfig(kind))
    assert odd.head_width % 2 == 1


@pytest.mark.parametrize("name", ["base", "untied", "plain", "wide heads", "deep"])
def test_flops_equal_what_torch_counts(name):
    config = dataclasses.replace(
        variant(name),
        attention=dataclasses.replace(variant(name).attention, implementation="readable"),
    )
    model, ids = Decoder(config), torch.zeros(3, 11, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        model(ids)
    forward = counter.get_total_flops()
    assert forward * 3 == flops_per_token(config, context=11) * 33


def test_the_two_conventions_by_hand():
    matrices = count_matrix_parameters(BASE)
    assert flops_per_token(BASE, convention="kaplan") == 6 * matrices
    by_hand = 6 * (matrices + 300 * 24) + 12 * 2 * 4 * 6 * 16
    assert flops_per_token(BASE) == by_hand
    assert flops_per_token(BASE, context=1) == by_hand - 12 * 2 * 4 * 6 * 15
    with pytest.raises(ValueError, match="context must be at least 1, got 0"):
        flops_per_token(BASE, context=0)
    with pytest.raises(ValueError, match="got 'hfu'"):
        flops_per_token(BASE, convention="hfu")


def test_cache_bytes_by_hand():
    assert kv_bytes_per_token(BASE) == 2 * 2 * 2 * 6 * 2
    assert kv_bytes_per_token(BASE, bytes_per_number=4) == 2 * 2 * 2 * 6 * 4
    assert kv_bytes_per_token(BASE, bytes_per_number=1) == 2 * 2 * 2 * 6
    with pytest.raises(ValueError, match="got 0"):
        kv_bytes_per_token(BASE, bytes_per_number=0)
