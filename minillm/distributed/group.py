"""Processes that work together, and all that they can do: send a tensor, and receive one.

Everything else in this room (sums over processes, data parallelism, ZeRO) is made of these two. A
group counts the bytes that it sends, waits for no one longer than its timeout, and says whom it
waited for. There are two kinds of group:

- ThreadGroup (threads.py): the ranks are threads of one process. Starts in no time; for learning.
- ProcessGroup (processes.py): the ranks are processes. What is measured here holds for machines.

Words: a *rank* is the number of a process, 0 to N - 1; the *world size* N is how many there are.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

DTYPES = (
    torch.float64, torch.float32, torch.bfloat16, torch.float16,
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
)  # fmt: skip


class PeerError(RuntimeError):
    """Another rank did not answer, died, or sent something of another shape.

    Attributes:
        peer: the rank that was waited for.
    """

    def __init__(self, message: str, peer: int) -> None:
        super().__init__(message)
        self.peer = peer


@dataclass
class Traffic:
    """What one rank has sent.

    Attributes:
        n_bytes: bytes of tensors; the few bytes that announce their shape are not counted.
        n_messages: tensors.
    """

    n_bytes: int = 0
    n_messages: int = 0

    def since(self, before: "Traffic") -> "Traffic":
        """What was sent since a copy was made with `replace(traffic)` or Group.mark."""
        return Traffic(self.n_bytes - before.n_bytes, self.n_messages - before.n_messages)


@dataclass(frozen=True)
class Sending:
    """A tensor on its way, from Group.start_send.

    Attributes:
        group: whose.
        to: the rank that it goes to.
        on_its_way: what the kind of group knows it by.
    """

    group: "Group"
    to: int
    on_its_way: Any

    def wait(self) -> None:
        """Wait until the other rank has taken it; only then may the tensor be changed.

        Raises:
            PeerError: if the rank has died, or takes nothing for longer than the timeout.
        """
        self.group._end(self.on_its_way, self.to)


class Group(ABC):
    """N ranks that can send tensors to one another; each rank has its own Group object.

    Args:
        rank: which of them this is.
        size: N, how many there are.
        timeout: the longest wait for another rank, in seconds.

    Attributes:
        traffic: what this rank has sent so far.

    Raises:
        ValueError: if the rank is not in [0, N) or the timeout is not positive.

    Lesson: notebooks/22b_zero.ipynb
    """

    def __init__(self, rank: int, size: int, timeout: float) -> None:
        if size < 1 or not 0 <= rank < size:
            raise ValueError(f"rank must be in [0, {size}), got {rank}")
        if not timeout > 0:
            raise ValueError(f"timeout must be a positive number of seconds, got {timeout}")
        self.rank, self.size, self.timeout = rank, size, timeout
        self.traffic = Traffic()

    def mark(self) -> Traffic:
        """Copy the traffic so far; group.traffic.since(mark) tells what came later."""
        return replace(self.traffic)

    def send(self, x: Tensor, to: int) -> None:
        """Send a tensor to a rank, and wait until it may be changed again.

        Raises:
            ValueError: if `to` is no other rank of the group.
            PeerError: if the rank has died, or takes nothing for longer than the timeout.
        """
        self.start_send(x, to).wait()

    def start_send(self, x: Tensor, to: int) -> Sending:
        """Start to send a tensor, and go on at once.

        Two ranks that send to each other and then receive must do it so, or by exchange.

        Args:
            x: must not be changed until the wait is over.
            to: another rank.

        Returns:
            What is to be waited for, later, with wait().

        Raises:
            ValueError: if `to` is no other rank of the group.
            PeerError: if the rank has died.
        """
        self._check(to)
        self.traffic.n_bytes += x.numel() * x.element_size()
        self.traffic.n_messages += 1
        return Sending(self, to, self._put(x, to))

    def receive(self, into: Tensor, source: int) -> Tensor:
        """Wait for a tensor of a rank, and put it into one of the same shape and dtype.

        Returns:
            into, filled.

        Raises:
            ValueError: if source is no other rank of the group.
            PeerError: if the rank sends nothing for longer than the timeout, has died, or has
                sent a tensor of another shape or dtype.
        """
        self._check(source)
        self._take(into, source)
        return into

    def exchange(self, x: Tensor, to: int, into: Tensor, source: int) -> Tensor:
        """Send to one rank while receiving from another.

        With send and then receive on all ranks, each would wait for the next to take what it
        sends, and none would ever come to receive: a deadlock.

        Args, Returns, Raises: as send and receive.
        """
        self._check(source)
        sending = self.start_send(x, to)
        self._take(into, source)
        sending.wait()
        return into

    def _check(self, other: int) -> None:
        if not 0 <= other < self.size or other == self.rank:
            raise ValueError(
                f"rank {self.rank} of {self.size} cannot send to or receive from rank {other}"
            )

    @abstractmethod
    def _put(self, x: Tensor, to: int) -> Any:
        """Start to send; what is returned is given to _end."""

    @abstractmethod
    def _end(self, on_its_way: Any, to: int) -> None:
        """Wait until the tensor may be changed again."""

    @abstractmethod
    def _take(self, into: Tensor, source: int) -> None:
        """Wait for a tensor and copy it."""

    def _late(self, peer: int) -> PeerError:
        return PeerError(
            f"rank {self.rank} waited {self.timeout:g} s for rank {peer}, which neither sent nor "
            "took anything: it hangs, is slower than the timeout, or does something else (do all "
            "ranks call the same collectives in the same order?)",
            peer,
        )

    def _dead(self, peer: int) -> PeerError:
        return PeerError(f"rank {self.rank} waited for rank {peer}, which has died", peer)

    def _other_shape(self, peer: int, sent: str, into: Tensor) -> PeerError:
        return PeerError(
            f"rank {peer} sent {sent} where rank {self.rank} expected {described(into)}; all ranks "
            "must call a collective with the same shape and dtype",
            peer,
        )


def described(x: Tensor) -> str:
    """Say the shape and dtype of a tensor: "(2, 3) float32"."""
    return f"{tuple(x.shape)} {str(x.dtype).removeprefix('torch.')}"
