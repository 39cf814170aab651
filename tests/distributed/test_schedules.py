"""Pipeline schedules: complete, in an order that can be, and with the known start."""

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

F, B = "forward", "backward"


def kinds(order):
    return "".join("F" if work.kind == F else "B" for work in order)


def test_gpipe_by_hand():
    assert gpipe(2, 2) == [[Work(F, 0), Work(F, 1), Work(B, 1), Work(B, 0)]] * 2


def test_one_f_one_b_by_hand():
    orders = one_f_one_b(3, 4)
    assert [kinds(order) for order in orders] == ["FFFBFBBB", "FFBFBFBB", "FBFBFBFB"]
    assert [w.micro for w in orders[0]] == [0, 1, 2, 0, 3, 1, 2, 3]


def test_interleaved_by_hand():
    first, last = interleaved(2, 2, 2)
    assert [(w.kind, w.micro, w.chunk) for w in last] == [
        (F, 0, 0), (F, 1, 0), (F, 0, 1), (B, 0, 1), (F, 1, 1), (B, 1, 1), (B, 0, 0), (B, 1, 0),
    ]  # fmt: skip
    assert kinds(first) == "FFFFBBBB"


@given(p=st.integers(1, 6), m=st.integers(1, 12))
def test_each_pass_is_there_once(p, m):
    wanted = sorted([(k, i, 0) for k in (F, B) for i in range(m)])
    for orders in (gpipe(p, m), one_f_one_b(p, m)):
        assert len(orders) == p
        for order in orders:
            assert sorted((w.kind, w.micro, w.chunk) for w in order) == wanted


@given(p=st.integers(2, 5), groups=st.integers(1, 3), v=st.integers(1, 3))
def test_each_interleaved_pass_is_there_once(p, groups, v):
    wanted = sorted((k, i, c) for k in (F, B) for i in range(groups * p) for c in range(v))
    for order in interleaved(p, groups * p, v):
        assert sorted((w.kind, w.micro, w.chunk) for w in order) == wanted


def test_bubble_by_hand():
    assert bubble_share(4, 4) == 3 / 7
    assert bubble_share(4, 4, 3) == 3 / 15
    assert bubble_share(1, 5) == 0
    # of PAR-009: BLOOM's 12 stages
    assert [round(bubble_share(12, m), 2) for m in (4, 32, 64)] == [0.73, 0.26, 0.15]


def test_weight_versions():
    assert [weight_versions("pipedream", 4, s) for s in range(4)] == [4, 3, 2, 1]
    assert {weight_versions(scheme, 4) for scheme in ("gpipe", "flush")} == {1}
    assert weight_versions("2bw", 4, 3) == 2
    with pytest.raises(ValueError, match="one of gpipe, flush, pipedream, 2bw; got '3bw'"):
        weight_versions("3bw", 4)
    with pytest.raises(ValueError, match="stage must be 0 to 3, got 4"):
        weight_versions("flush", 4, 4)


@pytest.mark.parametrize("schedule", [gpipe, one_f_one_b, bubble_share])
def test_numbers_are_checked(schedule):
    with pytest.raises(ValueError, match="got n_stages=0, n_micro=3"):
        schedule(0, 3)
    with pytest.raises(ValueError, match="got n_stages=2, n_micro=0"):
        schedule(2, 0)


def test_interleaving_is_checked():
    with pytest.raises(ValueError, match="multiple of n_stages, got 5 and 2"):
        interleaved(2, 5, 2)
    with pytest.raises(ValueError, match="n_stages=1, n_chunks=2"):
        interleaved(1, 5, 2)
    with pytest.raises(ValueError, match="n_stages=2, n_chunks=0"):
        interleaved(2, 4, 0)
    with pytest.raises(ValueError, match="n_chunks must be at least 1, got 0"):
        bubble_share(2, 4, 0)


def test_stored_by_hand():
    assert [stored(4, 8, 1, s) for s in range(4)] == [4, 3, 2, 1]
    assert [stored(4, 2, 1, s) for s in range(4)] == [2, 2, 2, 1]
    assert stored(4, 8, 2) == 5.5  # p + (p - 1) / v
    assert stored(8, 64, 7) == 8 + 7 / 7
    with pytest.raises(ValueError, match="stage 0 to 3, got 1, 4"):
        stored(4, 8, 1, 4)
    with pytest.raises(ValueError, match=r"n_chunks must be at least 1 .* got 0, 0"):
        stored(4, 8, 0)
