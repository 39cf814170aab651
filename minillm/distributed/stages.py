"""Which layers go to which stage of a pipeline, and how many cards to each stage.

- equal_stages: the stage counts that a system with equal stages can use: the divisors.
- even_stages: any number of stages, as even as it goes.
- best_stages: the cut of the least step time when layers differ, by dynamic programming over
  layers and cards, as Alpa does between operators.
- every_cut: all cuts, one by one: the definition, to which best_stages is held equal by a test.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

Cost = Callable[[int, int, int], float]
"""cost(first, end, n_cards): the time of a micro batch through layers first to end - 1 on n_cards
cards, forward and backward; math.inf where that does not fit."""


@dataclass(frozen=True)
class Stage:
    """Layers first to end - 1 on n_cards cards."""

    first: int
    end: int
    n_cards: int = 1


@dataclass(frozen=True)
class Cut:
    """A model cut into stages.

    Attributes:
        stages: in the order of the layers.
        time: of a step, from step_time; math.inf if no cut fits.
    """

    stages: tuple[Stage, ...]
    time: float


def equal_stages(n_layers: int, n_cards: int) -> list[int]:
    """List the numbers of stages that all hold equally many layers.

    Args:
        n_layers: of the model.
        n_cards: the most stages there can be.

    Returns:
        The divisors of n_layers that are at most n_cards, ascending.

    Raises:
        ValueError: if a number is not positive.

    Lesson: notebooks/23_parallel.ipynb
    """
    _positive(n_layers=n_layers, n_cards=n_cards)
    return [n for n in range(1, min(n_layers, n_cards) + 1) if n_layers % n == 0]


def even_stages(n_layers: int, n_stages: int) -> list[int]:
    """Spread layers over any number of stages so that no two differ by more than one.

    Args:
        n_layers: of the model.
        n_stages: at most n_layers.

    Returns:
        Layers of each stage; the stages with one more come first.

    Raises:
        ValueError: if a stage would be empty.

    Lesson: notebooks/23_parallel.ipynb
    """
    _positive(n_layers=n_layers, n_stages=n_stages)
    if n_stages > n_layers:
        raise ValueError(f"{n_layers} layers cannot fill {n_stages} stages; take fewer stages")
    each, more = divmod(n_layers, n_stages)
    return [each + 1] * more + [each] * (n_stages - more)


def imbalance(times: Sequence[float]) -> float:
    """Say how much slower a pipeline runs than one whose stages all take the mean time.

        max / mean

    Args:
        times: of the stages, or their numbers of layers.

    Returns:
        1 for equal stages; 3 / (64 / 24) = 1.125 for 64 layers on 24 stages.

    Lesson: notebooks/23_parallel.ipynb
    """
    return max(times) / (sum(times) / len(times))


def step_time(times: Sequence[float], n_micro: int) -> float:
    """The time of a step whose stages take these times for a micro batch.

        T = sum_i t_i + (m - 1) max_i t_i

    The first micro batch passes all stages; each of the others follows one beat of the slowest
    stage behind. With equal stages t / p that is (m + p - 1) t / p, bubble and all. It is exact for
    GPipe; with stages that differ 1F1B can be faster, by up to a fifth where m = p.

    Args:
        times: of the stages, forward and backward.
        n_micro: m.

    Returns:
        The time.

    Source: Zheng et al. 2022 (Alpa), arXiv:2201.12023, section 5 (the objective of inter-operator
        parallelism).
    Lesson: notebooks/23_parallel.ipynb
    """
    return sum(times) + (n_micro - 1) * max(times)


def best_stages(
    cost: Cost, n_layers: int, n_cards: int, n_micro: int, *, sizes: Sequence[int] = (1,)
) -> Cut:
    """Find the cut of least step time.

    For each bound on the slowest stage, the least sum of times of layers k.. on d cards is

        F(k, d) = min over i, n of  cost(k, i, n) + F(i, d - n),    cost(k, i, n) <= bound

    and the answer is the least  F(0, all cards) + (m - 1) bound.

    Args:
        cost: of a stage.
        n_layers: K.
        n_cards: all of them have to be used.
        n_micro: m.
        sizes: how many cards a stage may have.

    Returns:
        The best cut; without stages and with time math.inf if none fits.

    Raises:
        ValueError: if a number is not positive.

    Cost: O(K^2 S) bounds of O(K^2 D S) each, for S sizes and D cards. It stops at the first bound
        that cannot win: a step with a stage that slow takes m bound at least. The number of stages
        has no cap but the cards.
    Source: Zheng et al. 2022 (Alpa), arXiv:2201.12023, section 5 (dynamic programming over stages
        for each bound on the slowest, smallest bound first).
    Lesson: notebooks/23_parallel.ipynb
    """
    _positive(n_layers=n_layers, n_cards=n_cards, n_micro=n_micro, sizes=min(sizes, default=0))
    table = {
        (first, end, n): cost(first, end, n)
        for first in range(n_layers)
        for end in range(first + 1, n_layers + 1)
        for n in sizes
        if n <= n_cards
    }
    best = Cut((), math.inf)
    for bound in sorted({t for t in table.values() if math.isfinite(t)}):
        if n_micro * bound >= best.time:
            break
        stages = _least_sum(table, n_layers, n_cards, bound)
        if stages is not None:
            time = step_time([table[s.first, s.end, s.n_cards] for s in stages], n_micro)
            if time < best.time:
                best = Cut(stages, time)
    return best


def every_cut(n_layers: int, n_cards: int, *, sizes: Sequence[int] = (1,)) -> Iterator[list[Stage]]:
    """List every way to cut the layers into stages that use all cards.

    Args, Raises as best_stages.

    Yields:
        The stages of a cut.

    Cost: grows exponentially; for a dozen layers.
    Lesson: notebooks/23_parallel.ipynb
    """
    _positive(n_layers=n_layers, n_cards=n_cards, sizes=min(sizes, default=0))

    def rest(first: int, cards: int) -> Iterator[list[Stage]]:
        if first == n_layers and cards == 0:
            yield []
        for end in range(first + 1, n_layers + 1):
            for n in sizes:
                if n <= cards:
                    for behind in rest(end, cards - n):
                        yield [Stage(first, end, n), *behind]

    return rest(0, n_cards)


def _least_sum(
    table: dict[tuple[int, int, int], float], n_layers: int, n_cards: int, bound: float
) -> tuple[Stage, ...] | None:
    """The stages of least summed time, none slower than the bound; None if there are none."""
    least = {(n_layers, 0): 0.0}
    choice: dict[tuple[int, int], Stage] = {}
    for first in reversed(range(n_layers)):
        stages = [
            (Stage(f, e, n), t) for (f, e, n), t in table.items() if f == first and t <= bound
        ]
        for cards in range(1, n_cards + 1):
            for stage, t in stages:
                behind = least.get((stage.end, cards - stage.n_cards), math.inf)
                if t + behind < least.get((first, cards), math.inf):
                    least[first, cards] = t + behind
                    choice[first, cards] = stage
    if (0, n_cards) not in least:
        return None
    found, first, cards = [], 0, n_cards
    while first < n_layers:
        stage = choice[first, cards]
        found.append(stage)
        first, cards = stage.end, cards - stage.n_cards
    return tuple(found)


def _positive(**numbers: int) -> None:
    for name, n in numbers.items():
        if n < 1:
            raise ValueError(f"{name} must be at least 1, got {n}")
