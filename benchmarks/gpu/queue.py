"""Run the jobs of this folder one after another, and put each away as soon as it is finished.

    python -m benchmarks.gpu.queue --list
    python -m benchmarks.gpu.queue --minutes 9                 all of them, dear ones last
    python -m benchmarks.gpu.queue --minutes 9 base_small dense_1b
    OUT=/tmp/out python -m benchmarks.gpu.queue --toy          seconds each, on a CPU

A GPU is often lent for minutes, and may be taken away in the middle. So every job is a process of
its own with its own limit, its output goes to a file, and what it wrote is packed into
$OUT/<job>.tgz the moment that it ends, whole or not: a job that hangs, or a machine that goes,
costs that job only. A job is not begun when less time is left than it is said to need.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LARGEST = 16 * 2**20
"""Bytes of the largest file that is packed: a training state is left behind, a model is not."""
GRACE = 15.0
"""Seconds between a polite stop, which lets a training run save itself, and the end."""


@dataclass(frozen=True)
class Job:
    """One job of the queue.

    Attributes:
        words: the module of benchmarks.gpu, and its arguments.
        seconds: how long it may take.
        toy: False if it has no small form for a CPU.
    """

    words: tuple[str, ...]
    seconds: float
    toy: bool = True


JOBS: Mapping[str, Job] = {
    "fsdp_one_rank": Job(("fsdp_one_rank",), 60),
    "decode_throughput": Job(("decode_throughput",), 60),
    "gpt2_ladder": Job(("gpt2_ladder",), 180),
    "dense_1b": Job(("dense_1b",), 240),
    "rope": Job(("rope",), 45, toy=False),
    "attention": Job(("attention",), 60, toy=False),
    "decode_heads": Job(("decode_heads",), 60, toy=False),
    "flash": Job(("flash",), 120, toy=False),
    "base_small": Job(("base", "--name", "small", "--minutes", "8"), 500, toy=False),
    "base_medium": Job(("base", "--name", "medium", "--minutes", "8"), 500, toy=False),
    "gpt2_8min": Job(("gpt2_8min",), 600),
}
"""Cheap ones first: what is there when the time ends is as much as possible."""


def run_job(job: Job, folder: Path, seconds: float, *, toy: bool = False) -> int | None:
    """Run one job as a process, its output into folder/log.txt.

    Args:
        job: which.
        folder: what it writes goes there.
        seconds: after them it is asked to stop, and stopped GRACE seconds later.
        toy: the small form.

    Returns:
        Its exit status; None if it was stopped.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so in the background of a shell
        signal.signal(signal.SIGINT, signal.default_int_handler)  # the job would inherit it
    folder.mkdir(parents=True, exist_ok=True)
    module, *words = job.words
    command = [
        sys.executable,
        "-m",
        f"benchmarks.gpu.{module}",
        *words,
        *(["--toy"] if toy else []),
    ]
    environment = {**os.environ, "OUT": str(folder), "PYTHONUNBUFFERED": "1"}
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True
        )
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            return None
        finally:  # with all that it started, also when the queue itself is stopped
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def pack(folder: Path, target: Path) -> int:
    """Pack the files of a job, those of at most LARGEST bytes; the pack is whole or not there.

    Returns:
        How many files were too large.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part, left = target.with_name(f".{target.name}.part"), 0
    with tarfile.open(part, "w:gz") as tar:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            if path.stat().st_size > LARGEST:
                left += 1
                continue
            tar.add(path, arcname=f"{folder.name}/{path.relative_to(folder)}")
    part.rename(target)
    return left


def find_jobs(names: Sequence[str], *, toy: bool) -> dict[str, Job]:
    """Choose jobs by name; all of them (with a small form, if toy) where none is named.

    Raises:
        ValueError: if a name is unknown.
    """
    unknown = [name for name in names if name not in JOBS]
    if unknown:
        raise ValueError(f"no job {unknown[0]!r}; there are {', '.join(JOBS)}")
    chosen = {name: job for name, job in JOBS.items() if name in (names or JOBS)}
    return {name: job for name, job in chosen.items() if job.toy or not toy}


def work_off(
    jobs: Mapping[str, Job], work: Path, out: Path, *, minutes: float, toy: bool = False
) -> dict[str, str]:
    """Run jobs in their order as long as there is time.

    Args:
        jobs: name -> job.
        work: a folder for each job is made there.
        out: gets <job>.tgz.
        minutes: for all of them.
        toy: the small forms.

    Returns:
        What became of each: "done", "failed", "stopped" or "no time".
    """
    end, found = time.monotonic() + 60 * minutes, {}
    for name, job in jobs.items():
        left = end - time.monotonic()
        if left < (0 if toy else job.seconds):
            found[name] = "no time"
            print(f"{name}: not begun, {left:.0f} s are left of the {job.seconds:.0f} it may take")
            continue
        began = time.monotonic()
        status = run_job(job, work / name, min(job.seconds, left), toy=toy)
        found[name] = {None: "stopped", 0: "done"}.get(status, "failed")
        too_large = pack(work / name, out / f"{name}.tgz")
        note = f", {too_large} files too large to pack" if too_large else ""
        print(f"{name}: {found[name]} after {time.monotonic() - began:.0f} s{note}", flush=True)
    return found


def main(words: list[str] | None = None) -> int:
    """Read the command line and work off the queue; status 1 if a job failed or was stopped."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.queue")
    parser.add_argument("jobs", nargs="*", help="names of --list; without any, all")
    parser.add_argument("--list", action="store_true", help="only say which jobs there are")
    parser.add_argument("--minutes", type=float, default=9.0, help="for all jobs together")
    parser.add_argument("--toy", action="store_true", help="seconds each on a CPU")
    parser.add_argument("--work", type=Path, default=Path("runs/gpu_queue"))
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "runs/gpu_queue")))
    options = parser.parse_args(words)
    if options.list:
        for name, job in JOBS.items():
            print(f"{name:18} up to {job.seconds:3.0f} s{'' if job.toy else ', GPU only'}")
        return 0
    try:
        jobs = find_jobs(options.jobs, toy=options.toy)
    except ValueError as error:
        parser.error(str(error))
    found = work_off(jobs, options.work, options.out, minutes=options.minutes, toy=options.toy)
    return int(any(state in ("failed", "stopped") for state in found.values()))


if __name__ == "__main__":
    sys.exit(main())
