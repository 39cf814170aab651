"""The encoder-decoder: who sees what, padding, the cache, its formula, and what it refuses."""

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    EncoderDecoder,
    EncoderDecoderConfig,
    FeedForwardConfig,
    KVCache,
    NormConfig,
    PositionConfig,
    count_encoder_decoder,
)
from minillm.model.routing import ExpertsConfig

SHAPE = DecoderConfig(
    50, 24, 2, 16, AttentionConfig(4, scaled=False), FeedForwardConfig("relu", 32),
    position=PositionConfig("t5"), init_std=0.2,
)  # fmt: skip
VARIANTS = [
    {},
    {"position": PositionConfig("rope"), "attention": AttentionConfig(4, 2)},
    {"position": PositionConfig("learned"), "tie_embeddings": False},
    {"position": PositionConfig("sinusoidal"), "norm": NormConfig("layernorm", place="post")},
    {"position": PositionConfig("alibi"), "norm": NormConfig(place="sandwich")},
    {"norm": NormConfig("layernorm", embedding=True), "attention": AttentionConfig(4, bias=True)},
]
G = torch.Generator().manual_seed(0)
SOURCE = torch.randint(0, 50, (2, 7), generator=G)
TARGET = torch.randint(0, 50, (2, 5), generator=G)
CLOSE = {"rtol": 0, "atol": 1e-12}


def build(n_encoder_layers=3, **settings):
    torch.manual_seed(0)
    shape = dataclasses.replace(SHAPE, **settings)
    return EncoderDecoder(EncoderDecoderConfig(shape, n_encoder_layers), dtype=torch.float64)


def other(ids, at):
    changed = ids.clone()
    changed[:, at] = (changed[:, at] + 7) % 50
    return changed


@pytest.mark.parametrize("settings", VARIANTS)
@torch.no_grad()
def test_the_target_sees_all_of_the_source_and_its_own_past(settings):
    model = build(**settings)
    logits = model(SOURCE, TARGET)
    assert logits.shape == (2, 5, 50)
    for s in range(7):
        gap = (model(other(SOURCE, s), TARGET) - logits).abs().amax(dim=(0, 2))
        assert gap.min() > 1e-9  # every target position sees every source position
    for t in range(5):
        gap = (model(SOURCE, other(TARGET, t)) - logits).abs().amax(dim=(0, 2))
        assert gap[:t].max().item() < 1e-12 if t else True
        assert gap[t:].min() > 1e-9


@pytest.mark.parametrize("settings", VARIANTS)
@torch.no_grad()
def test_padding_changes_nothing(settings):
    model = build(**settings)
    mask = torch.tensor([[True] * 7 + [False] * 3] * 2)
    padded = torch.cat([SOURCE, torch.full((2, 3), 9)], dim=1)
    torch.testing.assert_close(model(padded, TARGET, source_mask=mask), model(SOURCE, TARGET))
    assert (model(padded, TARGET) - model(SOURCE, TARGET)).abs().max() > 1e-6


@pytest.mark.parametrize("settings", VARIANTS)
@torch.no_grad()
def test_the_cache_and_the_batch_change_nothing(settings):
    model = build(**settings)
    whole = model(SOURCE, TARGET)
    memory = model.encode(SOURCE)
    cache = KVCache(model.config.decoder, 2, 5, torch.float64)
    parts = [model.decode(t, memory, cache=cache) for t in TARGET.split([2, 1, 2], dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, **CLOSE)
    one = model(SOURCE[:1], TARGET[:1])
    torch.testing.assert_close(one, whole[:1], **CLOSE)


@pytest.mark.parametrize("settings", VARIANTS)
def test_every_number_is_counted_and_used(settings):
    model = build(**settings)
    shape = model.config.decoder
    padding = (128 - 50) * 24 * (1 if shape.tie_embeddings else 2)
    n = sum(p.numel() for p in model.parameters()) - padding
    assert n == count_encoder_decoder(model.config) == model.n_parameters()
    model(SOURCE, TARGET).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


@torch.no_grad()
def test_the_model_is_its_formula():
    model = build(position=PositionConfig("none"), attention=AttentionConfig(4))
    x = model.embedding(SOURCE)
    for b in model.encoder.blocks:
        x = x + b.attention(b.attention_norm(x), causal=False)
        x = x + b.feedforward(b.feedforward_norm(x))
    memory = model.encoder.final_norm(x)
    y = model.embedding(TARGET)
    for b in model.decoder.blocks:
        y = y + b.attention(b.attention_norm(y), causal=True)
        y = y + b.cross(b.cross_norm(y), causal=False, source=memory)
        y = y + b.feedforward(b.feedforward_norm(y))
    y = model.decoder.final_norm(y) / 24**0.5
    wanted = F.linear(y, model.embedding.weight[:50])
    torch.testing.assert_close(model(SOURCE, TARGET), wanted, **CLOSE)


@torch.no_grad()
def test_an_encoder_is_a_decoder_without_causality():
    """The same weights in both: the mask is all that differs (ARC-003)."""
    model = build(position=PositionConfig("rope"), attention=AttentionConfig(4))
    alone = Decoder(dataclasses.replace(model.config.decoder, n_layers=3), dtype=torch.float64)
    weights = {k.removeprefix("encoder."): v for k, v in model.state_dict().items()}
    alone.load_state_dict({k: v for k, v in weights.items() if k in alone.state_dict()})
    memory = model.encode(SOURCE)
    torch.testing.assert_close(alone.features(SOURCE, causal=False), memory, **CLOSE)
    assert (alone.features(SOURCE) - memory).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: EncoderDecoderConfig(SHAPE, 0), "n_encoder_layers must be at least 1, got 0"),
        (
            lambda: EncoderDecoderConfig(dataclasses.replace(SHAPE, parallel=True), 1),
            "no place for cross-attention",
        ),
        (
            lambda: EncoderDecoderConfig(
                dataclasses.replace(
                    SHAPE, feedforward=FeedForwardConfig("relu", 8, experts=ExpertsConfig(2))
                ),
                1,
            ),
            "experts are for decoders only",
        ),
        (lambda: build()(SOURCE, TARGET[:1]), "target has 1 rows, the memory 2"),
        (lambda: build()(SOURCE + 50, TARGET), "not in the vocabulary of 50"),
        (
            lambda: build()(SOURCE, TARGET, source_mask=torch.ones(2, 6, dtype=torch.bool)),
            r"source_mask must be booleans \(2, 7\)",
        ),
        (
            lambda: Decoder(SHAPE).blocks[0](torch.zeros(1, 2, 24), memory=torch.zeros(1, 2, 24)),
            "no cross-attention",
        ),
        (
            lambda: build().decoder.run(torch.zeros(1, 2, 24, dtype=torch.float64)),
            "cross-attention needs memory=",
        ),
    ],
)
def test_wrong_calls_are_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()
