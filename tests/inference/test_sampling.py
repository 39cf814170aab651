"""Sampling by definition, by hand, by statistics, and against transformers' own filters."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

from minillm.inference import filtered_probabilities, min_p, sample_next, typical


def logits_of(*p):
    return torch.tensor(p, dtype=torch.float64).log()


# ---- the distribution --------------------------------------------------------------------------


def test_temperature_by_hand():
    p = filtered_probabilities(logits_of(0.2, 0.8), temperature=0.5)  # squares, normalised
    torch.testing.assert_close(p, torch.tensor([0.04, 0.64], dtype=torch.float64) / 0.68)
    p = filtered_probabilities(logits_of(0.2, 0.8))
    torch.testing.assert_close(p, torch.tensor([0.2, 0.8], dtype=torch.float64))
    assert p.dtype == torch.float64


def test_temperature_zero_is_one_hot_on_the_first_of_equals():
    z = torch.tensor([[1.0, 3.0, 3.0], [5.0, 5.0, 1.0]])
    p = filtered_probabilities(z, temperature=0.0)
    assert p.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert sample_next(z, temperature=0.0).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("top_k", "kept"),
    [(1, [0, 1, 0, 0]), (2, [0, 5 / 8, 3 / 8, 0]), (4, None), (9, None), (None, None)],
)
def test_top_k_by_hand(top_k, kept):
    p = filtered_probabilities(logits_of(0.1, 0.5, 0.3, 0.1), top_k=top_k)
    torch.testing.assert_close(p, torch.tensor(kept or [0.1, 0.5, 0.3, 0.1], dtype=torch.float64))


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [
        (1e-9, [0, 1, 0, 0]),  # at least one
        (0.499, [0, 1, 0, 0]),
        (0.51, [0, 5 / 7, 0, 2 / 7]),
        (0.7, [0, 5 / 7, 0, 2 / 7]),
        (0.71, [0.15 / 0.85, 0.5 / 0.85, 0, 0.2 / 0.85]),  # of the equal ones the smaller id
        (1.0, None),
    ],
)
def test_top_p_by_hand(top_p, kept):
    p = filtered_probabilities(logits_of(0.15, 0.5, 0.15, 0.2), top_p=top_p)
    torch.testing.assert_close(p, torch.tensor(kept or [0.15, 0.5, 0.15, 0.2], dtype=torch.float64))


def test_top_p_is_reached_by_an_equal_sum():
    assert filtered_probabilities(torch.zeros(4), top_p=0.5).tolist() == [0.5, 0.5, 0, 0]
    assert filtered_probabilities(torch.zeros(4), top_p=0.75).count_nonzero() == 3


def test_ties_go_to_the_smaller_id_everywhere():
    z = torch.zeros(3, 1000)
    for how in ({"top_k": 10}, {"top_p": 0.0099999}):
        p = filtered_probabilities(z, **how)
        assert p.count_nonzero() == 30
        assert torch.all(p[:, :10] > 0)


def test_top_p_comes_after_top_k():
    z = logits_of(0.4, 0.3, 0.2, 0.1)  # of two left the first has 4/7 > 0.5, of four only 0.4
    both = filtered_probabilities(z, top_k=2, top_p=0.5)
    assert both.tolist() == [1, 0, 0, 0]
    torch.testing.assert_close(
        filtered_probabilities(z, top_p=0.5)[1], torch.tensor(3 / 7, dtype=torch.float64)
    )


def test_temperature_comes_before_top_p():
    z = logits_of(0.5, 0.3, 0.2)
    assert filtered_probabilities(z, top_p=0.55).count_nonzero() == 2
    assert filtered_probabilities(z, top_p=0.55, temperature=0.5).count_nonzero() == 1


@given(st.integers(0, 10_000), st.integers(1, 40), st.floats(0.01, 1.0))
@settings(max_examples=50, deadline=None)
def test_equals_the_filters_of_transformers(seed, k, top_p):
    z = torch.randn(3, 30, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    theirs = TopPLogitsWarper(top_p)(None, TopKLogitsWarper(min(k, 30))(None, z)).softmax(dim=-1)
    ours = filtered_probabilities(z, top_k=k, top_p=top_p)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(ours.sum(-1), torch.ones(3, dtype=torch.float64))


@given(
    st.integers(0, 10_000),
    st.floats(0.3, 3.0),
    st.one_of(st.none(), st.integers(1, 30)),
    st.one_of(st.none(), st.floats(0.2, 0.99)),
    st.one_of(st.none(), st.floats(0.001, 0.5)),
    st.one_of(st.none(), st.floats(0.1, 0.99)),
)
@settings(max_examples=80, deadline=None)
def test_all_five_in_the_order_of_transformers(seed, heat, k, top_p, least, mass):
    z = 2 * torch.randn(3, 30, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    chain = [TemperatureLogitsWarper(heat)]
    chain += [TopKLogitsWarper(k)] if k else []
    chain += [TopPLogitsWarper(top_p)] if top_p else []
    chain += [MinPLogitsWarper(least)] if least else []
    chain += [TypicalLogitsWarper(mass)] if mass else []
    theirs = LogitsProcessorList(chain)(None, z).softmax(dim=-1)
    ours = filtered_probabilities(
        z, temperature=heat, top_k=k, top_p=top_p, min_p=least, typical_p=mass
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_min_p_and_typical_are_those_of_truncation():
    z = logits_of(0.4, 0.15, 0.15, 0.15, 0.15)
    for name, rule in (("min_p", min_p), ("typical_p", typical)):
        for value in (0.3, 0.5, 1.0):
            p = filtered_probabilities(z, **{name: value})
            torch.testing.assert_close(p, rule(z, value).softmax(-1))
    assert torch.equal(filtered_probabilities(z, min_p=0, typical_p=1), filtered_probabilities(z))
    # 0.4 alone passes top-p first; alone it is the most typical
    assert filtered_probabilities(z, top_p=0.3, typical_p=0.2).tolist() == [1, 0, 0, 0, 0]
    assert filtered_probabilities(z, typical_p=0.2).count_nonzero() == 2
    # typical comes after min-p, which leaves 0.4 alone here
    assert filtered_probabilities(z, min_p=0.5, typical_p=0.2).tolist() == [1, 0, 0, 0, 0]


def test_huge_logits_and_minus_infinity():
    z = torch.tensor([1e30, 1e30, -math.inf])
    assert filtered_probabilities(z).tolist() == [0.5, 0.5, 0]
    assert filtered_probabilities(torch.tensor([-math.inf, 2.0]), temperature=0.3).tolist() == [
        0,
        1,
    ]


# ---- drawing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"temperature": 0.6},
        {"top_k": 3},
        {"top_p": 0.8},
        {"min_p": 0.5},
        {"typical_p": 0.7},
    ],
)
def test_draws_follow_the_distribution(how):
    z = logits_of(0.05, 0.3, 0.25, 0.1, 0.3)
    g = torch.Generator().manual_seed(5)
    ids = sample_next(z.expand(20_000, 5), generator=g, **how)
    counts = torch.bincount(ids, minlength=5).numpy()
    p = filtered_probabilities(z, **how).numpy()
    assert counts[p == 0].sum() == 0
    assert chisquare(counts[p > 0], 20_000 * p[p > 0]).pvalue > 0.01
    flat = (p + 0.02) / (p + 0.02).sum()  # two percent off would be seen
    assert chisquare(counts, 20_000 * flat).pvalue < 1e-3


def test_rows_are_drawn_apart_and_shapes_kept():
    z = torch.full((2, 3, 4), -math.inf)
    for i in range(2):
        for j in range(3):
            z[i, j, (i + j) % 4] = 0.0
    assert sample_next(z).tolist() == [[0, 1, 2], [1, 2, 3]]
    assert sample_next(z, temperature=0).tolist() == [[0, 1, 2], [1, 2, 3]]
    assert sample_next(torch.zeros(7)).shape == ()


def test_the_seed_decides():
    z = torch.zeros(200)
    draws = [sample_next(z, generator=torch.Generator().manual_seed(s)).item() for s in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"temperature": -0.1}, "temperature must be finite and not negative, got -0.1"),
        ({"temperature": math.inf}, "got inf"),
        ({"temperature": math.nan}, "got nan"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"top_p": 0.0}, r"top_p must lie in \(0, 1\], got 0.0"),
        ({"top_p": 1.1}, "got 1.1"),
        ({"typical_p": 0}, r"typical_p must lie in \(0, 1\], got 0"),
        ({"typical_p": 1.5}, r"typical_p must lie in \(0, 1\], got 1.5"),
        ({"min_p": -0.1}, r"min_p must lie in \[0, 1\], got -0.1"),
        ({"min_p": 2}, r"min_p must lie in \[0, 1\], got 2"),
        ({"top_k": 0, "temperature": 0.0}, "top_k must be at least 1, got 0"),
    ],
)
def test_settings_out_of_range(how, words):
    with pytest.raises(ValueError, match=words):
        filtered_probabilities(torch.zeros(3), **how)
    with pytest.raises(ValueError, match=words):
        sample_next(torch.zeros(3), **how)


@pytest.mark.parametrize("bad", [[math.nan, 1.0], [math.inf, 0.0], [-math.inf, -math.inf]])
def test_broken_logits_are_refused(bad):
    for temperature in (0.0, 1.0):
        with pytest.raises(ValueError, match="NaN, an infinity, or no finite entry"):
            sample_next(torch.tensor([[0.0, 1.0], bad]), temperature=temperature)
