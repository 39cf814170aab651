"""Latent attention: absorbed against expanded, cached against whole, and against transformers."""

import copy
import math

import pytest
import torch

from minillm.model import rope, rope_angles
from minillm.model.latent import LatentAttention, LatentCache, LatentConfig

D = 24
KINDS = {
    "plain": LatentConfig(3, 6, 4, 5),
    "queries compressed": LatentConfig(4, 5, 2, 7, query_latent_width=9),
    "interleaved, wide latent": LatentConfig(2, 4, 6, 12, interleaved=True, eps=1e-5),
    "one head": LatentConfig(1, 3, 2, 1),
}


def layer(config, seed=0, dtype=torch.float64):
    torch.manual_seed(seed)
    made = LatentAttention(D, config, dtype=dtype)
    with torch.no_grad():
        for p in made.parameters():
            p.normal_(1.0 if p.ndim == 1 else 0.0, 0.5)
    return made


def angles(config, start=0, length=8):
    return rope_angles(torch.arange(start, start + length), config.rope_width)


def text(length=8, batch=2, seed=1):
    return torch.randn(batch, length, D, generator=torch.Generator().manual_seed(seed)).double()


def one_query(made, x, t):
    """Output at position t, head by head and key by key, from the formulas of the paper."""
    c = made.config
    H, R, C = c.head_width, c.rope_width, c.latent_width

    def norm(y, part):
        return y / (y.square().mean(-1, keepdim=True) + c.eps).sqrt() * part.weight

    q = x if made.q_down is None else norm(x @ made.q_down.weight.T, made.q_norm)
    q = (q[t] @ made.q.weight.T).view(c.n_heads, H + R)
    down = x @ made.down.weight.T  # (T, C + R)
    latent, r = (
        norm(down[:, :C], made.norm),
        rope(down[:, C:], torch.arange(len(x)), interleaved=c.interleaved),
    )
    heads = []
    for n in range(c.n_heads):
        k = latent @ made.k.weight[n * H : (n + 1) * H].T
        v = latent @ made.v.weight[n * H : (n + 1) * H].T
        p = rope(q[n : n + 1, H:], torch.tensor([t]), interleaved=c.interleaved)[0]
        scores = torch.stack(
            [(q[n, :H] @ k[s] + p @ r[s]) / math.sqrt(H + R) for s in range(t + 1)]
        )
        heads.append(scores.softmax(0) @ v[: t + 1])
    return torch.cat(heads) @ made.out.weight.T


@pytest.mark.parametrize("kind", KINDS)
def test_equal_to_the_formulas_one_query_at_a_time(kind):
    made, x = layer(KINDS[kind]), text(6, batch=1)
    for absorbed in (False, True):
        y = made(x, angles(made.config, length=6), absorbed=absorbed)[0]
        wanted = torch.stack([one_query(made, x[0], t) for t in range(6)])
        torch.testing.assert_close(y, wanted, rtol=0, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("causal", [True, False])
def test_absorbed_equals_expanded(kind, causal):
    made, x = layer(KINDS[kind]), text()
    a, b = (made(x, angles(made.config), causal=causal, absorbed=w) for w in (True, False))
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    other = made(x, angles(made.config), causal=not causal)
    assert not torch.allclose(a[:, :-1], other[:, :-1], atol=1e-3)  # a test can see a change


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("absorbed", [True, False])
def test_cached_equals_whole(kind, absorbed):
    first, second = layer(KINDS[kind]), layer(KINDS[kind], seed=2)
    config, x = first.config, text(7)
    whole = second(first(x, angles(config, 0, 7)), angles(config, 0, 7))
    cache, parts = LatentCache(config, 2, 2, 9, dtype=torch.float64), []
    for start, end in ((0, 3), (3, 4), (4, 6), (6, 7)):
        y, turn = x[:, start:end], angles(config, start, end - start)
        for number, part in enumerate((first, second)):
            y = part(
                y, turn, absorbed=absorbed, remember=lambda c, k, n=number: cache.append(n, c, k)
            )
        cache.advance(end - start)
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=0, atol=1e-12)
    assert cache.length == 7


def test_scores_depend_on_distance_only():
    made, x = layer(KINDS["plain"]), text()
    near, far = (made(x, angles(made.config, start)) for start in (0, 50))
    torch.testing.assert_close(near, far, rtol=0, atol=1e-10)
    still = made(x, rope_angles(torch.zeros(8), made.config.rope_width))
    assert not torch.allclose(near, still, atol=1e-2)


