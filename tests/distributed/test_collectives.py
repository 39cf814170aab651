"""Collectives against the sum written down directly, and bytes against the formulas, on threads.

test_processes.py compares them with gloo's own, on processes.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.distributed import links
from minillm.distributed.collectives import (
    all_gather,
    all_reduce,
    all_to_all,
    barrier,
    broadcast,
    naive_all_reduce,
    padded,
    reduce_scatter,
)
from minillm.distributed.group import PeerError
from minillm.distributed.threads import run_threads

sizes = st.integers(1, 6)
lengths = st.integers(0, 13)


def vector(rank, n, seed=0):
    """Whole numbers, so that sums are exact in any order; different on each rank."""
    generator = torch.Generator().manual_seed(1000 * seed + rank)
    return torch.randint(-50, 50, (n,), generator=generator).double()


@pytest.mark.parametrize("reduce", [all_reduce, naive_all_reduce])
@settings(max_examples=25, deadline=None)
@given(size=sizes, n=lengths)
def test_all_reduce_is_the_sum_on_every_rank(reduce, size, n):
    def work(group):
        x = vector(group.rank, n)
        assert reduce(group, x) is x
        return x

    expected = sum(vector(rank, n) for rank in range(size))
    for got in run_threads(size, work):
        assert torch.equal(got, expected)


@settings(max_examples=25, deadline=None)
@given(size=sizes, m=st.integers(0, 5))
def test_reduce_scatter_then_all_gather(size, m):
    def work(group):
        x = vector(group.rank, size * m)
        before = x.clone()
        part = reduce_scatter(group, x)
        assert torch.equal(x, before)  # the input is left alone
        return part, all_gather(group, part)

    expected = sum(vector(rank, size * m) for rank in range(size))
    for rank, (part, whole) in enumerate(run_threads(size, work)):
        assert torch.equal(part, expected[rank * m : (rank + 1) * m])
        assert torch.equal(whole, expected)


@settings(max_examples=25, deadline=None)
@given(size=sizes, data=st.data())
def test_broadcast_from_any_root(size, data):
    root = data.draw(st.integers(0, size - 1))
    for got in run_threads(size, lambda group: broadcast(group, vector(group.rank, 5), root)):
        assert torch.equal(got, vector(root, 5))


@settings(max_examples=25, deadline=None)
@given(size=sizes)
def test_all_to_all_transposes(size):
    def work(group):
        return all_to_all(group, [torch.tensor([group.rank, to]) for to in range(size)])

    for rank, got in enumerate(run_threads(size, work)):
        assert [x.tolist() for x in got] == [[source, rank] for source in range(size)]


def test_all_ranks_get_the_same_bits():
    """Rounding depends on the order, but each part is summed in one place."""

    def work(group):
        return all_reduce(
            group, torch.randn(97, generator=torch.Generator().manual_seed(group.rank))
        )

    first, *others = run_threads(5, work)
    exact = sum(
        torch.randn(97, generator=torch.Generator().manual_seed(r)).double() for r in range(5)
    )
    assert (first - exact).abs().max() < 1e-5
    assert not torch.equal(first.double(), exact)  # ... so there was rounding
    assert all(torch.equal(first, x) for x in others)


def test_shapes_and_layouts_are_kept():
    def work(group):
        x = torch.arange(6.0).view(2, 3).T  # not contiguous
        all_reduce(group, x)
        broadcast(group, x, 1)
        return x

    assert torch.equal(run_threads(3, work)[0], 3 * torch.arange(6.0).view(2, 3).T)


def test_all_gather_into_the_vector_that_holds_the_part():
    def work(group):
        full = torch.full((6,), -1.0)
        mine = full[2 * group.rank : 2 * group.rank + 2]
        mine.fill_(group.rank)
        assert all_gather(group, mine, into=full) is full
        return full

    assert run_threads(3, work)[2].tolist() == [0, 0, 1, 1, 2, 2]


def test_gradients_do_not_flow_through():
    def work(group):
        w = torch.ones(4, requires_grad=True)
        return all_gather(group, w).requires_grad, reduce_scatter(group, 2 * w).requires_grad

    assert run_threads(2, work)[0] == (False, False)


CALLS = {
    "all_reduce": all_reduce,
    "naive_all_reduce": naive_all_reduce,
    "reduce_scatter": reduce_scatter,
    "broadcast": broadcast,
    "all_gather": lambda group, x: all_gather(group, x[: len(x) // group.size]),
    "all_to_all": lambda group, x: all_to_all(group, x.view(group.size, -1).unbind()),
}


@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("size", [1, 2, 3, 4, 8])
def test_bytes_are_those_of_the_formula(kind, size):
    """The busiest rank sends what links.sent_bytes says; on a ring all are equally busy."""
    n = 24

    def work(group):
        CALLS[kind](group, torch.ones(n))
        return group.traffic

    traffic = run_threads(size, work)
    sent = [t.n_bytes for t in traffic]
    assert max(sent) == links.sent_bytes(kind, 4 * n, size)
    if kind not in ("broadcast", "naive_all_reduce"):
        assert len(set(sent)) == 1
        rounds, _ = links.ROUNDS_AND_SHARE[kind](size)
        assert {t.n_messages for t in traffic} == {rounds}
    if kind == "all_reduce":
        assert sent[0] == 2 * (size - 1) * 4 * n // size


def test_broadcast_takes_a_logarithm_of_rounds():
    """The root sends log2 N times; N - 1 copies are sent in all."""
    for size in (2, 3, 5, 8):
        traffic = run_threads(size, lambda g: (broadcast(g, torch.ones(2), 1), g.traffic)[1])
        assert traffic[1].n_messages == math.ceil(math.log2(size))
        assert sum(t.n_messages for t in traffic) == size - 1


def test_barrier_lets_nobody_ahead():
    arrived = []

    def work(group):
        if group.rank == 2:
            threading_sleep(0.2)
        arrived.append(group.rank)
        barrier(group)
        return len(arrived)

    assert run_threads(5, work) == [5] * 5


def threading_sleep(seconds):
    import time

    time.sleep(seconds)


def test_padded():
    x = torch.arange(5.0)
    assert padded(x, 4).tolist() == [0, 1, 2, 3, 4, 0, 0, 0]
    assert padded(x, 5) is x


# --- what is refused


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda g: reduce_scatter(g, torch.ones(7)), "world size 3 does not divide the 7 numbers"),
        (
            lambda g: reduce_scatter(g, torch.ones(3, 3)),
            r"a vector, got a tensor of shape \(3, 3\)",
        ),
        (lambda g: all_gather(g, torch.ones(2, 2)), r"a vector, got a tensor of shape \(2, 2\)"),
        (lambda g: all_gather(g, torch.ones(2), torch.ones(5)), "3 parts of 2 numbers do not fit"),
        (lambda g: broadcast(g, torch.ones(2), 3), r"root must be a rank in \[0, 3\), got 3"),
        (lambda g: all_to_all(g, [torch.ones(1)] * 2), "a part for each of 3 ranks, got 2"),
        (
            lambda g: all_to_all(g, [torch.ones(1), torch.ones(2), torch.ones(1)]),
            r"one shape and dtype, got \(1,\), \(2,\), \(1,\)",
        ),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        run_threads(3, call)


@pytest.mark.parametrize(
    "bad", [torch.ones(9), torch.ones(6, dtype=torch.float64), torch.ones(2, 6)]
)
def test_a_rank_with_another_shape_is_named(bad):
    def work(group):
        all_reduce(group, bad if group.rank == 1 else torch.ones(6))

    with pytest.raises(PeerError, match=r"rank \d sent .* where rank \d expected") as caught:
        run_threads(3, work, timeout=2)
    assert {caught.value.peer, int(str(caught.value.__notes__[0])[8])} & {1}  # 1 is one of the two
