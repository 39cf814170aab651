"""Wrong answers on purpose: what bad training data looks like when it is well written.

A wrong answer here is the right answer to another question of the same kind: plausible, fluent,
and false. No filter of length or spelling finds it. How many there are is exact, and what is wrong
at 20 % is wrong in the same way at 40 %, so that two shares differ in nothing but the added ones.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Corrupted:
    """Answers, some of them wrong.

    Attributes:
        answers: as many as there were.
        wrong: which of them were changed, in the same order.
    """

    answers: tuple[str, ...]
    wrong: tuple[bool, ...]

    @property
    def share(self) -> float:
        """Share of wrong answers."""
        return sum(self.wrong) / len(self.wrong)


def corrupt_answers(
    answers: Sequence[str],
    share: float,
    *,
    seed: int,
    kinds: Sequence[Hashable] | None = None,
) -> Corrupted:
    """Replace a share of the answers by answers that are right elsewhere.

    Args:
        answers: the right ones, N of them.
        share: 0 to 1; round(share N) answers are replaced.
        seed: which ones, and by what. With the same seed the wrong answers of a smaller share are
            among those of a larger one.
        kinds: kind of each question; an answer is replaced by one of the same kind only. None:
            all are of one kind.

    Returns:
        Corrupted; every replaced answer differs from the right one.

    Raises:
        ValueError: if share is not in 0 .. 1, there is no answer, the kinds do not fit, or too few
            answers have another of their kind to be exchanged for.

    Lesson: notebooks/30_less_is_more.ipynb
    """
    if not answers or not 0 <= share <= 1:
        raise ValueError(f"need answers and 0 <= share <= 1, got {len(answers)} and {share}")
    kinds = [None] * len(answers) if kinds is None else kinds
    if len(kinds) != len(answers):
        raise ValueError(f"{len(kinds)} kinds for {len(answers)} answers: give one for each")
    known: dict[Hashable, dict[str, None]] = {}
    for kind, answer in zip(kinds, answers, strict=True):
        known.setdefault(kind, {})[answer] = None  # a set that keeps its order
    dice = np.random.default_rng(seed)
    n_wrong, made = round(share * len(answers)), list(answers)
    wrong, n_made = [False] * len(answers), 0
    for i in dice.permutation(len(answers)).tolist():
        others = [a for a in known[kinds[i]] if a != answers[i]]
        draw = dice.random()  # one for each, used or not: the draws do not depend on the share
        if others and n_made < n_wrong:
            made[i], wrong[i] = others[int(draw * len(others))], True
            n_made += 1
    if n_made < n_wrong:
        raise ValueError(
            f"{n_wrong} answers should be wrong, but only {n_made} have another answer of "
            "their kind: take a smaller share or fewer kinds"
        )
    return Corrupted(tuple(made), tuple(wrong))
