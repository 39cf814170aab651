"""Rewind and skip: what to do about a spike, decided by a function without side effects.

PaLM went back to a checkpoint about 100 steps before the spike began, and on with data from behind
it: 200 to 500 batches were left out. The same batches did no harm to another state of the model,
so it is not the data alone, and skipping is enough. OPT went back too, and mainly lowered the rate.

A run then has two clocks, which a rewind sets apart: `step` (updates of the weights, and with them
the schedule) goes back; `position` (batches read from the data) only ever goes on.

    decide(state, spike, ...) -> (state, Rewind | GiveUp)          a loop carries the order out
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class RewindConfig:
    """How far back, how much is skipped, and how often it is tried.

    Attributes:
        back: a checkpoint must be at least so many steps older than the first step of the spike.
        skip: batches to leave out from the checkpoint's position on, at least; those that were
            read up to the spike are left out in any case.
        near: a spike that starts at most so many steps from the last one is the same spike again.
        widen: each time it comes again, `back` and `skip` are multiplied by this.
        tries: rewinds for the same spike; then the run gives up.
        lr_factor: the learning rate of the rest of the run is multiplied by this, each time.

    Source: as decide; `near`, `widen` and `tries` are ours.
    Lesson: notebooks/21_stability.ipynb
    """

    back: int = 100
    skip: int = 200
    near: int = 500
    widen: float = 2.0
    tries: int = 3
    lr_factor: float = 1.0

    def __post_init__(self) -> None:
        for name in ("back", "skip", "near"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not self.widen >= 1:
            raise ValueError(f"widen must be at least 1, got {self.widen}")
        if self.tries < 1:
            raise ValueError(f"tries must be at least 1, got {self.tries}")
        if not 0 < self.lr_factor <= 1:
            raise ValueError(f"lr_factor must lie in (0, 1], got {self.lr_factor}")


@dataclass(frozen=True)
class Mark:
    """Where a checkpoint stands.

    Attributes:
        step: updates done.
        position: batches read.

    Source: as decide.
    Lesson: notebooks/21_stability.ipynb
    """

    step: int
    position: int


@dataclass(frozen=True)
class RewindState:
    """What must be remembered from one spike to the next; saved with a checkpoint.

    Attributes:
        spike: first step of the last spike; None before the first.
        repeats: rewinds for this same spike so far.
        n_rewinds: rewinds of the run.
        lr_factor: the learning rate over that of the schedule.
        skipped: ranges of batches that were never trained on, or whose training was undone.

    Source: as decide.
    Lesson: notebooks/21_stability.ipynb
    """

    spike: int | None = None
    repeats: int = 0
    n_rewinds: int = 0
    lr_factor: float = 1.0
    skipped: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:  # JSON has lists only: RewindState(**json.loads(...)) is meant
        object.__setattr__(self, "skipped", tuple((a, b) for a, b in self.skipped))


@dataclass(frozen=True)
class Rewind:
    """An order: load this checkpoint, and go on with the data here.

    Attributes:
        mark: the checkpoint. All younger ones belong to a branch that is given up.
        position: of the next batch.
        lr_factor: of the learning rate from here on, over that of the schedule.

    Source: as decide.
    Lesson: notebooks/21_stability.ipynb
    """

    mark: Mark
    position: int
    lr_factor: float

    @property
    def n_skipped(self) -> int:
        """Batches from the checkpoint's position on that the new branch leaves out."""
        return self.position - self.mark.position


@dataclass(frozen=True)
class GiveUp:
    """An order: stop the run.

    Attributes:
        reason: what a person should read, with the remedies that are left.

    Source: as decide.
    Lesson: notebooks/21_stability.ipynb
    """

    reason: str


def decide(
    state: RewindState,
    spike: int,
    *,
    position: int,
    marks: Iterable[Mark],
    config: RewindConfig,
) -> tuple[RewindState, Rewind | GiveUp]:
    """Say what to do about a spike.

        far = widen^repeats
        mark = the youngest checkpoint with mark.step <= spike - back far
        next batch = max(position, mark.position + skip far)

    Args:
        state: what was remembered.
        spike: the first step of the spike, as the monitor found it.
        position: batches read so far, those of the spike among them.
        marks: the checkpoints there are, of this branch, in any order.
        config: the policy.

    Returns:
        The state to remember, and the order. With GiveUp the state is as before.

    Raises:
        ValueError: if spike or position is negative.

    Source: Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, section 5.1; lower rate: Zhang et al.
        2022 (OPT), arXiv:2205.01068, section 2.5. `near`, `widen` and `tries` are ours.
    Lesson: notebooks/21_stability.ipynb
    """
    if spike < 0 or position < 0:
        raise ValueError(f"need spike >= 0 and position >= 0, got {spike} and {position}")
    again = state.spike is not None and abs(spike - state.spike) <= config.near
    repeats = state.repeats if again else 0
    if repeats >= config.tries:
        return state, GiveUp(
            f"the spike at step {spike} has come back after {repeats} rewinds: lower the learning "
            "rate, clip more, or shrink the gradient of the embedding"
        )
    far = config.widen**repeats
    latest = spike - round(config.back * far)
    mark = max((m for m in marks if m.step <= latest), key=lambda m: m.step, default=None)
    if mark is None:
        return state, GiveUp(
            f"no checkpoint is as old as step {latest}, {spike - latest} steps before the spike at "
            f"step {spike}: save more often and keep more, or ask for a smaller back"
        )
    follow = max(position, mark.position + round(config.skip * far))
    order = Rewind(mark, follow, state.lr_factor * config.lr_factor)
    return (
        replace(
            state,
            spike=spike,
            repeats=repeats + 1,
            n_rewinds=state.n_rewinds + 1,
            lr_factor=order.lr_factor,
            skipped=_merged([*state.skipped, (mark.position, follow)]),
        ),
        order,
    )


def is_skipped(state: RewindState, position: int) -> bool:
    """Say whether the batch at a position has no part in the weights of the present branch.

    Source: as decide.
    Lesson: notebooks/21_stability.ipynb
    """
    return any(first <= position < last for first, last in state.skipped)


def _merged(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Join ranges that overlap or touch, and put them in order."""
    out: list[tuple[int, int]] = []
    for first, last in sorted(r for r in ranges if r[0] < r[1]):
        if out and first <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], last))
        else:
            out.append((first, last))
    return tuple(out)
