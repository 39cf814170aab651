"""Attention: by hand, against a loop, the fast twin, masks, shared heads, and the layer."""

import math

import pytest
import torch

from minillm.model import (
    Attention,
    AttentionConfig,
    apply_rope,
    attention,
    attention_weights,
    fast_attention,
    rope_angles,
)

CLOSE = {"rtol": 1e-12, "atol": 1e-12}
BOTH = pytest.mark.parametrize("attend", [attention, fast_attention])


def qkv(B=2, N=4, K=2, T=5, S=5, H=6, seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    shapes = ((B, N, T, H), (B, K, S, H), (B, K, S, H))
    return [torch.randn(*shape, generator=g, dtype=torch.float64).to(dtype) for shape in shapes]


@torch.no_grad()
def by_loops(q, k, v, mask=None, causal=False, bias=None):
    """Attention with one Python loop for each axis: slow, and hard to get wrong."""
    (B, N, T, H), (K, S) = q.shape, k.shape[1:3]
    out = torch.zeros_like(q)
    seen = torch.ones(B, N, T, S, dtype=torch.bool) if mask is None else mask.expand(B, N, T, S)
    added = torch.zeros(B, N, T, S) if bias is None else bias.expand(B, N, T, S)
    for b in range(B):
        for n in range(N):
            for t in range(T):
                e = {}
                for s in range(S):
                    if seen[b, n, t, s] and not (causal and s > t + S - T):
                        score = q[b, n, t] @ k[b, n // (N // K), s] / math.sqrt(H)
                        e[s] = math.exp(score + added[b, n, t, s])
                for s, weight in e.items():
                    out[b, n, t] += weight / sum(e.values()) * v[b, n // (N // K), s]
    return out


@BOTH
def test_two_keys_by_hand(attend):
    q = torch.tensor([[[[2.0, 0.0, 0.0, 0.0]]]], dtype=torch.float64)  # H = 4: scores are halved
    k = torch.tensor([[[[math.log(3), 5.0, 0, 0], [0.0, 0, 0, 9.0]]]], dtype=torch.float64)
    v = torch.tensor([[[[4.0, 0, 0, 1], [0.0, 8, 0, 1]]]], dtype=torch.float64)
    wanted = torch.tensor([[[[3.0, 2.0, 0.0, 1.0]]]], dtype=torch.float64)  # weights 3/4, 1/4
    torch.testing.assert_close(attend(q, k, v), wanted, **CLOSE)


@BOTH
@pytest.mark.parametrize("K", [1, 2, 4])
@pytest.mark.parametrize(("T", "S"), [(5, 5), (2, 5), (1, 4)])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_equals_the_loops(attend, K, T, S, causal, masked, biased):
    q, k, v = qkv(K=K, T=T, S=S)
    g = torch.Generator().manual_seed(1)
    mask = torch.rand(2, 1, T, S, generator=g) < 0.6 if masked else None
    bias = torch.randn(4, T, S, generator=g, dtype=torch.float64) if biased else None
    wanted = by_loops(q, k, v, mask, causal, bias)
    torch.testing.assert_close(attend(q, k, v, mask, causal=causal, bias=bias), wanted, **CLOSE)


@BOTH
@pytest.mark.parametrize("shape", [(5,), (5, 5), (4, 1, 5), (2, 1, 1, 5), (1, 4, 5, 1)])
def test_every_mask_that_broadcasts(attend, shape):
    q, k, v = qkv()
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(2)) < 0.5
    torch.testing.assert_close(attend(q, k, v, mask), by_loops(q, k, v, mask), **CLOSE)


@BOTH
def test_a_query_cannot_see_the_future(attend):
    q, k, v = qkv()
    out = attend(q, k, v, causal=True)
    k2, v2 = k.clone(), v.clone()
    k2[:, :, 3:] += 1.0  # change positions 3 and 4 only
    v2[:, :, 3:] += 100.0
    out2 = attend(q, k2, v2, causal=True)
    torch.testing.assert_close(out[:, :, :3], out2[:, :, :3], **CLOSE)
    assert not torch.isclose(out[:, :, 3:], out2[:, :, 3:]).any()  # ... and a change is seen


def test_weights_are_a_distribution_over_the_allowed():
    q, k, v = qkv()
    out, weights = attention_weights(q, k, v, causal=True)
    assert weights.triu(1).count_nonzero() == 0
    assert (weights.tril() > 0).sum() == 2 * 4 * 15
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 5).double(), **CLOSE)
    torch.testing.assert_close(weights @ v.repeat_interleave(2, dim=1), out, **CLOSE)
    assert weights.dtype == torch.float64
    assert attention_weights(*qkv(dtype=torch.bfloat16))[1].dtype == torch.float32


