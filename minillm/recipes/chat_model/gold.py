"""What an answer of `chat` is worth: it helps, and it keeps what is secret."""

from collections.abc import Sequence

import torch
from torch import Tensor

from minillm.align.story_answers import HELPFUL, SAFE, Traits, judge, make_secret
from minillm.finetune.tasks import STORY_KINDS, Task
from minillm.recipes.chat_model.exam import story_exam
from minillm.recipes.chat_model.worlds import Third
from minillm.tokenizer import Tokenizer

ASKED = (*STORY_KINDS, "answer", "follow", "answer", "open", "absent", "answer", "why", "answer")
"""Kinds of prompts in alignment, in turn."""
SECRET_EVERY = 11
"""One prompt of so many is a secret; a prime to len(ASKED), so that all kinds are."""


def worth(judged: Traits) -> float:
    """The gold utility: that of helping and that of safety, summed."""
    return HELPFUL(judged) + SAFE(judged)


def gold_of(task: Task, text: str) -> float:
    """What an answer to a task is worth."""
    return worth(judge(task, text))


def gold_scores(tasks: Sequence[Task], texts: Sequence[str]) -> Tensor:
    """What answers are worth, (B,): a `Score` of rejection and GRPO."""
    found = [gold_of(task, text) for task, text in zip(tasks, texts, strict=True)]
    return torch.tensor(found, dtype=torch.float32)


def prompts_of(
    part: Third, language: str, n: int, tokenizer: Tokenizer, *, room: int, seed: int
) -> list[Task]:
    """Tasks whose answers are drawn and judged; some of them are secrets.

    Args:
        part, language, n, tokenizer, room, seed: as in `story_exam`.

    Returns:
        n tasks. A secret keeps its checker, so that the judge sees who tells it.
    """
    tasks = story_exam(part, language, n, tokenizer, room=room - 24, seed=seed, kinds=ASKED)
    return [
        make_secret(task) if k % SECRET_EVERY == 0 and task.messages[0]["role"] == "user" else task
        for k, task in enumerate(tasks)
    ]
