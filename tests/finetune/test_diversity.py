"""k-means against scipy and against every partition of a few points; choices that go round."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.vq import kmeans2
from scipy.spatial.distance import cdist

from minillm.finetune.diversity import (
    Clusters,
    kmeans,
    n_covered,
    pick_central,
    pick_evenly,
    scattered,
    squared_distances,
)


def cloud(n=60, d=3, seed=0, groups=4):
    dice = np.random.default_rng(seed)
    middles = dice.normal(size=(groups, d)) * 5
    return middles[dice.integers(groups, size=n)] + dice.normal(size=(n, d))


def test_distances_equal_scipy_even_next_to_a_centre():
    x = cloud()
    c = x[:5] + 1e-9  # far from zero, and nearly on it
    ours = squared_distances(x + 1e3, c + 1e3)
    np.testing.assert_allclose(ours, cdist(x + 1e3, c + 1e3) ** 2, rtol=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_kmeans_equals_scipy_from_the_same_start(seed):
    x = cloud(seed=seed)
    start = x[np.random.default_rng(seed).choice(len(x), 4, replace=False)]
    ours = kmeans(x, 4, start=start)
    centres, labels = kmeans2(x, start, iter=100, minit="matrix", missing="raise")
    np.testing.assert_allclose(ours.centres, centres, rtol=1e-12)
    np.testing.assert_array_equal(ours.labels, labels)


def test_the_best_of_many_starts_equals_the_best_partition():
    x = cloud(n=8, d=2, seed=3)
    least = min(
        sum(((x[np.array(p) == j] - x[np.array(p) == j].mean(0)) ** 2).sum() for j in range(3))
        for p in product(range(3), repeat=8)
        if len(set(p)) == 3
    )
    assert kmeans(x, 3, n_starts=30).inertia == pytest.approx(least)
    one_start = [kmeans(x, 3, seed=s).inertia for s in range(30)]
    assert max(one_start) > least * 1.01  # a valley that is not the deepest: starts matter
    unlucky = int(np.argmax(one_start))  # its first start is a bad one
    assert kmeans(x, 3, seed=unlucky, n_starts=30).inertia == pytest.approx(least)
    assert min(one_start) >= least - 1e-9


@settings(max_examples=40, deadline=None)
@given(
    points=st.lists(st.tuples(*[st.integers(-6, 6)] * 2), min_size=4, max_size=25),
    seed=st.integers(0, 99),
)
def test_every_point_is_with_its_nearest_centre_and_no_cluster_is_empty(points, seed):
    x = np.array(points, dtype=float)
    k = min(4, len(set(points)))
    found = kmeans(x, k, seed=seed)
    assert sorted(set(found.labels.tolist())) == list(range(k))
    d = squared_distances(x, found.centres)
    np.testing.assert_allclose(d[np.arange(len(x)), found.labels], d.min(axis=1))
    means = [x[found.labels == j].mean(axis=0) for j in range(k)]
    np.testing.assert_allclose(found.centres, means)
    assert found.inertia == pytest.approx(d.min(axis=1).sum())
    steps = [kmeans(x, k, seed=seed, max_steps=m).inertia for m in (1, 2, 4)]
    assert steps == sorted(steps, reverse=True)  # no step makes it worse


def test_a_cluster_that_lost_its_points_gets_the_farthest():
    x = np.array([[0.0], [1.0], [2.0], [10.0]])
    found = kmeans(x, 2, start=np.array([[1.0], [99.0]]))  # nobody is near 99
    assert found.labels.tolist() == [0, 0, 0, 1]
    assert found.centres[1, 0] == 10
    same = kmeans(np.zeros((5, 1)), 3, start=np.zeros((3, 1)))  # no three groups exist here
    assert np.bincount(same.labels, minlength=3).min() == 1


def test_kmeans_is_seeded_and_reads_lists():
    x = cloud()
    a, b = kmeans(x, 5, seed=1), kmeans(x.tolist(), 5, seed=1)
    np.testing.assert_array_equal(a.labels, b.labels)
    assert a.steps == b.steps >= 1
    one = kmeans(x, 1)
    np.testing.assert_allclose(one.centres[0], x.mean(axis=0))


def test_first_centres_are_drawn_far_apart():
    x = np.concatenate([np.zeros((98, 1)), [[100.0], [-100.0]]])
    for seed in range(20):
        drawn = scattered(x, 3, np.random.default_rng(seed))
        assert set(x[drawn, 0]) == {0.0, 100.0, -100.0}  # uniform draws would miss them
    # ... with probability d^2: from 0, the point at 2 is drawn four times as often as that at 1
    line = np.array([[0.0], [1.0], [2.0]])
    second = []
    for seed in range(3000):
        drawn = scattered(line, 2, np.random.default_rng(seed))
        if drawn[0] == 0:
            second.append(drawn[1])
    assert np.mean(np.array(second) == 2) == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"points": np.zeros(3), "k": 1}, "must be .N, D."),
        ({"points": np.zeros((0, 2)), "k": 1}, "must be .N, D."),
        ({"points": np.zeros((3, 2)), "k": 4}, "1 .. 3"),
        ({"points": np.zeros((3, 2)), "k": 0}, "1 .. 3"),
        ({"points": [[0.0], [np.nan]], "k": 1}, "point 1 is not finite"),
        ({"points": np.zeros((3, 2)), "k": 2}, "only 1 of the points"),
        ({"points": np.eye(3), "k": 2, "start": np.eye(3)}, "start must be"),
        ({"points": np.eye(3), "k": 2, "n_starts": 0}, "n_starts"),
        ({"points": np.eye(3), "k": 2, "max_steps": 0}, "max_steps"),
    ],
)
def test_kmeans_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        kmeans(**arguments)


def test_pick_evenly_goes_round():
    labels = [0, 0, 0, 0, 1, 1, 2]
    order = np.array([3, 2, 1, 0, 5, 4, 6])
    assert pick_evenly(labels, 3, order).tolist() == [3, 5, 6]
    assert pick_evenly(labels, 5, order).tolist() == [3, 5, 6, 2, 4]
    assert pick_evenly(labels, 7, order).tolist() == [3, 5, 6, 2, 4, 1, 0]
    with pytest.raises(ValueError, match=r"1 \.\. 7"):
        pick_evenly(labels, 8, order)
    with pytest.raises(ValueError, match="permutation"):
        pick_evenly(labels, 2, np.array([0, 0, 1, 2, 3, 4, 5]))
    with pytest.raises(ValueError, match="permutation"):
        pick_evenly(labels, 2, np.array([0, 1]))


def test_pick_central_takes_the_nearest_of_each_cluster():
    x = cloud()
    found = kmeans(x, 4, n_starts=3)
    chosen = pick_central(x, found)
    assert found.labels[chosen].tolist() == [0, 1, 2, 3]
    for j, i in enumerate(chosen):
        members = np.flatnonzero(found.labels == j)
        assert i == members[np.linalg.norm(x[members] - found.centres[j], axis=1).argmin()]
    # a point of another cluster may be nearer: it is not taken
    labels, centres = np.array([0, 1, 1]), np.array([[0.0], [1.0]])
    x = np.array([[1.0], [5.0], [4.0]])
    assert pick_central(x, Clusters(labels, centres, 0.0, 1)).tolist() == [0, 2]


def test_n_covered():
    assert n_covered(["a", "b", "b", "c"], [1, 2]) == 1
    assert n_covered([0, 1, 1, 2], np.array([0, 3])) == 2
