"""Grids of runs that take hours: shares for several machines, time left, merging by run id.

    python -m minillm.recipes.grids isoflop_grid                what is missing, in order
    python -m minillm.recipes.grids isoflop_grid --share 2/3    the second of three machines
    python -m minillm.recipes.grids isoflop_grid --plan         how long it would take here
    python -m minillm.recipes.grids isoflop_grid --merge DIR    take over what another one made

A grid is a study like any other (see records.py): `python -m minillm.recipes records` makes it too,
but counts runs, of which the last may cost a hundred times the first. Here progress is counted in
costs. Its id, `<arm>-<seed>`, tells a run apart, whichever machine made it.
"""

import argparse
import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minillm.recipes.records import (
    RESULTS,
    Job,
    code_sha256,
    find_job,
    missing,
    record_run,
    write_note,
)

Cost = Callable[[Mapping[str, Any]], float]
"""Settings -> the seconds that a run should take on a usual core; their ratios matter most."""


@dataclass
class Clock:
    """How much of a grid is done, and how long the rest will take at the speed so far.

    Attributes:
        total: expected seconds of all that is to be made.
        done: expected seconds of what is made.
        seconds: wall time that it took.
    """

    total: float
    done: float = 0.0
    seconds: float = 0.0

    def left(self) -> float:
        """Give the seconds that are left: those expected, times what the runs so far took more."""
        slower = self.seconds / self.done if self.done else 1.0
        return (self.total - self.done) * slower

    def add(self, cost: float, seconds: float) -> None:
        """Note that a run is done."""
        self.done, self.seconds = self.done + cost, self.seconds + seconds


def share_of(wanted: Sequence[tuple[str, int]], part: int, n_parts: int) -> list[tuple[str, int]]:
    """Give a machine its share of the missing runs: every n-th, so that shares cost alike.

    Args:
        wanted: (arm, seed) pairs, cheap ones first.
        part: which share, from 1.
        n_parts: of how many.

    Raises:
        ValueError: if part is not in 1 .. n_parts.
    """
    if not 1 <= part <= n_parts:
        raise ValueError(
            f"a share is one of 1/{n_parts} to {n_parts}/{n_parts}, got {part}/{n_parts}"
        )
    return list(wanted[part - 1 :: n_parts])


def missing_of(job: Job, share: tuple[int, int], results: Path = RESULTS) -> list[tuple[str, int]]:
    """List the runs that a machine's share still lacks: (arm, seed), in the order of the grid.

    Args:
        job: the grid.
        share: (part, n_parts), see share_of; cut from all runs of the grid, missing or not.
        results: folder of all recorded runs.

    Raises:
        ValueError: if the share is none.
    """
    mine = set(share_of(missing(job, results / "no such folder"), *share))
    return [pair for pair in missing(job, results) if pair in mine]


def record_grid(
    job: Job,
    results: Path = RESULTS,
    *,
    cost: Cost = lambda _: 1.0,
    share: tuple[int, int] = (1, 1),
    say: Callable[[str], None] = print,
) -> int:
    """Carry out the missing runs of a grid in their order, and say after each how long is left.

    Args:
        job: the grid.
        results: folder of all recorded runs.
        cost: see Cost.
        share: (part, n_parts), see share_of. Shares are cut from all runs of the grid, so that
            two machines never make the same one, whatever each has already.
        say: gets one line a run.

    Returns:
        How many runs were made.

    Raises:
        ValueError: if the share is none.
        KeyboardInterrupt: on Ctrl-C; all finished runs are kept.
    """
    wanted = missing_of(job, share, results)
    clock = Clock(total=sum(cost(job.arms[arm]) for arm, _ in wanted))
    say(f"{job.name}: {len(wanted)} runs to make, about {spelled(clock.left())}")
    for i, (arm, seed) in enumerate(wanted, 1):
        began = time.perf_counter()
        record_run(job, arm, seed, results)
        clock.add(cost(job.arms[arm]), time.perf_counter() - began)
        share_done = clock.done / clock.total
        say(
            f"{i}/{len(wanted)} {arm}-{seed}: {time.perf_counter() - began:.0f} s; "
            f"{share_done:.1%} of the work, {spelled(clock.left())} left"
        )
    return len(wanted)


def spelled(seconds: float) -> str:
    """Spell a time: 45 s, 12 min, 3.4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def records_in(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read the records of a folder: run id and note.

    Raises:
        ValueError: if the folder is missing, or a file is no record.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}; give the data/results/<job> of the other")
    for path in sorted(folder.glob("*.json")):
        try:
            note = json.loads(path.read_text("utf-8"))
            yield f"{note['arm']}-{note['seed']}", note
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{path} is no record of a run; take it out of the folder") from None


def merge(job: Job, folder: Path, results: Path = RESULTS) -> tuple[int, int]:
    """Take over from another machine the runs of a grid that are missing here.

    A run counts only if its settings, and the code of the study, are those of this checkout. A run
    that is here already stays as it is: the same seeds on two machines differ in the last digits.

    Args:
        job: the grid.
        folder: the other machine's data/results/<job>.
        results: folder of all recorded runs here.

    Returns:
        How many were taken over, and how many were left: here already, or of other code.

    Raises:
        ValueError: if the folder is missing, holds something else, or records of another study.
    """
    wanted = {f"{arm}-{seed}": arm for arm, seed in missing(job, results)}
    taken = left = 0
    for run_id, note in records_in(folder):
        if note.get("job") != job.name:
            raise ValueError(f"{folder} holds a record of {note.get('job')!r}, not of {job.name!r}")
        arm = wanted.get(run_id)
        fits = arm is not None and note.get("config") == json.loads(json.dumps(job.arms[arm]))
        if fits and note.get("code_sha256") == code_sha256(job):
            write_note(results / job.name / f"{run_id}.json", note)
            taken += 1
        else:
            left += 1
    return taken, left


def cost_of(job: Job) -> Cost:
    """Find the function `cost` beside the study; without one every run costs the same."""
    module = importlib.import_module(f"minillm.recipes.studies.{job.name}")
    found: Cost = getattr(module, "cost", lambda _: 1.0)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run `python -m minillm.recipes.grids`."""
    parser = argparse.ArgumentParser(description="Make a grid of runs, on one machine or several.")
    parser.add_argument("job", help="name of the study, such as isoflop_grid")
    parser.add_argument("--share", default="1/1", help="this machine's part of the runs: 2/3")
    parser.add_argument("--plan", action="store_true", help="only say how much is missing")
    parser.add_argument("--merge", metavar="DIR", help="records of another machine to take over")
    options = parser.parse_args(arguments)
    job = find_job(options.job)
    part, _, n_parts = options.share.partition("/")
    if not (part.isdigit() and n_parts.isdigit()):
        raise ValueError(f"a share is written 2/3, got {options.share!r}")
    share = int(part), int(n_parts)
    if options.merge:
        taken, left = merge(job, Path(options.merge))
        print(f"{job.name}: {taken} runs taken over, {left} left")
    elif options.plan:
        cost, wanted = cost_of(job), missing_of(job, share)
        hours = Clock(total=sum(cost(job.arms[arm]) for arm, _ in wanted)).left()
        print(f"{job.name}: {len(wanted)} runs to make, about {spelled(hours)} of one core")
    else:
        record_grid(
            job,
            cost=cost_of(job),
            share=share,
            say=lambda line: print(line, flush=True),
        )
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except ValueError as error:
        sys.exit(f"minillm: {error}")
    except KeyboardInterrupt:
        sys.exit("minillm: stopped; the same command goes on from here")
