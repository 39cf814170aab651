"""Ranks that are threads of one process: the same programs, without the wait for a start.

Each sends through a queue, and what is sent is copied, so that the ranks share nothing but by
sending. They share the interpreter, though: nothing is faster here, and no memory is saved.
"""

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from torch import Tensor

from minillm.distributed.group import Group, PeerError, described


class Mailboxes:
    """A queue for each pair of ranks, and who has stopped with an error."""

    def __init__(self, size: int) -> None:
        pairs = [(a, b) for a in range(size) for b in range(size) if a != b]
        self.queues: dict[tuple[int, int], queue.Queue[Tensor]] = {p: queue.Queue() for p in pairs}
        self.dead: set[int] = set()


class ThreadGroup(Group):
    """A rank that is a thread; made by run_threads.

    Args:
        rank: which of the ranks this is.
        size: N, how many there are.
        timeout: the longest wait for another rank, seconds.
        boxes: shared by all ranks.
    """

    def __init__(self, rank: int, size: int, timeout: float, boxes: Mailboxes) -> None:
        super().__init__(rank, size, timeout)
        self._boxes = boxes

    def _put(self, x: Tensor, to: int) -> None:
        self._boxes.queues[self.rank, to].put(x.detach().clone())

    def _end(self, on_its_way: None, to: int) -> None:
        """A queue takes everything at once: there is nothing to wait for."""

    def _take(self, into: Tensor, source: int) -> None:
        box = self._boxes.queues[source, self.rank]
        until = time.monotonic() + self.timeout
        while True:
            gone = source in self._boxes.dead  # looked up first: what it has sent still counts
            try:
                sent = box.get(timeout=0.0 if gone else 0.02) if not gone else box.get_nowait()
                break
            except queue.Empty:
                if gone:
                    raise self._dead(source) from None
                if time.monotonic() > until:
                    raise self._late(source) from None
        if sent.shape != into.shape or sent.dtype != into.dtype:
            raise self._other_shape(source, described(sent), into)
        into.detach().copy_(sent)


def run_threads(size: int, work: Callable[..., Any], *args: Any, timeout: float = 20.0) -> list:
    """Run work(group, *args) on N ranks, each a thread of this process.

    Args:
        size: N.
        work: is called with the rank's group first. The ranks get the same args: do not change
            those in place.
        timeout: the longest that a rank waits for another, seconds.

    Returns:
        What each rank returned, by rank.

    Raises:
        ValueError: if size is below 1.
        Exception: of the rank that failed first; a note on it says which. Ranks that only waited
            for it in vain are not named.

    Lesson: notebooks/22b_zero.ipynb
    """
    if size < 1:
        raise ValueError(f"the world size must be at least 1, got {size}")
    boxes = Mailboxes(size)
    results: list[Any] = [None] * size
    errors: list[tuple[int, BaseException]] = []

    def one(rank: int) -> None:
        try:
            results[rank] = work(ThreadGroup(rank, size, timeout, boxes), *args)
        except BaseException as error:  # a thread's error would be lost otherwise
            errors.append((rank, error))
            boxes.dead.add(rank)

    threads = [threading.Thread(target=one, args=(rank,), daemon=True) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        rank, error = next((e for e in errors if not isinstance(e[1], PeerError)), errors[0])
        error.add_note(f"on rank {rank} of {size}")
        raise error
    return results
