"""Tasks whose answers a checker decides: what instruction tuning learns from, and is judged by.

- story_tasks: instructions about short stories of the village (storyworld): answer a question, list
  the people, name the ending, translate. Each knows which answers are right.
- doctest_tasks: what does this line of Python print? The answers are those of the libraries'
  documentation, each of them run before it is believed.

Every task belongs to one part, "train" or "test", by what it is about: its world (people, places
and things at the beginning of the story), or its library file. So no world and no file is in both,
however many tasks are drawn. What a model says is only compared, never run.
"""

import doctest
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any, Literal

from minillm.data.doctests import Doctest, run_doctest
from minillm.data.storyworld.instructions import PROMPTS, Instruction
from minillm.data.storyworld.planner import Dice
from minillm.data.storyworld.quiz import SHORT
from minillm.data.storyworld.story import Story, check_language, make_story, story_seed
from minillm.data.storyworld.world import World
from minillm.finetune.roles import Message

Part = Literal["train", "test"]
PARTS = ("train", "test")
TEST_SHARE = 0.2
"""Share of the worlds, and of the library files, whose tasks are for testing only."""
STORY_CORPUS = 28
"""Corpus of the stories; the base models read corpus 0 and were measured on corpus 1."""
STORY_KINDS = ("answer", "people", "ending", "translate")
"""Kinds of instructions whose right answers are known; "tell" has a checker as well, but its
answer is a whole story. "continue" and "summarise" have many right answers and are no tasks."""
CHECKED = (*STORY_KINDS, "tell")
ASK_PYTHON = (
    "What does Python print?\n{code}",
    "{code}\nWhat is printed?",
    "Say what this prints: {code}",
)
_COMPARE = doctest.OutputChecker()


@dataclass(frozen=True)
class Task:
    """A talk that waits for its last answer, the answer, and who says whether another is right.

    Attributes:
        messages: the talk so far; the assistant is to answer.
        answer: a right answer.
        kind: such as "people" or "doctest".
        about: what it is about, such as the seed of a story; tasks about one thing are related.
        check: says of any text whether it is a right answer.
    """

    messages: tuple[Message, ...]
    answer: str
    kind: str
    about: str
    check: Callable[[str], bool] = field(compare=False, repr=False)

    def talk(self) -> list[dict[str, str]]:
        """Give the whole talk, the right answer at its end: a row to train on."""
        said = [dict(message) for message in self.messages]
        return [*said, {"role": "assistant", "content": self.answer}]


def part_of(what: str) -> Part:
    """Say which part something belongs to: always the same one.

    Args:
        what: the text by which it is known.

    Returns:
        "test" for about TEST_SHARE of all texts, "train" for the others.
    """
    number = int.from_bytes(hashlib.sha256(what.encode("utf-8")).digest()[:8], "big")
    return "test" if number < TEST_SHARE * 2**64 else "train"


def world_name(world: World) -> str:
    """Write down a world: who lives there, and every fact at the beginning.

    Two stories that begin in the same world have the same name, whatever happens in them.
    """
    people = sorted((p.name, p.role) for p in world.people.values())
    facts = sorted((*fact, str(value)) for fact, value in world.initial.items())
    return repr((people, facts, sorted(world.adjectives.items())))


def story_tasks(
    part: Part,
    n_tasks: int,
    *,
    language: str = "en",
    kinds: Sequence[str] = STORY_KINDS,
    per_story: int = 1,
    corpus: int = STORY_CORPUS,
    longest: int | None = None,
) -> list[Task]:
    """Make tasks about short stories.

    Args:
        part: "train" or "test"; no world is in both.
        n_tasks: how many.
        language: "en" or "zh".
        kinds: of instructions, some of CHECKED.
        per_story: tasks about one story, at most. With 1 all tasks are independent, as the
            interval of `score` takes them to be.
        corpus: which stories.
        longest: characters of a story; None takes `quiz.SHORT`, with which a task fits into a
            context of 128 tokens nearly always.

    Returns:
        The tasks; task k depends on the arguments but not on n_tasks.

    Raises:
        ValueError: if an argument is out of range or unknown.

    Cost: about 10 ms a task, most of it for stories that are too long or of the other part.
    Lesson: notebooks/28_instructions.ipynb
    """
    if n_tasks < 0:
        raise ValueError(f"n_tasks must not be negative, got {n_tasks}")
    settings: dict[str, Any] = {"per_story": per_story, "corpus": corpus, "longest": longest}
    return list(islice(each_story_task(part, language=language, kinds=kinds, **settings), n_tasks))


