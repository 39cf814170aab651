"""From pairs to clusters, and the copy that stays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from minillm.data.clusters import UnionFind, clusters, keep_one


def test_by_hand():
    assert clusters(6, [(4, 1), (2, 5), (1, 2)]) == [[0], [1, 2, 4, 5], [3]]
    assert clusters(3, []) == [[0], [1], [2]]
    assert clusters(0, []) == []
    assert clusters(2, np.array([[0, 1]])) == [[0, 1]]


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=14), st.randoms())
@settings(max_examples=150, deadline=None)
def test_equals_scipy_in_any_order(pairs, rng):
    i, j = np.array(pairs, int).reshape(-1, 2).T
    labels = connected_components(coo_array((np.ones(len(i)), (i, j)), (12, 12)), directed=False)[1]
    wanted = {}
    for text, label in enumerate(labels.tolist()):
        wanted.setdefault(label, []).append(text)
    assert sorted(clusters(12, pairs)) == sorted(wanted.values())
    shuffled = [pair[:: rng.choice((1, -1))] for pair in rng.sample(pairs, len(pairs))]
    assert clusters(12, shuffled) == clusters(12, pairs)


def test_a_long_chain():
    chain = [(i, i + 1) for i in range(50_000)]
    assert clusters(50_001, chain) == [list(range(50_001))]


def test_union_says_whether_two_became_one():
    sets = UnionFind(3)
    assert sets.union(2, 1)
    assert not sets.union(1, 2)
    assert sets.find(2) == 1
    assert sets.find(0) == 0


def test_the_root_is_the_smallest_member():
    sets = UnionFind(6)
    for pair in ((5, 4), (2, 4), (3, 2)):  # the smaller one second, first, second
        sets.union(*pair)
    assert [sets.find(i) for i in range(6)] == [0, 1, 2, 2, 2, 2]


def test_keep_one():
    found = [[0], [1, 3, 4], [2, 5]]
    assert keep_one(found) == [0, 1, 2]
    assert keep_one(found, "longest", [9, 1, 2, 7, 7, 8]) == [0, 3, 5]
    assert keep_one(found, lambda cluster: cluster[-1]) == [0, 4, 5]
    assert keep_one([[4, 2]]) == [2]
    assert keep_one([]) == []


def test_errors():
    with pytest.raises(ValueError, match=r"pair \(1, 3\) names a text"):
        clusters(3, [(1, 3)])
    with pytest.raises(ValueError, match=r"\(-1, 0\)"):
        clusters(3, [(-1, 0)])
    with pytest.raises(ValueError, match="got -1"):
        UnionFind(-1)
    with pytest.raises(IndexError, match="got -1"):
        UnionFind(2).find(-1)
    with pytest.raises(ValueError, match="needs lengths"):
        keep_one([[0]], "longest")
    with pytest.raises(ValueError, match="'best'"):
        keep_one([[0]], "best")
    with pytest.raises(ValueError, match="chose 7"):
        keep_one([[0, 1]], lambda cluster: 7)
