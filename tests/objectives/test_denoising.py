"""Span corruption: the paper's example, counts, all masks alike by enumeration, round trip."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import chisquare

from minillm.objectives.denoising import (
    corrupt_spans,
    noise_counts,
    noise_mask,
    restore_spans,
    span_corruption,
    split_at_random,
)

SENTINELS = list(range(199, 99, -1))  # T5 counts them downwards
END = 1


def runs(mask):
    """(value, length) of each run, slowly."""
    return [(bool(v), len(list(g))) for v, g in itertools.groupby(mask)]


def test_the_example_of_the_paper():
    """Figure 2: Thank you (for inviting) me to your party (last) week."""
    words = ["Thank", "you", "for", "inviting", "me", "to", "your", "party", "last", "week", "."]
    ids = np.arange(10, 10 + len(words))
    hidden = [word in ("for", "inviting", "last") for word in words]
    x, y = corrupt_spans(ids, hidden, sentinels=[0, 1], end_id=2)
    names = {0: "<X>", 1: "<Y>", 2: "<Z>", **dict(zip(ids.tolist(), words, strict=True))}
    assert " ".join(names[i] for i in x.tolist()) == "Thank you <X> me to your party <Y> week ."
    assert " ".join(names[i] for i in y.tolist()) == "<X> for inviting <Y> last <Z>"
    assert corrupt_spans(ids, hidden, sentinels=[0, 1])[1].tolist() == y[:-1].tolist()


def test_spans_at_both_ends_and_everything_hidden():
    x, y = corrupt_spans([5, 6, 7, 8], [True, False, True, True], sentinels=[0, 1], end_id=2)
    assert (x.tolist(), y.tolist()) == ([0, 6, 1], [0, 5, 1, 7, 8, 2])
    assert x.dtype == y.dtype == np.int64
    x, y = corrupt_spans([5, 6], [True, True], sentinels=[0])
    assert (x.tolist(), y.tolist()) == ([0], [0, 5, 6])
    assert restore_spans(x, y, sentinels=[0]).tolist() == [5, 6]


@pytest.mark.parametrize(
    ("L", "density", "mean_span", "wanted"),
    [
        (512, 0.15, 3.0, (77, 26)),  # 76.8 and 25.67
        (568, 0.15, 3.0, (85, 28)),  # T5: 568 tokens become inputs of 512 and targets of 114
        (10, 0.15, 3.0, (2, 1)),  # 1.5 to the even neighbour
        (2, 0.01, 3.0, (1, 1)),  # at least one
        (2, 0.99, 3.0, (1, 1)),  # at most all but one
        (10, 0.8, 1.0, (8, 2)),  # no more spans than shown tokens to part them
    ],
)
def test_counts(L, density, mean_span, wanted):
    assert noise_counts(L, density=density, mean_span=mean_span) == wanted


def test_lengths_follow_the_counts_as_in_t5():
    """T5 reads 568 tokens to get inputs of 512 and targets of 114, the ends among them."""
    ids = np.full(568, 7)
    x, y = span_corruption(ids, np.random.default_rng(0), sentinels=SENTINELS, end_id=END)
    assert (len(x) + 1, len(y)) == (512, 114)


def all_masks(L, n_noise, n_spans):
    """The definition, slowly: each mask that begins shown, ends hidden and has these counts."""
    for mask in itertools.product([False, True], repeat=L):
        if not mask[0] and mask[-1] and sum(mask) == n_noise and len(runs(mask)) == 2 * n_spans:
            yield mask


@pytest.mark.parametrize(("L", "density", "mean_span"), [(11, 0.4, 2.0), (12, 0.5, 2.0)])
def test_all_masks_are_equally_likely(L, density, mean_span):
    n_noise, n_spans = noise_counts(L, density=density, mean_span=mean_span)
    wanted = list(all_masks(L, n_noise, n_spans))
    ways = math.comb(n_noise - 1, n_spans - 1) * math.comb(L - n_noise - 1, n_spans - 1)
    assert len(wanted) == ways > 10
    rng = np.random.default_rng(0)
    counts = dict.fromkeys(wanted, 0)
    for _ in range(60 * ways):
        counts[tuple(noise_mask(L, rng, density=density, mean_span=mean_span).tolist())] += 1
    values = np.array(list(counts.values()))
    assert chisquare(values).pvalue > 1e-4
    values[:2] += [30, -30]  # ... and the test can see one mask preferred over another
    values[2:4] += [30, -30]
    values[4:6] += [30, -30]
    assert chisquare(values).pvalue < 1e-4


def test_split_at_random():
    rng = np.random.default_rng(0)
    assert split_at_random(5, 1, rng).tolist() == [5]
    assert split_at_random(1, 1, rng).tolist() == [1]
    assert split_at_random(4, 4, rng).tolist() == [1, 1, 1, 1]
    found = [tuple(split_at_random(5, 3, rng).tolist()) for _ in range(600)]
    ways = {p for p in itertools.product(range(1, 4), repeat=3) if sum(p) == 5}
    assert set(found) == ways
    assert chisquare([found.count(way) for way in ways]).pvalue > 1e-4
    for n in (0, 6):
        with pytest.raises(ValueError, match=rf"n_parts must lie in 1 to n_items=5, got {n}"):
            split_at_random(5, n, rng)


def test_fifteen_per_cent_in_spans_of_three():
    rng = np.random.default_rng(0)
    lengths = []
    for _ in range(200):
        mask = noise_mask(400, rng)
        assert mask.sum() == 60
        lengths += [n for hidden, n in runs(mask) if hidden]
    assert np.mean(lengths) == 3.0  # 60 in 20 spans, always
    # one part of 60 in 20: P(n) = C(59 - n, 18) / C(59, 19), near the geometric of mean 3
    chance = np.array([math.comb(59 - n, 18) / math.comb(59, 19) for n in range(1, 42)])
    assert math.isclose(chance.sum(), 1.0)
    ones = lengths.count(1)
    n = len(lengths)
    assert abs(ones - n * chance[0]) < 5 * (n * chance[0] * (1 - chance[0])) ** 0.5


def test_round_trip():
    rng = np.random.default_rng(0)
    for L in [*range(2, 40), 300]:
        ids = rng.integers(10, 90, L)
        for density, mean_span in [(0.15, 3.0), (0.5, 1.0), (0.9, 4.0)]:
            mask = noise_mask(L, rng, density=density, mean_span=mean_span)
            x, y = corrupt_spans(ids, mask, sentinels=range(1000, 1300), end_id=END)
            n_noise, n_spans = noise_counts(L, density=density, mean_span=mean_span)
            assert (len(x), len(y)) == (L - n_noise + n_spans, n_noise + n_spans + 1)
            back = restore_spans(x, y, sentinels=range(1000, 1300), end_id=END)
            assert back.tolist() == ids.tolist()
        changed = y.copy()
        changed[1] += 1
        other = restore_spans(x, changed, sentinels=range(1000, 1300), end_id=END)
        assert (other != ids).sum() == 1  # ... and a wrong token is seen


def test_any_mask_comes_back():
    for mask in itertools.product([False, True], repeat=6):
        if any(mask):
            x, y = corrupt_spans([5, 6, 7, 5, 6, 7], mask, sentinels=[0, 1, 2])
            assert restore_spans(x, y, sentinels=[0, 1, 2]).tolist() == [5, 6, 7, 5, 6, 7]


def test_the_seed_decides():
    one, two, other = (noise_mask(100, np.random.default_rng(seed)).tolist() for seed in (5, 5, 6))
    assert one == two != other


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"L": 1}, "at least 2 tokens, got 1"),
        ({"density": 0.0}, r"density must lie in \(0, 1\), got 0.0"),
        ({"density": 1.0}, "got 1.0"),
        ({"mean_span": 0.5}, "mean_span must be at least 1, got 0.5"),
        ({"mean_span": math.nan}, "mean_span must be at least 1, got nan"),
    ],
)
def test_counts_refused(options, words):
    with pytest.raises(ValueError, match=words):
        noise_counts(**{"L": 10, **options})


@pytest.mark.parametrize(
    ("ids", "hidden", "words"),
    [
        ([5, 0], [True, False], "sentinels=0 occurs in the text, at position 1"),
        ([5, END], [True, False], "end_id=1 occurs in the text, at position 1"),
        ([5, 6], [True], r"hidden must be \(2,\) booleans"),
        ([5, 6], [1, 0], "got .* int64"),
        ([5, 6], [False, False], "with 0 True"),
        ([5, 6, 7], [True, False, True], "2 spans need as many sentinels, got 1"),
    ],
)
def test_corruption_refused(ids, hidden, words):
    with pytest.raises(ValueError, match=words):
        corrupt_spans(ids, hidden, sentinels=[0], end_id=END)


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        ([0, 5, 2, 6], r"end with end_id=1, got \[6\]"),
        ([], r"end with end_id=1, got \[\]"),
        ([0, 5, 1], r"sentinels \[0, 2\] of the inputs and begin with the first, got \[0\]"),
        ([2, 5, 0, 6, 1], r"got \[2, 0\]"),
        ([9, 0, 5, 2, 6, 1], r"and \[9\] first"),
    ],
)
def test_restoring_refused(targets, words):
    with pytest.raises(ValueError, match=words):
        restore_spans([7, 0, 8, 2], targets, sentinels=[0, 2], end_id=END)
