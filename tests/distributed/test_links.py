"""Times and volumes of the link model, by hand and against what is really sent elsewhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.distributed.links import (
    LINKS,
    ROUNDS_AND_SHARE,
    Link,
    seconds,
    sent_bytes,
    step_bytes,
)


def test_an_all_reduce_by_hand():
    """HWC-001: 14 GB of gradients on 8 cards; 300 and 200 GB/s in one direction."""
    no_latency = {k: Link(k, LINKS[k].gb_per_s, 0.0) for k in ("nvlink_a100", "nvlink_a800")}
    a100 = seconds("all_reduce", 14e9, 8, no_latency["nvlink_a100"])
    a800 = seconds("all_reduce", 14e9, 8, no_latency["nvlink_a800"])
    assert a100 == pytest.approx(2 * 7 / 8 * 14 / 300)  # 82 ms
    assert a800 == pytest.approx(1.5 * a100)


def test_latency_counts_once_a_round():
    link = Link("slow", 1e9, 10.0)  # so fast that only latency counts
    for kind, rounds in {
        "all_reduce": 14,
        "all_gather": 7,
        "broadcast": 3,
        "all_to_all": 7,
    }.items():
        assert seconds(kind, 8.0, 8, link) == pytest.approx(rounds * 10e-6)


def test_the_naive_way_grows_with_the_ranks():
    link = Link("x", 1.0, 0.0)
    for size in (2, 8, 64):
        ring, naive = (seconds(k, 1e9, size, link) for k in ("all_reduce", "naive_all_reduce"))
        assert naive / ring == pytest.approx(size)
    assert sent_bytes("naive_all_reduce", 10, 5) == 40
    assert sent_bytes("all_reduce", 10, 5) == 16
    assert sent_bytes("broadcast", 10, 5) == 30


@given(st.sampled_from(sorted(ROUNDS_AND_SHARE)), st.floats(0, 1e12), st.integers(2, 4096))
def test_more_bytes_never_take_less_time(kind, n_bytes, size):
    link = LINKS["pcie4"]
    assert 0 < seconds(kind, n_bytes, size, link) <= seconds(kind, 2 * n_bytes, size, link)
    assert seconds(kind, n_bytes, 1, link) == 0 == sent_bytes(kind, n_bytes, 1)


def test_zero_3_sends_one_and_a_half_times_as_much():
    """PAR-014, in the formula; test_same_run.py counts it."""
    for size in (2, 4, 64):
        ddp = step_bytes("ddp", 1e9, size)
        assert ddp == sent_bytes("all_reduce", 1e9, size)
        assert step_bytes("zero1", 1e9, size) == ddp == step_bytes("zero2", 1e9, size)
        assert step_bytes("zero3", 1e9, size) == pytest.approx(1.5 * ddp)
    # with k micro-batches the stages that shard gradients pay for each
    assert step_bytes("ddp", 1e9, 4, 8) == step_bytes("zero1", 1e9, 4, 8)
    assert step_bytes("zero2", 1e9, 4, 8) == pytest.approx(9 * 0.75e9)
    assert step_bytes("zero3", 1e9, 4, 8) == pytest.approx(24 * 0.75e9)


def test_every_link_says_what_was_printed_and_where():
    for link in LINKS.values():
        assert link.printed
        assert link.source
    assert LINKS["nvlink_a100"].gb_per_s == 600 / 2
    assert LINKS["nvlink_h100"].gb_per_s == 900 / 2
    assert LINKS["nvlink_h800"].gb_per_s == LINKS["nvlink_a800"].gb_per_s == 400 / 2
    assert LINKS["infiniband_hdr"].gb_per_s == 200 / 8
    assert LINKS["pcie3"].gb_per_s == pytest.approx(16 * 8 * 128 / 130 / 8, rel=0.01)
    speeds = [LINKS[k].gb_per_s for k in ("tcp_10", "roce_100", "infiniband_hdr", "pcie4")]
    assert speeds == sorted(speeds)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sent_bytes("reduce", 1, 2), "kind must be one of .*all_gather.*; got 'reduce'"),
        (lambda: sent_bytes("all_reduce", -1, 2), "n_bytes >= 0 and size >= 1, got -1 and 2"),
        (lambda: seconds("all_reduce", 1, 0, LINKS["pcie4"]), "got 1 and 0"),
        (lambda: step_bytes("zero4", 1, 2), "method must be one of ddp, zero1.*got 'zero4'"),
        (lambda: step_bytes("ddp", 1, 2, 0), "n_micro must be at least 1, got 0"),
        (lambda: Link("x", 0.0, 1.0), "x: the bandwidth must be positive.*got 0.0 GB/s"),
        (lambda: Link("x", 1.0, -1.0), "latency not negative.* -1.0 us"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()
