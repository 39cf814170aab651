"""The state of training on a rank: the paper's table, and brute force over really cut pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.distributed.sharded_ledger import FLOAT32, MIXED, SHARDINGS, Formats, rank_state


def test_the_table_of_the_paper():
    total = [sum(rank_state(7_500_000_000, 64, s)) / 1e9 for s in SHARDINGS]
    assert total == pytest.approx([120, 31.4, 16.6, 1.9], abs=0.05)  # figure 1


def test_one_card_saves_nothing():  # PAR-005: 30 billion weights on one card
    assert {sum(rank_state(30_000_000_000, 1, s)) for s in SHARDINGS} == {480_000_000_000}
    shared = [sum(rank_state(30_000_000_000, 24, s)) / 1e9 for s in ("zero2", "zero3")]
    assert shared == pytest.approx([77.5, 20.0])


@given(n=st.integers(1, 10**6), ranks=st.integers(1, 300))
def test_pieces_cover_all_and_differ_by_nothing(n, ranks):
    pieces = rank_state(n, ranks, "zero3", Formats(1, 1, 1))
    assert len(set(pieces)) == 1
    assert n <= pieces[0] * ranks < n + ranks
    by_stage = [sum(rank_state(n, ranks, s)) for s in SHARDINGS]
    assert by_stage == sorted(by_stage, reverse=True)
    assert by_stage[0] == 16 * n == MIXED.total * n
    assert sum(rank_state(n, ranks, "ddp", FLOAT32)) == FLOAT32.total * n == 16 * n


@given(n=st.integers(1, 300), ranks=st.integers(1, 9))
def test_against_lists_that_are_cut(n, ranks):
    """Deal n weights out one after another, and count what the fullest rank has of each kind."""
    dealt = max(len(range(rank, n, ranks)) for rank in range(ranks))
    formats = Formats(weight=3, gradient=5, optimizer=7)
    for kinds_cut, sharding in enumerate(SHARDINGS):
        cut = ["optimizer", "gradient", "weight"][:kinds_cut]
        wanted = [
            getattr(formats, kind) * (dealt if kind in cut else n)
            for kind in ("weight", "gradient", "optimizer")
        ]
        assert list(rank_state(n, ranks, sharding, formats)) == wanted


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: rank_state(1, 1, "zero4"), "sharding must be one of ddp.*got 'zero4'"),
        (lambda: rank_state(0, 1, "ddp"), "got n_parameters=0, n_ranks=1"),
        (lambda: rank_state(1, 0, "ddp"), "got n_parameters=1, n_ranks=0"),
        (lambda: Formats(weight=0), "formats.weight is too small: 0"),
        (lambda: Formats(optimizer=-1), "formats.optimizer is too small: -1"),
    ],
)
def test_bad_input(work, said):
    with pytest.raises(ValueError, match=said):
        work()
