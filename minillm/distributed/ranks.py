"""Who I am among the processes, and how all of them come to one decision.

torchrun tells each process its number by environment variables; a process that nobody started so is
rank 0 of 1, and everything below works for it, too. What one process must not decide alone (stop,
give up, whether a folder can be written) goes through agree or first_decides: otherwise the others
wait for it in a collective for ever.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import TypeVar

import torch
import torch.distributed as dist

from minillm.distributed.corner import fresh_corner

T = TypeVar("T")


class AllRanksError(ValueError):
    """Something went wrong on some rank; every rank raises it, with the same words."""


@dataclass(frozen=True)
class Ranks:
    """The place of this process.

    Attributes:
        rank: number of this process, 0 to size - 1.
        size: of the whole run, processes.
        device: where this process computes.
        restart: how often torchrun has started the run anew.
        local: number of this process on its machine.
        n_local: processes on its machine.
    """

    rank: int
    size: int
    device: torch.device
    restart: int = 0
    local: int = 0
    n_local: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the rank that speaks and writes for all."""
        return self.rank == 0


def under_torchrun() -> bool:
    """Whether torchrun, or something that speaks its language, has started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


@contextmanager
def joined(
    *, timeout_s: float = 600.0, rank: int = 0, size: int = 1, file: str | Path | None = None
) -> Iterator[Ranks]:
    """Join the group that torchrun has started, or found one.

    Args:
        timeout_s: a collective that takes longer ends the run; so does a rank that vanished.
        rank, size: of this process, where it was not torchrun that started it.
        file: a path, the same for all, by which such processes find each other; not needed by one.

    Yields:
        The place of this process. The group is left at the end.

    Lesson: notebooks/24_fsdp.ipynb
    """
    by_torchrun = file is None and under_torchrun()
    local, n_local = 0, size
    if by_torchrun:
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        local = int(os.environ.get("LOCAL_RANK", 0))
        n_local = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    kind = "cpu:gloo,cuda:nccl" if cuda else "gloo"  # gloo carries the checkpoints
    limit = timedelta(seconds=timeout_s)
    store: dist.Store = dist.HashStore() if file is None else dist.FileStore(str(file), size)
    if by_torchrun:
        store, _, _ = next(dist.rendezvous("env://", rank, size, timeout=limit))
    store = fresh_corner(store, rank, size, timeout_s=timeout_s)
    dist.init_process_group(kind, store=store, rank=rank, world_size=size, timeout=limit)
    restart = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))
    try:
        yield Ranks(rank, size, device, restart, local, n_local)
    finally:
        dist.destroy_process_group()


def gather_numbers(*numbers: float) -> list[list[float]]:
    """Let every rank know the numbers of every rank.

    Args:
        numbers: of this rank, equally many on each.

    Returns:
        One list a rank, in the order of the ranks; the same on all. What is computed from it in
        float64 is the same on all ranks to the last bit.

    Cost: 8 bytes a number and rank. On a GPU the processor waits for it.
    """
    mine = torch.tensor(numbers, dtype=torch.float64)
    found = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(found, mine)
    return [part.tolist() for part in found]


def agree(wish: bool) -> bool:
    """Tell whether any rank wishes it; the answer is the same on all."""
    return any(number > 0 for (number,) in gather_numbers(float(wish)))


def first_decides(action: Callable[[], T]) -> T:
    """Do something on rank 0 alone, and give its result, or its failure, to all.

    Args:
        action: called on rank 0; its result must be small.

    Returns:
        What it returned.

    Raises:
        AllRanksError: on every rank, if it failed with an OSError or a ValueError.
    """
    told: list[object] = [None, None]
    if dist.get_rank() == 0:
        try:
            told[0] = action()
        except (OSError, ValueError) as error:
            told[1] = str(error)
    dist.broadcast_object_list(told, src=0)
    if told[1] is not None:
        raise AllRanksError(str(told[1]))
    return told[0]  # type: ignore[return-value]


def all_succeed(action: Callable[[], T], what: str) -> T:
    """Do something on every rank; if it fails on one, it has failed on all.

    Args:
        action: what each rank does; no collective in it.
        what: for the message, such as "reading the checkpoint".

    Returns:
        What it returned here.

    Raises:
        AllRanksError: on every rank, naming the first rank that failed with an OSError or a
            ValueError, and why.
    """
    result, words = None, ""
    try:
        result = action()
    except (OSError, ValueError) as error:
        words = str(error) or type(error).__name__
    found: list[str] = [""] * dist.get_world_size()
    dist.all_gather_object(found, words)
    for rank, each in enumerate(found):
        if each:
            raise AllRanksError(f"{what} failed on rank {rank} of {len(found)}: {each}")
    return result  # type: ignore[return-value]


@contextmanager
def one_message(ranks: Ranks) -> Iterator[None]:
    """Let rank 0 tell a failure that all ranks share; the others leave without a word.

    An error of another kind, a bug, is told by whoever has it.
    """
    try:
        yield
    except AllRanksError:
        if ranks.first:
            raise
        raise SystemExit(2) from None


class StopSignal:
    """Notes SIGTERM, by which Slurm, Kubernetes and torchrun ask a process to end.

    Used as a context. `requested` is of this process alone: ask agree(stop.requested).
    """

    requested = False

    def __enter__(self) -> "StopSignal":
        self.before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self.before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
