"""Worker processes that read ahead, and an order of batches that does not know how many there are.

Batch k of a sampler depends on k alone. So with W workers, worker w makes batches w, w + W,
w + 2 W ..., the training process takes from the workers in turn, and gets the very batches that the
sampler would have made by itself.
"""

import multiprocessing
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from minillm.data.loader import split

if TYPE_CHECKING:
    import torch


class Sampler(Protocol):
    """What a loader needs of a sampler; BatchSampler, MixtureSampler, OrderedSampler have it."""

    def take(self) -> np.ndarray:
        """Serve the next batch, (B, T + 1), int64."""

    def skip(self, n_batches: int) -> None:
        """Go on by so many batches without reading them."""

    def state_dict(self) -> dict[str, Any]:
        """Say where the sampler stands."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to where the state was taken."""


class WorkerLoader:
    """Batches of a sampler, made ahead by worker processes.

    It counts what the *training* has taken, not what the workers have made ahead: its state is
    that of a sampler without workers, and either can go on from the other's.

    Each worker sends through a pipe, and waits when the pipe is full: so it is at least one batch
    ahead, and several where batches are small.

    Args:
        make_sampler: makes the sampler, here and in each worker; a function of a module or a
            functools.partial of a class, because it is sent to another process. It should open
            shards itself, so that tokens stay on disk and only file names travel.
        n_workers: processes; 0 reads in this process.

    Raises:
        ValueError: if n_workers is negative.
        RuntimeError: from next(), if a worker has died; the message says which and how.

    Use it as a context manager, or call close: the workers end with it, and with the process.
    Lesson: notebooks/08_schedule.ipynb
    """

    def __init__(self, make_sampler: Callable[[], Sampler], n_workers: int = 1) -> None:
        if n_workers < 0:
            raise ValueError(f"n_workers must be 0 or more, got {n_workers}")
        self.make_sampler, self.n_workers = make_sampler, n_workers
        self.sampler = make_sampler()
        self._workers: list[tuple[Any, Any]] = []  # (process, our end of its pipe)
        self._n_taken = 0  # since the workers were started

    def __iter__(self) -> "Iterator[tuple[torch.Tensor, torch.Tensor]]":
        return self

    def __next__(self) -> "tuple[torch.Tensor, torch.Tensor]":
        return split(self.take())

    def take(self) -> np.ndarray:
        """Hand out the next batch as an array, (B, T + 1), int64."""
        if not self.n_workers:
            return self.sampler.take()
        if not self._workers:
            self._start()
        batch = self._receive(self._n_taken % self.n_workers)
        self._n_taken += 1
        self.sampler.skip(1)
        return batch

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the sampler at the batches that were taken."""
        return self.sampler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to where the state was taken; workers are started anew when needed.

        Raises:
            ValueError: as load_state_dict of the sampler.
        """
        self.close()
        self.sampler.load_state_dict(state)

    def close(self) -> None:
        """End the workers. The loader can be used again, and starts new ones then."""
        for process, pipe in self._workers:
            process.kill()
            process.join()
            process.close()
            pipe.close()
        self._workers = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads
        state = self.sampler.state_dict()
        self._n_taken = 0
        for w in range(self.n_workers):
            ours, theirs = context.Pipe(duplex=False)
            told = (self.make_sampler, state, w, self.n_workers, theirs)
            process = context.Process(target=_work, args=told, daemon=True)
            process.start()
            theirs.close()  # so that a dead worker is seen as the end of its pipe
            self._workers.append((process, ours))

    def _receive(self, w: int) -> np.ndarray:
        process, pipe = self._workers[w]
        try:
            made: np.ndarray | str = pipe.recv()
        except (EOFError, ConnectionError):
            process.join()
            made = f"it has died (exit code {process.exitcode}); resume from the last checkpoint"
        if isinstance(made, str):
            self.close()
            raise RuntimeError(f"data worker {w} of {self.n_workers}: {made}")
        return made


def _work(
    make_sampler: Callable[[], Sampler], state: dict[str, Any], w: int, n_workers: int, pipe: Any
) -> None:
    """Make batches w, w + n_workers, ... behind a state, as long as somebody reads them."""
    try:
        sampler = make_sampler()
        sampler.load_state_dict(state)
        sampler.skip(w)
        while True:
            pipe.send(sampler.take())
            sampler.skip(n_workers - 1)
    except (BrokenPipeError, KeyboardInterrupt):
        pass  # nobody reads any more; Ctrl-C goes to all, and the training decides what it means
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")