@BOTH
def test_a_query_without_any_key_gets_zeros_and_a_gradient(attend):
    q, k, v = (t.requires_grad_() for t in qkv())
    mask = torch.ones(5, 5, dtype=torch.bool)
    mask[2] = False
    for bias in (None, torch.zeros(4, 5, 5, dtype=torch.float64)):
        out = attend(q, k, v, mask, bias=bias)
        assert out[:, :, 2].abs().max() == 0
        torch.testing.assert_close(out[:, :, 3], attend(q, k, v)[:, :, 3], **CLOSE)
        for grad in torch.autograd.grad(out.sum(), (q, k, v)):
            assert grad.isfinite().all()
    assert attention_weights(q, k, v, mask)[1][:, :, 2].abs().max() == 0


@BOTH
def test_mask_and_causal_are_both_obeyed(attend):
    q, k, v = qkv()
    not_itself = ~torch.eye(5, dtype=torch.bool)
    earlier = torch.ones(5, 5, dtype=torch.bool).tril(-1)
    out = attend(q, k, v, not_itself, causal=True)
    torch.testing.assert_close(out, attend(q, k, v, earlier), **CLOSE)


@BOTH
def test_shared_heads_are_repeated_heads(attend):
    q, k, v = qkv(K=2)
    repeated = attend(q, k.repeat_interleave(2, 1), v.repeat_interleave(2, 1), causal=True)
    torch.testing.assert_close(attend(q, k, v, causal=True), repeated, **CLOSE)
    wrong = attend(q, k.repeat(1, 2, 1, 1), v.repeat(1, 2, 1, 1), causal=True)
    assert not torch.allclose(wrong, repeated)  # heads 0, 1 share, not 0, 2


@BOTH
def test_without_a_mask_keys_have_no_order(attend):
    q, k, v = qkv()
    order = torch.tensor([3, 0, 4, 1, 2])
    shuffled = attend(q, k[:, :, order], v[:, :, order])
    torch.testing.assert_close(shuffled, attend(q, k, v), **CLOSE)


@BOTH
def test_scores_are_summed_in_float32(attend):
    q, k, v = qkv(dtype=torch.bfloat16, H=64, T=16, S=16)
    out = attend(q, k, v, causal=True)
    assert out.dtype == torch.bfloat16
    wanted = attend(q.float(), k.float(), v.float(), causal=True)
    torch.testing.assert_close(out.float(), wanted, rtol=2**-7, atol=2**-7)


@BOTH
def test_under_autocast_bfloat16_hides_the_future_too(attend):
    torch.manual_seed(6)
    q, k, v = (torch.randn(2, 2, 5, 8) for _ in range(3))
    with torch.autocast("cpu", torch.bfloat16):
        out = attend(q, k, v, causal=True)
    torch.testing.assert_close(out.float(), attention(q, k, v, causal=True), rtol=0, atol=0.03)


def test_the_gradients_of_the_twins_agree():
    ours, theirs = ([t.requires_grad_() for t in qkv()] for _ in range(2))
    g = torch.randn(2, 4, 5, 6, dtype=torch.float64)
    wanted = torch.autograd.grad(attention(*theirs, causal=True), theirs, g)
    got = torch.autograd.grad(fast_attention(*ours, causal=True), ours, g)
    torch.testing.assert_close(got, wanted, **CLOSE)


