"""Tiled attention against the definition: forward, backward, causality, memory, traffic."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from minillm.model import attention, flash_attention
from minillm.model.flash import tiled_backward, tiled_forward
from minillm.model.tiles import SlowMemory, blocks, visible_columns, visible_rows
from minillm.train.live_memory import peak_bytes, saved_bytes

CLOSE = {"rtol": 0, "atol": 1e-12}


def qkv(B=2, N=4, K=2, T=5, S=5, H=6, seed=0, dtype=torch.float64, grad=True, scale=1.0):
    g = torch.Generator().manual_seed(seed)
    shapes = ((B, N, T, H), (B, K, S, H), (B, K, S, H))
    made = [scale * torch.randn(*s, generator=g, dtype=torch.float64).to(dtype) for s in shapes]
    return [x.requires_grad_(grad) for x in made]


def with_gradients(attend, inputs, seed=1):
    """out and the gradients by q, k and v of a random weighing of it."""
    out = attend(*inputs)
    g = torch.Generator().manual_seed(seed)
    weigh = torch.randn(out.shape, generator=g, dtype=torch.float64).to(out.dtype)
    return [out, *torch.autograd.grad(out, inputs, weigh)]


def assert_same(attend, reference, inputs, **close):
    got, wanted = with_gradients(attend, inputs), with_gradients(reference, inputs)
    for a, b in zip(got, wanted, strict=True):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, **(close or CLOSE))


lengths = st.integers(1, 23)
sizes = st.integers(1, 30)


@settings(max_examples=60, deadline=None)
@given(T=lengths, more=st.integers(0, 9), K=st.sampled_from([1, 2, 4]), bq=sizes, bk=sizes,
       causal=st.booleans())  # fmt: skip
def test_equals_the_definition_for_any_length_and_block(T, more, K, bq, bk, causal):
    inputs = qkv(K=K, T=T, S=T + more, H=3)

    def tiled(q, k, v):
        return flash_attention(q, k, v, causal=causal, block_q=bq, block_k=bk)

    assert_same(tiled, lambda q, k, v: attention(q, k, v, causal=causal), inputs)


@pytest.mark.parametrize(("T", "S"), [(1, 1), (7, 3), (40, 40), (1, 130), (129, 129)])
def test_equals_torch_without_causality(T, S):
    inputs = qkv(T=T, S=S)

    def torchs(q, k, v):
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=True)

    assert_same(flash_attention, torchs, inputs)


def test_equals_torch_with_causality():
    inputs = qkv(T=37, S=37)

    def torchs(q, k, v):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)

    assert_same(
        lambda q, k, v: flash_attention(q, k, v, causal=True, block_q=8, block_k=5), torchs, inputs
    )


@pytest.mark.parametrize(("T", "S", "bq", "bk"), [(4, 4, 3, 2), (3, 5, 2, 2), (1, 4, 1, 3)])
def test_gradcheck(T, S, bq, bk):
    inputs = qkv(B=1, N=2, K=1, T=T, S=S, H=2)

    def tiled(q, k, v):
        return flash_attention(q, k, v, causal=True, block_q=bq, block_k=bk)

    assert torch.autograd.gradcheck(tiled, inputs)


def test_a_query_cannot_see_the_future():
    q, k, v = qkv(T=9, S=9, grad=False)
    settings = {"causal": True, "block_q": 4, "block_k": 2}
    out = flash_attention(q, k, v, **settings)
    v2 = v.clone()
    v2[:, :, 5:] += 100.0
    k2 = k.clone()
    k2[:, :, 5:] -= 3.0
    out2 = flash_attention(q, k2, v2, **settings)
    assert torch.equal(out[:, :, :5], out2[:, :, :5])
    assert not torch.isclose(out[:, :, 5:], out2[:, :, 5:]).any()


def test_fewer_queries_are_the_last_ones():
    q, k, v = qkv(T=11, S=11, grad=False)
    whole = flash_attention(q, k, v, causal=True, block_q=4, block_k=4)
    for T in (1, 3, 10):
        part = flash_attention(q[:, :, -T:], k, v, causal=True, block_q=2, block_k=5)
        torch.testing.assert_close(part, whole[:, :, -T:], **CLOSE)


@pytest.mark.parametrize("causal", [False, True])
def test_inputs_that_are_not_contiguous(causal):
    g = torch.Generator().manual_seed(3)
    fused = torch.randn(2, 13, 8, 3, generator=g, dtype=torch.float64)  # (B, T, heads, H)
    q, k, v = fused.transpose(1, 2).split([4, 2, 2], dim=1)
    inputs = [x[..., ::2].requires_grad_(True) for x in (q, k, v)]
    assert not any(x.is_contiguous() for x in inputs)

    def tiled(q, k, v):
        return flash_attention(q, k, v, causal=causal, block_q=5, block_k=4)

    assert_same(tiled, lambda q, k, v: attention(q, k, v, causal=causal), inputs)
    out = tiled(*inputs)
    (by_expanded,) = torch.autograd.grad(out.sum(), inputs[0])  # its gradient has stride 0
    (wanted,) = torch.autograd.grad(attention(*inputs, causal=causal).sum(), inputs[0])
    torch.testing.assert_close(by_expanded, wanted, **CLOSE)


@pytest.mark.parametrize("scale", [1e-4, 100.0])
def test_scores_to_ten_thousand(scale):
    inputs = qkv(T=20, S=20, scale=scale)
    top = (inputs[0] @ inputs[1].repeat_interleave(2, dim=1).mT).abs().max()
    assert scale < 1 or top > 1e4
    assert_same(lambda q, k, v: flash_attention(q, k, v, causal=True, block_q=6, block_k=6),
         lambda q, k, v: attention(q, k, v, causal=True), inputs,
         rtol=1e-10, atol=1e-10)  # fmt: skip


def test_scores_of_minus_infinity_hide_a_key():
    q, k, v = qkv(N=1, K=1, T=3, S=6, grad=False)
    q, k = q.abs(), k.clone()
    k[:, :, 2:5] = -torch.inf
    mask = torch.tensor([True, True, False, False, False, True])
    q.requires_grad_(True)
    out = flash_attention(q, k, v, block_q=2, block_k=2)
    torch.testing.assert_close(out, attention(q, k.nan_to_num(neginf=0.0), v, mask), **CLOSE)
    everything = torch.full_like(k, -torch.inf)
    assert not flash_attention(q, everything, v, block_q=2, block_k=2).any()


def test_scores_that_all_overflow_downwards_give_zeros_and_clean_gradients():
    q = torch.full((1, 1, 3, 2), 1e30, requires_grad=True)
    k = torch.full((1, 1, 4, 2), -1e30, requires_grad=True)
    v = torch.ones(1, 1, 4, 2, requires_grad=True)
    assert (q @ k.mT == -torch.inf).all()
    out, *gradients = with_gradients(
        lambda q, k, v: flash_attention(q, k, v, block_q=2, block_k=3), [q, k, v]
    )
    assert not out.any()
    assert not any(x.any() for x in gradients)  # zeros, and no NaN


def test_no_keys_give_zeros_and_no_queries_give_nothing():
    q, k, v = qkv(T=3, S=0)
    out, *gradients = with_gradients(flash_attention, [q, k, v])
    assert out.shape == q.shape
    assert not out.any()
    assert not any(x.any() for x in gradients)
    out, *gradients = with_gradients(flash_attention, qkv(T=0, S=3))
    assert out.shape == (2, 4, 0, 6)
    assert not any(x.any() for x in gradients)


def test_half_precision_accumulates_in_single():
    for dtype, close in ((torch.bfloat16, 2e-2), (torch.float16, 2e-3), (torch.float32, 2e-6)):
        inputs = qkv(T=70, S=70, dtype=dtype)
        out, *gradients = with_gradients(
            lambda q, k, v: flash_attention(q, k, v, causal=True, block_q=16, block_k=16), inputs
        )
        assert out.dtype == dtype
        assert all(x.dtype == dtype for x in gradients)
        wide = attention(*(x.double() for x in inputs), causal=True)
        assert (out.double() - wide).abs().max() < close
    q, k, v = qkv(T=70, S=70, dtype=torch.bfloat16, grad=False)
    _, logsumexp = tiled_forward(q, k, v)
    assert logsumexp.dtype == torch.float32


def test_the_logsumexp_is_that_of_the_scores():
    q, k, v = qkv(K=4, T=9, S=9, grad=False)
    _, logsumexp = tiled_forward(q, k, v, causal=True, block_q=4, block_k=2)
    scores = q @ k.mT / math.sqrt(6)
    hidden = torch.ones(9, 9, dtype=torch.bool).triu(1)
    wanted = scores.masked_fill(hidden, -torch.inf).logsumexp(dim=-1)
    torch.testing.assert_close(logsumexp, wanted, **CLOSE)


def test_a_second_derivative_is_refused():
    q, k, v = qkv()
    for loss in (flash_attention(q, k, v).sum(), flash_attention(q, k, v).square().sum()):
        with pytest.raises(RuntimeError, match=r"once, not with create_graph=True.*attention"):
            torch.autograd.grad(loss, q, create_graph=True)
    (first,) = torch.autograd.grad(flash_attention(q, k, v).sum(), q)
    assert first.abs().max() > 0.01


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"block_q": 0}, "block must hold at least 1 position, got a size of 0"),
        ({"block_k": -3}, "got a size of -3"),
        ({"block_k": 2.5}, "got a size of 2.5"),
    ],
)
def test_wrong_blocks(settings, words):
    with pytest.raises(ValueError, match=words):
        flash_attention(*qkv(), **settings)


def test_wrong_shapes():
    q, k, v = qkv(T=6, S=5)
    with pytest.raises(ValueError, match="causal attention needs T <= S, got T=6, S=5"):
        flash_attention(q, k, v, causal=True)
    for wrong in ((q, k, v[:, :, :4]), (q[:, :3], k, v), (q[0], k, v), (q, k[:1], v[:1])):
        with pytest.raises(ValueError, match=r"shapes|need q"):
            flash_attention(*wrong)


# --- memory


def at_length(T, attend, H=4):
    inputs = qkv(B=1, N=2, K=2, T=T, S=T, H=H, dtype=torch.float32)

    def work():
        out = attend(*inputs, causal=True)
        out.sum().backward()
        return out

    return inputs, work


def small_tiles(q, k, v, causal):
    return flash_attention(q, k, v, causal=causal, block_q=32, block_k=32)


def test_saved_tensors_are_linear_in_the_length():
    for T in (64, 128, 256):
        inputs, _ = at_length(T, flash_attention)
        saved = saved_bytes(lambda given=inputs: flash_attention(*given, causal=True))
        assert saved == 4 * 2 * T * (4 * 4 + 1)  # q, k, v and out of width 4, one logsumexp
    inputs, _ = at_length(256, attention)
    assert saved_bytes(lambda: attention(*inputs, causal=True)) > 4 * 2 * 256 * 256


def test_peak_memory_is_linear_in_the_length():
    peaks = [peak_bytes(at_length(T, small_tiles)[1]) for T in (128, 256, 512)]
    steps = [b - a for a, b in itertools.pairwise(peaks)]
    assert steps[1] == pytest.approx(2 * steps[0], rel=0.02)
    assert peaks[2] < 4.5 * peaks[0]
    plain = [peak_bytes(at_length(T, attention)[1]) for T in (256, 512)]
    assert plain[1] > 3.5 * plain[0]  # ... and the meter sees a square


# --- work and traffic


def flops(work):
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def test_as_many_flops_forward_and_a_quarter_more_backward():
    q, k, v = inputs = qkv(B=1, N=2, K=2, T=48, S=48, H=8)
    one = 2 * 2 * 48 * 48 * 8  # one product of a tile, over all of them and both heads
    assert flops(lambda: attention(q, k, v)) == 2 * one
    assert flops(lambda: flash_attention(q, k, v, block_q=16, block_k=16)) == 2 * one
    out = flash_attention(q, k, v, block_q=16, block_k=16)
    assert flops(lambda: torch.autograd.grad(out.sum(), inputs)) == 5 * one
    plain = attention(q, k, v)
    assert flops(lambda: torch.autograd.grad(plain.sum(), inputs)) == 4 * one


def test_causality_skips_tiles():
    q, k, v = qkv(B=1, N=1, K=1, T=64, S=64, H=8, grad=False)
    whole = flops(lambda: flash_attention(q, k, v, block_q=8, block_k=8))
    half = flops(lambda: flash_attention(q, k, v, causal=True, block_q=8, block_k=8))
    assert half / whole == (8 * 9 / 2) / 64


@settings(max_examples=60, deadline=None)
@given(T=st.integers(0, 20), more=st.integers(0, 9), bq=sizes, bk=sizes)
def test_tiles_cover_what_is_visible_once_and_say_where_the_diagonal_runs(T, more, bq, bk):
    S = T + more
    visible = torch.ones(T, S, dtype=torch.bool).tril(more)
    by_row = [t for rows in blocks(T, bq) for t in visible_columns(rows, T, S, bk, True)]
    by_column = [t for c in blocks(S, bk) for t in visible_rows(c, T, S, bq, True)]
    key = lambda tile: (tile.rows.start, tile.columns.start)  # noqa: E731
    assert sorted(by_row, key=key) == sorted(by_column, key=key)
    covered = torch.zeros(T, S, dtype=torch.int)
    for rows, columns, crossed in by_row:
        covered[rows, columns] += 1
        assert visible[rows, columns].any()  # no tile for nothing
        assert crossed == (not visible[rows, columns].all())
    assert (covered <= 1).all()
    assert (covered[visible] == 1).all()
    everything = [t for rows in blocks(T, bq) for t in visible_columns(rows, T, S, bk, False)]
    assert len(everything) == -(-T // bq) * -(-S // bk)
    assert not any(t.crossed for t in everything)


@pytest.mark.parametrize(("T", "S", "bq", "bk"), [(12, 12, 4, 3), (10, 17, 4, 5), (8, 8, 100, 100)])
def test_traffic_of_both_passes(T, S, bq, bk):
    q, k, v = qkv(B=1, N=1, K=1, T=T, S=S, H=6, grad=False)
    n_q, n_k, H = -(-T // bq), -(-S // bk), 6
    memory = SlowMemory()
    out, sums = tiled_forward(q, k, v, block_q=bq, block_k=bk, memory=memory)
    assert memory.loaded == T * H + n_q * 2 * S * H
    assert memory.stored == T * H + T
    assert memory.moved == memory.loaded + memory.stored
    memory = SlowMemory()
    tiled_backward(q, k, v, out, sums, out, block_q=bq, block_k=bk, memory=memory)
    assert memory.loaded == 2 * T * H + 2 * S * H + n_k * (3 * T * H + 2 * T)
    assert memory.stored == T + T * H + n_k * T * H + 2 * S * H


def test_a_tile_on_the_chip_does_not_grow_with_the_length():
    peaks = []
    for T in (32, 64, 128):
        memory = SlowMemory()
        tiled_forward(*qkv(B=1, N=1, K=1, T=T, S=T, grad=False), block_q=16, block_k=8,
                      memory=memory)  # fmt: skip
        peaks.append(memory.peak_tile)
    assert peaks == [16 * 6 + 2 * 8 * 6 + 16 * 8 + 16 * 6] * 3


def test_shared_heads_are_loaded_once_for_their_group():
    moved = []
    for K in (1, 4):
        memory = SlowMemory()
        q, k, v = qkv(B=1, N=4, K=K, T=16, S=16, grad=False)
        tiled_forward(q, k, v, block_q=8, block_k=8, memory=memory)
        moved.append(memory.loaded - q.numel())
    assert moved[1] == 4 * moved[0]
