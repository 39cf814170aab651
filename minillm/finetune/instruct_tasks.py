"""Tasks: an instruction, perhaps an input, and the output; and the 175 that people wrote first.

An *instruction* (指令) says what is to be done, an *instance* (实例) shows it done once: an input
and the output that is right for it. Many tasks need no input.

The seed tasks of the course are our own (data/instructions/seed_tasks.jsonl): as many as in the
Self-Instruct paper and split like its released file, 149 of generation and 26 of classification,
one instance each; but about the village of storyworld, words, numbers and code, and 34 of them in
Chinese. Those whose answer can be computed are computed again in a test.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import minillm

SEED_TASKS = Path(minillm.__file__).parents[1] / "data" / "instructions" / "seed_tasks.jsonl"
LANGUAGES = ("en", "zh")


@dataclass(frozen=True)
class InstructTask:
    """One instruction with one instance.

    Attributes:
        id: a name, unique in its file.
        instruction: what is to be done.
        input: what it is to be done with; "" where nothing is needed.
        output: what a good answer says.
        is_classification: whether the output is one of a few labels.
        language: "en" or "zh", of the instruction.

    Raises:
        ValueError: if the instruction or the output is empty, or the language is unknown.

    Source: Wang et al. 2022, Self-Instruct, arXiv:2212.10560, section 2.1.
    Lesson: notebooks/29_self_instruct.ipynb
    """

    id: str
    instruction: str
    input: str
    output: str
    is_classification: bool
    language: str = "en"

    def __post_init__(self) -> None:
        if not self.instruction.strip() or not self.output.strip():
            raise ValueError(f"task {self.id!r} needs an instruction and an output")
        if self.language not in LANGUAGES:
            raise ValueError(f"task {self.id!r}: the language must be en or zh: {self.language!r}")

    @property
    def request(self) -> str:
        """What a user writes: the instruction and, below an empty line, the input."""
        return f"{self.instruction}\n\n{self.input}" if self.input else self.instruction


def language_of(text: str) -> str:
    """Say "zh" of a text with more Han characters than other letters, and "en" of any other."""
    han = sum("\u4e00" <= character <= "\u9fff" for character in text)
    return "zh" if 2 * han > sum(character.isalpha() for character in text) else "en"


def read_tasks(path: str | Path) -> list[InstructTask]:
    """Read tasks from a file with one JSON object a line.

    Raises:
        ValueError: if there is no file, a line is not such an object, or an id comes twice; the
            message names the line.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file of tasks at {path}; check its name")
    tasks: dict[str, InstructTask] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            task = InstructTask(**json.loads(line))
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{path.name}, line {number}: not a task ({error})") from None
        if task.id in tasks:
            raise ValueError(f"{path.name}, line {number}: the id {task.id!r} comes twice")
        tasks[task.id] = task
    return list(tasks.values())


def write_tasks(path: str | Path, tasks: Iterable[InstructTask]) -> None:
    """Write tasks as read_tasks reads them."""
    lines = (json.dumps(asdict(task), ensure_ascii=False) + "\n" for task in tasks)
    Path(path).write_text("".join(lines), encoding="utf-8", newline="\n")


def seed_tasks(language: str | None = None) -> list[InstructTask]:
    """Return the 175 tasks that the project wrote, or those in one language.

    Raises:
        ValueError: if the language is neither None, "en" nor "zh".

    Lesson: notebooks/29_self_instruct.ipynb
    """
    if language not in (None, *LANGUAGES):
        raise ValueError(f"the language must be en, zh or None, got {language!r}")
    return [t for t in read_tasks(SEED_TASKS) if language in (None, t.language)]


def chat_rows(tasks: Iterable[InstructTask]) -> list[dict[str, list[dict[str, str]]]]:
    """Turn tasks into rows of messages, the form in which a model is tuned (lesson 28).

    Returns:
        {"messages": [user, assistant]} for each task.

    Lesson: notebooks/29_self_instruct.ipynb
    """
    return [
        {
            "messages": [
                {"role": "user", "content": task.request},
                {"role": "assistant", "content": task.output},
            ]
        }
        for task in tasks
    ]
