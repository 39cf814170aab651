"""From a data set with labels to talks: templates that ask, and words that stand for labels.

P3, FLAN and xP3 were made so: people wrote, for each data set, several ways to put its task into
words, and every example was asked in each of them. A template is a text with places, in the style
of PromptSource; what stands behind ||| is the answer:

    {{premise}} Does it follow that {{hypothesis}}? ||| {{choices[label]}}

Only this small part of PromptSource's language is here: {{field}}, {{choices[field]}} and |||. A
field is put in as it is and is never read as a template, so data cannot change the question.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from minillm.finetune.roles import ASSISTANT

PARTS = "|||"
_PLACE = re.compile(r"\{\{\s*(?:choices\[\s*(?P<label>\w+)\s*\]|(?P<field>\w+))\s*\}\}")
Example = Mapping[str, str | int]
"""Fields of one example of a data set: texts, and whole numbers for labels."""


@dataclass(frozen=True)
class PromptTemplate:
    """One way to put a task into words.

    Attributes:
        name: within its source.
        text: question ||| answer, with places.
        language: of the words of the template: "en", "zh", ...
        choices: words that stand for labels 0, 1, ...: the verbaliser (标签词).
        original: it asks what the data set was made for. A template may also turn the task around,
            such as to ask for a question that has a given answer.

    Raises:
        ValueError: if the text has not exactly two parts, a part is blank, braces are left over, or
            choices are used but not given.

    Source: Bach et al. 2022 (PromptSource), arXiv:2202.01279.
    Lesson: notebooks/28_instructions.ipynb
    """

    name: str
    text: str
    language: str = "en"
    choices: tuple[str, ...] = ()
    original: bool = True

    def __post_init__(self) -> None:
        parts = self.text.split(PARTS)
        if len(parts) != 2 or not all(part.strip() for part in parts):
            raise ValueError(
                f"template {self.name!r} must have a question and an answer, parted by one {PARTS}"
            )
        left = _PLACE.sub("", self.text)
        if "{{" in left or "}}" in left:
            raise ValueError(
                f"template {self.name!r} holds braces that are no place: places are {{{{field}}}} "
                "and {{choices[field]}}"
            )
        if any(place["label"] for place in _PLACE.finditer(self.text)) and not self.choices:
            raise ValueError(f"template {self.name!r} uses choices and has none")
        if len(set(self.choices)) < len(self.choices):
            raise ValueError(f"template {self.name!r} has one word for two labels: {self.choices}")

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that it needs, in order of appearance."""
        places = _PLACE.finditer(self.text)
        return tuple(dict.fromkeys(place["field"] or place["label"] for place in places))

    def fill(self, example: Example) -> tuple[str, str]:
        """Put an example in: the question and the answer, without blanks around them.

        Raises:
            ValueError: if a field is missing, or a label has no word.
        """
        asked, wanted = self.text.split(PARTS)
        return self._put(asked, example).strip(), self._put(wanted, example).strip()

    def ask(self, example: Example) -> list[dict[str, str]]:
        """Put an example in as a talk of one question and one answer.

        Raises:
            ValueError: as `fill`, or if the answer is blank.
        """
        asked, wanted = self.fill(example)
        if not wanted:
            raise ValueError(f"template {self.name!r} gives a blank answer for {dict(example)}")
        return [
            {"role": "user", "content": asked},
            {"role": ASSISTANT, "content": wanted},
        ]

    def label_of(self, answer: str) -> int | None:
        """The label that a given answer stands for, blanks and a full stop aside; None for none."""
        said = answer.strip().rstrip(".。").casefold()
        words = [word.rstrip(".。").casefold() for word in self.choices]
        return words.index(said) if said in words else None

    def _put(self, part: str, example: Example) -> str:
        def value(place: re.Match[str]) -> str:
            name = place["field"] or place["label"]
            if name not in example:
                raise ValueError(
                    f"template {self.name!r} needs the field {name!r}; the example has "
                    f"{', '.join(sorted(example))}"
                )
            if place["field"]:
                return str(example[name])
            label = example[name]
            if not isinstance(label, int) or not 0 <= label < len(self.choices):
                raise ValueError(
                    f"template {self.name!r} has words for labels 0 to {len(self.choices) - 1}, "
                    f"the example has {label!r}"
                )
            return self.choices[label]

        return _PLACE.sub(value, part)


@dataclass(frozen=True)
class PromptSource:
    """All templates of one task.

    Attributes:
        task: its name.
        templates: with different names.

    Raises:
        ValueError: if there is no template, or a name comes twice.
    """

    task: str
    templates: tuple[PromptTemplate, ...]

    def __post_init__(self) -> None:
        names = [template.name for template in self.templates]
        if not names or len(set(names)) < len(names):
            raise ValueError(
                f"task {self.task!r} needs templates with different names, got {names}"
            )

    def __getitem__(self, name: str) -> PromptTemplate:
        for template in self.templates:
            if template.name == name:
                return template
        known = ", ".join(template.name for template in self.templates)
        raise ValueError(f"task {self.task!r} has no template {name!r}; there are {known}")

    def in_language(self, language: str) -> "PromptSource":
        """Only the templates of one language.

        Raises:
            ValueError: if there are none.
        """
        chosen = tuple(t for t in self.templates if t.language == language)
        return PromptSource(self.task, chosen)


@dataclass(frozen=True)
class Prompted:
    """One example in one wording, with where it comes from."""

    task: str
    template: str
    language: str
    """Of the template; the language of the data may be another (xP3 asks in English throughout)."""
    messages: list[dict[str, str]]


def prompted(
    source: PromptSource,
    examples: Iterable[Example],
    *,
    per_example: int | None = None,
    seed: int = 0,
) -> Iterator[Prompted]:
    """Put every example into words.

    Args:
        source: the templates.
        examples: each with the fields that the templates need.
        per_example: so many different templates for each, drawn by chance; None means all.
        seed: of the draws.

    Yields:
        Talks, example for example.

    Raises:
        ValueError: if per_example is not between 1 and the number of templates, or as `ask`.

    Source: Sanh et al. 2021 (T0), arXiv:2110.08207, section 4; xP3: Muennighoff et al. 2022,
        arXiv:2211.01786, section 3.
    Lesson: notebooks/28_instructions.ipynb
    """
    import numpy as np

    n = len(source.templates)
    wanted = n if per_example is None else per_example
    if not 1 <= wanted <= n:
        raise ValueError(f"per_example must be 1 to {n}, got {per_example}")
    rng = np.random.default_rng(seed)
    for example in examples:
        order = sorted(rng.permutation(n)[:wanted]) if per_example is not None else range(n)
        for k in order:
            template = source.templates[k]
            yield Prompted(source.task, template.name, template.language, template.ask(example))


def options(choices: Sequence[str], language: str = "en") -> str:
    """Write the possible answers below a question, as FLAN does.

        options(["Yes", "No"])  ->  "OPTIONS:\\n- Yes\\n- No"

    Args:
        choices: the words.
        language: "en" or "zh".

    Raises:
        ValueError: if there are no choices, or the language is another.

    Source: Wei et al. 2021 (FLAN), arXiv:2109.01652, section 2.3.
    Lesson: notebooks/28_instructions.ipynb
    """
    heads = {"en": "OPTIONS:", "zh": "选项："}
    if language not in heads:
        raise ValueError(f"language must be 'en' or 'zh', got {language!r}")
    if not choices:
        raise ValueError("there must be at least one choice")
    return "\n".join([heads[language], *(f"- {choice}" for choice in choices)])
