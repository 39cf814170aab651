"""Simulated steps: cases worked out by hand, and what must hold for any."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.distributed.links import Link, sent_bytes
from minillm.distributed.step_time import (
    COMPUTE,
    TALK,
    StepTime,
    Task,
    Unit,
    draw,
    fsdp_step,
    fsdp_tasks,
    run_tasks,
)

LINK = Link("one second a byte", 1e-9, 0.0)  # 1 byte a second, no latency


def unit(name, forward, backward, n_bytes):
    return Unit(name, forward, backward, n_bytes, n_bytes)


def times(step):
    return {e.name: (e.start, e.end) for e in step.events}


def test_a_task_waits_for_its_stream_and_for_its_predecessors():
    step = run_tasks(
        [
            Task("a", "x", 2.0),
            Task("b", "y", 3.0),
            Task("c", "x", 1.0, ("b",)),
            Task("d", "y", 1.0, ("a",)),
        ]
    )
    assert times(step) == {"a": (0, 2), "b": (0, 3), "c": (3, 4), "d": (3, 4)}
    assert step.total == 4
    assert step.busy("x") == 3


def test_two_units_by_hand():
    """2 ranks, so that half of 2 bytes takes 1 s to gather; each forward 3 s, backward 4 s."""
    tasks = fsdp_tasks([unit("root", 3, 4, 2), unit("b", 3, 4, 2)], LINK, 2, optimizer=0.5)
    found = times(run_tasks(tasks))
    assert found["talk gather forward root 0"] == (0, 1)
    assert found["talk gather forward b 0"] == (1, 2)
    assert found["forward root 0"] == (1, 4)
    assert found["forward b 0"] == (4, 7)
    assert found["talk gather backward b 0"] == (4, 5)  # once root's forward has freed its memory
    assert found["backward b 0"] == (7, 11)
    assert found["talk reduce b 0"] == (11, 12)
    assert found["backward root 0"] == (11, 15)
    assert found["talk reduce root 0"] == (15, 16)
    assert found["update"] == (16, 16.5)


def test_only_the_first_gather_and_the_last_sum_show_where_computing_is_slow():
    units = [unit(str(i), 30, 40, 2) for i in range(5)]
    step = run_tasks(fsdp_tasks(units, LINK, 2))
    assert step.exposed == pytest.approx(2.0)
    alone = run_tasks(fsdp_tasks(units, LINK, 2, overlap=False))
    assert alone.exposed == pytest.approx(5 * 1 + 4 * 1 + 5 * 1)


def test_a_slow_link_takes_over():
    units = [unit(str(i), 0.01, 0.02, 100) for i in range(5)]
    step = run_tasks(fsdp_tasks(units, LINK, 2))
    assert step.total == pytest.approx(50 * (5 + 4 + 5), rel=0.01)


def test_bytes_are_one_and_a_half_times_those_of_data_parallelism():
    """Of the blocks: two gathers and one reduce-scatter against one all-reduce."""
    n, block = 4, 1e6
    units = [unit("root", 1, 1, 0), unit("a", 1, 1, block), unit("b", 1, 1, block)]
    sent = run_tasks(fsdp_tasks(units, LINK, n)).busy(TALK)  # one byte a second
    assert sent == pytest.approx(1.5 * sent_bytes("all_reduce", 2 * block, n))
    kept = run_tasks(fsdp_tasks(units, LINK, n, keep_gathered=True)).busy(TALK)
    assert kept == pytest.approx(sent_bytes("all_reduce", 2 * block, n))


sizes = st.floats(0, 10)
any_units = st.lists(
    st.builds(Unit, st.just(""), sizes, sizes, sizes, sizes), min_size=1, max_size=5
)


@given(any_units, st.integers(1, 8), st.integers(1, 3), st.booleans())
def test_a_step_lies_between_its_bounds(units, n_ranks, n_passes, keep):
    units = [Unit(str(i), *list(vars(u).values())[1:]) for i, u in enumerate(units)]
    both = [
        run_tasks(
            fsdp_tasks(units, LINK, n_ranks, n_passes=n_passes, keep_gathered=keep, overlap=overlap)
        )
        for overlap in (True, False)
    ]
    overlapped, serial = both
    compute = n_passes * sum(u.forward + u.backward for u in units)
    assert serial.total == pytest.approx(compute + overlapped.busy(TALK))
    assert overlapped.total <= serial.total + 1e-9
    assert overlapped.total >= max(compute, overlapped.busy(TALK)) - 1e-9
    assert overlapped.exposed == pytest.approx(overlapped.total - compute)
    for stream in (COMPUTE, TALK):  # nothing runs at the same time as itself
        mine = [e for e in overlapped.events if e.stream == stream]
        assert all(a.end <= b.start for a, b in itertools.pairwise(mine))


def test_passes_repeat_all_but_the_update():
    units = [unit("root", 1, 2, 2), unit("b", 1, 2, 2)]
    tasks = fsdp_tasks(units, LINK, 2, n_passes=3, optimizer=1)
    assert [t.name for t in tasks].count("update") == 1
    assert sum(t.name.startswith("talk reduce") for t in tasks) == 6


@given(any_units, st.integers(1, 8), st.integers(1, 9), st.integers(1, 3), st.booleans())
def test_a_step_of_many_passes_need_not_be_listed(units, n_ranks, n_passes, copies, keep):
    units = [Unit(str(i), *list(vars(u).values())[1:]) for i, u in enumerate(units)]
    how = {"optimizer": 0.5, "keep_gathered": keep, "copies": copies}
    all_of_them = run_tasks(fsdp_tasks(units, LINK, n_ranks, n_passes=n_passes, **how))
    quick = fsdp_step(units, LINK, n_ranks, n_passes=n_passes, **how)
    assert quick.total == pytest.approx(all_of_them.total)
    assert quick.exposed == pytest.approx(all_of_them.exposed, abs=1e-9)
    assert len(quick.events) <= len(all_of_them.events)
    if n_passes > 3:
        assert len(quick.events) < len(all_of_them.events)


def test_copies_sum_their_parts():
    """2 ranks a copy, 4 copies: a part of 1 byte goes round at 2 bytes/s, 2 * 3/4 of it."""
    units = [unit("root", 3, 4, 2)]
    fast = Link("two bytes a second", 2e-9, 0.0)
    found = times(run_tasks(fsdp_tasks(units, LINK, 2, copies=4, between=fast)))
    assert found["talk reduce root 0"] == (8, 8 + 1 + 0.75)
    same = times(run_tasks(fsdp_tasks(units, LINK, 2, copies=4)))
    assert same["talk reduce root 0"] == (8, 8 + 1 + 1.5)


def test_one_rank_has_nothing_to_say():
    step = run_tasks(fsdp_tasks([unit("root", 1, 2, 5)], LINK, 1, optimizer=1))
    assert (step.total, step.exposed) == (4, 0)


def test_drawing():
    step = run_tasks(fsdp_tasks([unit("root", 3, 4, 2)], LINK, 2, optimizer=1))
    assert draw(step, width=10) == "compute .fffbbbb.u\ntalk    g.......r."
    assert StepTime(()).total == 0


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: run_tasks([Task("a", "x", 1), Task("a", "x", 1)]), "'a' comes twice"),
        (lambda: run_tasks([Task("a", "x", 1, ("b",))]), "waits for 'b', which comes later"),
        (lambda: unit("u", -1, 0, 0), "forward of unit 'u' must not be negative, got -1"),
        (lambda: fsdp_tasks([], LINK, 2), "got 0 units"),
        (lambda: fsdp_tasks([unit("u", 1, 1, 1)], LINK, 0), "n_ranks=0"),
        (lambda: fsdp_tasks([unit("u", 1, 1, 1)], LINK, 1, n_passes=0), "n_passes=0"),
        (lambda: fsdp_tasks([unit("u", 1, 1, 1)], LINK, 1, optimizer=-1), "optimizer=-1"),
        (lambda: fsdp_tasks([unit("u", 1, 1, 1)], LINK, 1, copies=0), "copies=0"),
        (lambda: fsdp_step([unit("u", 1, 1, 1)], LINK, 1, n_passes=0), "n_passes=0"),
    ],
)
def test_bad_input(action, words):
    with pytest.raises(ValueError, match=words):
        action()
