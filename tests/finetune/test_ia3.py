"""(IA)^3 and BitFit: a factor on each coordinate, a bias on each; at the start both do nothing."""

import dataclasses

import pytest
import torch

from minillm.finetune import (
    Biased,
    Stretched,
    add_ia3,
    count_trainable,
    count_trained,
    merge_ia3,
    only_biases,
)
from minillm.inference import generate
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig, NormConfig
from minillm.model.layers import Linear
from minillm.model.routing import ExpertsConfig

CONFIG = DecoderConfig(
    vocab_size=40,
    d_model=16,
    n_layers=2,
    context=16,
    attention=AttentionConfig(4, 2),
    feedforward=FeedForwardConfig("swiglu", 24),
    init_std=0.3,
)
GPT2 = dataclasses.replace(
    CONFIG,
    attention=AttentionConfig(4, bias=True),
    feedforward=FeedForwardConfig("gelu", 24, bias=True),
    norm=NormConfig("layernorm", 1e-5),
)
IDS = torch.randint(0, 40, (2, 6), generator=torch.Generator().manual_seed(0))


def decoder(config=CONFIG):
    torch.manual_seed(1)
    model = Decoder(config, dtype=torch.float64)
    for name, param in model.named_parameters():
        if name.endswith(".bias"):
            torch.nn.init.normal_(param, std=0.3)  # they start at zero otherwise
    return model


def stir(model, mean=1.0):
    torch.manual_seed(2)
    for param in model.parameters():
        if param.requires_grad:
            torch.nn.init.normal_(param, mean=mean, std=0.5)


@pytest.mark.parametrize("config", [CONFIG, GPT2])
def test_ia3_is_stretched_weights(config):
    model, copy = decoder(config), decoder(config)
    before = model(IDS)
    assert add_ia3(model) is model
    assert torch.equal(model(IDS), before)
    stir(model)
    after = model(IDS)
    assert not torch.allclose(after, before)
    with torch.no_grad():
        for mine, plain in zip(model.blocks, copy.blocks, strict=True):
            for name in ("k", "v"):
                factors = getattr(mine.attention, name).factors
                layer = getattr(plain.attention, name)
                layer.weight.copy_(torch.diag(factors) @ layer.weight)
                if layer.bias is not None:
                    layer.bias.copy_(factors * layer.bias)
            down = plain.feedforward.down
            down.weight.copy_(down.weight @ torch.diag(mine.feedforward.down.factors))
    torch.testing.assert_close(copy(IDS), after)


@pytest.mark.parametrize("config", [CONFIG, GPT2])
def test_ia3_merges_into_the_old_shape(config):
    model = add_ia3(decoder(config))
    stir(model)
    before = model(IDS)
    assert merge_ia3(model) is model
    torch.testing.assert_close(model(IDS), before)
    assert {type(m) for m in model.modules()} == {type(m) for m in decoder(config).modules()}
    with pytest.raises(ValueError, match="nothing to merge"):
        merge_ia3(model)


def test_ia3_trains_the_factors_and_nothing_else():
    model = add_ia3(decoder())
    assert count_trainable(model) == count_trained("ia3", CONFIG) == 2 * (2 * 8 + 24)
    model(IDS).square().mean().backward()
    moved = [n for n, p in model.named_parameters() if p.grad is not None]
    assert len(moved) == 6
    assert all(n.endswith("factors") for n in moved)


def test_generate_hears_the_factors():
    model = add_ia3(decoder())
    stir(model)
    assert torch.equal(generate(model, IDS, 5), generate(model, IDS, 5, use_cache=False))
    assert not torch.equal(generate(model, IDS, 5), generate(decoder(), IDS, 5))


def test_ia3_refusals():
    with pytest.raises(ValueError, match="side must be 'in' or 'out', got 'up'"):
        Stretched(Linear(2, 3), "up")
    with pytest.raises(ValueError, match="has factors already"):
        add_ia3(add_ia3(decoder()))
    with pytest.raises(ValueError, match="stretches Linear layers, got Biased"):
        add_ia3(only_biases(decoder(), add=True))
    experts = dataclasses.replace(
        CONFIG, feedforward=FeedForwardConfig("swiglu", 24, experts=ExpertsConfig(2))
    )
    for method in (add_ia3, lambda model: only_biases(model, add=True)):
        with pytest.raises(ValueError, match="does not reach the experts"):
            method(decoder(experts))


def test_bitfit_trains_every_bias_there_is():
    model = decoder(GPT2)
    assert only_biases(model) is model
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert trained == {n for n, _ in model.named_parameters() if n.endswith(".bias")}
    per_block = 3 * 16 + 16 + 24 + 16 + 2 * 16  # q k v, out, up, down, two norms
    assert count_trainable(model) == 2 * per_block + 16


def test_bitfit_adds_biases_where_there_are_none():
    model = decoder()
    before = model(IDS)
    only_biases(model, add=True)
    assert torch.equal(model(IDS), before)
    assert count_trainable(model) == count_trained("bitfit", CONFIG)
    added = [name for name, part in model.named_modules() if isinstance(part, Biased)]
    assert len(added) == 2 * 7
    stir(model, mean=0.0)
    copy = decoder(
        dataclasses.replace(
            CONFIG,
            attention=AttentionConfig(4, 2, bias=True),
            feedforward=FeedForwardConfig("swiglu", 24, bias=True),
        )
    )
    weights = {name.replace(".base.", "."): p for name, p in model.state_dict().items()}
    copy.load_state_dict(weights)
    torch.testing.assert_close(model(IDS), copy(IDS))
    assert not torch.allclose(model(IDS), before)


def test_bitfit_twice_adds_nothing():
    model = only_biases(decoder(), add=True)
    n = count_trainable(model)
    assert count_trainable(only_biases(model)) == n


def test_bitfit_refusals():
    with pytest.raises(ValueError, match="has no biases, as all of LLaMA's kind; pass add=True"):
        only_biases(decoder())
    with pytest.raises(ValueError, match="has a bias already"):
        Biased(Linear(2, 3, bias=True))
