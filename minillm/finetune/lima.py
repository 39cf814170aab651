"""LIMA's thousand examples: their arithmetic, and the filter of their answers.

The numbers are those of the paper's table 1 and section 2; `LISTED` is how an article adds them
up, with the 250 prompts of the authors' group A instead of the 200 that were trained on.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

TRAINING: Mapping[str, int] = {
    "Stack Exchange (STEM)": 200,
    "Stack Exchange (other)": 200,
    "wikiHow": 200,
    "r/WritingPrompts": 150,
    "Natural Instructions": 50,
    "authors, group A": 200,
}
"""Examples trained on, table 1 of the paper."""
DEVELOPMENT: Mapping[str, int] = {"authors, group A": 50}
"""Held back from group A's 250, to choose a checkpoint by hand."""
TEST: Mapping[str, int] = {"r/AskReddit": 70, "authors, group B": 230}
"""Prompts of the comparison with other models."""
LISTED: Mapping[str, int] = {**TRAINING, "authors, group A": 250}
"""Parts of the training set as article 001 lists them."""
EXCHANGES: Mapping[str, int] = {"STEM": 75, "other": 99, "left out": 5}
"""How the 179 communities of Stack Exchange were parted."""
ALPACA_EXAMPLES = 52_000
"""Examples of the data set that the compared Alpaca 65B was trained on."""

FIRST_PERSON = re.compile(r"\bI\b|\b[Mm]y\b")
OTHER_ANSWERS = re.compile(r"as mentioned|stack exchange|stackexchange", re.IGNORECASE)


@dataclass(frozen=True)
class AnswerRules:
    """Which answers of a forum are fit to be an assistant's.

    Attributes:
        least_score: votes for, less votes against, at least.
        shortest, longest: characters, both ends included.

    Source: Zhou et al. 2023, arXiv:2305.11206, section 2.1.
    """

    least_score: int = 10
    shortest: int = 1200
    longest: int = 4096

    def __post_init__(self) -> None:
        if not 0 < self.shortest <= self.longest:
            raise ValueError(
                f"need 0 < shortest <= longest, got {self.shortest} and {self.longest}"
            )


def answer_faults(answer: str, score: int, rules: AnswerRules | None = None) -> list[str]:
    """Say why an answer would not be taken; an empty list means that it would.

    Args:
        answer: its text.
        score: of the community's votes.
        rules: None means those of LIMA.

    Returns:
        Some of "score", "short", "long", "first person", "other answers", in this order.

    Source: Zhou et al. 2023, arXiv:2305.11206, section 2.1. The words that give away a reference
        to other answers are the paper's two examples; it says "etc".
    Lesson: notebooks/30_less_is_more.ipynb
    """
    rules = rules or AnswerRules()
    found = {
        "score": score < rules.least_score,
        "short": len(answer) < rules.shortest,
        "long": len(answer) > rules.longest,
        "first person": FIRST_PERSON.search(answer) is not None,
        "other answers": OTHER_ANSWERS.search(answer) is not None,
    }
    return [fault for fault, is_so in found.items() if is_so]
