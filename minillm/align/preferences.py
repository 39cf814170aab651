"""A preference: two answers to one prompt, and which of them somebody preferred.

The rating, if there is one, says how clearly: 3 significantly better, 2 better, 1 slightly better,
0 negligibly better or unsure. A margin may stand in its place, a number that the ranking loss takes
as it is. From a pair of equal answers, or of one answer, nothing can be learned: it is refused.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minillm.finetune.roles import ASSISTANT, ChatError, Message, check_messages

RATINGS = {3: "significantly better", 2: "better", 1: "slightly better", 0: "unsure"}
"""What a rating means. Source: Touvron et al. 2023 (Llama 2), arXiv:2307.09288, section 3.2.1."""

REASONS: dict[str, str] = {
    "utf8": "the line is not UTF-8",
    "json": "the line is not JSON",
    "row": "the line is not an object",
    "prompt": "the prompt is no talk that waits for an answer",
    "missing": "a side is missing",
    "content": "a side is not text",
    "both_empty": "both answers are empty",
    "empty": "one answer is empty",
    "equal": "both answers are equal",
    "rating": "the rating is none of 0, 1, 2, 3",
    "margin": "the margin is no finite number from 0 on",
    "special": "a text holds the name of a special token",
    "long": "an answer with its prompt has too many tokens",
}
"""Reason -> what it means. A row that is bad in several ways has the first of them."""


@dataclass(frozen=True)
class Pair:
    """Two answers to one prompt, one of which was preferred.

    Attributes:
        prompt: the talk so far; the assistant is to answer.
        chosen: the answer that was preferred.
        rejected: the other.
        rating: how clearly, one of RATINGS; None if nobody said.
        margin: by how much the reward of the chosen is to be higher, if the file says that; None
            leaves it to the rating (see `ranking.margins_of`).

    Raises:
        ChatError: (a ValueError) if it is no preference; its `kind` is one of REASONS.

    Lesson: notebooks/33_reward.ipynb
    """

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    rating: int | None = None
    margin: float | None = None

    def __post_init__(self) -> None:
        check_prompt(self.prompt)
        _check_sides({"chosen": self.chosen, "rejected": self.rejected})
        if self.rating is not None and (
            isinstance(self.rating, bool) or self.rating not in tuple(RATINGS)
        ):
            known = ", ".join(f"{n} {word}" for n, word in RATINGS.items())
            raise ChatError("rating", f"rating must be one of {known}; got {self.rating!r}")
        if self.margin is not None and not _is_margin(self.margin):
            raise ChatError("margin", f"margin must be finite and at least 0, got {self.margin!r}")

    def talks(self) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
        """The whole talk with the chosen answer, and with the rejected."""
        said = [dict(message) for message in self.prompt]
        one, two = ({"role": ASSISTANT, "content": text} for text in (self.chosen, self.rejected))
        return [*said, one], [*said, two]

    def row(self) -> dict[str, Any]:
        """The object that stands on its line of a file."""
        told = {"rating": self.rating, "margin": self.margin}
        return {
            "prompt": [dict(message) for message in self.prompt],
            "chosen": self.chosen,
            "rejected": self.rejected,
            **{key: value for key, value in told.items() if value is not None},
        }


def check_prompt(prompt: Any) -> None:
    """Refuse what is no talk that waits for an answer."""
    if isinstance(prompt, str) or not isinstance(prompt, Sequence):
        raise ChatError("prompt", f"prompt must be a list of messages, got {prompt!r:.60}")
    try:
        check_messages(prompt)
    except ChatError as error:
        raise ChatError("prompt", str(error)) from None
    if prompt[-1]["role"] not in ("user", "tool"):
        last = prompt[-1]["role"]
        raise ChatError("prompt", f"the {last} speaks last: there is nothing to answer")


def _check_sides(sides: Mapping[str, Any]) -> None:
    for name, text in sides.items():
        if not isinstance(text, str):
            raise ChatError("content", f"{name} must be text, got {text!r:.60}")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise ChatError("content", f"{name} holds half a character (a surrogate)")
    empty = [name for name, text in sides.items() if not text.strip()]
    if len(empty) == 2:
        raise ChatError("both_empty", "nothing can be preferred; drop the row")
    if empty:
        raise ChatError("empty", f"{empty[0]} is blank; a model that answers nothing has no reward")
    if sides["chosen"] == sides["rejected"]:
        raise ChatError("equal", f"both are {sides['chosen']!r:.60}; nothing can be learned")


def _is_margin(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and 0 <= value <= sys.float_info.max
