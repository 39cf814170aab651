"""Rewind and skip: the decision alone, and a small run that carries it out."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.train.rewind import (
    GiveUp,
    Mark,
    Rewind,
    RewindConfig,
    RewindState,
    decide,
    is_skipped,
)

MARKS = [Mark(s, s) for s in range(0, 1001, 50)]  # a checkpoint every 50 steps, a batch a step


def test_palm_by_hand():
    """The spike begins at 720; 100 steps before is 620; the checkpoint is at 600."""
    config = RewindConfig(back=100, skip=200)
    state, order = decide(RewindState(), 720, position=725, marks=MARKS, config=config)
    assert order == Rewind(Mark(600, 600), 800, 1.0)
    assert order.n_skipped == 200
    assert state == RewindState(720, repeats=1, n_rewinds=1, skipped=((600, 800),))


def test_batches_up_to_the_spike_are_left_out_whatever_skip_says():
    config = RewindConfig(back=100, skip=10)
    state, order = decide(RewindState(), 720, position=725, marks=MARKS, config=config)
    assert order.position == 725
    assert state.skipped == ((600, 725),)
    assert [is_skipped(state, p) for p in (599, 600, 724, 725)] == [False, True, True, False]


def test_position_and_step_are_two_clocks():
    """Four batches a step, and a rewind before: the position runs ahead."""
    marks = [Mark(s, 4 * s + 1000) for s in range(0, 500, 20)]
    config = RewindConfig(back=30, skip=100)
    _, order = decide(RewindState(), 250, position=2010, marks=marks, config=config)
    assert order == Rewind(Mark(220, 1880), 2010, 1.0)


def test_the_same_spike_again_goes_further_back_and_lowers_the_rate():
    config = RewindConfig(back=100, skip=200, widen=2.0, tries=3, lr_factor=0.5)
    state, orders = RewindState(), []
    position = 725
    for spike in (720, 730, 690):
        state, order = decide(state, spike, position=position, marks=MARKS, config=config)
        orders.append(order)
        position = order.position + 100
    assert [o.mark.step for o in orders] == [600, 500, 250]  # 100, 200, 400 before
    assert [o.lr_factor for o in orders] == [0.5, 0.25, 0.125]
    assert (state.repeats, state.n_rewinds) == (3, 3)
    same, order = decide(state, 700, position=position, marks=MARKS, config=config)
    assert isinstance(order, GiveUp)
    assert "step 700 has come back after 3 rewinds" in order.reason
    assert "lower the learning rate" in order.reason
    assert same == state


def test_another_spike_starts_from_one():
    config = RewindConfig(back=100, skip=50, near=60)
    state, _ = decide(RewindState(), 300, position=305, marks=MARKS, config=config)
    state, order = decide(state, 361, position=400, marks=MARKS, config=config)
    assert (state.repeats, order.mark.step) == (1, 250)
    state, order = decide(state, 301, position=500, marks=MARKS, config=config)  # 60 away: again
    assert (state.repeats, order.mark.step) == (2, 100)
    assert state.n_rewinds == 3


def test_without_an_old_enough_checkpoint_it_gives_up():
    config = RewindConfig(back=100)
    for marks in ([], [Mark(650, 650)]):
        state, order = decide(RewindState(), 720, position=725, marks=marks, config=config)
        assert isinstance(order, GiveUp)
        assert "no checkpoint is as old as step 620" in order.reason
        assert state == RewindState()
    _, order = decide(RewindState(), 720, position=725, marks=[Mark(620, 620)], config=config)
    assert order.mark.step == 620  # exactly old enough


def test_the_state_can_go_through_json():
    state = RewindState(720, 1, 2, 0.5, ((600, 800), (900, 910)))
    back = RewindState(**json.loads(json.dumps(dataclasses.asdict(state))))
    assert back == state
    _, order = decide(back, 850, position=990, marks=MARKS, config=RewindConfig(near=0))
    assert order.mark.step == 750


@given(
    st.lists(st.integers(0, 900), min_size=1, max_size=6),
    st.integers(0, 200),
    st.integers(0, 400),
)
def test_data_only_ever_go_on(spikes, back, skip):
    config = RewindConfig(back=back, skip=skip, tries=2, near=100)
    state, position = RewindState(), 950
    for spike in spikes:
        before = state
        state, order = decide(state, spike, position=position, marks=MARKS, config=config)
        if isinstance(order, GiveUp):
            assert state == before
            continue
        assert order.position >= position
        assert order.mark.step <= spike - back
        assert order.n_skipped >= skip
        assert all(a < b for a, b in state.skipped)
        assert all(b < c for (_, b), (c, _) in zip(state.skipped, state.skipped[1:], strict=False))
        position = order.position + 7


def test_a_small_run_recovers():
    """Batch 137 blows the weights up, but only in a state that is older than step 120."""
    config = RewindConfig(back=20, skip=30)
    state, step, position, weights = RewindState(), 0, 0, 0.0
    marks, saved, trained = [], {}, []
    while step < 300:
        if step % 25 == 0:
            marks = [m for m in marks if m.step < step] + [Mark(step, position)]
            saved[step] = weights
        trained.append(position)
        weights = 1e9 if position == 137 and step > 120 else weights + 1
        step, position = step + 1, position + 1
        if weights > 1e6:
            state, order = decide(state, step, position=position, marks=marks, config=config)
            marks = [m for m in marks if m.step <= order.mark.step]
            step, position, weights = order.mark.step, order.position, saved[order.mark.step]
    assert weights == 300
    assert state.skipped == ((100, 138),)
    kept = [p for p in trained if not is_skipped(state, p)]
    assert kept == [*range(100), *range(138, 338)]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"back": -1}, "back must not be negative, got -1"),
        ({"skip": -1}, "skip must not"),
        ({"near": -1}, "near must not"),
        ({"widen": 0.5}, "widen must be at least 1, got 0.5"),
        ({"tries": 0}, "tries must be at least 1, got 0"),
        ({"lr_factor": 0.0}, r"lr_factor must lie in \(0, 1\], got 0.0"),
        ({"lr_factor": 1.5}, "lr_factor"),
    ],
)
def test_refusals(how, words):
    with pytest.raises(ValueError, match=words):
        RewindConfig(**how)


def test_negative_clocks_are_refused():
    for spike, position in ((-1, 5), (5, -1)):
        with pytest.raises(ValueError, match="need spike >= 0"):
            decide(RewindState(), spike, position=position, marks=MARKS, config=RewindConfig())
