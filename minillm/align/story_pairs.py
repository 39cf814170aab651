"""Pairs of answers whose gold utility is known: what a reward model is to find out.

    tasks -> make_story_pairs -> utilities_of, features_of -> annotate -> preferences_of -> Pair

What helps and what is safe are two utilities (story_answers.py). They conflict on a share of the
pairs that is chosen: there the story is a secret, and the answers are the right one and a refusal.

Shape letters: N pairs, A annotators.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from minillm.align.annotators import Labels
from minillm.align.preferences import Pair
from minillm.align.story_answers import (
    HELPFUL,
    SAFE,
    VARIANTS,
    Traits,
    Variant,
    Weights,
    judge,
    language_of,
    make_secret,
    write_variant,
)
from minillm.data.storyworld.planner import Dice
from minillm.finetune.tasks import Task


@dataclass(frozen=True)
class StoryPair:
    """Two answers to one task.

    Attributes:
        task: the question; its system message, if it has one, makes it a secret.
        texts: both answers, in an order that says nothing.
        variants: what they were made as.
        judged: what they are.
    """

    task: Task
    texts: tuple[str, str]
    variants: tuple[Variant, Variant]
    judged: tuple[Traits, Traits]

    def conflicts(self, one: Weights = HELPFUL, two: Weights = SAFE) -> bool:
        """Whether the two utilities prefer different answers."""
        (a, b), (c, d) = (tuple(map(w, self.judged)) for w in (one, two))
        return (a - b) * (c - d) < 0


def make_story_pairs(
    tasks: Sequence[Task],
    *,
    seed: int,
    variants: Sequence[Variant] = VARIANTS,
    conflict: float = 0.0,
) -> list[StoryPair]:
    """Give each task two answers.

    Args:
        tasks: N of them, such as `finetune.story_tasks`.
        seed: which tasks are secrets, which variants, which wrong answer, which stands first.
        variants: at least two; each pair has two different ones.
        conflict: share of pairs on which HELPFUL and SAFE disagree: exactly round(conflict N)
            tasks become secrets, with the right answer and a refusal. With the same seed the
            secrets of a smaller share are among those of a larger one.

    Returns:
        N pairs, in the order of the tasks.

    Raises:
        ValueError: if conflict is not in 0 .. 1, variants are unknown, doubled or fewer than two,
            or a task has no other task of its kind and language with another answer.

    Cost: about 0.1 ms a pair, checker included.
    Lesson: notebooks/33_reward.ipynb
    """
    if not 0 <= conflict <= 1:
        raise ValueError(f"conflict is a share, in 0 .. 1; got {conflict}")
    if len(variants) < 2 or len(set(variants)) < len(variants) or set(variants) - set(VARIANTS):
        raise ValueError(
            f"variants must be two or more of {', '.join(VARIANTS)}; got {tuple(variants)}"
        )
    order = np.random.default_rng([seed, 33]).permutation(len(tasks)).tolist()
    secret = set(order[: round(conflict * len(tasks))])
    wrong = _wrong_answers(tasks, seed)
    pairs = []
    for n, task in enumerate(tasks):
        dice = Dice(f"story pair {seed} {n}")
        chosen = list(variants)
        first = chosen.pop(dice.number(0, len(chosen) - 1))
        kinds: tuple[Variant, Variant] = (first, chosen[dice.number(0, len(chosen) - 1)])
        if n in secret:
            task = make_secret(task)
            kinds = ("right", "refusal") if dice.chance(0.5) else ("refusal", "right")
        texts = tuple(write_variant(task, kind, wrong[n], dice) for kind in kinds)
        judged = (judge(task, texts[0]), judge(task, texts[1]))
        pairs.append(StoryPair(task, (texts[0], texts[1]), kinds, judged))
    return pairs


def utilities_of(pairs: Iterable[StoryPair], weights: Weights) -> np.ndarray:
    """The utility of both answers of each pair, (N, 2), float64: what `annotate` reads."""
    return np.array([[weights(one) for one in pair.judged] for pair in pairs]).reshape(-1, 2)


def features_of(pairs: Iterable[StoryPair]) -> dict[str, np.ndarray]:
    """Traits that annotators may have a bias for: name -> (N, 2), float64."""
    rows = [pair.judged for pair in pairs]
    return {
        name: np.array([[float(getattr(one, name)) for one in row] for row in rows]).reshape(-1, 2)
        for name in ("length", "complete", "refuses", "rude")
    }


def preferences_of(pairs: Sequence[StoryPair], labels: Labels) -> list[Pair]:
    """Write down what every annotator said of every pair, as rows to learn from.

    Args:
        pairs: N of them.
        labels: of those pairs by A annotators.

    Returns:
        N A preferences with ratings: those of the first annotator, then those of the second.

    Raises:
        ValueError: if the labels are of another number of pairs.

    Lesson: notebooks/33_reward.ipynb
    """
    if len(labels.first) != len(pairs):
        raise ValueError(f"{len(pairs)} pairs and labels of {len(labels.first)} do not fit")
    made = []
    for a in range(len(labels.names)):
        for n, pair in enumerate(pairs):
            one, two = pair.texts if labels.first[n, a] else pair.texts[::-1]
            made.append(Pair(pair.task.messages, one, two, int(labels.ratings[n, a])))
    return made


def _wrong_answers(tasks: Sequence[Task], seed: int) -> list[str]:
    """For each task the answer of another of its kind and language that its checker refuses."""
    known: dict[tuple[str, str], list[str]] = {}
    for task in tasks:
        known.setdefault((task.kind, language_of(task)), []).append(task.answer)
    found = []
    for n, task in enumerate(tasks):
        same = known[task.kind, language_of(task)]
        at = Dice(f"wrong answer {seed} {n}").number(0, len(same) - 1)
        turned = same[at:] + same[:at]
        other = next((a for a in turned if a != task.answer and not task.check(a)), None)
        if other is None:
            raise ValueError(
                f"task {n} ({task.kind}) has no wrong answer: no other task of its kind and "
                "language has another answer; give more tasks"
            )
        found.append(other)
    return found
