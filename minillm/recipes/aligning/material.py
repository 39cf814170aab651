"""From the rows of a run to pairs or prompts: made on the spot, or a file, its bad rows told."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from minillm.align.annotators import Annotator, annotate
from minillm.align.pair_files import PairFile, read_pairs
from minillm.align.preferences import Pair
from minillm.align.story_answers import HELPFUL
from minillm.align.story_pairs import make_story_pairs, preferences_of, utilities_of
from minillm.finetune.chat import prompt_ids
from minillm.finetune.rows import ChatFile, Row, read_rows
from minillm.finetune.talks import START, encode_talk
from minillm.finetune.tasks import Task, each_story_task
from minillm.recipes.aligning.config import ON_PAIRS, STORYWORLD, AlignRun
from minillm.tokenizer import Tokenizer

SHORTEST_CONTEXT = 128
"""Of storyworld: many of its tasks fit in, with room for any of the answers."""


@dataclass(frozen=True)
class Material:
    """What a run reads.

    Attributes:
        train, validation: pairs; no line is in both. Empty for ppo and rejection.
        prompts: tasks whose answers are drawn. Empty for reward and dpo.
        held_out: tasks for a score at the end; none for a file, and none for reward.
        report: what was taken and what not, in one or more lines.
    """

    train: tuple[Pair, ...]
    validation: tuple[Pair, ...]
    prompts: tuple[Task, ...]
    held_out: tuple[Task, ...]
    report: str


class BadRowsError(ValueError):
    """A file holds lines that are no rows; `report` says of each why."""

    def __init__(self, found: PairFile | ChatFile) -> None:
        kinds = ", ".join(f"{n:,} {reason}" for reason, n in found.counts.items())
        super().__init__(
            f"{found.path} has {len(found.bad):,} bad rows in {found.n_lines:,} lines ({kinds}); "
            "mend the lines named above, or leave them out with data.bad_rows=skip"
        )
        self.report = str(found)


def prepare_material(run: AlignRun, tokenizer: Tokenizer) -> Material:
    """Read or make the rows of a run.

    Args:
        run: its method, its data, and train.context.
        tokenizer: of the base model.

    Returns:
        The material; the same for the same run on every rank.

    Raises:
        BadRowsError: if lines of the file are no rows and data.bad_rows is "refuse".
        FileNotFoundError: if there is no such file.
        ValueError: if too few rows are left, or train.context is too short for storyworld.

    Lesson: notebooks/33_reward.ipynb
    """
    from_story = run.data.rows == STORYWORLD
    if from_story and run.train.context < SHORTEST_CONTEXT:
        raise ValueError(
            f"tasks of storyworld need train.context of at least {SHORTEST_CONTEXT}, got "
            f"{run.train.context}"
        )
    held_out: tuple[Task, ...] = ()
    if from_story and run.method != "reward":
        some = _fitting_tasks(run, tokenizer, "test", run.longest_answer)
        held_out = tuple(islice(some, run.data.n_held_out))
    if run.method not in ON_PAIRS:
        prompts, told = (_story_prompts if from_story else _file_prompts)(run, tokenizer)
        if not prompts:
            raise ValueError(f"{run.data.rows} holds no prompt to answer; give at least one talk")
        return Material((), (), prompts, held_out, f"{told}\n{len(prompts):,} prompts to answer")
    pairs, told = (_story_pairs if from_story else _file_pairs)(run, tokenizer)
    if len(pairs) < 2:
        raise ValueError(
            f"{run.data.rows} has {len(pairs)} pairs to learn from, and one must stay for "
            "validation; give at least 2"
        )
    order = np.random.default_rng(run.data.seed).permutation(len(pairs))
    n_validation = min(len(pairs) - 1, max(1, round(len(pairs) * run.data.validation_share)))
    parts = order[n_validation:], order[:n_validation]
    train, validation = (tuple(pairs[i] for i in part) for part in parts)
    report = f"{told}\n{len(train):,} pairs to learn from, {len(validation):,} for validation"
    return Material(train, validation, (), held_out, report)


def task_prompt(task: Task, tokenizer: Tokenizer) -> list[int]:
    """The ids that a model reads before it answers a task."""
    return [tokenizer.special_id(START), *prompt_ids(task.messages, tokenizer)]


def _fitting_tasks(run: AlignRun, tokenizer: Tokenizer, part: str, room: int) -> Iterator[Task]:
    """Tasks whose prompt leaves room for an answer in the context, without end."""
    made = each_story_task(part, language=run.data.language)  # type: ignore[arg-type]
    return (t for t in made if len(task_prompt(t, tokenizer)) + room <= run.train.context)


def _story_pairs(run: AlignRun, tokenizer: Tokenizer) -> tuple[list[Pair], str]:
    """Pairs of answers, and what an annotator says of them; too long ones are counted."""
    data = run.data
    tasks = list(islice(_fitting_tasks(run, tokenizer, "train", 32), 2 * data.n_rows))
    made = make_story_pairs(tasks, seed=data.seed)
    annotators = [Annotator("annotator", noise=data.noise)]
    labels = annotate(utilities_of(made, HELPFUL), annotators, seed=data.seed)
    pairs: list[Pair] = []
    n_long = 0
    for pair in preferences_of(made, labels):
        if len(pairs) == data.n_rows:
            break
        fits = all(len(encode_talk(t, tokenizer)) < run.train.context for t in pair.talks())
        pairs += [pair] * fits
        n_long += not fits
    told = f"storyworld: {len(pairs):,} pairs made"
    return pairs, told + (f", {n_long:,} too long ones passed over" if n_long else "")


def _file_pairs(run: AlignRun, tokenizer: Tokenizer) -> tuple[list[Pair], str]:
    found = read_pairs(run.data.rows, tokenizer, longest=run.train.context - 1)
    _refuse_bad(found, run)
    return found.pairs, str(found)


def _story_prompts(run: AlignRun, tokenizer: Tokenizer) -> tuple[tuple[Task, ...], str]:
    made = _fitting_tasks(run, tokenizer, "train", run.longest_answer)
    tasks = tuple(islice(made, run.data.n_rows))
    return tasks, f"storyworld: {len(tasks):,} tasks made"


def _file_prompts(run: AlignRun, tokenizer: Tokenizer) -> tuple[tuple[Task, ...], str]:
    """The talks of a file up to their last answer; prompts that leave no room are counted."""
    found = read_rows(run.data.rows, tokenizer)
    _refuse_bad(found, run)
    tasks = [_task_of(row) for row in found.rows]
    room = run.train.context - run.longest_answer
    fit = tuple(task for task in tasks if len(task_prompt(task, tokenizer)) <= room)
    n_long = len(tasks) - len(fit)
    more = f"\n{n_long:,} prompts leave no room for an answer and are passed over" if n_long else ""
    return fit, str(found) + more


def _task_of(row: Row) -> Task:
    """A talk as a task whose checker wants the very answer that stands in the file."""
    last = max(n for n, m in enumerate(row.messages) if m["role"] == "assistant")
    answer = row.messages[last]["content"]
    return Task(tuple(row.messages[:last]), answer, "talk", f"line {row.line}", _equals(answer))


def _equals(answer: str) -> Callable[[str], bool]:
    return lambda text: text.strip() == answer.strip()


def _refuse_bad(found: PairFile | ChatFile, run: AlignRun) -> None:
    if found.bad and run.data.bad_rows == "refuse":
        raise BadRowsError(found)
