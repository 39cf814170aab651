"""Means and whitening: against loops over the places that count."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.align.whiten import AVERAGES, check_mask, masked_mean, masked_variance, whiten

MASK = torch.tensor([[False, True, True, True], [False, True, False, False], [False] * 4])
X = torch.tensor([[9.0, 1.0, 2.0, 6.0], [9.0, 5.0, 9.0, 9.0], [9.0] * 4], dtype=torch.float64)


def test_three_averages_by_hand():
    assert masked_mean(X, MASK) == (1 + 2 + 6 + 5) / 4
    assert masked_mean(X, MASK, "rows") == ((1 + 2 + 6) / 3 + 5) / 2  # the empty row is no row
    assert masked_mean(X, MASK, "length") == (1 + 2 + 6 + 5) / 12


@pytest.mark.parametrize("average", AVERAGES)
def test_what_is_masked_is_never_read(average):
    spoilt = torch.where(MASK, X, math.nan).requires_grad_()
    mean = masked_mean(spoilt, MASK, average)
    assert mean == masked_mean(X, MASK, average)
    (grad,) = torch.autograd.grad(mean, spoilt)
    assert torch.isfinite(grad).all()
    assert (grad != 0).equal(MASK)


def test_variance_is_that_of_the_places_that_count():
    kept = X[MASK]
    assert masked_variance(X, MASK) == pytest.approx(kept.var().item())
    assert masked_variance(X, MASK, unbiased=False) == pytest.approx(kept.var(correction=0).item())
    one = torch.zeros_like(MASK)
    one[0, 1] = True
    assert masked_variance(X, one) == 0  # not NaN


@given(st.lists(st.tuples(st.floats(-50, 50), st.booleans()), min_size=2, max_size=12))
@settings(deadline=None, max_examples=25)
def test_whitened_numbers_have_mean_0_and_variance_1(places):
    x = torch.tensor([[v for v, _ in places]], dtype=torch.float64)
    mask = torch.tensor([[counts for _, counts in places]])
    kept = x[mask]
    if len(kept) < 2 or kept.std() < 1e-2:
        return
    y = whiten(x, mask)
    assert y[mask].mean().item() == pytest.approx(0, abs=1e-9)
    assert y[mask].std().item() == pytest.approx(1, abs=1e-3)
    assert not y[~mask].any()
    unshifted = whiten(x, mask, shift=False)
    torch.testing.assert_close(unshifted[mask], y[mask] + kept.mean())
    assert not unshifted[~mask].any()


def test_equal_numbers_become_0():
    x = torch.full((2, 3), 4.0)
    assert not whiten(x, torch.ones(2, 3, dtype=torch.bool)).any()


def test_bad_input():
    with pytest.raises(ValueError, match=r"boolean, got \(3, 4\) torch.float32"):
        masked_mean(X, MASK.float())
    with pytest.raises(ValueError, match=r"x \(3, 3\) must have the shape of the mask, \(3, 4\)"):
        masked_mean(X[:, 1:], MASK)
    with pytest.raises(ValueError, match="all False"):
        whiten(X, torch.zeros_like(MASK))
    with pytest.raises(ValueError, match="one of tokens, rows, length; got 'mean'"):
        masked_mean(X, MASK, "mean")
    with pytest.raises(ValueError, match="rewards"):
        check_mask(MASK, rewards=X[:1])
