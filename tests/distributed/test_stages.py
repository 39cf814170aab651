"""Cuts into stages: the best one against all of them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.distributed.schedules import gpipe, one_f_one_b
from minillm.distributed.stages import (
    Stage,
    best_stages,
    equal_stages,
    even_stages,
    every_cut,
    imbalance,
    step_time,
)
from minillm.distributed.timeline import simulate


def brute_force(cost, n_layers, n_cards, n_micro, sizes):
    times = [
        step_time([cost(s.first, s.end, s.n_cards) for s in cut], n_micro)
        for cut in every_cut(n_layers, n_cards, sizes=sizes)
    ]
    return min((t for t in times if not math.isnan(t)), default=math.inf)


@given(
    layers=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    cards=st.integers(1, 6),
    m=st.integers(1, 9),
    sizes=st.sampled_from([(1,), (1, 2), (2,), (1, 2, 4)]),
    room=st.integers(5, 40),
)
def test_the_best_cut_is_the_best_of_all(layers, cards, m, sizes, room):
    def cost(first, end, n):
        work = sum(layers[first:end])
        return math.inf if work > room * n else work / n + 0.3 * (n - 1) + 0.1 * first

    found = best_stages(cost, len(layers), cards, m, sizes=sizes)
    assert found.time == pytest.approx(brute_force(cost, len(layers), cards, m, sizes))
    if found.stages:
        assert found.stages[0].first == 0
        assert found.stages[-1].end == len(layers)
        assert sum(s.n_cards for s in found.stages) == cards
        assert all(a.end == b.first for a, b in zip(found.stages, found.stages[1:], strict=False))
        times = [cost(s.first, s.end, s.n_cards) for s in found.stages]
        assert found.time == pytest.approx(step_time(times, m))
    else:
        assert found.time == math.inf


def test_every_cut_by_hand():
    assert list(every_cut(3, 2)) == [
        [Stage(0, 1), Stage(1, 3)],
        [Stage(0, 2), Stage(2, 3)],
    ]
    assert len(list(every_cut(8, 4))) == math.comb(7, 3)
    assert list(every_cut(2, 3)) == []


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(5, 12))
def test_step_time_is_that_of_the_clock(times, m):
    seconds = {"forward": times, "backward": [2 * t for t in times]}
    wanted = step_time([3 * t for t in times], m)
    assert simulate(gpipe(len(times), m), **seconds).total == pytest.approx(wanted)
    in_turns = simulate(one_f_one_b(len(times), m), **seconds).total
    assert in_turns <= wanted + 1e-9  # and less if stages differ and micro batches are few
    if len(set(times)) == 1:
        assert in_turns == pytest.approx(wanted)


def test_opt_66b():
    assert equal_stages(64, 24) == [1, 2, 4, 8, 16]
    stages = even_stages(64, 24)
    assert (stages.count(3), stages.count(2), sum(stages)) == (16, 8, 64)
    assert imbalance(stages) == pytest.approx(1.125)
    # an even number of machines of 8 cards is not the rule: 6 machines
    assert [k for k in range(1, 9) if 8 * k in equal_stages(64, 64)] == [1, 2, 4, 8]


@given(st.integers(1, 100), st.integers(1, 100))
def test_even_stages(n_layers, n_stages):
    if n_stages > n_layers:
        with pytest.raises(ValueError, match="cannot fill"):
            even_stages(n_layers, n_stages)
        return
    stages = even_stages(n_layers, n_stages)
    assert sum(stages) == n_layers
    assert len(stages) == n_stages
    assert max(stages) - min(stages) <= 1
    assert (imbalance(stages) == 1) == (n_stages in equal_stages(n_layers, n_stages))


def test_errors():
    with pytest.raises(ValueError, match="n_layers must be at least 1, got 0"):
        equal_stages(0, 3)
    with pytest.raises(ValueError, match="n_stages must be at least 1, got 0"):
        even_stages(3, 0)
    with pytest.raises(ValueError, match="n_micro must be at least 1, got 0"):
        best_stages(lambda *_: 1.0, 2, 2, 0)
    with pytest.raises(ValueError, match="sizes must be at least 1, got 0"):
        every_cut(2, 2, sizes=())
