"""Counts from plain numbers against counts from a config, and against torch's own counter."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig, presets
from minillm.model.config import count_matrix_parameters, flops_per_token
from minillm.scaling import (
    DecoderShape,
    embedding,
    exact_flops_per_token,
    kaplan_flops_per_token,
    kaplan_parameters,
    non_embedding,
    six_nd,
    total_parameters,
)


def shape_of(config: DecoderConfig) -> DecoderShape:
    return DecoderShape(
        n_layers=config.n_layers,
        d_model=config.d_model,
        d_ff=config.feedforward.width,
        vocab_size=config.vocab_size,
        context=config.context,
        n_heads=config.attention.n_heads,
        head_width=config.head_width,
        n_kv_heads=config.attention.key_heads,
        gated=config.feedforward.kind in ("swiglu", "geglu", "glu"),
        tied=config.tie_embeddings,
    )


CONFIGS = [
    presets.llama_7b(),
    presets.gpt2_124m(),
    DecoderConfig(
        vocab_size=300,
        d_model=24,
        n_layers=3,
        context=40,
        attention=AttentionConfig(n_heads=6, n_kv_heads=2, head_width=8),
        feedforward=FeedForwardConfig("relu", 50),
        tie_embeddings=False,
    ),
]


@pytest.mark.parametrize("config", CONFIGS, ids=["llama_7b", "gpt2", "grouped"])
def test_counts_equal_those_of_the_config(config):
    shape = shape_of(config)
    assert non_embedding(shape) == count_matrix_parameters(config)
    assert exact_flops_per_token(shape) == flops_per_token(config)
    tables = config.vocab_size * config.d_model * (1 if config.tie_embeddings else 2)
    assert embedding(shape) == tables
    assert total_parameters(shape) == non_embedding(shape) + tables


def test_torch_counts_the_same_products():
    config = CONFIGS[2]
    model = Decoder(config)
    ids = torch.zeros(2, config.context, dtype=torch.long)
    with (
        FlopCounterMode(display=False) as counter,
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
    ):
        model(ids).sum().backward()
    counted = counter.get_total_flops() / ids.numel()
    # torch's own products: those of the embedding's gradient are not matrix products
    assert counted == pytest.approx(exact_flops_per_token(shape_of(config)), rel=0.02)


def test_the_usual_decoder_has_12_layers_times_width_squared():
    shape = DecoderShape(n_layers=3, d_model=64, d_ff=256, vocab_size=1, context=1, n_heads=4)
    assert kaplan_parameters(3, 64) == non_embedding(shape) == 12 * 3 * 64**2


def test_kaplan_forward_is_a_sixth_plus_attention():
    n = kaplan_parameters(12, 768)
    forward = kaplan_flops_per_token(n, 12, 1024, 768)
    assert forward == 2 * n + 2 * 12 * 1024 * 768
    shape = DecoderShape(12, 768, 3072, vocab_size=50257, context=1024, n_heads=12)
    head = 2 * 50257 * 768
    assert exact_flops_per_token(shape, causal=True) == 3 * (forward + head)
    assert exact_flops_per_token(shape) == 3 * (forward + head + 2 * 12 * 1024 * 768)


def test_six_nd_by_hand():
    assert six_nd(70e9, 1.4e12) == 5.88e23
    assert six_nd(175e9, 300e9) == pytest.approx(3.15e23)  # GPT-3: 3.14e23 in its paper, table D.1


def test_large_models_are_near_six_nd_and_small_ones_are_not():
    large = DecoderShape(80, 8192, 32768, vocab_size=32000, context=2048, n_heads=64)
    small = DecoderShape(2, 32, 128, vocab_size=257, context=512, n_heads=4)
    for shape, low, high in ((large, 1.0, 1.06), (small, 1.5, 3.0)):
        assert low < exact_flops_per_token(shape) / (6 * total_parameters(shape)) < high


@pytest.mark.parametrize("field", ["n_layers", "d_model", "vocab_size", "head_width"])
def test_a_size_that_is_not_positive(field):
    sizes = {"n_layers": 1, "d_model": 8, "d_ff": 8, "vocab_size": 8, "context": 8}
    with pytest.raises(ValueError, match=f"{field} must be positive and finite, got 0"):
        DecoderShape(**{**sizes, field: 0})
