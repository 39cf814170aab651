"""A cache of fixed size against the definition, written out for every pair of positions."""

import dataclasses
import math

import pytest
import torch

from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    NormConfig,
    PositionConfig,
)
from minillm.model.long_masks import sink_distances, sink_mask
from minillm.model.long_rope import RopeScaling
from minillm.model.rope import apply_rope
from minillm.model.sinks import SinkCache, read_with_sinks

CONFIG = DecoderConfig(
    vocab_size=31, d_model=16, n_layers=2, context=8,
    attention=AttentionConfig(2), feedforward=FeedForwardConfig("swiglu", 24),
)  # fmt: skip
IDS = torch.randint(0, 31, (2, 20), generator=torch.Generator().manual_seed(3))


def build(seed=0, **changes):
    torch.manual_seed(seed)
    model = Decoder(dataclasses.replace(CONFIG, init_std=0.3, **changes), dtype=torch.float64)
    return model.eval()


@torch.no_grad()
def by_definition(model, ids, n_sink, window):
    """Every score by itself: the query turned by the distance that the key seems to have."""
    c, p, T = model.config, model.config.position, ids.shape[1]
    allowed = sink_mask(n_sink, window, T).tril()
    far = sink_distances(n_sink, window, T)  # (T, S)
    R, gain, length = c.rotary_width, 1.0, min(T, n_sink + window)
    if p.scaling is None:
        speed = p.rope_theta ** (-torch.arange(0, R, 2, dtype=torch.float64) / R)
    else:
        speed = p.scaling.frequencies(R, p.rope_theta, length=length)
        gain = p.scaling.gain
    x = model.embedding(ids)
    for block in model.blocks:
        layer, h = block.attention, block.attention_norm(x)
        q, k, v = (layer._heads(part(h)) for part in (layer.q, layer.k, layer.v))
        groups = q.shape[1] // k.shape[1]
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        scores = torch.full((*q.shape[:3], T), -math.inf, dtype=torch.float64)
        for t in range(T):
            for s in allowed[t].nonzero().flatten().tolist():
                angle = (far[t, s] * speed)[None]  # (1, R/2)
                turned = gain**2 * apply_rope(
                    q[:, :, t : t + 1, :R], angle.cos(), angle.sin(), interleaved=p.interleaved
                )
                full = torch.cat((turned, q[:, :, t : t + 1, R:]), dim=-1)[:, :, 0]
                scores[:, :, t, s] = (full * k[:, :, s]).sum(-1) / math.sqrt(q.shape[-1])
        y = scores.softmax(dim=-1) @ v
        x = x + layer.out(y.transpose(1, 2).flatten(2))
        x = x + block.feedforward(block.feedforward_norm(x))
    return model.logits(model.final_norm(x))


CASES = {
    "plain": {},
    "groups, interleaved": {
        "attention": AttentionConfig(4, 2),
        "position": PositionConfig("rope", 100.0, interleaved=True),
    },
    "half turned": {"position": PositionConfig("rope", rotary_share=0.5)},
    "layernorm": {"norm": NormConfig("layernorm")},
    "linear": {"position": PositionConfig(scaling=RopeScaling("linear", 4.0))},
    "yarn": {"position": PositionConfig(scaling=RopeScaling("yarn", 4.0, 8))},
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("n_sink", "window"), [(2, 4), (0, 3), (1, 1), (4, 16), (3, 40)])
def test_it_is_the_definition(name, n_sink, window):
    model = build(**CASES[name])
    got = read_with_sinks(model, IDS, n_sink=n_sink, window=window)
    want = by_definition(model, IDS, n_sink, window)
    torch.testing.assert_close(got, want, rtol=0, atol=2e-5)  # the tables are float32
    if name == "plain" and window < 16:
        other = by_definition(model, IDS, n_sink + 1, window)
        assert (got - other).abs().max() > 1e-3  # ... and a change is seen


def test_within_the_cache_it_is_the_model_itself():
    for changes in CASES.values():
        model = build(**changes)
        got = read_with_sinks(model, IDS, n_sink=4, window=16)
        torch.testing.assert_close(got, model(IDS), rtol=0, atol=2e-5)


def test_dynamic_scaling_counts_to_the_room_of_the_cache_and_no_further():
    dynamic = PositionConfig(scaling=RopeScaling("dynamic", 1.0, 8))
    plain, model = build(), build(position=dynamic)
    a = read_with_sinks(plain, IDS, n_sink=2, window=6)
    assert torch.equal(a, read_with_sinks(model, IDS, n_sink=2, window=6))
    b = read_with_sinks(model, IDS, n_sink=2, window=10)
    torch.testing.assert_close(b[:, :8], read_with_sinks(plain, IDS, n_sink=2, window=10)[:, :8])
    assert (b - read_with_sinks(plain, IDS, n_sink=2, window=10))[:, 9:].abs().max() > 1e-3


def test_it_goes_on_from_a_cache_and_the_cache_does_not_grow():
    model = build()
    whole = read_with_sinks(model, IDS, n_sink=2, window=5)
    cache = SinkCache(model.config, 2, n_sink=2, window=5, dtype=torch.float64)
    size = cache.keys.shape
    parts = [read_with_sinks(model, part, cache=cache) for part in IDS.split([3, 1, 16], dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=0, atol=1e-12)
    assert cache.seen == 20
    assert cache.keys.shape == size == (2, 2, 2, 7, 8)
    empty = read_with_sinks(model, IDS[:, :0], cache=cache)
    assert empty.shape == (2, 0, 31)


def test_the_window_fills_the_context_where_nothing_else_is_said():
    model = build()
    got = read_with_sinks(model, IDS)
    assert torch.equal(got, read_with_sinks(model, IDS, n_sink=4, window=4))


def test_far_tokens_are_forgotten_and_sinks_are_not():
    model, changed = build(n_layers=1), IDS.clone()
    last = read_with_sinks(model, IDS, n_sink=2, window=5)[:, -1]
    changed[:, 5] = (changed[:, 5] + 1) % 31
    assert torch.equal(read_with_sinks(model, changed, n_sink=2, window=5)[:, -1], last)
    changed[:, 1] = (changed[:, 1] + 1) % 31
    assert not torch.allclose(read_with_sinks(model, changed, n_sink=2, window=5)[:, -1], last)


@pytest.mark.parametrize(
    ("changes", "settings", "words"),
    [
        ({"position": PositionConfig("alibi")}, {}, "position.kind is 'alibi'; use sink_mask"),
        ({"attention": AttentionConfig(2, window=3)}, {}, "window=3 would hide the sinks"),
        ({}, {"n_sink": -1, "window": 2}, "n_sink=-1"),
        ({}, {"n_sink": 8}, "window=0"),
        ({}, {"window": 0}, "window=0"),
    ],
)
def test_wrong_settings_are_refused(changes, settings, words):
    with pytest.raises(ValueError, match=words):
        read_with_sinks(build(**changes), IDS, **settings)


def test_wrong_ids_and_batches_are_refused():
    model = build()
    with pytest.raises(ValueError, match="id 31 is not in the vocabulary"):
        read_with_sinks(model, torch.full((1, 3), 31))
    with pytest.raises(ValueError, match="batch_size=0"):
        SinkCache(CONFIG, 0, n_sink=1, window=1)
    cache = SinkCache(CONFIG, 1, n_sink=1, window=1, dtype=torch.float64)
    with pytest.raises(ValueError, match="holds 1 sequences, got a batch of 2"):
        read_with_sinks(model, IDS, cache=cache)