@BOTH
@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (((2, 4, 5), (2, 2, 5, 6), (2, 2, 5, 6)), r"need q \(B, N, T, H\)"),
        (((2, 4, 5, 6), (2, 2, 5), (2, 2, 5)), r"need q \(B, N, T, H\)"),
        (((2, 4, 5, 6), (2, 2, 5, 6), (2, 2, 4, 6)), r"v \(2, 2, 4, 6\)"),
        (((2, 4, 5, 6), (1, 2, 5, 6), (1, 2, 5, 6)), r"k \(1, 2, 5, 6\)"),
        (((2, 4, 5, 6), (2, 2, 5, 8), (2, 2, 5, 8)), "B and H must agree"),
        (((2, 4, 5, 6), (2, 3, 5, 6), (2, 3, 5, 6)), "K divide N"),
        (((2, 4, 5, 6), (2, 0, 5, 6), (2, 0, 5, 6)), "K divide N"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(attend, shapes, words):
    with pytest.raises(ValueError, match=words):
        attend(*(torch.zeros(shape) for shape in shapes))


@BOTH
def test_wrong_masks_are_refused(attend):
    q, k, v = qkv()
    with pytest.raises(ValueError, match=r"boolean.*got torch.float32"):
        attend(q, k, v, torch.ones(5, 5))
    for shape in ((4, 5), (3, 5, 5), (1, 2, 4, 5, 5)):
        with pytest.raises(ValueError, match="does not broadcast"):
            attend(q, k, v, torch.ones(shape, dtype=torch.bool))


@BOTH
def test_more_causal_queries_than_keys_are_refused(attend):
    q, k, v = qkv(T=6, S=5)
    with pytest.raises(ValueError, match="T=6, S=5"):
        attend(q, k, v, causal=True)
    assert attend(q, k, v).shape == q.shape  # without causal there is nothing wrong with it


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_heads": 0}, "n_heads must be at least 1, got 0"),
        ({"n_heads": 4, "n_kv_heads": 3}, "must divide n_heads=4, got 3"),
        ({"n_heads": 4, "n_kv_heads": 0}, "got 0"),
        ({"n_heads": 4, "n_kv_heads": -4}, "got -4"),
        ({"n_heads": 4, "head_width": 0}, "head_width must be at least 1, got 0"),
        ({"n_heads": 4, "implementation": "flash"}, "got 'flash'"),
    ],
)
def test_a_wrong_config_is_refused_by_name(settings, words):
    with pytest.raises(ValueError, match=words):
        AttentionConfig(**settings)


def test_key_heads_fills_the_default_in():
    assert AttentionConfig(6).key_heads == 6
    assert AttentionConfig(6, 2).key_heads == 2


@pytest.mark.parametrize("implementation", ["fast", "readable"])
@pytest.mark.parametrize("interleaved", [False, True])
def test_the_layer_is_its_formula(implementation, interleaved):
    torch.manual_seed(0)
    config = AttentionConfig(4, 2, head_width=6, bias=True, implementation=implementation)
    layer = Attention(10, config, interleaved=interleaved, dtype=torch.float64)
    for projection in (layer.q, layer.k, layer.v, layer.out):
        torch.nn.init.normal_(projection.bias)
    x = torch.randn(2, 5, 10, dtype=torch.float64)
    cos, sin = rope_angles(torch.arange(5), 6)
    y = layer(x, rotation=(cos, sin))

    q = layer.q(x).reshape(2, 5, 4, 6).transpose(1, 2)
    k = layer.k(x).reshape(2, 5, 2, 6).transpose(1, 2)
    v = layer.v(x).reshape(2, 5, 2, 6).transpose(1, 2)
    q, k = (apply_rope(t, cos, sin, interleaved=interleaved) for t in (q, k))
    heads = by_loops(q, k, v, causal=True)  # causal is the default of the layer
    wanted = layer.out(torch.cat(heads.unbind(1), dim=-1))
    torch.testing.assert_close(y, wanted, **CLOSE)
    assert not torch.allclose(layer(x), wanted)  # the rotation matters


def test_the_layer_passes_its_options_on():
    torch.manual_seed(0)
    layer = Attention(8, AttentionConfig(2, bias=True), dtype=torch.float64)
    x = torch.randn(1, 4, 8, dtype=torch.float64)
    eye = torch.eye(4, dtype=torch.bool)
    alone = layer.out(layer.v(x))  # every position sees only itself
    torch.testing.assert_close(layer(x, eye), alone, **CLOSE)
    far = torch.zeros(2, 4, 4, dtype=torch.float64).masked_fill(~eye, -1e9)
    torch.testing.assert_close(layer(x, bias=far, causal=False), alone, **CLOSE)
    seen = []
    layer(x, remember=lambda k, v: seen.append((k, v)) or (k, v))
    assert seen[0][0].shape == seen[0][1].shape == (1, 2, 4, 4)
    torch.testing.assert_close(seen[0][1].transpose(1, 2).flatten(2), layer.v(x), **CLOSE)


def test_the_layer_refuses_heads_that_do_not_divide():
    with pytest.raises(ValueError, match="n_heads=3 does not divide d_model=8"):
        Attention(8, AttentionConfig(3))
    assert Attention(8, AttentionConfig(3, head_width=5), device="meta").out.d_in == 15
