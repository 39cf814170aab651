import math
import random

import pytest

from minillm.data.detection import score_spans, wilson
from minillm.data.personal import Span


def test_wilson_by_hand():
    # k = 5, n = 10: the middle is 1/2, the half width z sqrt(1/40 + z^2/400) / (1 + z^2/10)
    z = 1.959963985
    half = z * math.sqrt(0.025 + z * z / 400) / (1 + z * z / 10)
    share = wilson(5, 10)
    assert share.value == 0.5
    assert share.low == pytest.approx(0.5 - half, abs=1e-9)
    assert share.high == pytest.approx(0.5 + half, abs=1e-9)


def test_wilson_equals_scipy():
    stats = pytest.importorskip("scipy.stats")
    for k, n in ((0, 5), (1, 30), (17, 20), (20, 20), (480, 500)):
        theirs = stats.binomtest(k, n).proportion_ci(0.9, method="wilson")
        ours = wilson(k, n, level=0.9)
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_wilson_covers_the_truth_about_as_often_as_it_says():
    rng = random.Random(5)
    n_covered = 0
    for _ in range(1000):
        k = sum(rng.random() < 0.9 for _ in range(40))
        n_covered += wilson(k, 40).contains(0.9)
    assert 0.92 < n_covered / 1000 < 0.985


def test_at_the_ends_and_without_trials():
    assert wilson(0, 10).low == 0.0
    assert 0.2 < wilson(0, 10).high < 0.35
    assert wilson(10, 10).high == 1.0
    assert math.isnan(wilson(0, 0).value)
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)
    assert str(wilson(1, 2)).startswith("0.500 [")


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5)])
def test_impossible_counts(k, n):
    with pytest.raises(ValueError, match="need 0 <= k <= n"):
        wilson(k, n)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_impossible_levels(level):
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        wilson(1, 2, level)


def test_scores_by_hand():
    truth = [[Span(0, 4, "name"), Span(8, 12, "ip")], []]
    found = [[Span(0, 4, "name"), Span(7, 13, "ip")], [Span(1, 2, "name")]]
    score = score_spans(truth, found)
    assert (score.precision.k, score.precision.n) == (1, 3)
    assert (score.recall.k, score.recall.n) == (1, 2)
    assert (score.removed.k, score.removed.n) == (2, 2)  # the wider span covers the address
    assert score.f1 == pytest.approx(2 / 5)
    names = score_spans(truth, found, "name")
    assert (names.precision.k, names.precision.n, names.recall.k) == (1, 2, 1)


def test_removed_may_take_two_spans_and_another_kind():
    truth = [[Span(2, 10, "phone")]]
    assert score_spans(truth, [[Span(6, 10, "a"), Span(2, 6, "b")]]).removed.k == 1
    assert score_spans(truth, [[Span(7, 10, "a"), Span(2, 6, "b")]]).removed.k == 0
    assert score_spans(truth, [[Span(2, 10, "ip")]], "phone").recall.k == 0
    assert score_spans(truth, [[]]).f1 == 0


def test_every_text_needs_a_list():
    with pytest.raises(ValueError, match="2 texts have a truth and 1 were searched"):
        score_spans([[], []], [[]])
