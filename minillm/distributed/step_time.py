"""How long a step of FSDP takes: a simulation by events, one line a piece of work.

A rank has two streams that run at the same time: one computes, one talks. Each does one thing
after another, in the order in which it was asked; a thing starts when its stream is free and what
it waits for is done. The length of a step is the end of the last thing. What the step takes beyond
the pure computing is communication that nothing could hide.

Pure functions: seconds in, seconds out. Nothing here runs a model.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from minillm.distributed.links import Link, seconds

COMPUTE, TALK = "compute", "talk"
LISTED = 3  # passes; from the second on all are alike (a test compares with all of them)


@dataclass(frozen=True)
class Task:
    """A piece of work.

    Attributes:
        name: unique.
        stream: what does it; one thing at a time.
        seconds: how long.
        after: names of tasks that must be done first, all earlier in the list.
    """

    name: str
    stream: str
    seconds: float
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Event:
    """When a task ran, seconds from the start of the step."""

    name: str
    stream: str
    start: float
    end: float


@dataclass(frozen=True)
class Unit:
    """What FSDP gathers as one: a block, or the root.

    Attributes:
        name: of the unit.
        forward: seconds of its forward pass on a rank.
        backward: seconds of its backward pass, recomputation included.
        weight_bytes: of the gathered weights, whole.
        gradient_bytes: of the gradients that are summed, whole.
    """

    name: str
    forward: float
    backward: float
    weight_bytes: float
    gradient_bytes: float

    def __post_init__(self) -> None:
        for name in ("forward", "backward", "weight_bytes", "gradient_bytes"):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"{name} of unit {self.name!r} must not be negative, got {getattr(self, name)}"
                )


@dataclass(frozen=True)
class StepTime:
    """A simulated step.

    Attributes:
        events: in the order in which they were asked for.
        more: seconds of further passes, each like the last one, which are not listed.
        more_computing: seconds of computing in them.
    """

    events: tuple[Event, ...]
    more: float = 0.0
    more_computing: float = 0.0

    @property
    def total(self) -> float:
        """Seconds of the step."""
        return max((e.end for e in self.events), default=0.0) + self.more

    @property
    def computing(self) -> float:
        """Seconds of the step in which something is computed."""
        listed = sum(e.end - e.start for e in self.events if e.name[:4] != "talk")
        return listed + self.more_computing

    @property
    def exposed(self) -> float:
        """Seconds of the step in which nothing is computed: talk that was not hidden."""
        return self.total - self.computing

    def busy(self, stream: str) -> float:
        """Seconds in which a stream works, in the passes that are listed."""
        return sum(e.end - e.start for e in self.events if e.stream == stream)


def run_tasks(tasks: Iterable[Task]) -> StepTime:
    """Find when each task runs.

        start = max(end of the last task of its stream, ends of all that it waits for)

    Args:
        tasks: in the order in which the streams are asked to do them.

    Returns:
        The events, in the same order.

    Raises:
        ValueError: if a name comes twice, or a task waits for one that does not come before it.

    Lesson: notebooks/24_fsdp.ipynb
    """
    free: dict[str, float] = {}
    ends: dict[str, float] = {}
    events = []
    for task in tasks:
        missing = [name for name in task.after if name not in ends]
        if task.name in ends or missing:
            raise ValueError(
                f"task {task.name!r} "
                + (f"waits for {missing[0]!r}, which comes later" if missing else "comes twice")
            )
        start = max([free.get(task.stream, 0.0), *(ends[name] for name in task.after)])
        end = start + task.seconds
        free[task.stream] = ends[task.name] = end
        events.append(Event(task.name, task.stream, start, end))
    return StepTime(tuple(events))


def fsdp_tasks(
    units: Sequence[Unit],
    link: Link,
    n_ranks: int,
    *,
    n_passes: int = 1,
    optimizer: float = 0.0,
    keep_gathered: bool = False,
    overlap: bool = True,
    copies: int = 1,
    between: Link | None = None,
) -> list[Task]:
    """List the work of a step of FSDP on one rank.

    Forward, each unit: gather its weights, compute. Backward, from the last: gather them again
    (not with keep_gathered, and never the root's), compute, sum and cut the gradients. The next
    unit's weights may be gathered while this one computes, and no further ahead: that would take
    memory for a third. In the backward pass they are asked for before this unit's gradients are
    summed: on one stream they would otherwise wait for a sum that waits for the computation.

    Args:
        units: in the order of the forward pass; the first is the root.
        link: of each rank.
        n_ranks: among which weights are cut.
        n_passes: forward and backward passes before the optimizer moves (accumulation).
        optimizer: seconds of the update of a rank's part.
        keep_gathered: weights stay between forward and backward.
        overlap: False: one stream does everything, as where a single core computes and talks.
        copies: of the model (hybrid sharding): each rank's part of the summed gradients goes
            through an all-reduce with those of the other copies.
        between: link of each rank to the other copies; None means `link`.

    Returns:
        The tasks, for run_tasks. Names of communication begin with "talk".

    Raises:
        ValueError: if there is no unit, or a number is out of range.

    Source: Zhao et al. 2023 (PyTorch FSDP), arXiv:2304.11277, section 3.3 (overlap, prefetching
        one unit ahead, and why not more).
    Lesson: notebooks/24_fsdp.ipynb
    """
    if not units or min(n_ranks, n_passes, copies) < 1 or optimizer < 0:
        raise ValueError(
            "needs at least one unit, rank, pass and copy, and no negative time; got "
            f"{len(units)} units, n_ranks={n_ranks}, n_passes={n_passes}, copies={copies}, "
            f"optimizer={optimizer}"
        )
    step = _Step(link, n_ranks, TALK if overlap else COMPUTE, copies, between or link)
    for k in range(n_passes):
        for unit in units:
            gathered = step.gather(f"forward {unit.name} {k}", unit)
            step.compute(f"forward {unit.name} {k}", unit.forward, gathered)
        gathered = ""
        if len(units) > 1 and not keep_gathered:
            gathered = step.gather(f"backward {units[-1].name} {k}", units[-1])
        for i, unit in reversed(list(enumerate(units))):
            here = f"backward {unit.name} {k}"
            step.compute(here, unit.backward, *filter(None, [gathered]))
            gathered = ""
            if i > 1 and not keep_gathered:  # asked for before the sum below, which has to wait
                gathered = step.gather(f"backward {units[i - 1].name} {k}", units[i - 1])
            step.reduce(f"{unit.name} {k}", unit, here)
    update = Task("update", COMPUTE, optimizer, (step.done[-1], step.tasks[-1].name))
    return [*step.tasks, update]


class _Step:
    """The tasks of a step of FSDP, as they are asked for."""

    def __init__(self, link: Link, n_ranks: int, talk: str, copies: int, between: Link) -> None:
        self.link, self.n_ranks, self.talk = link, n_ranks, talk
        self.copies, self.between = copies, between
        self.tasks: list[Task] = []
        self.done: list[str] = []  # computations, in order

    def gather(self, name: str, unit: Unit) -> str:
        ahead = (self.done[-2],) if len(self.done) > 1 else ()
        time = seconds("all_gather", unit.weight_bytes, self.n_ranks, self.link)
        self.tasks.append(Task(f"talk gather {name}", self.talk, time, ahead))
        return self.tasks[-1].name

    def compute(self, name: str, time: float, *after: str) -> None:
        self.tasks.append(Task(name, COMPUTE, time, (*self.done[-1:], *after)))
        self.done.append(name)

    def reduce(self, name: str, unit: Unit, after: str) -> None:
        time = seconds("reduce_scatter", unit.gradient_bytes, self.n_ranks, self.link)
        if self.copies > 1:
            part = unit.gradient_bytes / self.n_ranks
            time += seconds("all_reduce", part, self.copies, self.between)
        self.tasks.append(Task(f"talk reduce {name}", self.talk, time, (after,)))


def fsdp_step(
    units: Sequence[Unit], link: Link, n_ranks: int, *, n_passes: int = 1, **how: Any
) -> StepTime:
    """Simulate a step of FSDP; of many passes only the first few, as the others are alike.

    Args:
        units, link, n_ranks, n_passes, how: as in fsdp_tasks.

    Returns:
        The step. Beyond LISTED passes the seconds of one more are added for each.

    Raises:
        ValueError: as fsdp_tasks.

    Lesson: notebooks/24_fsdp.ipynb
    """
    listed = min(n_passes, LISTED)
    step = run_tasks(fsdp_tasks(units, link, n_ranks, n_passes=listed, **how))
    if n_passes == listed:
        return step
    before = run_tasks(fsdp_tasks(units, link, n_ranks, n_passes=listed - 1, **how))
    times = n_passes - listed
    more = times * (step.total - before.total)
    return StepTime(step.events, more, times * (step.computing - before.computing))


def draw(step: StepTime, *, width: int = 72) -> str:
    """Write the two streams as two lines of letters, for a terminal.

    Args:
        step: from run_tasks.
        width: letters for the whole step.

    Returns:
        f forward, b backward, u update; g gather, r reduce; a dot where a stream waits.
    """
    lines = []
    for stream in sorted({e.stream for e in step.events}):
        row = ["."] * width
        for event in step.events:
            if event.stream == stream and step.total:
                first, last = (int(t / step.total * width) for t in (event.start, event.end))
                letter = event.name.removeprefix("talk ")[0]
                row[first:last] = [letter] * (last - first)
        lines.append(f"{stream:<8}{''.join(row)}")
    return "\n".join(lines)
