"""A slow network on a fast machine: messages that take as long as over a given link.

Between two processes of one machine a message costs work of a processor. Over a network it costs
waiting, in which a processor is free to compute: only then can messages hide behind a backward
pass. Here the waiting is real (the process sleeps) and the network is not.
"""

import time

from torch import Tensor

from minillm.distributed.group import Group, Sending
from minillm.distributed.links import Link


class SlowGroup(Group):
    """A group over another one, whose messages take at least the time of a link.

        latency + bytes / bandwidth

    The sender waits. So an exchange takes that long, and with it all collectives on a ring; a rank
    that only receives does not wait longer than for its sender's start.

    Args:
        group: that really sends; not to be used by others meanwhile.
        link: of each rank.

    Lesson: notebooks/22b_zero.ipynb
    """

    def __init__(self, group: Group, link: Link) -> None:
        super().__init__(group.rank, group.size, group.timeout)
        self._group, self.link = group, link

    def _put(self, x: Tensor, to: int) -> tuple[Sending, float]:
        n_bytes = x.numel() * x.element_size()
        cost = self.link.latency_us * 1e-6 + n_bytes / (self.link.gb_per_s * 1e9)
        return self._group.start_send(x, to), time.perf_counter() + cost

    def _end(self, on_its_way: tuple[Sending, float], to: int) -> None:
        sending, until = on_its_way
        sending.wait()
        while (left := until - time.perf_counter()) > 0:
            time.sleep(left)

    def _take(self, into: Tensor, source: int) -> None:
        self._group.receive(into, source)
