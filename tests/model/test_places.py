"""Where the norms stand: each place by its formula, DeepNorm's constants, the parallel block."""

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    KVCache,
    NormConfig,
    PositionConfig,
    apply_rope,
    count_parameters,
    deepnorm_constants,
    flops_per_token,
    rope_angles,
)

CONFIG = DecoderConfig(
    50, 24, 3, 16, AttentionConfig(4, 2), FeedForwardConfig("swiglu", 32), init_std=0.2
)
IDS = torch.randint(0, 50, (2, 12), generator=torch.Generator().manual_seed(0))
CLOSE = {"rtol": 0, "atol": 1e-12}
PLACES = {
    "sandwich": {"norm": NormConfig(place="sandwich")},
    "deep": {"norm": NormConfig("layernorm", place="deep")},
    "deep, its own alpha": {"norm": NormConfig(place="deep", residual_scale=3.0)},
    "parallel": {"parallel": True},
    "embedding norm": {"norm": NormConfig("layernorm", embedding=True)},
    "normalised head": {"norm": NormConfig(head=True), "tie_embeddings": False},
    "window": {"attention": AttentionConfig(4, 2, window=5)},
    "qkv biases": {"attention": AttentionConfig(4, 2, bias="qkv")},
    "unscaled": {"attention": AttentionConfig(4, scaled=False)},
}


def build(name, seed=0):
    torch.manual_seed(seed)
    model = Decoder(dataclasses.replace(CONFIG, **PLACES[name]), dtype=torch.float64)
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim == 1:  # gains and biases that can be told apart
                p.add_(0.3 * torch.randn_like(p))
    return model


@pytest.mark.parametrize("name", PLACES)
@torch.no_grad()
def test_causal_and_equal_to_its_cache(name):
    model = build(name)
    logits = model(IDS)
    changed = IDS.clone()
    changed[:, 6:] = (changed[:, 6:] + 7) % 50
    torch.testing.assert_close(model(changed)[:, :6], logits[:, :6], **CLOSE)
    cache = KVCache(model.config, 2, 12, torch.float64)
    parts = [model(part, cache=cache) for part in IDS.split([4, 1, 7], dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), logits, **CLOSE)


@pytest.mark.parametrize("name", PLACES)
def test_every_number_is_counted_and_used(name):
    model = build(name)
    padding = (128 - 50) * 24 * (1 if model.config.tie_embeddings else 2)
    assert sum(p.numel() for p in model.parameters()) - padding == count_parameters(model.config)
    model(IDS).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


@pytest.mark.parametrize("name", [n for n in PLACES if n != "normalised head"])
@torch.no_grad()
def test_the_stack_is_its_formula(name):
    model = build(name)
    x = model.embedding(IDS)
    if model.embedding_norm is not None:
        x = model.embedding_norm(x)
    rotation = model._rotation(x, None, 0)
    mask = None
    if name == "window":
        mask = (torch.arange(12)[:, None] - torch.arange(12)[None, :]) < 5
    for b in model.blocks:

        def a(h, b=b):
            return b.attention(h, mask, rotation=rotation)

        f, n1, n2 = b.feedforward, b.attention_norm, b.feedforward_norm
        alpha = {"deep": 6**0.25, "deep, its own alpha": 3.0}.get(name)
        if name == "sandwich":
            x = x + b.attention_end(a(n1(x)))
            x = x + b.feedforward_end(f(n2(x)))
        elif alpha:
            x = n1(alpha * x + a(x))
            x = n2(alpha * x + f(x))
        elif name == "parallel":
            x = x + a(n1(x)) + f(n1(x))
        else:
            x = x + a(n1(x))
            x = x + f(n2(x))
    x = x if alpha else model.final_norm(x)
    torch.testing.assert_close(model(IDS), F.linear(x, model.embedding.weight[:50]), **CLOSE)


@torch.no_grad()
def test_rows_of_a_normalised_head_have_length_1():
    model = build("normalised head")
    matrix = model.output_matrix()
    torch.testing.assert_close(matrix.norm(dim=1), torch.ones(50, dtype=torch.float64))
    logits = model(IDS)
    model.head.weight.mul_(7.0)
    torch.testing.assert_close(model(IDS), logits)  # lengths mean nothing


@torch.no_grad()
def test_scores_that_are_not_scaled():
    model = build("unscaled")
    scaled = Decoder(dataclasses.replace(CONFIG, attention=AttentionConfig(4)), dtype=torch.float64)
    weights = model.state_dict()
    for i in range(3):  # larger queries do the same
        weights[f"blocks.{i}.attention.q.weight"] = (
            weights[f"blocks.{i}.attention.q.weight"] * 6**0.5
        )
    scaled.load_state_dict(weights)
    torch.testing.assert_close(scaled(IDS), model(IDS))


@torch.no_grad()
def test_rope_turns_the_first_share_of_each_head():
    place = PositionConfig("rope", rotary_share=0.5)
    config = dataclasses.replace(CONFIG, d_model=32, position=place)  # heads of 8, 4 turned
    torch.manual_seed(0)
    layer = Decoder(config, dtype=torch.float64).blocks[0].attention
    cos, sin = rope_angles(torch.arange(7), 4)
    q = torch.randn(1, 4, 7, 8, dtype=torch.float64)
    turned = layer._turned(q, cos, sin)
    assert torch.equal(turned[..., 4:], q[..., 4:])
    wanted = apply_rope(q[..., :4], cos, sin)
    torch.testing.assert_close(turned[..., :4], wanted, **CLOSE)
    assert (turned - q)[:, :, 1:, :4].abs().max() > 0.1


def test_deepnorm_constants():
    assert deepnorm_constants(1) == pytest.approx((2**0.25, 8**-0.25))
    assert deepnorm_constants(100) == pytest.approx((200**0.25, 800**-0.25))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        deepnorm_constants(0)


def test_deepnorm_starts_with_smaller_weights():
    torch.manual_seed(0)
    config = dataclasses.replace(
        CONFIG, d_model=96, norm=NormConfig(place="deep"), attention=AttentionConfig(4)
    )
    block = Decoder(config).blocks[0]
    beta, even = 24**-0.25, (2 / 192) ** 0.5
    for name, wanted in (("q", even), ("k", even), ("v", beta * even), ("out", beta * even)):
        spread = getattr(block.attention, name).weight.std().item()
        assert spread == pytest.approx(wanted, rel=0.05), name
    up = block.feedforward.up.weight.std().item()
    assert up == pytest.approx(beta * (2 / (96 + 32)) ** 0.5, rel=0.05)


def test_a_shared_norm_saves_one_a_block():
    saved = count_parameters(CONFIG) - count_parameters(dataclasses.replace(CONFIG, parallel=True))
    assert saved == 3 * 24
    parallel = dataclasses.replace(CONFIG, parallel=True)
    assert flops_per_token(parallel) == flops_per_token(CONFIG)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: NormConfig(residual_scale=2.0), "belongs to place 'deep'; got 2.0"),
        (lambda: NormConfig(place="deep", residual_scale=0.0), r"positive, got 0\.0"),
        (lambda: AttentionConfig(4, window=0), "window must be at least 1, got 0"),
        (lambda: AttentionConfig(4, bias="out"), "True, False or 'qkv', got 'out'"),
        (
            lambda: dataclasses.replace(CONFIG, parallel=True, norm=NormConfig(place="post")),
            "parallel block has norm.place 'pre', got 'post'",
        ),
    ],
)
def test_wrong_configs_are_refused_by_name(make, words):
    with pytest.raises(ValueError, match=words):
        make()
