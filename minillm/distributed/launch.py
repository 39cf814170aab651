"""Start the processes of run_processes, show what they print, and end them when one fails."""

import contextlib
import inspect
import io
import multiprocessing
import pickle
import sys
import time
import traceback
import types
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from textwrap import dedent
from typing import Any

import torch

from minillm.distributed.group import PeerError
from minillm.distributed.processes import join

PRELOADED = ["torch", "torch.distributed", "minillm.distributed.launch"]
KILLED, FAILED, WAITED = range(3)  # a rank that was killed is named before those that miss it
GRACE = 1.0  # seconds between the first failure and the end of all, to learn who failed first


class RankError(RuntimeError):
    """A rank failed, or was killed.

    Attributes:
        rank: the first that did.
    """

    def __init__(self, message: str, rank: int) -> None:
        super().__init__(message)
        self.rank = rank


def launch(
    size: int,
    work: Callable[..., Any],
    args: tuple,
    timeout: float,
    store: Path,
    echo: Callable[[str], object] | None,
) -> list:
    """Do what run_processes says; see there."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    packed = _packed((_travels(work), args))
    processes: list[Any] = []
    pipes: dict[Any, int] = {}
    try:
        for rank in range(size):
            ours, theirs = context.Pipe(duplex=False)
            meeting = (rank, size, store, timeout)
            process = context.Process(target=_child, args=(packed, meeting, theirs), daemon=True)
            with _without_main():
                process.start()
            theirs.close()
            processes.append(process)
            pipes[ours] = rank
        return _listen(processes, pipes, size, echo)
    finally:
        for process in processes:
            process.kill()
            process.join()
            process.close()


def _listen(processes: list, pipes: dict[Any, int], size: int, echo: Any) -> list:
    results: list[Any] = [None] * size
    failed: list[tuple[int, str, int]] = []  # rank, why, how far it is from the cause
    until = float("inf")
    while pipes and time.monotonic() < until:
        for pipe in wait(list(pipes), timeout=0.1):
            assert isinstance(pipe, Connection)
            rank = pipes[pipe]
            try:
                kind, value = pickle.loads(pipe.recv_bytes())
            except EOFError:
                kind, value = "died", None
            if kind == "line":
                if echo is not None:
                    echo(f"[rank {rank}] {value}")
                continue
            del pipes[pipe]
            if kind == "result":
                results[rank] = value
                continue
            until = min(until, time.monotonic() + GRACE)
            if kind == "died":
                processes[rank].join(GRACE)
                exitcode = processes[rank].exitcode
                failed.append((rank, _how(exitcode), KILLED if exitcode == -9 else FAILED))
            else:
                why, waited = value
                failed.append((rank, why, WAITED if waited else FAILED))
    if failed:
        rank, why, _ = min(failed, key=lambda f: f[2])  # min keeps the first of equals
        silent = ", ".join(str(pipes[pipe]) for pipe in pipes)
        rest = f"no word from rank {silent}; it was ended" if silent else "all others have ended"
        raise RankError(f"rank {rank} of {size} {why}\n({rest})", rank)
    return results


def _how(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"was killed by signal {-exitcode}"
    return f"ended without a result (exit status {exitcode})"


def _child(packed: bytes, meeting: tuple, pipe: Any) -> None:
    lines = _Lines(pipe)
    with contextlib.redirect_stdout(lines):
        try:
            group = join(*meeting)
            told, args = pickle.loads(packed)
            message = _packed(("result", _found(told)(group, *args)))
        except BaseException as error:
            why = "failed:\n" + traceback.format_exc()
            message = _packed(("failed", (why, isinstance(error, PeerError))))
    lines.finish()
    pipe.send_bytes(message)
    pipe.close()


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Let the processes not run the program again from which they are started.

    multiprocessing does so, to find functions of __main__; here their source is sent instead.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class _Lines(io.TextIOBase):
    """Sends what is printed, line by line."""

    def __init__(self, pipe: Any) -> None:
        self._pipe, self._open = pipe, ""

    def write(self, text: str) -> int:
        *lines, self._open = (self._open + text).split("\n")
        for line in lines:
            self._pipe.send_bytes(_packed(("line", line)))
        return len(text)

    def finish(self) -> None:
        """Send what is left without an end of line."""
        if self._open:
            self.write("\n")


def _travels(work: Callable[..., Any]) -> Any:
    """What another process can find the function by: itself, or the source of a notebook's."""
    if getattr(work, "__module__", None) != "__main__":
        return work
    if work.__closure__:
        names = ", ".join(work.__code__.co_freevars)
        raise ValueError(
            f"{work.__name__} uses {names} of the function around it, which do not travel to "
            "another process: hand them over as arguments"
        )
    return (work.__name__, dedent(inspect.getsource(work)))


def _found(told: Any) -> Callable[..., Any]:
    if not isinstance(told, tuple):
        return told
    name, source = told
    space: dict[str, Any] = {"__name__": "notebook"}
    exec(compile(source, f"<{name} of the notebook>", "exec"), space)
    return space[name]


def _packed(value: Any) -> bytes:
    """Bytes that another process can read; tensors travel as arrays, in the bytes themselves.

    (multiprocessing would hand over shared memory, which is gone when the sender has ended.)
    """
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=5).dump(value)
    return buffer.getvalue()


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if type(value) not in (torch.Tensor, torch.nn.Parameter):
            return NotImplemented
        x = value.detach().cpu().contiguous()
        raw = x.reshape(-1).view(torch.uint8).numpy().tobytes()
        return _tensor, (raw, x.dtype, tuple(x.shape), type(value) is torch.nn.Parameter)


def _tensor(raw: bytes, dtype: torch.dtype, shape: tuple, is_parameter: bool) -> torch.Tensor:
    flat = torch.frombuffer(bytearray(raw), dtype=dtype) if raw else torch.empty(0, dtype=dtype)
    x = flat.view(shape)
    return torch.nn.Parameter(x, requires_grad=x.is_floating_point()) if is_parameter else x
