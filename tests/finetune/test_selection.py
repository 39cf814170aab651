"""Each method chooses what its name says; ties are drawn; the description tells the truth."""

import numpy as np
import pytest

from minillm.finetune.coreset import coverage, k_center_greedy
from minillm.finetune.diversity import kmeans, pick_central
from minillm.finetune.selection import METHODS, Pool, describe, lowest, select

DICE = np.random.default_rng(0)
POOL = Pool(
    n_tokens=DICE.permutation(50) + 1,
    losses=DICE.permutation(50) / 10,
    vectors=DICE.normal(size=(50, 3)),
    scores=DICE.permutation(50) - 25.0,
)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_chooses_n_different_ones_and_is_seeded(method):
    for n in (1, 7, 50):
        chosen = select(POOL, method, n, seed=3)
        assert chosen.shape == (n,)
        assert len(set(chosen.tolist())) == n
        assert (np.diff(chosen) > 0).all()
        assert 0 <= chosen[0] <= chosen[-1] < 50
        np.testing.assert_array_equal(chosen, select(POOL, method, n, seed=3))


@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("shortest", POOL.n_tokens),
        ("longest", -POOL.n_tokens),
        ("easiest", POOL.losses),
        ("hardest", -POOL.losses),
        ("middling", np.abs(POOL.losses - np.median(POOL.losses))),
        ("influence", -POOL.scores),
    ],
)
def test_scores_decide(method, values):
    assert set(select(POOL, method, 6, seed=1)) == set(np.argsort(values)[:6])


def test_random_differs_by_seed_and_is_fair():
    seen = np.zeros(50)
    for seed in range(400):
        seen[select(POOL, "random", 10, seed=seed)] += 1
    assert seen.sum() == 4000
    assert seen.min() > 40
    assert seen.max() < 125  # 80 expected, spread 8


def test_places_are_those_of_their_modules():
    dice = np.random.default_rng(5)
    first = int(dice.integers(50))
    expected = k_center_greedy(POOL.vectors, 8, start=first)
    assert set(select(POOL, "k_center", 8, seed=5)) == set(expected)
    dice = np.random.default_rng(5)
    clusters = kmeans(POOL.vectors, 8, seed=int(dice.integers(2**31)))
    assert set(select(POOL, "kmeans", 8, seed=5)) == set(pick_central(POOL.vectors, clusters))


def test_ties_are_drawn_by_lot():
    dice = np.random.default_rng(0)
    drawn = [frozenset(lowest([1, 1, 1, 1, 0], 2, dice).tolist()) for _ in range(200)]
    assert set(drawn) == {frozenset((4, i)) for i in range(4)}
    assert lowest([3, 1, 2], 2, dice).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("method", "n", "words"),
    [
        ("best", 3, "no method 'best'"),
        ("random", 0, "1 .. 2"),
        ("random", 3, "1 .. 2"),
        ("easiest", 1, "needs losses.*answer_losses"),
        ("kmeans", 1, "needs vectors.*coreset.embed"),
        ("influence", 1, "needs scores.*gradient_scores"),
    ],
)
def test_select_refuses(method, n, words):
    with pytest.raises(ValueError, match=words):
        select(Pool(np.array([1, 2])), method, n, seed=0)


def test_a_pool_refuses():
    with pytest.raises(ValueError, match="empty"):
        Pool(np.array([]))
    with pytest.raises(ValueError, match="losses has 1 entries, but there are 2"):
        Pool(np.array([1, 2]), losses=np.array([1.0]))
    with pytest.raises(ValueError, match="scores holds a number that is not finite"):
        Pool(np.array([1, 2]), scores=np.array([1.0, np.inf]))


def test_describe():
    groups = np.arange(50) // 10
    told = describe(POOL, [0, 1, 49], groups)
    assert told.n == 3
    assert told.tokens == pytest.approx(POOL.n_tokens[[0, 1, 49]].mean())
    assert told.loss == pytest.approx(POOL.losses[[0, 1, 49]].mean())
    cover = coverage(POOL.vectors, [0, 1, 49])
    assert (told.largest, told.mean) == (cover.largest, cover.mean)
    assert told.groups == 2
    bare = describe(Pool(np.array([4, 6])), [0, 1])
    assert bare.tokens == 5
    assert (bare.loss, bare.largest, bare.mean, bare.groups) == (None,) * 4
    for bad in ([], [50], [-1]):
        with pytest.raises(ValueError, match="numbers from 0 to 49"):
            describe(POOL, bad)
