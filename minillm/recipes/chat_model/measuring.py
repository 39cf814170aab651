"""What a model is worth in the exam, and which candidate is the best; everything as JSON.

Shares are [value, low, high] with Wilson's 95 % intervals, differences with those of pairs: the
same task answered by both.
"""

from collections.abc import Sequence
from typing import Any

from minillm.data.storyworld.instructions import PROMPTS
from minillm.data.storyworld.quiz import question_prompt
from minillm.data.storyworld.story import make_story
from minillm.evaluate.intervals import Interval, mean_interval, paired_difference
from minillm.evaluate.shares import share_interval
from minillm.evaluate.told import judge_stories
from minillm.finetune.score import TaskScores, score
from minillm.finetune.tasks import STORY_KINDS, Task
from minillm.model import Decoder
from minillm.recipes.chat_model.exam import KINDS, story_exam, tasks_of
from minillm.recipes.chat_model.gold import gold_of, prompts_of
from minillm.recipes.chat_model.settings import LANGUAGES, ChatRecipe
from minillm.recipes.chat_model.worlds import Third
from minillm.recipes.publish import answer
from minillm.tokenizer import Tokenizer

LONGEST = 48
"""Tokens of an answer in the exam, as in the terminal; a story may have STORY."""
STORY = 240
ROOM = 400
"""Tokens that a question of the exam may have."""


def told(interval: Interval) -> list[float]:
    """An interval as it stands in a file."""
    return [round(x, 4) for x in (interval.value, interval.low, interval.high)]


def examine(
    model: Decoder, tokenizer: Tokenizer, part: Third, n: int, *, kinds: Sequence[str] = KINDS
) -> dict[str, Any]:
    """Ask a model tasks of every kind, in both languages.

    Args:
        model, tokenizer: what is measured; it takes the likeliest token each time.
        part: of the worlds.
        n: tasks of each of STORY_KINDS in each language; half as many of the other kinds, and a
            quarter of "tell".
        kinds: some of KINDS.

    Returns:
        kind -> language -> n, right, ended; of STORY_KINDS the gold utility, too, and of "tell"
        how many stories contradict nothing.

    Cost: about 0.1 s a task of `small` on one core, 1 s a story.
    Lesson: notebooks/42_capstone.ipynb
    """
    found: dict[str, Any] = {}
    for kind in kinds:
        found[kind] = {}
        for language in LANGUAGES:
            many = n if kind in STORY_KINDS else max(1, n // (4 if kind == "tell" else 2))
            room = min(ROOM, model.config.context - (STORY if kind == "tell" else LONGEST))
            tasks = tasks_of(kind, part, language, many, tokenizer, room=room)
            most = STORY if kind == "tell" else LONGEST
            scores = score(model, tokenizer, tasks, max_tokens=most)
            found[kind][language] = _row(kind, language, tasks, scores)
    return found


def _row(kind: str, language: str, tasks: Sequence[Task], scores: TaskScores) -> dict[str, Any]:
    row: dict[str, Any] = {
        "n": len(tasks),
        "right": told(scores.right),
        "ended": told(scores.ended),
    }
    if kind in STORY_KINDS:
        worth = [gold_of(t, text) for t, text in zip(tasks, scores.answers, strict=True)]
        row["gold"] = told(mean_interval(worth))
    if kind == "tell":
        judged, _ = judge_stories(list(scores.answers), language)
        row["consistent"] = told(judged.consistent)
        row["grammatical"] = told(judged.grammatical)
    return row


def together(rows: dict[str, Any], kinds: Sequence[str], languages: Sequence[str]) -> list[float]:
    """The share of right answers over several rows of an exam, with its interval."""
    some = [rows[kind][language] for kind in kinds for language in languages]
    n = sum(row["n"] for row in some)
    return told(share_interval(round(sum(row["n"] * row["right"][0] for row in some)), n))


def base_in_its_own_form(
    model: Decoder, tokenizer: Tokenizer, part: Third, n: int
) -> dict[str, Any]:
    """Ask a base model the questions of "answer" in the form that it has read: see quiz.py."""
    found: dict[str, Any] = {}
    for language in LANGUAGES:
        tasks = tasks_of("answer", part, language, n, tokenizer, room=ROOM)
        right = 0
        for task in tasks:
            story = make_story(int(task.about.split()[1])).tell(language)
            question = _without(task.messages[0]["content"], story, language)
            said = answer(model, tokenizer, question_prompt(story, question, language))
            right += task.check(said)
        found[language] = {"n": n, "right": told(share_interval(right, n))}
    return found


def _without(prompt: str, story: str, language: str) -> str:
    """The question alone of a prompt of "answer"."""
    for form in PROMPTS["answer"][language]:
        before = form.split("{text}")[0]
        prompt = prompt.removeprefix(before)
    return prompt.replace(story, "").strip()


def choice_tasks(recipe: ChatRecipe, tokenizer: Tokenizer) -> list[Task]:
    """The tasks by which the best method is chosen: of validation worlds, both languages."""
    n = recipe.sizes.validation
    return [
        task
        for language in LANGUAGES
        for task in prompts_of("validation", language, n, tokenizer, room=ROOM, seed=recipe.seed)
    ]


def worths(
    model: Decoder, tokenizer: Tokenizer, tasks: Sequence[Task], *, temperature: float = 0.0
) -> list[float]:
    """What a model's answers are worth, task by task, by the gold utility."""
    said = score(model, tokenizer, tasks, max_tokens=LONGEST, temperature=temperature).answers
    return [gold_of(task, text) for task, text in zip(tasks, said, strict=True)]


def compare(found: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """Compare candidates with SFT, task by task.

    Args:
        found: name -> "greedy" and "sampled" -> worths of answers to the same tasks, the likeliest
            and those drawn at temperature 1; "sft" is among the names.

    Returns:
        n; the name of the best, by the sum of both means; and for each name and way the mean, and
        the difference to SFT.
    """
    rows: dict[str, Any] = {}
    for name, ways in found.items():
        rows[name] = {}
        for way, values in ways.items():
            rows[name][way] = {"gold": told(mean_interval(values))}
            if name != "sft":
                more = paired_difference(values, found["sft"][way])
                rows[name][way]["more than sft"] = told(more)
    best = max(rows, key=lambda name: sum(way["gold"][0] for way in rows[name].values()))
    return {"n": len(found["sft"]["greedy"]), "best": best, "rows": rows}


def sample_talks(
    model: Decoder, tokenizer: Tokenizer, part: Third, n: int = 3
) -> dict[str, list[dict[str, Any]]]:
    """The first tasks of the exam in each language, and what the model says to them.

    Returns:
        language -> asked, said, right (the known answer), accepted.
    """
    found = {}
    for language in LANGUAGES:
        tasks = story_exam(part, language, n, tokenizer, room=ROOM)
        scores = score(model, tokenizer, tasks, max_tokens=LONGEST)
        found[language] = [
            {"asked": t.messages[-1]["content"], "said": text, "right": t.answer, "accepted": good}
            for t, text, good in zip(tasks, scores.answers, scores.accepted, strict=True)
        ]
    return found
