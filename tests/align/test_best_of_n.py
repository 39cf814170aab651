"""Best of n: against enumeration of all draws, against sampling, and the formulas' limits."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from scipy.stats import norm

from minillm.align.best_of_n import (
    best_of_n_distribution,
    best_of_n_kl,
    best_of_n_kl_bound,
    estimate_best_of_n,
    expected_max_normal,
    pick_best,
)

weights = st.lists(st.floats(0.01, 1), min_size=2, max_size=5)


def normalised(values):
    p = torch.tensor(values, dtype=torch.float64)
    return p / p.sum()


def by_enumeration(p, scores, n):
    """Draw in every possible way, keep the best (the first of equals), add up."""
    found = torch.zeros(len(p), dtype=torch.float64)
    for drawn in itertools.product(range(len(p)), repeat=n):
        best = max(drawn, key=lambda y: (scores[y], -drawn.index(y)))
        found[best] += math.prod(float(p[y]) for y in drawn)
    return found


@given(weights, st.integers(1, 3), st.data())
@settings(deadline=None, max_examples=20)
def test_the_distribution_is_that_of_all_draws(values, n, data):
    p = normalised(values)
    scores = data.draw(st.lists(st.integers(0, 3), min_size=len(p), max_size=len(p)))
    found = best_of_n_distribution(p, torch.tensor(scores), n)
    torch.testing.assert_close(found, by_enumeration(p, scores, n))
    kl = best_of_n_kl(p, torch.tensor(scores), n)
    assert kl == pytest.approx(float((found * (found / p).log()).nan_to_num().sum()))
    assert -1e-12 <= kl <= best_of_n_kl_bound(n) + 1e-12


def test_the_bound_is_reached_without_ties_and_missed_with_them():
    p = torch.full((1000,), 1e-3, dtype=torch.float64)
    for n in (2, 4, 8):
        many = best_of_n_kl(p, torch.arange(1000.0), n)
        assert many == pytest.approx(best_of_n_kl_bound(n), rel=1e-2)
        assert many < best_of_n_kl_bound(n)
    half = torch.tensor([0.5, 0.5])
    assert best_of_n_kl(half, torch.tensor([0.0, 1.0]), 64) == pytest.approx(math.log(2), abs=1e-6)
    assert best_of_n_kl_bound(64) > 3
    assert best_of_n_kl(half, torch.zeros(2), 64) == pytest.approx(0)


def test_against_sampling():
    torch.manual_seed(0)
    p = torch.tensor([0.4, 0.3, 0.2, 0.1])
    scores = torch.tensor([0.0, 2.0, 1.0, 2.0])
    drawn = torch.multinomial(p.expand(40_000, 4), 3, replacement=True)  # (M, n)
    kept = drawn.gather(1, pick_best(scores[drawn])[:, None])[:, 0]
    found = torch.bincount(kept, minlength=4) / len(kept)
    wanted = best_of_n_distribution(p, scores, 3)
    torch.testing.assert_close(found.double(), wanted, atol=0.01, rtol=0)
    assert wanted.sum() == pytest.approx(1)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 8, 16, 64, 1000])
def test_the_largest_of_n_normal_numbers(n):
    inside = [integrate.quad(lambda x: x * n * norm.pdf(x) * norm.cdf(x) ** (n - 1), a, b)[0]
              for a, b in ((-12, -2), (-2, 2), (2, 12))]  # fmt: skip
    assert expected_max_normal(n) == pytest.approx(sum(inside), abs=1e-8)


def test_known_values_of_the_largest():
    assert expected_max_normal(2) == pytest.approx(1 / math.sqrt(math.pi), abs=1e-12)
    assert expected_max_normal(3) == pytest.approx(1.5 / math.sqrt(math.pi), abs=1e-12)
    told = [round(expected_max_normal(n), 2) for n in (1, 2, 4, 8, 16, 64)]
    assert told == [0, 0.56, 1.03, 1.42, 1.77, 2.34]


def test_the_bound_by_hand():
    assert best_of_n_kl_bound(1) == 0
    assert best_of_n_kl_bound(2) == pytest.approx(math.log(2) - 0.5)
    assert best_of_n_kl_bound(4) == pytest.approx(0.636294, abs=1e-6)


@given(st.integers(1, 6), st.data())
@settings(deadline=None, max_examples=20)
def test_the_estimate_is_the_mean_over_all_subsets(N, data):
    numbers = st.lists(st.integers(0, 3).map(float), min_size=N, max_size=N)
    by, of = (torch.tensor(data.draw(numbers)) for _ in range(2))
    n = data.draw(st.integers(1, N))
    wanted = []
    for subset in itertools.combinations(range(N), n):
        best = max(float(by[i]) for i in subset)
        tied = [float(of[i]) for i in subset if by[i] == best]
        wanted.append(sum(tied) / len(tied))  # any of the equals, equally often
    found = estimate_best_of_n(by, of, n)
    assert float(found) == pytest.approx(sum(wanted) / len(wanted), abs=1e-9)


def test_the_estimate_for_a_batch():
    by = torch.tensor([[1.0, 3.0, 2.0], [5.0, 4.0, 6.0]])
    of = torch.tensor([[10.0, 30.0, 20.0], [1.0, 2.0, 3.0]])
    assert estimate_best_of_n(by, of, 3).tolist() == pytest.approx([30, 3])
    assert estimate_best_of_n(by, of, 1).tolist() == pytest.approx([20, 2])
    assert estimate_best_of_n(by, by, 2)[0].item() == pytest.approx((3 + 2 + 3) / 3)


def test_the_first_of_equals_is_picked():
    scores = torch.tensor([[1.0, 2.0, 2.0], [3.0, 3.0, 0.0]])
    assert pick_best(scores).tolist() == [1, 0]
    assert pick_best(torch.tensor([-math.inf, -math.inf])).item() == 0


HALF = torch.tensor([0.5, 0.5])


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: pick_best(torch.tensor([[1.0, 2.0], [1.0, math.nan]])), r"\(1, 1\) is NaN"),
        (lambda: pick_best(torch.zeros(2, 0)), "n >= 1"),
        (lambda: best_of_n_distribution(HALF, HALF, 0), "n must be at least 1, got 0"),
        (lambda: best_of_n_distribution(HALF, torch.zeros(3), 1), r"\(2,\) and \(3,\)"),
        (lambda: best_of_n_distribution(HALF, HALF * math.nan, 1), "outcome 0 is NaN"),
        (lambda: best_of_n_distribution(HALF * 2, HALF, 1), "add up to 1, got 2"),
        (lambda: best_of_n_distribution(torch.tensor([1.5, -0.5]), HALF, 1), "not be negative"),
        (lambda: best_of_n_kl_bound(0), "at least 1"),
        (lambda: expected_max_normal(0), "at least 1"),
        (lambda: estimate_best_of_n(HALF, HALF, 3), "n <= N"),
        (lambda: estimate_best_of_n(HALF, HALF, 0), "n <= N"),
        (lambda: estimate_best_of_n(HALF, torch.zeros(3), 1), "one shape"),
        (lambda: estimate_best_of_n(HALF, HALF * math.nan, 1), "NaN"),
    ],
)
def test_bad_input(action, words):
    with pytest.raises(ValueError, match=words):
        action()