def each_story_task(
    part: Part,
    *,
    language: str = "en",
    kinds: Sequence[str] = STORY_KINDS,
    per_story: int = 1,
    corpus: int = STORY_CORPUS,
    longest: int | None = None,
) -> Iterator[Task]:
    """Make tasks about short stories without end; arguments and errors as in story_tasks."""
    _check_part(part)
    check_language(language)
    if per_story < 1:
        raise ValueError(f"per_story must be at least 1, got {per_story}")
    if not kinds or set(kinds) - set(CHECKED):
        raise ValueError(f"kinds must be some of {', '.join(CHECKED)}; got {tuple(kinds)}")
    limit = SHORT[language] if longest is None else longest
    if limit < SHORT[language] // 2:
        raise ValueError(f"longest must be at least {SHORT[language] // 2} characters, got {limit}")
    return _made(part, language, kinds, per_story, corpus, limit)


def _made(
    part: Part, language: str, kinds: Sequence[str], per_story: int, corpus: int, limit: int
) -> Iterator[Task]:
    for index in count():
        story = make_story(story_seed(corpus, index))
        if story.attributes["length"] != "short" or part_of(world_name(story.world)) != part:
            continue
        if len(story.tell(language)) > limit:
            continue
        yield from _tasks_about(story, language, kinds, per_story)


def _tasks_about(
    story: Story, language: str, kinds: Sequence[str], per_story: int
) -> Iterator[Task]:
    """Draw instructions of a story: first a kind, then one of that kind."""
    left: dict[str, list[Instruction]] = {kind: [] for kind in PROMPTS if kind in kinds}
    for instruction in story.instructions(language):
        known = left.get(instruction.kind, [])
        if instruction.kind in left and all(instruction.prompt != i.prompt for i in known):
            known.append(instruction)
    dice = Dice(f"tasks {language} {story.seed}")
    for _ in range(per_story):
        kind = dice.pick(sorted(kind for kind, known in left.items() if known) or [""])
        if not kind:
            return
        chosen = left[kind].pop(dice.number(0, len(left[kind]) - 1))
        messages = ({"role": "user", "content": chosen.prompt},)
        about = f"story {story.seed}"
        yield Task(messages, chosen.response, chosen.kind, about, chosen.accepts)


def doctest_tasks(
    part: Part,
    questions: Iterable[Doctest],
    n_tasks: int,
    *,
    longest: int = 120,
    verify: bool = True,
) -> list[Task]:
    """Make tasks from examples in the documentation of libraries: what does this print?

    Taken are examples that need no line before them and whose answer is one short line without an
    ellipsis. The order is shuffled by content, so that the first tasks come from many libraries.

    Args:
        part: "train" or "test"; no file is in both.
        questions: from `data.doctests.load_doctests`.
        n_tasks: at most so many; fewer if there are no more.
        longest: characters of the code, and of the answer.
        verify: run each example first, and leave out those whose answer is not what is printed
            here. The code runs in this process, with its full rights: see `run_doctest`.

    Returns:
        The tasks.

    Raises:
        ValueError: if the part is unknown, or n_tasks or longest is out of range.

    Cost: that of the examples, where they are run.
    Lesson: notebooks/28_instructions.ipynb
    """
    _check_part(part)
    if n_tasks < 0 or longest < 1:
        raise ValueError(f"need n_tasks >= 0 and longest >= 1, got {n_tasks} and {longest}")
    fit = [q for q in questions if part_of(q.origin.partition("::")[0]) == part and _plain(q)]
    short = {(q.source, q.want): q for q in fit if max(len(q.source), len(q.want)) <= longest}
    chosen = sorted(short.values(), key=lambda q: hashlib.sha256(q.source.encode()).digest())
    right = (q for q in chosen if not verify or run_doctest(q, context=False)[0])
    return [_doctest_task(q) for q in islice(right, n_tasks)]


def _plain(question: Doctest) -> bool:
    """Whether an example stands alone and has one answer, of one line."""
    want = question.want.rstrip("\n")
    return not (question.before or not want.strip() or "\n" in want or "..." in want)


def _doctest_task(question: Doctest) -> Task:
    want = question.want.strip()
    code = str(question).rsplit("\n", 1)[0]
    ask = Dice(f"doctest {question.source}").pick(ASK_PYTHON).format(code=code)

    def check(text: str) -> bool:
        flags = doctest.NORMALIZE_WHITESPACE | doctest.DONT_ACCEPT_TRUE_FOR_1
        return _COMPARE.check_output(want + "\n", text.strip() + "\n", flags)

    about = question.origin.partition("::")[0]
    return Task(({"role": "user", "content": ask},), want, "doctest", about, check)


def _check_part(part: str) -> None:
    if part not in PARTS:
        raise ValueError(f"part must be 'train' or 'test', got {part!r}")
