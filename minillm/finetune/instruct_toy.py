"""A stand-in for a large model: it writes tasks of a few kinds, whose right answers are known.

A pipeline should be tried where the truth is known before it is let loose on a model. This
generator knows some skills, each a sentence with gaps and a rule that solves it. It has the
faults of the real thing, each with a rate that can be set: it repeats what it was shown with a word
changed, it writes what the filters are for, it answers wrongly, and where it may choose the input
of a classification task it mostly chooses inputs of one label.

It stands in for nothing else: what it does was put into it, and a measurement on it tells of the
pipeline, never of language models.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from minillm.finetune.instruct_generate import Answer, Request
from minillm.finetune.instruct_prompts import HEADS

Slots = Mapping[str, str]
_NOUNS = (
    *("river", "mill", "lantern", "garden", "bridge", "apple", "horse", "baker", "boat", "meadow"),
    *("ladder", "window", "candle", "orchard", "basket", "kettle", "pony", "tower", "forest"),
)
_VERBS = ("Give", "Write down", "Find", "Tell me", "Show", "Work out", "State", "Return")
_THINGS = ("line", "sentence", "title", "phrase", "verse", "note")
_TAILS = ("", " Do not explain it.", " It is for a child.", " Be brief.", " Take your time.")
_UNCLEAN = (
    "Draw a map of the village.",
    "Write a program that prints the numbers.",
    "Look here.",
    "- and the other things on the list",
    "Describe the picture in two sentences.",
)


@dataclass(frozen=True)
class Skill:
    """Something that the toy can do.

    Attributes:
        name: of the skill.
        wording: the instruction, with a gap {name} for each of the slots.
        slots: what may stand in each gap.
        make: draws an input; given the wanted label for classification, and "" otherwise.
        solve: the right output for an input.
        labels: of classification; empty otherwise.
    """

    name: str
    wording: str
    slots: Mapping[str, tuple[str, ...]]
    make: Callable[[random.Random, Slots, str], str]
    solve: Callable[[str, Slots], str]
    labels: tuple[str, ...] = ()

    @property
    def pattern(self) -> re.Pattern[str]:
        """Matches the instructions of the skill and nothing else."""
        text = re.escape(self.wording)
        for name, values in self.slots.items():
            choice = "|".join(re.escape(v) for v in sorted(values, key=len, reverse=True))
            text = text.replace(re.escape("{" + name + "}"), f"(?P<{name}>{choice})")
        return re.compile(text)


def _line(dice: random.Random, slots: Slots, label: str) -> str:
    return " ".join(dice.choice(_NOUNS) for _ in range(dice.randint(2, 5)))


def _numbers(dice: random.Random, slots: Slots, label: str) -> str:
    return ", ".join(str(dice.randint(1, 60)) for _ in range(dice.randint(3, 5)))


def _read(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _which_word(text: str, slots: Slots) -> str:
    words = text.split()
    by_length = {"longest": max(words, key=len), "shortest": min(words, key=len)}
    return {"first": words[0], "last": words[-1], **by_length}[slots["which"]]


def _parity(dice: random.Random, slots: Slots, label: str) -> str:
    return str(2 * dice.randint(1, 60) + (label == "odd"))


def _sentence(dice: random.Random, slots: Slots, label: str) -> str:
    noun, place = dice.sample(_NOUNS, 2)
    question = f"Where is the {noun}?", f"The {noun} is near the {place}."
    return question[label != "question"]


def _letters(dice: random.Random, slots: Slots, label: str) -> str:
    return dice.choice([w for w in _NOUNS if (len(w) > 6) == (label == "long")])


_COMMON = {"verb": _VERBS, "tail": _TAILS}
SKILLS = (
    Skill(
        "word",
        "{verb} the {which} word of the {thing}.{tail}",
        {**_COMMON, "which": ("first", "last", "longest", "shortest"), "thing": _THINGS},
        _line,
        _which_word,
    ),
    Skill(
        "sort",
        "{verb} the {what} numbers in {order} order.{tail}",
        {**_COMMON, "what": ("given", "following"), "order": ("rising", "falling")},
        _numbers,
        lambda x, s: ", ".join(map(str, sorted(_read(x), reverse=s["order"] == "falling"))),
    ),
    Skill(
        "parity",
        "{verb} whether the number is odd or even.{tail}",
        _COMMON,
        _parity,
        lambda x, s: "odd" if int(x) % 2 else "even",
        ("even", "odd"),
    ),
    Skill(
        "count",
        "{verb} how many {unit} there are in the {thing}.{tail}",
        {**_COMMON, "unit": ("words", "letters"), "thing": _THINGS},
        _line,
        lambda x, s: str(len(x.split()) if s["unit"] == "words" else len(x.replace(" ", ""))),
    ),
    Skill(
        "question",
        "{verb} if this {thing} asks a question or makes a statement.{tail}",
        {**_COMMON, "thing": ("sentence", "text", "line", "message")},
        _sentence,
        lambda x, s: "question" if x.endswith("?") else "statement",
        ("statement", "question"),
    ),
    Skill(
        "sum",
        "{verb} what comes out when all the numbers are {done}.{tail}",
        {**_COMMON, "done": ("added up", "added together")},
        _numbers,
        lambda x, s: str(sum(_read(x))),
    ),
    Skill(
        "length",
        "{verb} which kind of word this is: long, with more than six letters, or short.{tail}",
        _COMMON,
        _letters,
        lambda x, s: "long" if len(x) > 6 else "short",
        ("short", "long"),
    ),
    Skill(
        "backwards",
        "{verb} this {thing} with its letters from right to left.{tail}",
        {**_COMMON, "thing": ("word", "name", "term")},
        lambda dice, slots, label: dice.choice(_NOUNS),
        lambda x, s: x[::-1],
    ),
)


_PATTERNS = tuple(skill.pattern for skill in SKILLS)


def find_skill(instruction: str) -> tuple[Skill, Slots] | None:
    """Say which skill an instruction asks for, and what stands in its gaps."""
    for skill, pattern in zip(SKILLS, _PATTERNS, strict=True):
        if found := pattern.fullmatch(instruction):
            return skill, found.groupdict()
    return None


def is_right(instruction: str, given: str, output: str) -> bool | None:
    """Say whether an instance is right; None where the instruction belongs to no skill.

    Lesson: notebooks/29_self_instruct.ipynb
    """
    known = find_skill(instruction)
    if known is None:
        return None
    try:
        return known[0].solve(given, known[1]) == output
    except (ValueError, IndexError):  # not an input of this skill
        return False


@dataclass(frozen=True)
class ToyGenerator:
    """The generator; call it with requests.

    Attributes:
        copies: share of new instructions that repeat one that was shown, with a word changed.
        unclean: share that a filter should drop.
        wrong: share of the answers that are wrong.
        bias: share of inputs of the first label, where the input is written first.
        seed: of everything; the same request gets the same answer.

    Raises:
        ValueError: if a share is not in 0 to 1.

    Lesson: notebooks/29_self_instruct.ipynb
    """

    copies: float = 0.2
    unclean: float = 0.1
    wrong: float = 0.1
    bias: float = 0.9
    seed: int = 0
    skills: Sequence[Skill] = field(default=SKILLS, repr=False)

    def __post_init__(self) -> None:
        for name in ("copies", "unclean", "wrong", "bias"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in 0 to 1, got {getattr(self, name)}")

    def __call__(self, requests: Sequence[Request]) -> list[Answer]:
        """Answer each request."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Answer:
        dice = random.Random(f"{self.seed} {request.seed} {request.prompt}")
        if request.step == "instructions":
            return Answer(self._list(request.prompt, dice))
        instruction = request.prompt.rpartition("Task: ")[2].split("\n")[0]
        known = find_skill(instruction)
        if request.step == "kind":
            return Answer(" Yes" if known and known[0].labels else " No")
        if known is None:
            return Answer(f"Output: {instruction}:")
        if HEADS["output"] in request.prompt:
            return Answer(self._output_first(*known, dice))
        return Answer(self._input_first(*known, dice))

    def _list(self, prompt: str, dice: random.Random) -> str:
        shown = re.findall(r"(?m)^(?:\d+\.|Task \d+:) (.+)$", prompt)
        mark = "\nTask {}: {}" if prompt.endswith(":") else "\n{}. {}"
        first, *others = (self._instruction(shown, dice) for _ in range(7))
        number = len(shown) + 2
        lines = [mark.format(number + k, text) for k, text in enumerate(others)]
        return f" {first}{''.join(lines)}\n\n"

    def _instruction(self, shown: Sequence[str], dice: random.Random) -> str:
        chance = dice.random()
        if chance < self.unclean:
            return dice.choice(_UNCLEAN)
        if shown and chance < self.unclean + self.copies:
            words = dice.choice(shown).split()
            words[dice.randrange(1, len(words)) if len(words) > 1 else 0] = dice.choice(_NOUNS)
            return " ".join(words)
        weights = [1 / rank for rank in range(1, len(self.skills) + 1)]
        skill = dice.choices(self.skills, weights)[0]
        return skill.wording.format(**{k: dice.choice(v) for k, v in skill.slots.items()})

    def _solve(self, skill: Skill, slots: Slots, given: str, dice: random.Random) -> str:
        right = skill.solve(given, slots)
        if dice.random() >= self.wrong:
            return right
        if skill.labels:
            return dice.choice([label for label in skill.labels if label != right])
        other = skill.solve(skill.make(dice, slots, ""), slots)
        return other if other != right else other + "0"

    def _input_first(self, skill: Skill, slots: Slots, dice: random.Random) -> str:
        parts = []
        for number in range(1, dice.randint(2, 4) + 1):
            label = ""
            if skill.labels:
                common = dice.random() < self.bias
                label = skill.labels[0] if common else dice.choice(skill.labels[1:])
            given = skill.make(dice, slots, label)
            output = self._solve(skill, slots, given, dice)
            parts.append(f"Example {number}\nInput: {given}\nOutput: {output}")
        return "\n\n".join(parts)

    def _output_first(self, skill: Skill, slots: Slots, dice: random.Random) -> str:
        parts = []
        for label in dice.sample(skill.labels, len(skill.labels)):
            meant = label
            if dice.random() < self.wrong:
                meant = dice.choice([other for other in skill.labels if other != label])
            parts.append(f"Class label: {label}\n{skill.make(dice, slots, meant)}")
        return "\n".join(parts)
