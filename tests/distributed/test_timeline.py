"""The simulated clock: equal to what is derived, and to a slow simulation in single ticks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.distributed.schedules import (
    Work,
    bubble_share,
    gpipe,
    interleaved,
    one_f_one_b,
    stored,
    weight_versions,
)
from minillm.distributed.timeline import needs, simulate

PLAIN = {"gpipe": gpipe, "1f1b": one_f_one_b}


def ticks(orders, forward, backward):
    """The same in single ticks: every idle stage begins what it can. The ends."""
    p, done, busy, at = len(orders), {}, [0] * len(orders), [0] * len(orders)
    for now in range(10_000):
        for s, order in enumerate(orders):
            if at[s] == len(order) or busy[s] > now:
                continue
            work = order[at[s]]
            part = s
            if work.kind == "forward":
                wanted = [] if part == 0 else [(part - 1, Work("forward", work.micro))]
            else:
                wanted = [(part, Work("forward", work.micro))]
                wanted += [] if part == p - 1 else [(part + 1, Work("backward", work.micro))]
            if all(done.get(w, 10**9) <= now for w in wanted):
                busy[s] = now + (forward if work.kind == "forward" else backward)
                done[s, work] = busy[s]
                at[s] += 1
        if all(a == len(order) for a, order in zip(at, orders, strict=True)):
            return done
    raise AssertionError("never ends")


@given(
    p=st.integers(1, 5),
    m=st.integers(1, 7),
    f=st.integers(1, 3),
    b=st.integers(1, 4),
    kind=st.sampled_from(sorted(PLAIN)),
)
def test_the_clock_is_that_of_single_ticks(p, m, f, b, kind):
    orders = PLAIN[kind](p, m)
    found = simulate(orders, forward=f, backward=b)
    assert {(slot.stage, slot.work): slot.end for slot in found.slots} == ticks(orders, f, b)


@pytest.mark.parametrize("p", [2, 3, 5])
@pytest.mark.parametrize("v", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_what_is_stored_is_the_derived_number(p, v, groups):
    m = groups * p
    run = simulate(interleaved(p, m, v) if v > 1 else one_f_one_b(p, m))
    assert [run.peak(s) for s in range(p)] == pytest.approx([stored(p, m, v, s) for s in range(p)])


@given(p=st.integers(1, 8), m=st.integers(1, 20), f=st.floats(0.1, 3), b=st.floats(0.1, 3))
def test_the_bubble_is_the_derived_one(p, m, f, b):
    found = simulate(gpipe(p, m), forward=f, backward=b)
    assert found.bubble == pytest.approx(bubble_share(p, m), abs=1e-9)
    assert found.total == pytest.approx((m + p - 1) * (f + b))
    if m >= p:
        found = simulate(one_f_one_b(p, m), forward=f, backward=b)
        assert found.bubble == pytest.approx(bubble_share(p, m), abs=1e-9)


@given(p=st.integers(2, 6), groups=st.integers(1, 3), v=st.integers(1, 4))
def test_the_bubble_of_interleaving_is_the_derived_one(p, groups, v):
    found = simulate(interleaved(p, groups * p, v))
    assert found.bubble == pytest.approx(bubble_share(p, groups * p, v), abs=1e-9)


@given(p=st.integers(1, 8), m=st.integers(1, 20))
def test_the_peak_of_stored_micro_batches(p, m):
    all_first, in_turns = simulate(gpipe(p, m)), simulate(one_f_one_b(p, m))
    for s in range(p):
        assert all_first.peak(s) == m
        assert in_turns.peak(s) == min(m, p - s)
        if m >= p:  # PipeDream keeps the weights of each micro batch on its way
            assert in_turns.peak(s) == weight_versions("pipedream", p, s)


@pytest.mark.parametrize(("p", "v"), [(4, 2), (2, 3), (6, 2)])
def test_interleaving_stores_more(p, v):
    found = simulate(interleaved(p, 4 * p, v))
    assert found.peak(0) == pytest.approx(p + (p - 1) / v)  # Narayanan 2021: p (1 + (p-1)/(p v))


def test_a_slow_stage_holds_up_all():
    found = simulate(gpipe(3, 10), forward=[1, 2, 1], backward=[2, 4, 2])
    assert found.total == (3 + 6 + 3) + 9 * 6  # sum of all, and a beat of the slowest for each more
    assert found.bubble > 2 * bubble_share(3, 10)


def test_messages_take_time():
    assert simulate(gpipe(3, 1), forward=1, backward=1, message=0.5).total == 6 + 4 * 0.5
    alone = simulate(gpipe(1, 4), message=9)  # nobody to talk to
    assert alone.total == 12
    assert alone.bubble == 0


def test_who_waits_for_whom():
    assert needs(0, Work("forward", 3), 2, 2) is None
    assert needs(1, Work("forward", 3), 2, 2) == (0, Work("forward", 3))
    assert needs(0, Work("forward", 3, 1), 2, 2) == (1, Work("forward", 3, 0))
    assert needs(1, Work("backward", 3, 1), 2, 2) == (1, Work("forward", 3, 1))
    assert needs(1, Work("backward", 3, 0), 2, 2) == (0, Work("backward", 3, 1))


def test_drawing_by_hand():
    lines = simulate(gpipe(2, 2), forward=1, backward=1).draw().splitlines()
    assert lines == ["stage 0   0  1  .  . [1][0]", "stage 1   .  0  1 [1][0] ."]
    letters = simulate(interleaved(2, 2, 2), forward=2, backward=2).draw()
    assert letters.splitlines()[0].split()[2:6] == ["0a", "1a", "0b", "1b"]


def test_table():
    table = simulate(gpipe(2, 1)).table()
    b = Work("backward", 0)
    assert table == [
        [Work("forward", 0), None, None, None, b, b],
        [None, Work("forward", 0), b, b, None, None],
    ]
    with pytest.raises(ValueError, match="needs whole times"):
        simulate(gpipe(2, 1), forward=0.5).table()


def test_bad_schedules_are_told():
    f, b = Work("forward", 0), Work("backward", 0)
    with pytest.raises(ValueError, match=r"deadlock.*0: Work"):
        simulate([[b, f], [f, b]])
    with pytest.raises(ValueError, match=r"stage 0 has .* twice"):
        simulate([[f, f, b]])
    with pytest.raises(ValueError, match="forward needs one time, or 2"):
        simulate(gpipe(2, 1), forward=[1])
    with pytest.raises(ValueError, match="backward needs one time"):
        simulate(gpipe(2, 1), backward=-1)
    with pytest.raises(ValueError, match="message must not be negative, got -1"):
        simulate(gpipe(2, 1), message=-1)
