"""All ranks of a start meet in an empty corner of the store, whatever earlier starts left there."""

import threading

import pytest
import torch.distributed as dist

from minillm.distributed.corner import fresh_corner


def meet(store, size, timeout_s=20.0):
    """What each rank of one start found, each in a thread."""
    found = [None] * size

    def come(rank):
        found[rank] = fresh_corner(store, rank, size, timeout_s=timeout_s)

    threads = [threading.Thread(target=come, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("size", [1, 2, 5])
def test_all_meet_in_the_same_corner(size):
    corners = meet(dist.HashStore(), size)
    corners[0].set("address", "of rank 0")
    assert [corner.get("address") for corner in corners] == [b"of rank 0"] * size


def test_each_start_has_a_corner_of_its_own():
    store = dist.HashStore()
    meet(store, 3)[1].set("address", "of a rank that is dead")
    for corner in meet(store, 2):  # one machine fewer, for a change
        assert not corner.check(["address"])


def test_words_of_a_start_that_failed_are_not_believed():
    """Rank 1 of the last start left a word, and an answer to it; this one's rank 1 is late."""
    store = dist.HashStore()
    store.set("word/1", "old")
    store.set("answer/old", "the old corner")
    late = threading.Timer(0.2, lambda: found.append(fresh_corner(store, 1, 2)))
    found = []
    late.start()
    first = fresh_corner(store, 0, 2)
    late.join()
    first.set("address", "new")
    assert found[0].get("address") == b"new"


def test_a_rank_that_does_not_come_is_named():
    store = dist.HashStore()
    with pytest.raises(TimeoutError, match=r"ranks \[1, 2\] of 3 did not come within 0.05 s"):
        fresh_corner(store, 0, 3, timeout_s=0.05)
    with pytest.raises(TimeoutError, match="rank 0 did not answer in time"):
        fresh_corner(dist.HashStore(), 1, 3, timeout_s=0.05)
