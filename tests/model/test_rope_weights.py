"""Carrying query and key weights from one RoPE layout to the other."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.model.rope import half_to_interleaved, interleaved_to_half, rope


def randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_conversion_by_hand():
    weight = torch.arange(12.0)[:, None]  # two heads of width 6, one column
    want = [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]
    assert interleaved_to_half(weight, 2)[:, 0].tolist() == want
    assert interleaved_to_half(weight[:, 0], 2).tolist() == want  # a bias
    back = [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]
    assert half_to_interleaved(weight, 2)[:, 0].tolist() == back


@settings(max_examples=30, deadline=None)
@given(n_heads=st.integers(1, 5), half=st.integers(1, 6), width=st.integers(1, 3))
def test_conversion_there_and_back(n_heads, half, width):
    weight = randn(n_heads * half * 2, width)
    assert torch.equal(half_to_interleaved(interleaved_to_half(weight, n_heads), n_heads), weight)
    assert torch.equal(interleaved_to_half(half_to_interleaved(weight, n_heads), n_heads), weight)


def test_converted_weights_give_the_same_scores():
    x, at = randn(7, 12, seed=1), torch.arange(7)
    wq, wk = randn(24, 12, seed=2), randn(24, 12, seed=3)  # three heads of width 8

    def scores(wq, wk, interleaved):
        q, k = (
            rope((x @ w.T).unflatten(-1, (3, 8)).transpose(0, 1), at, interleaved=interleaved)
            for w in (wq, wk)
        )
        return q @ k.mT  # (3, T, T)

    want = scores(wq, wk, True)
    half = [interleaved_to_half(w, 3) for w in (wq, wk)]
    torch.testing.assert_close(scores(*half, False), want, rtol=0, atol=1e-12)
    assert (scores(wq, wk, False) - want).abs().max() > 1.0  # the silent mistake is large


def test_conversion_returns_a_new_tensor():
    weight = randn(4, 3)
    for convert in (interleaved_to_half, half_to_interleaved):
        out = convert(weight[:2], 1)  # width 2: the order does not change
        assert torch.equal(out, weight[:2])
        assert out.data_ptr() != weight.data_ptr()


@pytest.mark.parametrize("convert", [interleaved_to_half, half_to_interleaved])
@pytest.mark.parametrize(
    ("shape", "n_heads"), [((12, 4), 5), ((6, 4), 2), ((8, 4), 0), ((), 1), ((0, 3), 1)]
)
def test_rows_must_divide_into_heads(convert, shape, n_heads):
    with pytest.raises(ValueError, match="do not divide"):
        convert(torch.zeros(shape), n_heads)
