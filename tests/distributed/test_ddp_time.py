"""Time of a step of data parallelism: hand-worked cases, bounds, and the clock of real ranks."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minillm.distributed.data_parallel import make_buckets
from minillm.distributed.ddp_clock import ClockedStep, clock_steps, clock_ways, middle, predict_step
from minillm.distributed.ddp_time import ddp_tasks
from minillm.distributed.links import Link, seconds
from minillm.distributed.slow import SlowGroup
from minillm.distributed.step_time import run_tasks
from minillm.distributed.threads import run_threads
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig

ONE_A_SECOND = Link("a byte a second", 1e-9, 0.0)
CONFIG = DecoderConfig(31, 8, 2, 8, AttentionConfig(2), FeedForwardConfig("swiglu", 16))


def test_by_hand():
    """Two ranks, a byte a second: a bucket of 3 bytes is summed in 2 (N-1)/N 3 = 3 seconds."""
    step = run_tasks(ddp_tasks(1, [1, 2], [3, 3], ONE_A_SECOND, 2))
    at = {e.name: (e.start, e.end) for e in step.events}
    assert {name: (round(a), round(b)) for name, (a, b) in at.items()} == {
        "forward": (0, 1),
        "backward 0": (1, 2),
        "backward 1": (2, 4),
        "talk 0": (2, 5),
        "talk 1": (5, 8),
    }
    assert step.total == pytest.approx(8)
    assert step.exposed == pytest.approx(4)
    after = run_tasks(ddp_tasks(1, [1, 2], [3, 3], ONE_A_SECOND, 2, overlap=False))
    talks = [round(e.start) for e in after.events if e.stream == "talk"]
    assert talks == [4, 7]
    assert after.total == pytest.approx(10)
    assert run_tasks(ddp_tasks(1, [1, 2], [3, 3], ONE_A_SECOND, 1)).total == 4  # nothing to sum


pieces = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6)


@given(st.integers(0, 9), pieces, st.integers(1, 9))
def test_between_the_bounds(forward, parts, n_ranks):
    """No sooner than computing alone or talking alone, no later than one after the other."""
    backward, sizes = zip(*parts, strict=True)
    talk = sum(seconds("all_reduce", size, n_ranks, ONE_A_SECOND) for size in sizes)
    compute = forward + sum(backward)
    hidden = run_tasks(ddp_tasks(forward, backward, sizes, ONE_A_SECOND, n_ranks)).total
    after = run_tasks(ddp_tasks(forward, backward, sizes, ONE_A_SECOND, n_ranks, overlap=False))
    assert after.total == pytest.approx(compute + talk)
    assert max(compute, forward + backward[0] + talk) <= hidden + 1e-9
    assert hidden <= after.total + 1e-9


@pytest.mark.parametrize(
    ("forward", "backward", "sizes", "words"),
    [
        (1, [], [], "at least one bucket; got 0 times and 0 sizes"),
        (1, [1], [1, 2], "got 1 times and 2 sizes"),
        (-1, [1], [1], r"times must not be negative, got -1 and \[1\]"),
        (1, [-2], [1], r"times must not be negative, got 1 and \[-2\]"),
    ],
)
def test_bad_numbers(forward, backward, sizes, words):
    with pytest.raises(ValueError, match=words):
        ddp_tasks(forward, backward, sizes, ONE_A_SECOND, 2)


def test_pieces_of_the_backward_pass():
    """They add up to it, also where a later bucket was full first."""
    clock = ClockedStep(1.0, (3.0, 2.5, 4.0), 4.5, (), 6.0, (8, 8, 8))
    assert clock.pieces == [2.0, 0.0, 1.5]
    assert sum(clock.pieces) == clock.backward - clock.forward


SLOW = Link("slow", 1e-3, 3000.0)  # 3 ms a message, and a millisecond for 1000 bytes


def exchange(group):
    slow = SlowGroup(group, SLOW)
    other = 1 - group.rank
    got = slow.exchange(torch.full((250,), 1.0 + group.rank), other, torch.empty(250), other)
    return got.sum().item(), slow.traffic, group.traffic


def test_a_slow_group_sends_the_same():
    told = run_threads(2, exchange)
    assert [t[0] for t in told] == [500.0, 250.0]
    assert all(t[1] == t[2] and t[1].n_bytes == 1000 for t in told)


def clocked(group, overlap, alone):
    ids = torch.arange(18).view(2, 9) % 31
    slow = SlowGroup(group, SLOW)
    clocks = clock_steps(
        slow, CONFIG, ids, bucket_bytes=1500, overlap=overlap, alone=alone, n_steps=2
    )
    return clocks, slow.traffic.n_bytes


@pytest.mark.parametrize("overlap", [True, False])
def test_a_message_is_never_faster_than_its_link(overlap):
    """No upper bound: the machine may be busy. That nothing is sent too early holds on any."""
    buckets = make_buckets(Decoder(CONFIG).parameters(), 1500)
    sizes = [4 * sum(p.numel() for p in bucket) for bucket in buckets]
    (clocks, sent), _ = run_threads(2, clocked, overlap, False)
    assert len(clocks) == 2
    assert len(buckets) > 2
    assert sent >= 3 * sum(sizes)  # 3 steps; 2 (N-1)/N = 1
    for clock in clocks:
        assert list(clock.sizes) == sizes
        assert len(clock.talks) == len(sizes)
        for (start, end), size in zip(clock.talks, sizes, strict=True):
            assert end - start >= seconds("all_reduce", size, 2, SLOW) - 1e-6
        ready = clock.filled if overlap else [clock.backward] * len(sizes)
        assert all(start >= full for (start, _), full in zip(clock.talks, ready, strict=True))
        assert clock.talks == tuple(sorted(clock.talks))
        assert clock.total >= max(clock.backward, clock.talks[-1][1])


def test_alone_sends_nothing_but_computes_the_same():
    (clocks, sent), _ = run_threads(2, clocked, True, True)
    assert sent == 3 * 4  # the barriers
    assert len(clocks[0].filled) > 2
    assert sum(clocks[0].pieces) == pytest.approx(clocks[0].backward - clocks[0].forward)
    with pytest.raises(ValueError, match="n_steps must be at least 1, got 0"):
        run_threads(
            1, lambda g: clock_steps(g, CONFIG, torch.ones(1, 2), bucket_bytes=1, n_steps=0)
        )


def test_a_prediction_from_a_step_that_sent_nothing():
    alone = ClockedStep(1.0, (2.0, 4.0), 4.0, (), 4.0, (3, 3))
    step = predict_step(alone, [3, 3], ONE_A_SECOND, 2, overlap=True)
    assert step.total == pytest.approx(8)  # test_by_hand
    after = predict_step(alone, [1, 2, 3], ONE_A_SECOND, 2, overlap=False)  # other buckets
    assert after.total == pytest.approx(4 + 1 + 2 + 3)
    with pytest.raises(ValueError, match="got 2 times and 3 sizes"):
        predict_step(alone, [1, 2, 3], ONE_A_SECOND, 2, overlap=True)


def test_ways_in_turns():
    """Each way sends all gradients; naive in as many messages as there are parameters."""
    ids = torch.arange(18).view(2, 9) % 31
    told, other = run_threads(2, lambda g: clock_ways(g, CONFIG, ids, bucket_bytes=1500, n_turns=2))
    assert list(told) == ["alone", "naive", "buckets", "overlap"] == list(other)
    n_params = sum(p.numel() for p in Decoder(CONFIG).parameters())
    for clocks in told.values():
        assert len(clocks) == 2
        assert sum(clocks[0].sizes) == 4 * n_params
    n_naive = len(list(Decoder(CONFIG).parameters()))
    assert len(told["naive"][0].talks) == n_naive > len(told["buckets"][0].talks)
    assert not told["buckets"][0].filled
    assert told["overlap"][0].filled


def test_the_middle():
    clocks = [ClockedStep(0, (), 0, (), total, ()) for total in (5.0, 1.0, 3.0)]
    assert middle(clocks).total == 3
    assert middle(clocks[:2]).total == 5
