"""Properties that every preset must keep, on small random models of its kind.

Each preset is shrunk: the kinds of its parts stay, the sizes are drawn anew from a seed.
"""

import dataclasses
import random

import pytest
import torch

from minillm.model import Decoder, EncoderDecoder, KVCache, NormConfig, count_padding
from minillm.model.presets import PRESETS, T5_PRESETS

SANDWICH = "glm4, sandwich norms"  # GLM-4-0414
KINDS = [*PRESETS, SANDWICH]
SEEDS = range(2)
V = 61


def shrunk(config, rng):
    """The same kinds of parts, with sizes drawn anew."""
    a, f = config.attention, config.feedforward
    K, share = rng.choice((1, 2)), rng.choice((2, 3))
    heads = {1: (share, 1), a.n_heads: (2 * share - K, 2 * share - K)}
    N, K = heads.get(a.key_heads, (K * share, K))
    H = rng.choice((4, 8))
    window = None if a.window is None else rng.randint(2, 6)
    attention = dataclasses.replace(a, n_heads=N, n_kv_heads=K, head_width=H, window=window)
    experts = f.experts
    if experts is not None:
        experts = dataclasses.replace(experts, n_experts=rng.randint(3, 5))
    return dataclasses.replace(
        config,
        vocab_size=V,
        d_model=N * H,
        n_layers=rng.randint(1, 3),
        context=24,
        attention=attention,
        feedforward=dataclasses.replace(f, width=rng.randint(5, 30), experts=experts),
    )


@torch.no_grad()
def scattered(model):
    for p in model.parameters():
        p.normal_(1.0 if p.ndim == 1 else 0.0, 0.3)
    return model.eval()


def small(kind, seed):
    rng = random.Random(f"{kind} {seed}")
    torch.manual_seed(rng.getrandbits(32))
    if kind == SANDWICH:
        large = dataclasses.replace(PRESETS["glm4_9b"](), norm=NormConfig(place="sandwich"))
    else:
        large = PRESETS[kind]()
    model = scattered(Decoder(shrunk(large, rng), dtype=torch.float64))
    return model, torch.randint(0, V, (3, rng.randint(9, 14))), rng


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", SEEDS)
@torch.no_grad()
def test_properties_of_every_preset(kind, seed):
    model, ids, rng = small(kind, seed)
    B, T = ids.shape
    whole = model(ids)
    # causality: a change is seen from its position on, not before
    t = rng.randint(1, T - 2)
    other = ids.clone()
    other[:, t] = (other[:, t] + 1) % V
    changed = (model(other) - whole).abs().amax(dim=(0, 2))  # (T,)
    assert changed[:t].max() == 0
    assert changed[t] > 1e-6
    assert changed[t + 1 :].max() > 1e-6
    # batch = one by one
    single = torch.cat([model(row[None]) for row in ids])
    torch.testing.assert_close(single, whole, rtol=0, atol=1e-9)
    # cache = no cache, in parts of any length
    cuts = sorted(rng.sample(range(1, T), 3))
    parts = [b - a for a, b in zip([0, *cuts], [*cuts, T], strict=True)]
    cache = KVCache(model.config, B, T, torch.float64)
    cached = torch.cat([model(part, cache=cache) for part in ids.split(parts, dim=1)], dim=1)
    torch.testing.assert_close(cached, whole, rtol=0, atol=1e-9)
    assert sum(p.numel() for p in model.parameters()) == model.n_parameters() + count_padding(
        model.config
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_padding_changes_nothing(kind, side):
    model, ids, rng = small(kind, 2)
    B, T = ids.shape
    lengths = torch.tensor([T, T - 2, rng.randint(3, T - 3)])
    padded = torch.randint(0, V, (B, T))  # what stands in the padding must not matter
    real = torch.arange(T) < lengths[:, None]
    if side == "left":
        real = real.flip(1)
    positions = (real.cumsum(dim=1) - 1).clamp(min=0)
    for row, n, mine in zip(range(B), lengths, real, strict=True):
        padded[row, mine] = ids[row, :n]
    batch = model(padded, mask=real[:, None, None, :], positions=positions)
    without = model(padded, positions=positions)
    for row, n, mine in zip(range(B), lengths, real, strict=True):
        wanted = model(ids[row : row + 1, :n])[0]
        torch.testing.assert_close(batch[row, mine], wanted, rtol=0, atol=1e-9)
        if side == "left" and n < T:  # on the right causality alone would do
            assert (without[row, mine] - wanted).abs().max() > 1e-6


@pytest.mark.parametrize("kind", T5_PRESETS)
@pytest.mark.parametrize("seed", SEEDS)
@torch.no_grad()
def test_properties_of_every_t5(kind, seed):
    rng = random.Random(f"{kind} {seed}")
    torch.manual_seed(rng.getrandbits(32))
    large = T5_PRESETS[kind]()
    config = dataclasses.replace(
        large, decoder=shrunk(large.decoder, rng), n_encoder_layers=rng.randint(1, 3)
    )
    model = scattered(EncoderDecoder(config, dtype=torch.float64))
    source, target = torch.randint(0, V, (3, 11)), torch.randint(0, V, (3, 9))
    lengths = torch.tensor([11, 8, 3])
    real = torch.arange(11) < lengths[:, None]
    whole = model(source, target, source_mask=real)
    # padding of the source, and the batch
    rows = [model(source[i : i + 1, : lengths[i]], target[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(torch.cat(rows), whole, rtol=0, atol=1e-9)
    assert (model(source, target) - whole)[1:].abs().max() > 1e-6
    # causality within the target
    other = target.clone()
    other[:, 5] = (other[:, 5] + 1) % V
    changed = (model(source, other, source_mask=real) - whole).abs().amax(dim=(0, 2))
    assert changed[:5].max() == 0
    assert changed[5] > 1e-6
    # cache = no cache
    cache = KVCache(config.decoder, 3, 9, torch.float64)
    memory = model.encode(source, real)
    parts = target.split([4, 1, 4], dim=1)
    cached = torch.cat([model.decode(p, memory, real, cache=cache) for p in parts], dim=1)
    torch.testing.assert_close(cached, whole, rtol=0, atol=1e-9)
