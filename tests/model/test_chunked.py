"""Chunked attention (Rabe and Staats, xFormers) against the definition, with masks and a bias."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.model import alibi_bias, alibi_slopes, attention, flash_attention
from minillm.model.chunked import chunked_attention
from minillm.train.live_memory import peak_bytes, saved_bytes

CLOSE = {"rtol": 0, "atol": 1e-12}


def qkv(B=2, N=4, K=2, T=5, S=5, H=6, seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    shapes = ((B, N, T, H), (B, K, S, H), (B, K, S, H))
    made = [torch.randn(*s, generator=g, dtype=torch.float64).to(dtype) for s in shapes]
    return [x.requires_grad_(True) for x in made]


def assert_same(inputs, mask=None, bias=None, causal=False, **chunks):
    results = []
    for attend, extra in ((chunked_attention, chunks), (attention, {})):
        out = attend(*inputs, mask, causal=causal, bias=bias, **extra)
        wanted = inputs if bias is None or not bias.requires_grad else [*inputs, bias]
        weigh = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out.dtype)
        results.append([out, *torch.autograd.grad(out, wanted, weigh)])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, **CLOSE)


@settings(max_examples=30, deadline=None)
@given(
    T=st.integers(1, 15),
    more=st.integers(0, 6),
    K=st.sampled_from([1, 2, 4]),
    chunk_q=st.integers(1, 20),
    chunk_k=st.integers(1, 20),
    causal=st.booleans(),
    masked=st.booleans(),
    biased=st.booleans(),
)
def test_equals_the_definition(T, more, K, chunk_q, chunk_k, causal, masked, biased):
    g, S = torch.Generator().manual_seed(2), T + more
    mask = torch.rand(2, 1, T, S, generator=g) < 0.7 if masked else None
    bias = torch.randn(4, T, S, generator=g, dtype=torch.float64) if biased else None
    assert_same(qkv(K=K, T=T, S=S), mask, bias, causal, chunk_q=chunk_q, chunk_k=chunk_k)


def test_with_alibi_as_in_baichuan_2():
    positions = torch.arange(20)
    slopes = torch.tensor(alibi_slopes(4))
    bias = alibi_bias(slopes, positions, positions, dtype=torch.float64)
    assert bias.abs().max() > 1
    assert_same(qkv(T=20, S=20), bias=bias, causal=True, chunk_q=6, chunk_k=7)


def test_a_bias_that_is_learned():
    bias = torch.randn(1, 4, 1, 9, dtype=torch.float64, requires_grad=True)
    assert_same(qkv(T=9, S=9), bias=bias, causal=True, chunk_q=4, chunk_k=4)


@pytest.mark.parametrize("shape", [(5,), (5, 5), (4, 1, 5), (2, 1, 1, 5), (1, 4, 5, 1)])
def test_masks_that_broadcast(shape):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(2)) < 0.5
    assert_same(qkv(), mask, chunk_q=2, chunk_k=2)


def test_a_query_without_a_key_gets_zeros_and_clean_gradients():
    inputs = qkv(T=4, S=4)
    mask = torch.ones(4, 4, dtype=torch.bool)
    mask[1] = False
    out = chunked_attention(*inputs, mask, chunk_q=2, chunk_k=3)
    assert not out[:, :, 1].any()
    assert_same(inputs, mask, chunk_q=2, chunk_k=3)
    assert not any(x.isnan().any() for x in torch.autograd.grad(out.sum(), inputs))


def test_equals_the_tiles_of_flash_attention():
    inputs = qkv(T=12, S=30)
    ours = chunked_attention(*inputs, causal=True, chunk_q=5, chunk_k=7)
    torch.testing.assert_close(ours, flash_attention(*inputs, causal=True), **CLOSE)


def test_memory_grows_linearly():
    def step(T):
        inputs = qkv(B=1, N=1, K=1, T=T, S=T, H=4, dtype=torch.float32)

        def work():
            chunked_attention(*inputs, causal=True, chunk_q=32, chunk_k=32).sum().backward()

        return inputs, work

    peaks = [peak_bytes(step(T)[1]) for T in (128, 256, 512)]
    steps = [b - a for a, b in itertools.pairwise(peaks)]
    assert steps[1] < 2.5 * steps[0]  # 4 if it were a square
    inputs, _ = step(512)
    saved = saved_bytes(lambda: chunked_attention(*inputs, causal=True).sum())
    assert saved < 4 * 512 * 4 * 5  # q, k, v and little else


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"chunk_q": 0}, "got a size of 0"),
        ({"chunk_k": 0}, "got a size of 0"),
        ({"mask": torch.ones(5, 5)}, "mask must be boolean"),
        ({"mask": torch.ones(4, 4, dtype=torch.bool)}, "does not broadcast"),
    ],
)
def test_wrong_settings(settings, words):
    with pytest.raises(ValueError, match=words):
        chunked_attention(*qkv(), **settings)


def test_wrong_shapes():
    q, k, v = qkv(T=6, S=5)
    with pytest.raises(ValueError, match="T <= S"):
        chunked_attention(q, k, v, causal=True)
    with pytest.raises(ValueError, match="shapes do not fit"):
        chunked_attention(q[:, :3], k, v)
