"""From the talks of a run to examples: tasks made on the spot, or a file, its bad rows told."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from minillm.finetune.chat import prompt_ids
from minillm.finetune.roles import Message
from minillm.finetune.rows import ChatFile, read_rows
from minillm.finetune.talks import PAD, START, ChatBatches, Example, encode_talk
from minillm.finetune.tasks import Task, each_story_task
from minillm.recipes.finetuning.config import STORYWORLD, FinetuneRun, TalksConfig
from minillm.tokenizer import Tokenizer

LONGEST_ANSWER = 32
"""Tokens that a held-out task leaves for its answer."""
SHORTEST_CONTEXT = 96
"""Of storyworld: many of its tasks fit in, with room for an answer."""


@dataclass(frozen=True)
class Material:
    """What a run reads.

    Attributes:
        train, validation: examples; no talk is in both.
        held_out: tasks for a score at the end; none for a file.
        report: what was taken and what not, in one or more lines.
        start, pad: ids of <|endoftext|> and <|pad|>.
    """

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    held_out: tuple[Task, ...]
    report: str
    start: int
    pad: int

    def batches(self, run: FinetuneRun) -> ChatBatches:
        """Lay the training talks into rows, and serve them in the order of the run's seed."""
        t = run.train
        return ChatBatches(
            self.train,
            t.batch_size,
            t.context,
            start=self.start,
            pad=self.pad,
            packing=run.data.packing,
            seed=t.seed,
        )


class BadRowsError(ValueError):
    """A file holds lines that are no talks; `report` says of each why."""

    def __init__(self, found: ChatFile) -> None:
        kinds = ", ".join(f"{n:,} {reason}" for reason, n in found.counts.items())
        super().__init__(
            f"{found.path} has {len(found.bad):,} bad rows in {found.n_lines:,} lines ({kinds}); "
            "mend the lines named above, or leave them out with data.bad_rows=skip"
        )
        self.report = str(found)


def prepare_material(run: FinetuneRun, tokenizer: Tokenizer) -> Material:
    """Read or make the talks of a run.

    Args:
        run: its data, and train.context.
        tokenizer: of the base model.

    Returns:
        The material; the same for the same run on every rank.

    Raises:
        BadRowsError: if lines of the file are no talks and data.bad_rows is "refuse".
        FileNotFoundError: if there is no such file.
        ValueError: if fewer than two talks are left, or the tokenizer has no tokens for a frame.

    Cost: storyworld: about 15 s for the default on one core; a file: that of encoding it.
    Lesson: notebooks/28_instructions.ipynb
    """
    data = run.data
    held_out: tuple[Task, ...] = ()
    if data.rows == STORYWORLD:
        talks, told = _story_talks(run, tokenizer)
        held_out = _held_out(data, tokenizer, run.train.context)
    else:
        talks, told = _file_talks(run, tokenizer)
    if len(talks) < 2:
        raise ValueError(
            f"{data.rows} has {len(talks)} talks to learn from, and one must stay for validation; "
            "give at least 2"
        )
    encoded = [encode_talk(talk, tokenizer, answers=data.answers) for talk in talks]  # type: ignore[arg-type]
    order = np.random.default_rng(data.seed).permutation(len(encoded))
    n_validation = min(len(encoded) - 1, max(1, round(len(encoded) * data.validation_share)))
    parts = order[n_validation:], order[:n_validation]
    train, validation = (tuple(encoded[i] for i in part) for part in parts)
    report = f"{told}\n{len(train):,} talks to learn from, {len(validation):,} for validation"
    ids = tokenizer.special_id(START), tokenizer.special_id(PAD)
    return Material(train, validation, held_out, report, *ids)


def _story_talks(run: FinetuneRun, tokenizer: Tokenizer) -> tuple[list[Sequence[Message]], str]:
    """Tasks whose talk fits into a row; those that do not are counted."""
    context = run.train.context
    if context < SHORTEST_CONTEXT:
        raise ValueError(
            f"tasks of storyworld need train.context of at least {SHORTEST_CONTEXT}, got {context}"
        )
    talks: list[Sequence[Message]] = []
    made = (task.talk() for task in each_story_task("train", language=run.data.language))
    n_long = 0
    while len(talks) < run.data.n_rows:
        talk = next(made)
        fits = len(encode_talk(talk, tokenizer)) <= context + 1
        talks += [talk] * fits
        n_long += not fits
    told = f"storyworld: {len(talks):,} tasks made"
    return talks, told + (f", {n_long:,} too long ones passed over" if n_long else "")


def _held_out(data: TalksConfig, tokenizer: Tokenizer, context: int) -> tuple[Task, ...]:
    """Tasks of other worlds that fit into the context together with the longest answer."""
    room = context - LONGEST_ANSWER
    made = each_story_task("test", language=data.language)
    fit = (task for task in made if len(prompt_ids(task.messages, tokenizer)) < room)
    return tuple(islice(fit, data.n_held_out))


def _file_talks(run: FinetuneRun, tokenizer: Tokenizer) -> tuple[list[Sequence[Message]], str]:
    found = read_rows(run.data.rows, tokenizer, longest=run.train.context)
    if found.bad and run.data.bad_rows == "refuse":
        raise BadRowsError(found)
    return [row.messages for row in found.rows], str(found)
