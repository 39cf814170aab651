"""What a pipeline schedule does to the clock and to the memory: a simulation of events.

Each stage takes its work in the order of its list. It starts a piece when it is free and what the
piece needs has arrived. From that alone follow the step time, the bubble and the memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from minillm.distributed.schedules import Orders, Work


@dataclass(frozen=True)
class Slot:
    """One piece of work on the clock.

    Attributes:
        stage: who does it.
        work: what it is.
        start, end: when.
    """

    stage: int
    work: Work
    start: float
    end: float


@dataclass(frozen=True)
class Timeline:
    """Who does what when.

    Attributes:
        slots: all pieces of work, by stage and then by time.
        n_stages: p.
        n_chunks: v, chunks of layers a stage.
    """

    slots: tuple[Slot, ...]
    n_stages: int
    n_chunks: int

    @property
    def total(self) -> float:
        """The time of the step: when the last piece ends."""
        return max(slot.end for slot in self.slots)

    @property
    def bubble(self) -> float:
        """The share of all stages' time in which they stand idle, 0 to 1."""
        busy = sum(slot.end - slot.start for slot in self.slots)
        return 1 - busy / (self.total * self.n_stages)

    def stage(self, s: int) -> list[Slot]:
        """The slots of stage s, in time."""
        return [slot for slot in self.slots if slot.stage == s]

    def peak(self, s: int) -> float:
        """The most micro batches whose activations stage s holds at once.

        From the start of a forward pass to the end of its backward pass; a chunk of 1/v of the
        stage's layers counts 1/v.
        """
        held = most = 0
        for slot in self.stage(s):
            held += slot.work.kind == "forward"
            most = max(most, held)
            held -= slot.work.kind == "backward"
        return most / self.n_chunks

    def table(self) -> list[list[Work | None]]:
        """What each stage does in each unit of time, None where it stands idle.

        Raises:
            ValueError: if a piece does not start and end at a whole number.
        """
        if any(t != int(t) for slot in self.slots for t in (slot.start, slot.end)):
            raise ValueError("the table needs whole times; simulate with whole forward, backward")
        rows: list[list[Work | None]] = [[None] * int(self.total) for _ in range(self.n_stages)]
        for slot in self.slots:
            for t in range(int(slot.start), int(slot.end)):
                rows[slot.stage][t] = slot.work
        return rows

    def draw(self) -> str:
        """The table as text: a row a stage, a forward pass as 3, a backward pass as [3], idle as a
        dot; with chunks, letters tell them apart: 3a, 3b."""
        width = len(str(max(slot.work.micro for slot in self.slots))) + 2 + (self.n_chunks > 1)
        lines = []
        for s, row in enumerate(self.table()):
            cells = [_cell(work, self.n_chunks).center(width) for work in row]
            lines.append(f"stage {s}  " + "".join(cells).rstrip())
        return "\n".join(lines)


def _cell(work: Work | None, n_chunks: int) -> str:
    if work is None:
        return "."
    name = f"{work.micro}{chr(ord('a') + work.chunk) if n_chunks > 1 else ''}"
    return name if work.kind == "forward" else f"[{name}]"


def simulate(
    orders: Orders,
    *,
    forward: float | Sequence[float] = 1,
    backward: float | Sequence[float] = 2,
    message: float = 0,
) -> Timeline:
    """Run a schedule on the clock.

    A forward pass needs the activations of the part of the model before it; a backward pass the
    gradient of the part behind it, or, on the last part, its own forward pass.

    Args:
        orders: for each stage its work, from schedules.py.
        forward: time of a micro batch through all layers of a stage; one number, or one a stage.
        backward: the same for the backward pass, twice as long without recomputation.
        message: time between the end of a piece and its result's arrival at another stage.

    Returns:
        The timeline. A chunk takes 1/v of its stage's time.

    Raises:
        ValueError: if a time is missing or negative, if no stage can go on because each waits for
            another, or if a pass is there twice.

    Cost: O(p) looks for each piece of work.
    Lesson: notebooks/23_parallel.ipynb
    """
    p = len(orders)
    n_chunks = 1 + max(work.chunk for order in orders for work in order)
    times = {"forward": _each(forward, p, "forward"), "backward": _each(backward, p, "backward")}
    if message < 0:
        raise ValueError(f"message must not be negative, got {message}")
    ends: dict[tuple[int, Work], float] = {}
    free, following = [0.0] * p, [0] * p
    slots: list[list[Slot]] = [[] for _ in range(p)]
    while any(following[s] < len(orders[s]) for s in range(p)):
        moved = False
        for s in range(p):
            while following[s] < len(orders[s]):
                work = orders[s][following[s]]
                if (s, work) in ends:
                    raise ValueError(f"stage {s} has {work} twice")
                arrives = _arrival(ends, s, work, p, n_chunks, message)
                if arrives is None:
                    break
                start = max(free[s], arrives)
                free[s] = start + times[work.kind][s] / n_chunks
                ends[s, work] = free[s]
                slots[s].append(Slot(s, work, start, free[s]))
                following[s] += 1
                moved = True
        if not moved:
            waits = {s: orders[s][i] for s, i in enumerate(following) if i < len(orders[s])}
            raise ValueError(f"deadlock: each stage waits for another: {waits}")
    return Timeline(tuple(slot for stage in slots for slot in stage), p, n_chunks)


def needs(stage: int, work: Work, n_stages: int, n_chunks: int) -> tuple[int, Work] | None:
    """Say which piece of work, on which stage, has to be done before this one.

    Args:
        stage: where the piece is done.
        work: the piece.
        n_stages: p.
        n_chunks: v.

    Returns:
        The stage and its work; None for the forward pass of the model's first part.

    Lesson: notebooks/23_parallel.ipynb
    """
    part = work.chunk * n_stages + stage  # of p v parts of the model
    if work.kind == "forward":
        if part == 0:
            return None
        before = part - 1
        return before % n_stages, Work("forward", work.micro, before // n_stages)
    if part == n_stages * n_chunks - 1:
        return stage, Work("forward", work.micro, work.chunk)
    behind = part + 1
    return behind % n_stages, Work("backward", work.micro, behind // n_stages)


def _arrival(
    ends: dict[tuple[int, Work], float], s: int, work: Work, p: int, v: int, message: float
) -> float | None:
    """When what a piece needs is there; None if that is not known yet."""
    own = (s, Work("forward", work.micro, work.chunk))
    if work.kind == "backward" and own not in ends:
        return None
    source = needs(s, work, p, v)
    if source is None:
        return 0.0
    if source not in ends:
        return None
    return ends[source] + (message if source[0] != s else 0)


def _each(value: float | Sequence[float], p: int, name: str) -> list[float]:
    times = [float(value)] * p if isinstance(value, int | float) else [float(x) for x in value]
    if len(times) != p or min(times) < 0:
        raise ValueError(f"{name} needs one time, or {p} that are not negative; got {value}")
    return times