def test_turned_content_could_not_be_absorbed():
    """Why the position has a key of its own: a turn between the two matrices depends on s."""
    q, k = torch.randn(2, 6, 4, dtype=torch.float64)
    between = []
    for s in (1, 2):
        cos, sin = rope_angles(torch.tensor([float(s)]), 4)
        turn = torch.zeros(4, 4, dtype=torch.float64)
        turn[[0, 1], [0, 1]] = turn[[2, 3], [2, 3]] = cos[0]
        turn[[0, 1], [2, 3]], turn[[2, 3], [0, 1]] = -sin[0], sin[0]
        between.append(q @ turn @ k.T)
    assert not torch.allclose(*between, atol=0.1)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_to_transformers(compressed, dtype, monkeypatch):
    transformers = pytest.importorskip("transformers")
    from transformers.models.deepseek_v2 import modeling_deepseek_v2 as theirs

    # C + R is even here: theirs asks view_as_complex for rows that begin at even places
    config = LatentConfig(3, 6, 4, 8, 7 if compressed else None, interleaved=True)
    made = layer(config, dtype=dtype)
    peer = theirs.DeepseekV2Attention(
        transformers.DeepseekV2Config(
            hidden_size=D,
            num_attention_heads=3,
            num_key_value_heads=3,
            qk_nope_head_dim=6,
            qk_rope_head_dim=4,
            v_head_dim=6,
            kv_lora_rank=8,
            q_lora_rank=7 if compressed else None,
            attn_implementation="eager",
        ),
        layer_idx=0,
    ).to(dtype)
    up = [w.weight.unflatten(0, (3, 6)) for w in (made.k, made.v)]
    weights = {
        "kv_a_proj_with_mqa.weight": made.down.weight,
        "kv_a_layernorm.weight": made.norm.weight,
        "kv_b_proj.weight": torch.cat(up, dim=1).flatten(0, 1),  # of each head: keys, then values
        "o_proj.weight": made.out.weight,
    }
    if compressed:
        weights["q_a_proj.weight"] = made.q_down.weight
        weights["q_a_layernorm.weight"] = made.q_norm.weight
    weights["q_b_proj.weight" if compressed else "q_proj.weight"] = made.q.weight
    peer.load_state_dict(weights)
    cos, sin = angles(config)
    turns = torch.complex(cos, sin)[None]  # (1, T, R/2)
    if dtype == torch.float64:  # theirs goes through float32: in the norm, the turn, the softmax
        widen(monkeypatch, theirs)
    else:
        turns = turns.to(torch.complex64)
    x = text().to(dtype)
    hidden = torch.full((8, 8), -math.inf, dtype=dtype).triu(1)[None, None]
    wanted = peer(x, hidden, position_embeddings=turns)[0]
    close = {"rtol": 0, "atol": 1e-12 if dtype == torch.float64 else 2e-5}
    for absorbed in (True, False):
        torch.testing.assert_close(made(x, (cos, sin), absorbed=absorbed), wanted, **close)


def widen(monkeypatch, module):
    class Wide:
        float32 = torch.float64

        def __getattr__(self, name):
            return getattr(torch, name)

    def turned(q, k, turns):
        def one(x):
            pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
            return torch.view_as_real(pairs * turns[:, None]).flatten(3)

        return one(q), one(k)

    monkeypatch.setattr(module, "torch", Wide())
    monkeypatch.setattr(module, "apply_rotary_emb", turned)


def test_learns_and_takes_half_precision():
    made = layer(KINDS["queries compressed"])
    made(text(), angles(made.config)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in made.parameters())
    whole = layer(KINDS["plain"])
    half, x, turn = copy.deepcopy(whole).bfloat16(), text(), angles(whole.config)
    y, wanted = half(x.bfloat16(), turn, absorbed=True), whole(x, turn)
    assert y.dtype == torch.bfloat16
    assert (y - wanted).abs().max() < 0.1 * wanted.abs().max()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: LatentConfig(0, 4, 2, 4), "n_heads must be at least 1, got 0"),
        (lambda: LatentConfig(1, 4, 2, 0), "latent_width must be at least 1, got 0"),
        (lambda: LatentConfig(1, 4, 2, 4, 0), "query_latent_width must be at least 1, got 0"),
        (lambda: LatentConfig(1, 4, 3, 4), "rope_width must be even, got 3"),
        (lambda: LatentCache(KINDS["plain"], 1, 0, 4), "at least 1, got 1, 0 and 4"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_full_cache_refuses_before_writing():
    config = KINDS["plain"]
    cache = LatentCache(config, 1, 2, 3, dtype=torch.float64)
    ones = torch.ones(2, 4, 5), torch.ones(2, 4, 4)
    with pytest.raises(ValueError, match="a cache of 2 x 3 has no room for 2 x 4 positions"):
        cache.append(0, *ones)
    with pytest.raises(ValueError, match="no room for 1 x 1"):
        cache.append(0, ones[0][:1, :1], ones[1][:1, :1])
    assert not cache.latents.any()
    assert not cache.keys.any()
