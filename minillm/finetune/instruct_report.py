"""Looking at a run: how the pool grew, why things were dropped, how new and how varied it is."""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from minillm.evaluate.overlap import Splitter, words_of_any_script
from minillm.finetune.instruct_journal import Record
from minillm.finetune.instruct_pool import InstructionPool


@dataclass(frozen=True)
class Growth:
    """One round of a run.

    Attributes:
        calls: lists asked for so far.
        candidates, kept: instructions read in this round, and how many of them were kept.
        size: generated instructions in the pool after it.
    """

    calls: int
    candidates: int
    kept: int
    size: int

    @property
    def rate(self) -> float:
        """Share of the candidates that were kept; 0 where there was none."""
        return self.kept / self.candidates if self.candidates else 0.0


def growth(rounds: Sequence[Record]) -> list[Growth]:
    """Read off the records of step 1 how the pool grew.

    Lesson: notebooks/29_self_instruct.ipynb
    """
    found: list[Growth] = []
    calls = size = 0
    for record in rounds:
        kept = len(record["kept"])
        calls += len(record["shown"])
        size += kept
        found.append(Growth(calls, kept + len(record["dropped"]), kept, size))
    return found


def count_reasons(rounds: Sequence[Record]) -> Counter[str]:
    """Count why instructions were dropped; keywords are taken together.

    Lesson: notebooks/29_self_instruct.ipynb
    """
    reasons = (dropped["reason"] for record in rounds for dropped in record["dropped"])
    return Counter(reason.partition(":")[0] for reason in reasons)


def count_instance_reasons(records: Sequence[Record]) -> Counter[str]:
    """Count why instances were dropped; a task of which nothing could be read counts as "none".

    Lesson: notebooks/29_self_instruct.ipynb
    """
    counts: Counter[str] = Counter()
    for record in records:
        for task in record["tasks"]:
            counts.update(task["dropped"])
            counts["none"] += not task["instances"] and not task["dropped"]
    return +counts


def novelty(
    texts: Iterable[str], seeds: Iterable[str], *, split: Splitter = words_of_any_script
) -> list[float]:
    """Largest ROUGE-L of each text with any of the seeds: 1 is a copy, 0 shares no word.

    Source: Wang et al. 2022, Self-Instruct, arXiv:2212.10560, section 3 (histogram of overlap).
    Lesson: notebooks/29_self_instruct.ipynb
    """
    pool = InstructionPool(seeds, split=split)
    return [pool.nearest(text).f1 for text in texts]


def distinct(texts: Iterable[str], n: int = 2, *, split: Splitter = words_of_any_script) -> float:
    """Share of the n-grams of words of all texts that are different: distinct-n.

    It falls as more text is read, whatever the text: compare equal amounts only.

    Returns:
        A number in 0 to 1; 0 where there is no n-gram.

    Raises:
        ValueError: if n < 1.

    Source: Li et al. 2016, A Diversity-Promoting Objective Function for Neural Conversation Models,
        arXiv:1510.03055, section 5.2.
    Lesson: notebooks/29_self_instruct.ipynb
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    grams: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        words = split(text)
        grams.update(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    return len(grams) / grams.total() if grams else 0.0


def label_entropy(labels: Iterable[Hashable]) -> float:
    """Entropy of the labels of a task, in bits: 1 is two labels equally often, 0 is one alone.

        H = - sum_l p_l log2 p_l

    Lesson: notebooks/29_self_instruct.ipynb
    """
    counts = Counter(labels)
    total = counts.total()
    entropy = -sum(c / total * math.log2(c / total) for c in counts.values())
    return max(entropy, 0.0)  # not -0.0
