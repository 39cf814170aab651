"""Min-p and typical sampling by hand, by property, and against transformers' own filters."""

import math
from itertools import pairwise

import pytest
import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

from minillm.inference import filtered_probabilities, sample_next
from minillm.inference.truncation import min_p, typical

RULES = [(min_p, MinPLogitsWarper), (typical, TypicalLogitsWarper)]


def logits_of(*p):
    return torch.tensor(p, dtype=torch.float64).log()


def kept(logits):
    return logits.isfinite().nonzero()[:, -1].tolist()


def random_logits(seed, rows=40, V=50):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(rows, V, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(
    ("threshold", "ids"),
    [(0, [0, 1, 2, 3]), (0.1, [0, 1, 2, 3]), (0.2, [0, 1, 2]), (0.61, [1]), (1, [1])],
)
def test_min_p_by_hand(threshold, ids):
    # the ratios to the largest are 0.6, 1, 0.3 and 0.1 (a little more, after rounding)
    assert kept(min_p(logits_of(0.3, 0.5, 0.15, 0.0501), threshold)) == ids


def test_min_p_keeps_what_just_reaches_it_and_all_equals_of_the_largest():
    z = torch.tensor([0.0, -math.log(2), 0.0, -math.log(2) - 1e-6], dtype=torch.float64)
    assert kept(min_p(z, 0.5)) == [0, 1, 2]
    assert kept(min_p(z, 1)) == [0, 2]


@pytest.mark.parametrize(
    ("mass", "ids"),
    [(1e-9, [1]), (0.2, [1, 2]), (0.5, [1, 2, 3, 4]), (0.7, [0, 1, 2, 3, 4]), (1, [0, 1, 2, 3, 4])],
)
def test_typical_by_hand(mass, ids):
    # H = 1.505 nats; 0.4 says 0.916, which is 0.588 away; 0.15 says 1.897, 0.392 away
    z = logits_of(0.4, 0.15, 0.15, 0.15, 0.15)
    assert kept(typical(z, mass)) == ids  # the likeliest comes last; of equals the smaller ids
    assert 0 in kept(min_p(z, 0.9))


def test_between_equal_distances_typical_keeps_the_smaller_ids():
    assert kept(typical(torch.zeros(1000), 0.0295)) == list(range(30))


@pytest.mark.parametrize(("ours", "theirs"), RULES)
@pytest.mark.parametrize("value", [0.05, 0.1, 0.3, 0.6, 0.9, 0.95])
def test_equals_transformers(ours, theirs, value):
    z = random_logits(0, rows=4000)
    assert torch.equal(ours(z, value), theirs(value)(None, z))
    assert not torch.equal(ours(z, value), theirs(value - 0.01)(None, z))  # a change is seen


@pytest.mark.parametrize(("ours", "theirs"), RULES)
@pytest.mark.parametrize(("top_k", "top_p"), [(5, None), (None, 0.8), (9, 0.7)])
def test_combines_with_temperature_top_k_and_top_p_of_sampling(ours, theirs, top_k, top_p):
    z = random_logits(1)
    chain = [TemperatureLogitsWarper(1.7), theirs(0.3)]
    chain += [TopKLogitsWarper(top_k)] if top_k else []
    chain += [TopPLogitsWarper(top_p)] if top_p else []
    expected = LogitsProcessorList(chain)(None, z).softmax(dim=-1)
    p = filtered_probabilities(ours(z / 1.7, 0.3), top_k=top_k, top_p=top_p)
    torch.testing.assert_close(p, expected, rtol=1e-9, atol=1e-12)
    other = filtered_probabilities(ours(z, 0.3), temperature=1.7, top_k=top_k, top_p=top_p)
    assert not torch.allclose(p, other)  # the order matters, and the comparison sees it


def test_min_p_changes_places_with_top_k_and_typical_does_not():
    z = random_logits(2)
    top_k = TopKLogitsWarper(6)
    assert torch.equal(min_p(top_k(None, z), 0.1), top_k(None, min_p(z, 0.1)))
    assert not torch.equal(typical(top_k(None, z), 0.5), top_k(None, typical(z, 0.5)))


@pytest.mark.parametrize("rule", [min_p, typical])
def test_properties(rule):
    z = random_logits(3, V=30)
    sets = [rule(z, value).isfinite() for value in (0.05, 0.2, 0.5, 0.8, 1.0)]
    if rule is min_p:
        sets.reverse()
    for small, large in pairwise(sets):
        assert torch.all(small <= large)  # one set within the next
        assert not torch.equal(small, large)
    assert torch.all(sets[0].any(dim=-1))  # at least one token stays
    perm = torch.randperm(30, generator=torch.Generator().manual_seed(4))
    out = rule(z, 0.3)
    assert torch.equal(rule(z[:, perm], 0.3), out[:, perm])  # ids mean nothing
    assert torch.equal(rule(z + 64.0, 0.3).isfinite(), out.isfinite())  # nor does a constant
    assert torch.equal(out[out.isfinite()], z[out.isfinite()])  # what stays is untouched
    before = z.clone()
    rule(z, 1)[:] = 0
    assert torch.equal(z, before)


@pytest.mark.parametrize("rule", [min_p, typical])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_minus_infinity_huge_logits_shapes_and_dtypes(rule, dtype):
    z = torch.tensor([[[-math.inf, 1e30, 1e30]], [[2.0, -math.inf, -math.inf]]]).to(dtype)
    for value in (0.3, 1.0):
        out = rule(z, value)
        assert out.dtype == dtype
        assert out.shape == (2, 1, 3)
        assert kept(out[0, 0, None])[0] == 1
        assert kept(out[1, 0, None]) == [0]
    assert sample_next(rule(z, 0.9)).tolist()[1] == [0]


@pytest.mark.parametrize("value", [-0.1, 1.01, math.nan])
def test_values_out_of_range(value):
    with pytest.raises(ValueError, match=r"threshold must lie in \[0, 1\], got"):
        min_p(torch.zeros(3), value)
    with pytest.raises(ValueError, match=r"mass must lie in \(0, 1\], got"):
        typical(torch.zeros(3), value)


def test_typical_of_no_mass():
    with pytest.raises(ValueError, match=r"mass must lie in \(0, 1\], got 0"):
        typical(torch.zeros(3), 0)


@pytest.mark.parametrize("rule", [min_p, typical])
@pytest.mark.parametrize("bad", [[0.0, math.nan], [math.inf, 0.0], [-math.inf, -math.inf]])
def test_rows_that_are_no_distribution(rule, bad):
    for value in (0.5, 1):
        with pytest.raises(ValueError, match="a NaN, an infinity, or no finite entry"):
            rule(torch.tensor([[0.0, 1.0], bad]), value)
