"""Ranks and places: a bijection, with the axes in Megatron's order."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.distributed.layout import AXES, Layout, Place

sizes = st.integers(1, 5)


@given(sizes, sizes, sizes, st.integers(1, 3))
def test_rank_and_place_are_inverse(d, p, t, c):
    layout = Layout(d, p, t, c)
    places = [layout.place(rank) for rank in range(layout.world_size)]
    assert [layout.rank(place) for place in places] == list(range(layout.world_size))
    every = itertools.product(range(d), range(p), range(t), range(c))
    assert {(a.data, a.pipeline, a.tensor, a.context) for a in places} == set(every)


@given(sizes, sizes, sizes, st.integers(1, 3), st.sampled_from(AXES))
def test_groups_share_out_the_ranks(d, p, t, c, axis):
    layout = Layout(d, p, t, c)
    groups = layout.groups(axis)
    assert sorted(itertools.chain(*groups)) == list(range(layout.world_size))
    for group in groups:
        assert len(group) == getattr(layout, axis)
        assert group == sorted(group)
        others = [{k: v for k, v in vars(layout.place(r)).items() if k != axis} for r in group]
        assert all(other == others[0] for other in others)


@given(sizes, sizes, sizes, st.integers(1, 3), st.integers(1, 9), st.sampled_from(AXES))
def test_inside_is_one_machine(d, p, t, c, each, axis):
    layout = Layout(d, p, t, c)
    if layout.world_size % each:
        with pytest.raises(ValueError, match=f"do not fill machines of {each} cards"):
            layout.inside(axis, each)
    else:
        assert layout.inside(axis, each) == (layout.machines(axis, each) == 1)


def test_context_stands_between_tensor_and_data():
    layout = Layout(2, 1, 2, 2)
    assert layout.groups("context") == [[0, 2], [1, 3], [4, 6], [5, 7]]
    assert layout.groups("data") == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_by_hand():
    layout = Layout(data=2, pipeline=2, tensor=2)
    assert layout.place(5) == Place(data=0, pipeline=1, tensor=1)
    assert layout.groups("tensor") == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert layout.groups("data") == [[0, 2], [1, 3], [4, 6], [5, 7]]
    assert layout.groups("pipeline") == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_bloom():
    bloom = Layout(8, 12, 4)
    assert bloom.world_size == 384
    assert [bloom.machines(axis, 8) for axis in ("tensor", "data", "pipeline")] == [1, 4, 12]
    assert Layout(2, 1, 3).machines("tensor", 4) == 2  # 0 1 2 stand in one, 3 | 4 5 do not


def test_errors():
    with pytest.raises(ValueError, match="at least 1, got Layout"):
        Layout(1, 0, 1)
    layout = Layout(2, 3, 1)
    with pytest.raises(ValueError, match="rank must be 0 to 5, got 6"):
        layout.place(6)
    with pytest.raises(ValueError, match="rank must be 0 to 5, got -1"):
        layout.place(-1)
    with pytest.raises(ValueError, match="pipeline must be 0 to 2"):
        layout.rank(Place(0, 3, 0))
    with pytest.raises(ValueError, match="cards_per_machine must be at least 1, got 0"):
        layout.machines("data", 0)
