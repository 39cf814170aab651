"""Orders by score and by pace, the best text last, and a sampler that serves any order."""

import itertools
import json
import math
import random

import numpy as np
import pytest
import torch

from minillm.data.curriculum import (
    KINDS,
    OrderedSampler,
    best_last,
    easy_first,
    paced_order,
    pacing,
)

T = 4
TOKENS = np.arange(30 * T + 1)


def firsts(batches, n):
    return [(x[:, 0] // T).tolist() for x, _ in itertools.islice(batches, n)]


def test_an_order_by_hand():
    assert easy_first([7, 2, 5]).tolist() == [1, 2, 0]
    assert easy_first([-7, -2, -5]).tolist() == [0, 2, 1]
    assert easy_first([]).tolist() == []


def test_equal_scores_come_by_chance_and_the_seed_decides():
    scores = [1.0] * 50 + [0.0] * 50
    order = easy_first(scores, seed=1)
    assert sorted(order[:50]) == list(range(50, 100))
    assert sorted(order[50:]) == list(range(50))
    assert order[:50].tolist() != sorted(order[:50])
    assert np.array_equal(order, easy_first(scores, seed=1))
    assert not np.array_equal(order, easy_first(scores, seed=2))


def test_orders_of_ten_thousand_random_scores_are_sorted_permutations():
    draw = random.Random(3)
    for seed in range(2_000):
        scores = [draw.choice([0, 1, draw.random()]) for _ in range(draw.randint(0, 12))]
        order = easy_first(scores, seed=seed)
        assert sorted(order.tolist()) == list(range(len(scores)))
        served = [scores[i] for i in order]
        assert served == sorted(scores)


@pytest.mark.parametrize("scores", [[1.0, math.nan], [[1.0]], [math.inf]])
def test_scores_that_cannot_be_ordered_are_refused(scores):
    with pytest.raises(ValueError, match="one axis of finite numbers"):
        easy_first(scores)


def test_paces_by_hand():
    assert pacing(0, start=0.2) == 0.2
    assert pacing(0.25, start=0.2, full_at=0.5, kind="linear") == pytest.approx(0.6)
    assert pacing(0.25, start=0.2, full_at=0.5) == pytest.approx(math.sqrt(0.04 + 0.96 / 2))
    assert pacing(0.49, start=0.2, full_at=0.5, kind="step") == 0.2
    for kind in KINDS:
        assert pacing(0.5, start=0.2, full_at=0.5, kind=kind) == 1
        assert pacing(1, start=0.2, full_at=1, kind=kind) == 1
        steps = [pacing(i / 200, kind=kind) for i in range(201)]
        assert steps == sorted(steps)
        assert min(steps) == 0.1


@pytest.mark.parametrize(
    ("progress", "settings", "words"),
    [
        (-0.1, {}, "progress must lie in 0 to 1, got -0.1"),
        (1.1, {}, "got 1.1"),
        (0.5, {"start": 0}, "must lie in"),
        (0.5, {"full_at": 0}, "must lie in"),
        (0.5, {"start": 1.5}, "got 1.5 and 0.5"),
        (0.5, {"kind": "cosine"}, "one of linear, root, step; got 'cosine'"),
    ],
)
def test_paces_out_of_range_are_refused(progress, settings, words):
    with pytest.raises(ValueError, match=words):
        pacing(progress, **settings)


@pytest.mark.parametrize("kind", KINDS)
def test_a_paced_order_draws_only_what_is_open_and_all_of_it(kind):
    scores = np.random.default_rng(0).random(40)
    rank = np.argsort(np.argsort(scores))
    order = paced_order(scores, 4_000, seed=1, start=0.1, full_at=0.5, kind=kind)
    assert len(order) == 4_000
    for i, window in enumerate(order):
        n_open = math.ceil(40 * pacing(i / 4_000, start=0.1, full_at=0.5, kind=kind))
        assert rank[window] < n_open
    assert rank[order[:100]].max() >= 3  # the whole of the first tenth, which is four windows
    counts = np.bincount(order[2_000:], minlength=40)  # 50 each, spread 7
    assert counts.min() > 20
    assert counts.max() < 85
    assert np.array_equal(order, paced_order(scores, 4_000, seed=1, kind=kind))


def test_a_pace_needs_windows():
    assert paced_order([3.0], 0).tolist() == []
    assert paced_order([3.0], 3).tolist() == [0, 0, 0]
    for scores, n in (([], 3), ([1.0], -1)):
        with pytest.raises(ValueError, match="need a window"):
            paced_order(scores, n)


def test_the_best_comes_last_by_hand():
    good = [True, False, True, False]
    assert best_last([3, 0, 2, 1], good).tolist() == [3, 1, 0, 2]
    assert best_last([3, 0, 2, 1], good, 0.5).tolist() == [3, 0, 1, 2]
    assert best_last([3, 0, 2, 1], good, 0).tolist() == [3, 0, 2, 1]
    for share in (-0.1, 1.1):
        with pytest.raises(ValueError, match=f"share must lie in 0 to 1, got {share}"):
            best_last([0], [True], share)


def test_the_same_windows_as_often_as_before():
    draw = random.Random(4)
    for _ in range(1_000):
        n = draw.randint(1, 10)
        good = [draw.random() < 0.4 for _ in range(n)]
        order = [draw.randrange(n) for _ in range(draw.randint(0, 20))]
        share = draw.choice([0, 0.3, 0.5, 1])
        moved = best_last(order, good, share).tolist()
        assert sorted(moved) == sorted(order)
        n_good = sum(good[i] for i in order)
        n_last = round(share * n_good)
        assert all(good[i] for i in moved[len(moved) - n_last :])
        assert [i for i in moved if good[i]] == [i for i in order if good[i]]
        assert [i for i in moved if not good[i]] == [i for i in order if not good[i]]


def test_windows_are_served_in_the_given_order_over_and_over():
    sampler = OrderedSampler(TOKENS, 2, T, order=[4, 0, 9])
    assert firsts(sampler, 3) == [[4, 0], [9, 4], [0, 9]]
    x, y = next(sampler)
    assert x.dtype == torch.int64
    assert torch.equal(y, x + 1)
    assert firsts(OrderedSampler(TOKENS, 15, T), 2) == [list(range(15)), list(range(15, 30))]


def test_a_resumed_order_goes_on_with_any_number_of_ranks():
    order = np.random.default_rng(1).permutation(30)
    whole = [f for batch in firsts(OrderedSampler(TOKENS, 6, T, order=order), 20) for f in batch]
    first = OrderedSampler(TOKENS, 6, T, order=order)
    first.skip(3)
    state = json.loads(json.dumps(first.state_dict()))
    for world_size in (1, 2, 3):
        ranks = [
            OrderedSampler(TOKENS, 6 // world_size, T, order=order, rank=r, world_size=world_size)
            for r in range(world_size)
        ]
        for sampler in ranks:
            sampler.load_state_dict(state)
        parts = zip(*(firsts(sampler, 17) for sampler in ranks), strict=True)
        assert [f for step in parts for part in step for f in part] == whole[18:]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"order": []}, "at least one"),
        ({"order": [0, 30]}, r"windows 0 \.\. 29, .* \[30\]"),
        ({"order": [-1]}, r"\[-1\]"),
        ({"rank": 1}, r"rank must be in 0 \.\. 0, got 1"),
        ({"batch_size": 0}, "at least 1, got 0 and 4"),
    ],
)
def test_orders_that_cannot_be_served_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        OrderedSampler(TOKENS, settings.pop("batch_size", 2), T, **settings)


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("n_tokens", OrderedSampler(TOKENS[:-1], 2, T, order=[1, 2])),
        ("context", OrderedSampler(TOKENS, 2, 5, order=[1, 2])),
        ("order", OrderedSampler(TOKENS, 2, T, order=[2, 1])),
    ],
)
def test_a_state_of_another_order_is_refused(key, other):
    state = OrderedSampler(TOKENS, 2, T, order=[1, 2]).state_dict()
    with pytest.raises(ValueError, match=f"taken with {key} "):
        other.load_state_dict(state)
    assert other.n_served == 0
