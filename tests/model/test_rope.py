"""RoPE against hand calculation, transformers, Meta's complex form and its defining property."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.model.rope import (
    apply_rope,
    rope,
    rope_angles,
    rope_frequencies,
    rope_matrix,
)

LAYOUTS = pytest.mark.parametrize("interleaved", [False, True])


def randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def meta_rope(x, theta=10000.0):
    """The complex form of Meta's llama/model.py; x is (B, T, N, H) there."""
    T, H = x.shape[1], x.shape[-1]
    freqs = 1.0 / (theta ** (torch.arange(0, H, 2)[: (H // 2)].double() / H))
    freqs = torch.outer(torch.arange(T).double(), freqs)
    freqs_cis = torch.polar(torch.ones_like(freqs), freqs)
    x_ = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(x_ * freqs_cis.view(1, T, 1, H // 2)).flatten(3)


# ---- frequencies and angles ----------------------------------------------------------------


def test_frequencies_by_hand():
    torch.testing.assert_close(
        rope_frequencies(4, 10000.0), torch.tensor([1.0, 0.01], dtype=torch.float64)
    )
    torch.testing.assert_close(
        rope_frequencies(6, 8.0), torch.tensor([1.0, 0.5, 0.25], dtype=torch.float64)
    )
    assert rope_frequencies(2).tolist() == [1.0]  # the smallest width there is
    assert rope_frequencies(8, dtype=torch.float32).dtype == torch.float32


def test_default_base_is_ten_thousand():
    assert torch.equal(rope_frequencies(64), rope_frequencies(64, 10000.0))
    assert torch.equal(rope_angles(torch.arange(3), 8)[0], rope_angles(torch.arange(3), 8, 1e4)[0])
    x = randn(3, 8)
    assert torch.equal(rope(x, torch.arange(3)), rope(x, torch.arange(3), theta=10000.0))
    assert torch.equal(rope_matrix(3, 8), rope_matrix(3, 8, 10000.0))


@pytest.mark.parametrize("width", [0, 1, 3, 65, -2])
def test_width_must_be_even_and_positive(width):
    with pytest.raises(ValueError, match=f"head_width must be even and at least 2.*got {width}"):
        rope_frequencies(width)


@pytest.mark.parametrize("theta", [0.0, -1.0, math.nan])
def test_base_must_be_positive(theta):
    with pytest.raises(ValueError, match="theta must be positive"):
        rope_frequencies(4, theta)


def test_angles_are_position_times_frequency():
    cos, sin = rope_angles(torch.tensor([[0, 1], [2, 100]]), 4)
    assert cos.shape == sin.shape == (2, 2, 2)
    assert cos.dtype == sin.dtype == torch.float64
    assert cos[0, 0].tolist() == [1.0, 1.0]
    assert sin[0, 0].tolist() == [0.0, 0.0]
    assert cos[1, 1, 1].item() == pytest.approx(math.cos(1.0), abs=1e-15)
    assert sin[1, 1, 1].item() == pytest.approx(math.sin(1.0), abs=1e-15)
    assert sin[1, 0, 0].item() == pytest.approx(math.sin(2.0), abs=1e-15)


def test_angles_take_fractions_and_a_dtype():
    cos, sin = rope_angles(torch.tensor([0.5]), 2, dtype=torch.float32)
    assert cos.dtype == sin.dtype == torch.float32
    assert cos.item() == pytest.approx(math.cos(0.5), abs=1e-7)


def test_angles_live_where_the_positions_live():
    cos, sin = rope_angles(torch.arange(3, device="meta"), 8)
    assert cos.device.type == sin.device.type == "meta"


# ---- the definition ------------------------------------------------------------------------


@LAYOUTS
def test_one_pair_turns_counter_clockwise(interleaved):
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float64)  # position 1 turns it by 1 rad
    out = rope(x, torch.tensor([1]), interleaved=interleaved)
    want = torch.tensor([[math.cos(1), math.sin(1)]], dtype=torch.float64)
    torch.testing.assert_close(out, want, rtol=0, atol=1e-15)


def test_pairs_by_hand_in_both_layouts():
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0]], dtype=torch.float64)
    c, s = math.cos(3.0), math.sin(3.0)  # pair 0 at position 3
    d, t = math.cos(0.03), math.sin(0.03)  # pair 1 at position 3
    half = [c - 3 * s, 2 * d - 4 * t, 3 * c + s, 4 * d + 2 * t]
    inter = [c - 2 * s, 2 * c + s, 3 * d - 4 * t, 4 * d + 3 * t]
    at = torch.tensor([3])
    assert rope(x, at)[0].tolist() == pytest.approx(half, abs=1e-14)
    assert rope(x, at, interleaved=True)[0].tolist() == pytest.approx(inter, abs=1e-14)


@LAYOUTS
def test_position_zero_changes_nothing(interleaved):
    x = randn(2, 3, 5, 8)
    assert torch.equal(rope(x, torch.zeros(5), interleaved=interleaved), x)


@LAYOUTS
def test_lengths_are_kept(interleaved):
    x = randn(4, 50, 64)
    out = rope(x, torch.arange(50), interleaved=interleaved)
    torch.testing.assert_close(out.norm(dim=-1), x.norm(dim=-1), rtol=0, atol=1e-13)
    assert (out - x)[:, 1:].abs().max() > 0.1  # ... and not because nothing happened


@LAYOUTS
def test_scores_depend_on_the_distance_only(interleaved):
    q, k = randn(1, 64, seed=1), randn(1, 64, seed=2)
    T = 200
    Q = rope(q.expand(T, 64), torch.arange(T), interleaved=interleaved)
    K = rope(k.expand(T, 64), torch.arange(T), interleaved=interleaved)
    scores = Q @ K.T  # (T, T): entry m, n
    for distance in range(-T + 1, T):
        diagonal = scores.diagonal(distance)
        assert (diagonal - diagonal[0]).abs().max() < 1e-12
    assert (scores[:, 0] - scores[0, 0]).abs().max() > 1.0  # the scores do vary


@settings(max_examples=40, deadline=None)
@given(
    half=st.integers(1, 20),
    m=st.integers(-500, 500),
    n=st.integers(-500, 500),
    shift=st.integers(-500, 500),
    interleaved=st.booleans(),
)
def test_a_common_shift_leaves_the_score(half, m, n, shift, interleaved):
    q, k = randn(1, 2 * half, seed=3), randn(1, 2 * half, seed=4)

    def score(m, n):
        Q = rope(q, torch.tensor([m]), interleaved=interleaved)
        return (Q * rope(k, torch.tensor([n]), interleaved=interleaved)).sum().item()

    assert score(m + shift, n + shift) == pytest.approx(score(m, n), abs=1e-11)


@LAYOUTS
def test_definition_fast_twin_and_matrix_agree(interleaved):
    x, at = randn(3, 7, 10), torch.tensor([0, 1, 5, 2, 900, 3, -4])
    out = rope(x, at, theta=500.0, interleaved=interleaved)
    fast = apply_rope(x, *rope_angles(at, 10, 500.0), interleaved=interleaved)
    torch.testing.assert_close(fast, out, rtol=0, atol=1e-13)
    for t, m in enumerate(at.tolist()):
        matrix = rope_matrix(m, 10, 500.0, interleaved=interleaved)
        torch.testing.assert_close(x[:, t] @ matrix.T, out[:, t], rtol=0, atol=1e-13)


@LAYOUTS
def test_matrix_is_a_rotation_and_the_pair_it_needs_is_a_difference(interleaved):
    W5, W2 = (rope_matrix(m, 12, interleaved=interleaved) for m in (5, 2))
    eye = torch.eye(12, dtype=torch.float64)
    torch.testing.assert_close(W5.T @ W5, eye, rtol=0, atol=1e-14)
    assert torch.det(W5).item() == pytest.approx(1.0, abs=1e-13)
    W3 = rope_matrix(3, 12, interleaved=interleaved)
    torch.testing.assert_close(W2.T @ W5, W3, rtol=0, atol=1e-14)
    assert W5.count_nonzero() == 24


# ---- equality with others ------------------------------------------------------------------


def test_equals_transformers_in_float32():
    hf = pytest.importorskip("transformers.models.llama.modeling_llama")
    from transformers import LlamaConfig

    config = LlamaConfig(hidden_size=96, num_attention_heads=4, head_dim=24, num_hidden_layers=1)
    at = torch.tensor([[0, 1, 2, 3, 900], [7, 8, 9, 10, 4095]])  # (B, T)
    q, k = (randn(2, 4, 5, 24, seed=s, dtype=torch.float32) for s in (5, 6))
    cos, sin = hf.LlamaRotaryEmbedding(config)(q, at)
    want = hf.apply_rotary_pos_emb(q, k, cos, sin)
    tables = rope_angles(at, 24, dtype=torch.float32)
    for ours, theirs in zip(tables, (cos, sin), strict=True):
        torch.testing.assert_close(torch.cat((ours, ours), -1), theirs, rtol=0, atol=1e-7)
    for x, w in zip((q, k), want, strict=True):
        torch.testing.assert_close(apply_rope(x, *tables), w, rtol=0, atol=1e-6)
        torch.testing.assert_close(rope(x, at), w, rtol=0, atol=2e-3)  # float64 angles differ
        assert (apply_rope(x, *tables, interleaved=True) - w).abs().max() > 0.1


def test_equals_transformers_in_float64():
    hf = pytest.importorskip("transformers.models.llama.modeling_llama")
    at = torch.arange(50)[None]
    cos, sin = rope_angles(at, 32, 500_000.0)
    twice = [torch.cat((t, t), dim=-1) for t in (cos, sin)]
    q = randn(1, 3, 50, 32)
    want, _ = hf.apply_rotary_pos_emb(q, q, *twice)
    torch.testing.assert_close(rope(q, at, 500_000.0), want, rtol=0, atol=1e-14)


@pytest.mark.parametrize("theta", [10000.0, 77.0])
def test_interleaved_equals_metas_complex_form(theta):
    x = randn(2, 9, 3, 16)  # (B, T, N, H)
    want = meta_rope(x, theta).transpose(1, 2)
    out = rope(x.transpose(1, 2), torch.arange(9), theta, interleaved=True)
    torch.testing.assert_close(out, want, rtol=0, atol=1e-14)
    assert (rope(x.transpose(1, 2), torch.arange(9), theta) - want).abs().max() > 0.1


# ---- shapes and dtypes ---------------------------------------------------------------------


def test_batched_positions_are_each_row_of_the_batch():
    x = randn(2, 3, 4, 6)  # (B, N, T, H), with B, N, T all different
    at = torch.tensor([[0, 1, 2, 3], [9, 7, 5, 3]])
    cos, sin = rope_angles(at, 6)
    for row in range(2):
        one = rope(x[row], at[row])
        assert torch.equal(rope(x, at)[row], one)
        torch.testing.assert_close(apply_rope(x, cos, sin)[row], one, rtol=0, atol=1e-14)
    assert torch.equal(rope(x[:, 0], at), rope(x, at)[:, 0])  # (B, T, H) works as well
    assert torch.equal(rope(x, at[:1]), rope(x, at[0]))  # one row of positions serves all


@LAYOUTS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_dtype_is_kept_and_the_sum_is_made_wide(dtype, interleaved):
    x = randn(5, 64).to(dtype)
    at = torch.arange(5) + 1000
    want = rope(x.double(), at, interleaved=interleaved).to(dtype)
    out = rope(x, at, interleaved=interleaved)
    fast = apply_rope(x, *rope_angles(at, 64), interleaved=interleaved)
    assert out.dtype == fast.dtype == dtype
    assert torch.equal(out, want)
    torch.testing.assert_close(fast, want, rtol=2 * torch.finfo(dtype).eps, atol=1e-6)


@LAYOUTS
def test_gradients_flow_and_keep_their_length(interleaved):
    x = randn(4, 6).requires_grad_()
    seed = randn(4, 6, seed=8)
    for turn in (
        lambda x: rope(x, torch.arange(4), interleaved=interleaved),
        lambda x: apply_rope(x, *rope_angles(torch.arange(4), 6), interleaved=interleaved),
    ):
        (grad,) = torch.autograd.grad(turn(x), x, seed)
        # the transpose of a turn is the turn back
        want = rope(seed, -torch.arange(4), interleaved=interleaved)
        torch.testing.assert_close(grad, want, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("shape", "positions", "match"),
    [
        ((2, 5, 8), (4,), r"x \(2, 5, 8\), positions \(4,\)"),
        ((8,), (1,), "need x"),
        ((2, 5, 8), (), "need x"),
        ((2, 5, 8), (1, 2, 5), "need x"),
        ((2, 3, 5, 8), (3, 5), "of the same B"),
        ((5, 8), (1, 5), "of the same B"),
        ((2, 5, 7), (5,), "head_width must be even"),
    ],
)
def test_shapes_that_do_not_fit_are_named(shape, positions, match):
    with pytest.raises(ValueError, match=match):
        rope(randn(*shape), torch.zeros(positions))


def test_tables_that_do_not_fit_are_named():
    cos, sin = rope_angles(torch.arange(5), 8)
    with pytest.raises(ValueError, match="tables for width 8 do not fit"):
        apply_rope(randn(2, 5, 10), cos, sin)
    with pytest.raises(ValueError, match="differ in shape"):
        apply_rope(randn(2, 5, 8), cos, sin[:4])
    with pytest.raises(ValueError, match="floating point"):
        apply_rope(torch.ones(2, 5, 8, dtype=torch.int64), cos, sin)
    with pytest.raises(ValueError, match="floating point"):
        rope(torch.ones(5, 8, dtype=torch.int64), torch.arange(5))
