"""Ranks that are processes, which a notebook can start too; what they print is shown.

- A process is forked from a small server that has imported torch once, so that a start costs a
  fraction of a second after the first. A fork of the notebook itself would copy torch's threads.
- The transport is gloo's point-to-point send and receive over the loopback interface, and nothing
  else of torch.distributed. Its own collectives are what the tests compare with.
- Linux and macOS. On Windows use WSL 2 (it is Linux), or run_threads.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from minillm.distributed.group import DTYPES, Group, PeerError, described

HEADER, DATA = 1, 2  # tags, so that an announcement is never taken for a tensor
N_AXES = 8
HEAD_BYTES = 8 * (N_AXES + 2)
PACKET_BYTES = 4096  # an announcement; what is left of it takes small tensors along
SECONDS_TO_START = 120.0  # a busy machine starts some ranks long after others


class ProcessGroup(Group):
    """A rank that is a process; torch.distributed must have been initialised, with gloo.

    Each tensor is announced by a few numbers (dtype and shape), since gloo ends the process if
    the sizes of a message differ. A small one travels with them, which halves its time.

    Args:
        timeout: the longest wait for another rank, seconds.

    Raises:
        RuntimeError: if torch.distributed is not initialised.
    """

    def __init__(self, timeout: float = 60.0) -> None:
        if not dist.is_initialized():
            raise RuntimeError("no processes: start them with run_processes, or under torchrun")
        super().__init__(dist.get_rank(), dist.get_world_size(), timeout)

    def _put(self, x: Tensor, to: int) -> list:
        data, packet = _bytes(x.detach().contiguous()), torch.zeros(PACKET_BYTES, dtype=torch.uint8)
        packet[:HEAD_BYTES] = _bytes(_header(x))
        if _is_small(data):
            packet[HEAD_BYTES : HEAD_BYTES + len(data)] = data
        try:
            works = [dist.isend(packet, to, tag=HEADER)]
            if not _is_small(data):
                works.append(dist.isend(data, to, tag=DATA))
        except RuntimeError as error:
            raise self._failed(error, to) from error
        return [works, packet, data]  # the tensors must live until they are sent

    def _end(self, on_its_way: list, to: int) -> None:
        for work in on_its_way[0]:
            self._wait(work, to)

    def _take(self, into: Tensor, source: int) -> None:
        packet = torch.empty(PACKET_BYTES, dtype=torch.uint8)
        self._wait(self._receiving(packet, source, HEADER), source)
        head = packet[:HEAD_BYTES].view(torch.int64)
        if not torch.equal(head, _header(into)):
            self._clear(head, source)
            raise self._other_shape(source, _told(head), into)
        direct = into.detach() if into.is_contiguous() else torch.empty_like(into).contiguous()
        data = _bytes(direct)
        if _is_small(data):
            data.copy_(packet[HEAD_BYTES : HEAD_BYTES + len(data)])
        else:
            self._wait(self._receiving(data, source, DATA), source)
        if not into.is_contiguous():
            into.detach().copy_(direct)

    def _clear(self, head: Tensor, source: int) -> None:
        """Take what was announced and does not fit, so that its sender can finish."""
        shape = head[2 : 2 + int(head[1])].tolist()
        other = _bytes(torch.empty(shape, dtype=DTYPES[int(head[0])]))
        if not _is_small(other):
            self._wait(self._receiving(other, source, DATA), source)

    def _receiving(self, into: Tensor, source: int, tag: int) -> Any:
        try:
            return dist.irecv(into, source, tag=tag)
        except RuntimeError as error:
            raise self._failed(error, source) from error

    def _wait(self, work: Any, peer: int) -> None:
        try:
            work.wait(timedelta(seconds=self.timeout))
        except RuntimeError as error:
            raise self._failed(error, peer) from error

    def _failed(self, error: RuntimeError, peer: int) -> PeerError:
        return self._late(peer) if "Timed out" in str(error) else self._dead(peer)


def run_processes(
    size: int,
    work: Callable[..., Any],
    *args: Any,
    timeout: float = 60.0,
    echo: Callable[[str], object] | None = print,
) -> list:
    """Run work(group, *args) on N ranks, each a process of one thread; also from a notebook.

    Args:
        size: N.
        work: a function of a module, or one that was defined in a notebook. Of the latter only
            the source text travels: it must import, inside, whatever it uses.
        args: travel to the processes.
        timeout: the longest that a rank waits for another, seconds.
        echo: is given each line that a rank prints, "[rank 1] ..."; None drops them.

    Returns:
        What each rank returned, by rank; tensors are copied.

    Raises:
        ValueError: if size is below 1.
        RankError: when a rank fails or is killed. It names the rank and holds its traceback; the
            other ranks are ended, so that nothing hangs.
        RuntimeError: on Windows.

    Cost: a few seconds for the first call (torch is imported once), then 0.1 to 0.3 s.
    Lesson: notebooks/22b_zero.ipynb
    """
    from minillm.distributed.launch import launch  # it starts a process of this module

    if size < 1:
        raise ValueError(f"the world size must be at least 1, got {size}")
    if os.name == "nt":
        raise RuntimeError(
            "run_processes works on Linux and macOS. On Windows run the notebook in WSL 2, or use "
            "run_threads: the same programs, in one process"
        )
    with tempfile.TemporaryDirectory(prefix="minillm-") as folder:
        return launch(size, work, args, timeout, Path(folder) / "store", echo)


def join(rank: int, size: int, store: Path, timeout: float) -> ProcessGroup:
    """Meet the other ranks through a file, and make the group; called in each process."""
    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    dist.init_process_group(
        "gloo",
        init_method=f"file://{store}",
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=max(timeout, SECONDS_TO_START)),
    )
    return ProcessGroup(timeout)


def _header(x: Tensor) -> Tensor:
    if x.dtype not in DTYPES or x.ndim > N_AXES:
        raise ValueError(f"cannot send {described(x)}: at most {N_AXES} axes, no complex numbers")
    axes = [*x.shape, *[0] * (N_AXES - x.ndim)]
    return torch.tensor([DTYPES.index(x.dtype), x.ndim, *axes])


def _told(head: Tensor) -> str:
    code, n_axes, *axes = head.tolist()
    return f"{tuple(axes[:n_axes])} {str(DTYPES[code]).removeprefix('torch.')}"


def _bytes(x: Tensor) -> Tensor:
    return x.reshape(-1).view(torch.uint8)


def _is_small(data: Tensor) -> bool:
    return len(data) <= PACKET_BYTES - HEAD_BYTES
