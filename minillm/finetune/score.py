"""How many tasks a model solves, with the interval that so many tasks allow."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from minillm.evaluate import Interval
from minillm.evaluate.shares import share_interval
from minillm.finetune.chat import CHATML, ChatTemplate, prompt_ids, reply_text
from minillm.finetune.talks import START
from minillm.finetune.tasks import Task
from minillm.inference import generate
from minillm.model import Decoder
from minillm.tokenizer import Tokenizer

AT_ONCE = 32


@dataclass(frozen=True)
class TaskScores:
    """What a model's answers are worth.

    Attributes:
        right: share of the tasks whose answer the checker accepts.
        ended: share of the answers that ended by themselves, within the limit of tokens.
        by_kind: `right` of each kind of task.
        answers: what the model said, in the order of the tasks.
        accepted: whether each was right.
    """

    right: Interval
    ended: Interval
    by_kind: Mapping[str, Interval]
    answers: tuple[str, ...]
    accepted: tuple[bool, ...]

    def __str__(self) -> str:
        kinds = "; ".join(f"{kind} {share.value:.0%}" for kind, share in self.by_kind.items())
        return f"right {self.right}; ended {self.ended.value:.0%}; {kinds}"


def score(
    model: Decoder,
    tokenizer: Tokenizer,
    tasks: Sequence[Task],
    *,
    max_tokens: int = 32,
    temperature: float = 0.0,
    seed: int = 0,
    template: ChatTemplate = CHATML,
) -> TaskScores:
    """Let a model answer tasks, and count the right answers.

    Args:
        model: a Decoder, with adapters or without; it is put into evaluation mode while it answers.
        tokenizer: of the model.
        tasks: at least one.
        max_tokens: the longest answer. One that has not ended then is judged as it stands.
        temperature, seed: of the sampling; temperature 0 takes the likeliest token each time.
        template: that the model was trained with.

    Returns:
        The shares with 95 % intervals (Wilson's), which take the tasks to be independent: see
        per_story of `story_tasks`.

    Raises:
        ValueError: if there is no task, max_tokens < 1, or a task leaves less than max_tokens
            tokens of the context for its answer.

    Cost: prompts of one length are read together; a token of each costs one position.
    Lesson: notebooks/28_instructions.ipynb
    """
    if not tasks or max_tokens < 1:
        raise ValueError(f"need a task and max_tokens >= 1, got {len(tasks)} and {max_tokens}")
    start = tokenizer.special_id(START)
    by_length: dict[int, list[int]] = defaultdict(list)
    prompts = []
    for n, task in enumerate(tasks):
        ids = [start, *prompt_ids(task.messages, tokenizer, template=template)]
        if len(ids) + max_tokens > model.config.context:
            raise ValueError(
                f"task {n} has {len(ids)} tokens, which leaves less than max_tokens={max_tokens} "
                f"of the context of {model.config.context}; leave it out, or ask for fewer"
            )
        prompts.append(ids)
        by_length[len(ids)].append(n)
    stops = (tokenizer.special_id(template.end), start)
    said: dict[int, list[int]] = {}
    was_training = model.training
    model.eval()
    try:
        for same in by_length.values():
            for first in range(0, len(same), AT_ONCE):
                some = same[first : first + AT_ONCE]
                settings = {"temperature": temperature, "seed": seed * 1_000_003 + some[0]}
                rows = torch.tensor([prompts[n] for n in some], device=_device(model))
                with torch.no_grad():
                    out = generate(model, rows, max_tokens, stop_ids=stops, **settings)  # type: ignore[arg-type]
                new = out[:, rows.shape[1] :].tolist()
                said.update(zip(some, new, strict=True))
    finally:
        model.train(was_training)
    return _judge(tasks, [said[n] for n in range(len(tasks))], tokenizer, stops)


def _judge(
    tasks: Sequence[Task], said: Sequence[list[int]], tokenizer: Tokenizer, stops: Sequence[int]
) -> TaskScores:
    """Count the answers that are right, and those that ended."""
    answers = tuple(reply_text(ids, tokenizer) for ids in said)
    accepted = tuple(task.check(text) for task, text in zip(tasks, answers, strict=True))
    n_ended = sum(any(i in stops for i in ids) for ids in said)
    kinds: dict[str, list[bool]] = defaultdict(list)
    for task, good in zip(tasks, accepted, strict=True):
        kinds[task.kind].append(good)
    return TaskScores(
        right=share_interval(sum(accepted), len(tasks)),
        ended=share_interval(n_ended, len(tasks)),
        by_kind={kind: share_interval(sum(g), len(g)) for kind, g in sorted(kinds.items())},
        answers=answers,
        accepted=accepted,
    )


def _device(model: Decoder) -> torch.device:
    return next(model.parameters()).device
