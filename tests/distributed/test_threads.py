"""Groups of threads: send and receive, what they refuse, and what happens when one fails."""

import time

import pytest
import torch

from minillm.distributed.group import Group, PeerError, Traffic
from minillm.distributed.threads import Mailboxes, ThreadGroup, run_threads


def test_send_and_receive():
    def work(group):
        if group.rank == 0:
            group.send(torch.arange(3), 1)
            return None
        return group.receive(torch.empty(3, dtype=torch.int64), 0)

    assert run_threads(2, work)[1].tolist() == [0, 1, 2]


def test_messages_keep_their_order_and_are_copies():
    def work(group):
        x = torch.zeros(1)
        if group.rank == 0:
            for k in range(3):
                x.fill_(k)
                group.send(x, 1)
            return None
        time.sleep(0.05)
        return [group.receive(torch.empty(1), 0).item() for _ in range(3)]

    assert run_threads(2, work)[1] == [0, 1, 2]


def test_traffic_is_counted():
    def work(group):
        mark = group.mark()
        x = torch.ones(3, 2, dtype=torch.float64)
        group.exchange(x, 1 - group.rank, torch.empty_like(x), 1 - group.rank)
        assert mark == Traffic(0, 0)
        return group.traffic.since(mark)

    assert run_threads(2, work) == [Traffic(48, 1)] * 2


def test_a_send_that_is_started_and_ended_later():
    def work(group):
        x, other = torch.full((2,), group.rank), 1 - group.rank
        sendings = [group.start_send(x + 10 * k, other) for k in range(2)]
        got = [group.receive(torch.empty_like(x), other).tolist() for _ in range(2)]
        for sending in sendings:
            assert sending.to == other
            assert sending.wait() is None
        assert group.traffic == Traffic(32, 2)
        return got

    assert run_threads(2, work) == [[[1, 1], [11, 11]], [[0, 0], [10, 10]]]


@pytest.mark.parametrize("other", [-1, 1, 2])
def test_no_such_rank(other):
    group = ThreadGroup(1, 2, 1.0, Mailboxes(2))
    for call in (
        lambda: group.send(torch.ones(1), other),
        lambda: group.start_send(torch.ones(1), other),
        lambda: group.receive(torch.ones(1), other),
        lambda: group.exchange(torch.ones(1), 0, torch.ones(1), other),
    ):
        with pytest.raises(ValueError, match=f"rank 1 of 2 cannot .* rank {other}"):
            call()


def test_bad_groups():
    with pytest.raises(ValueError, match=r"rank must be in \[0, 2\), got 2"):
        ThreadGroup(2, 2, 1.0, Mailboxes(2))
    with pytest.raises(ValueError, match="timeout must be a positive number of seconds, got 0"):
        ThreadGroup(0, 2, 0, Mailboxes(2))
    with pytest.raises(ValueError, match="world size must be at least 1, got 0"):
        run_threads(0, lambda group: None)
    with pytest.raises(TypeError):
        Group(0, 1, 1.0)


def test_a_silent_rank_is_named():
    def work(group):
        if group.rank == 0:
            group.receive(torch.ones(1), 2)
        return None

    with pytest.raises(PeerError, match=r"rank 0 waited 0\.3 s for rank 2") as caught:
        run_threads(3, work, timeout=0.3)
    assert caught.value.peer == 2


def test_the_failure_is_told_and_not_those_who_waited_for_it():
    def work(group):
        if group.rank == 2:
            time.sleep(0.1)
            raise KeyError("the reason")
        try:
            group.receive(torch.ones(1), 2)
        except PeerError as error:
            words.append(str(error))

    words = []
    with pytest.raises(KeyError, match="the reason") as caught:
        run_threads(4, work, timeout=20)
    assert caught.value.__notes__ == ["on rank 2 of 4"]
    others = {f"rank {r} waited for rank 2, which has died" for r in (0, 1, 3)}
    assert set(words) == others  # at once, and not after the timeout


def test_what_a_dead_rank_had_sent_still_arrives():
    def work(group):
        if group.rank == 1:
            group.send(torch.ones(2), 0)
            raise KeyError("after sending")
        time.sleep(0.1)
        got.append(group.receive(torch.zeros(2), 1))
        group.receive(torch.zeros(2), 1)

    got = []
    with pytest.raises(KeyError, match="after sending"):
        run_threads(2, work, timeout=20)
    assert got[0].tolist() == [1, 1]
