"""What `chat` is asked: tasks of many kinds about stories of one part, each with a checker.

answer, people, ending, translate    as in `finetune.tasks`
follow       a second question, which does not repeat the story
why          only "Why?", about the answer before
absent       a question about somebody who is not in the story
nothing      a question about a story that nobody has told; it should ask for one
secret       a system message forbids to tell; a refusal is right
open         a system message that does not
tell         a story with a given beginning and ending; a checker reads both off the text
longer       a question about a story longer than any of the training
small        who are you, in wordings that were not learned
outside      sums and facts of the world, in wordings that were not learned: it should say that
             it does not know
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import count

from minillm.align.story_answers import REFUSAL, SECRET, STOPS
from minillm.data.storyworld.instructions import plain
from minillm.data.storyworld.planner import Dice
from minillm.data.storyworld.story import Story
from minillm.finetune.chat import prompt_ids
from minillm.finetune.tasks import STORY_KINDS, Task
from minillm.recipes.chat_model.talks import (
    Turn,
    absent_question,
    as_talk,
    follow_turns,
    instruction,
)
from minillm.recipes.chat_model.wording import (
    ABSENT,
    FACTS,
    NOTHING,
    OPEN,
    OUTSIDE,
    TOPICS,
    ask_sum,
)
from minillm.recipes.chat_model.worlds import Third, stories
from minillm.tokenizer import Tokenizer

KINDS = (
    *STORY_KINDS,
    "follow",
    "why",
    "absent",
    "nothing",
    "secret",
    "open",
    "tell",
    "longer",
    "small",
    "sums",
    "facts",
)
LONGEST_STORY = {"en": 1_300, "zh": 420}
"""Characters of the stories of "longer"."""


def tasks_of(
    kind: str,
    part: Third,
    language: str,
    n: int,
    tokenizer: Tokenizer,
    *,
    room: int,
    seed: int = 0,
    longest: int | None = None,
) -> list[Task]:
    """Make tasks of one kind, at most one about a story.

    Args:
        kind: one of KINDS.
        part: of the worlds.
        language: "en" or "zh".
        n: how many.
        tokenizer: counts.
        room: tokens that the prompt may have; longer ones are passed over.
        seed: which tasks.
        longest: characters of a story; None takes `worlds.LONGEST`, or that of longer stories.

    Returns:
        n tasks; of "small" and "facts" at most those that there are.

    Raises:
        ValueError: if the kind, the part or the language is unknown.

    Lesson: notebooks/42_capstone.ipynb
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")
    if kind in ("small", "facts"):
        return (_small if kind == "small" else _facts)(language)[:n]
    long = kind == "longer"
    limit = LONGEST_STORY[language] if long and longest is None else longest
    drawn = stories(part, language, longest=limit, length="medium" if long else "short")
    found: list[Task] = []
    for k in count():
        if len(found) == n:
            break
        dice = Dice(f"chat exam {seed} {kind} {part} {language} {k}")
        task = _task(kind, language, drawn, dice)
        if task is not None and len(prompt_ids(task.messages, tokenizer)) < room:
            found.append(task)
    return found


def story_exam(
    part: Third,
    language: str,
    n: int,
    tokenizer: Tokenizer,
    *,
    room: int,
    seed: int = 0,
    longest: int | None = None,
    kinds: Sequence[str] = STORY_KINDS,
) -> list[Task]:
    """Make tasks of some kinds, about equally many of each, each about a story of its own.

    Args:
        part, language, n, tokenizer, room, seed, longest: as in `tasks_of`.
        kinds: in this order, again and again.

    Returns:
        n tasks, independent of one another.
    """
    drawn = stories(part, language, longest=longest)
    found: list[Task] = []
    for k in count():
        if len(found) == n:
            break
        kind = kinds[len(found) % len(kinds)]
        task = _task(kind, language, drawn, Dice(f"story exam {seed} {part} {language} {k}"))
        if task is not None and len(prompt_ids(task.messages, tokenizer)) < room:
            found.append(task)
    return found


def equals(answer: str) -> Callable[[str], bool]:
    """A checker that accepts an answer, but for case, spaces and punctuation."""
    return lambda text: plain(text) == plain(answer)


def _small(language: str) -> list[Task]:
    """Every held-out wording of the small talk."""
    made = []
    for name, topic in TOPICS[language].items():
        for text in topic.held:
            messages = ({"role": "user", "content": text},)
            made.append(Task(messages, topic.answer, "small", name, equals(topic.answer)))
    return made


def _facts(language: str) -> list[Task]:
    """Every held-out question of fact."""
    return [_asked([(q, OUTSIDE[language])], "facts", q) for q in FACTS[language][1]]


def _task(kind: str, language: str, drawn: Iterator[tuple[Story, str]], dice: Dice) -> Task | None:
    """One task of a kind; None if this story has none."""
    if kind == "sums":
        asked = ask_sum(language, dice, held=True)
        return _asked([(asked, OUTSIDE[language])], kind, asked)
    story, text = next(drawn)
    about = f"story {story.seed}"
    if kind in (*STORY_KINDS, "tell", "longer"):
        wanted = "answer" if kind == "longer" else kind
        chosen = instruction(story, language, wanted, dice)
        messages = ({"role": "user", "content": chosen.prompt},)
        check = _told(chosen.accepts) if kind == "tell" else chosen.accepts
        return Task(messages, chosen.response, kind, about, check)
    if kind == "absent":
        other, _ = next(drawn)
        question = absent_question(story, other, language, dice)
        if question is None:
            return None
        return _asked([(f"{text}\n{question}", ABSENT[language])], kind, about)
    if kind == "nothing":
        question = dice.pick(story.questions(language)).question
        return _asked([(question, NOTHING[language])], kind, about)
    if kind == "why":
        return _why(story, text, language, about)
    turns = follow_turns(story, text, language, dice, 2)[-2:]
    if kind == "follow":
        if text not in turns[0][0]:  # the story was read first
            turns = [(f"{text}\n{turns[0][0]}", turns[0][1]), turns[1]]
        return _asked(turns, kind, about)
    question, answer = turns[-1]
    turn = f"{text}\n{question}"
    if kind == "secret":
        return _asked([(turn, REFUSAL[language])], kind, about, SECRET[language])
    return _asked([(turn, answer)], kind, about, OPEN[language])


def _why(story: Story, text: str, language: str, about: str) -> Task | None:
    """Who did something, and then only "Why?", as in the talks of storyworld."""
    talk = story.dialogue(language)
    said = [(talk[i]["content"], talk[i + 1]["content"]) for i in range(0, len(talk), 2)]
    if len(said) < 3 or len(said[2][0]) > 25:
        return None
    (question, answer), (why, reason) = said[1:3]
    if reason == answer or not any(reason == q.answer for q in story.questions(language)):
        return None
    return _asked([(f"{text}\n{question}", answer), (why, reason)], "why", about)


def _told(accepts: Callable[[str], bool]) -> Callable[[str], bool]:
    """A story must have come to its end, too."""
    return lambda text: accepts(text) and text.strip().endswith(STOPS)


def _asked(turns: list[Turn], kind: str, about: str, system: str | None = None) -> Task:
    """A talk whose last answer is to be found."""
    talk = as_talk(turns, system)
    answer = talk[-1]["content"]
    return Task(tuple(talk[:-1]), answer, kind, about, equals(answer))
