"""Rejection sampling: a model answers each prompt K times, and the best answers become talks.

- Breadth is K: more answers a prompt, a better best one, and the model that draws stays the same.
- Depth is the number of rounds: who has learned the best answers draws the next ones. PPO is all
  depth: one answer a prompt, from a model that a step ago was another.
- Who may be kept: an answer that ended by itself (a model that learned from a cut answer would
  learn to stop in mid-sentence) and is not blank. What is left out is counted, never silent.

Shape letters: P prompts, K answers to each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from minillm.align.rollouts import rollout
from minillm.finetune.chat import CHATML, ChatTemplate, prompt_ids, reply_text
from minillm.finetune.talks import START
from minillm.finetune.tasks import Task
from minillm.model import Decoder
from minillm.tokenizer import Tokenizer

AT_ONCE = 64
"""Rows that the model answers at a time."""

Score = Callable[[Sequence[Task], Sequence[str]], Tensor]
"""Gives each answer a number, higher is better; `task_rewards` is one, a reward model another."""


@dataclass(frozen=True)
class Sample:
    """One answer to one prompt.

    Attributes:
        text: what was said.
        ended: whether it ended by itself, within the limit of tokens.
    """

    text: str
    ended: bool


@dataclass(frozen=True)
class Kept:
    """An answer that goes into the next fine-tuning.

    Attributes:
        task: number of its prompt.
        text: the answer.
        score: what it was kept for.
    """

    task: int
    text: str
    score: float


@dataclass(frozen=True)
class RejectionReport:
    """What became of P K answers.

    Attributes:
        n_answers: P K.
        n_unended: cut off by the limit of tokens.
        n_blank: nothing but spaces.
        n_without: prompts of which no answer was kept.
        mean: score of all answers.
        best: mean over the prompts of the best score, whether it may be kept or not.
        kept: mean score of what is kept; None if nothing is.
    """

    n_answers: int
    n_unended: int
    n_blank: int
    n_without: int
    mean: float
    best: float
    kept: float | None


def sample_answers(
    model: Decoder,
    tokenizer: Tokenizer,
    tasks: Sequence[Task],
    n_samples: int,
    *,
    max_tokens: int = 32,
    temperature: float = 1.0,
    seed: int = 0,
    at_once: int = AT_ONCE,
    first_task: int = 0,
    template: ChatTemplate = CHATML,
) -> list[list[Sample]]:
    """Let a model answer each prompt K times.

    Args:
        model: a Decoder, adapters allowed.
        tokenizer: of the model.
        tasks: P prompts.
        n_samples: K.
        max_tokens: the longest answer.
        temperature: of the draws.
        seed: of the draws. Prompt p depends on its group of at_once // K prompts, no further.
        at_once: rows in the model at a time, at least; all K answers to a prompt are among them.
        first_task: the number of the first prompt, where several processes share many: it begins a
            group, and is answered as with those before it.
        template: that the model was trained with.

    Returns:
        For each prompt its K answers.

    Raises:
        ValueError: if there is no prompt, a number is below 1, first_task begins no group, or as
            `rollout`.

    Cost: P K answers, token by token.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    if not tasks or n_samples < 1 or at_once < 1:
        raise ValueError(
            "need a task, n_samples >= 1 and at_once >= 1, got "
            f"{len(tasks)}, {n_samples} and {at_once}"
        )
    start, end = tokenizer.special_id(START), tokenizer.special_id(template.end)
    prompts = [[start, *prompt_ids(t.messages, tokenizer, template=template)] for t in tasks]
    n_at_once = tasks_at_once(n_samples, at_once)
    if first_task < 0 or first_task % n_at_once:
        raise ValueError(f"first_task={first_task} must begin a group of {n_at_once} prompts")
    found: list[list[Sample]] = []
    for first in range(0, len(prompts), n_at_once):
        some = [p for p in prompts[first : first + n_at_once] for _ in range(n_samples)]
        drawn = rollout(
            model,
            some,
            max_tokens,
            stop_ids=(end, start),
            pad_id=start,
            temperature=temperature,
            seed=seed * 1_000_003 + first_task + first,
        )
        said = [
            Sample(reply_text(ids, tokenizer), bool(ended))
            for ids, ended in zip(drawn.answers(), drawn.ended, strict=True)
        ]
        found += [said[k : k + n_samples] for k in range(0, len(said), n_samples)]
    return found


def tasks_at_once(n_samples: int, at_once: int = AT_ONCE) -> int:
    """Give the prompts of a group of `sample_answers`."""
    return max(1, at_once // n_samples)


def keep_best(
    samples: Sequence[Sequence[Sample]],
    scores: Tensor,
    *,
    keep: int = 1,
    least: float | None = None,
) -> tuple[list[Kept], RejectionReport]:
    """Keep the best answers to each prompt.

    Args:
        samples: of P prompts, K answers each.
        scores: (P, K).
        keep: at most so many a prompt, all different; the earlier one of two equal scores.
        least: keep nothing that scores less; with a checker, 1 keeps right answers only.

    Returns:
        What is kept, prompt by prompt, the best first; and the report.

    Raises:
        ValueError: if the scores are not (P, K), one is not a number (prompt and answer are named),
            keep is not in 1 to K, or there is no prompt.

    Source: Touvron et al. 2023 (LLaMA-2), arXiv:2307.09288, section 3.2.3.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    K = len(samples[0]) if samples else 0
    if not K or any(len(s) != K for s in samples) or scores.shape != (len(samples), K):
        raise ValueError(
            f"need P prompts of K answers and scores (P, K), got {len(samples)} prompts and "
            f"{tuple(scores.shape)}"
        )
    if not 1 <= keep <= K:
        raise ValueError(f"keep must lie in 1 to {K}, got {keep}")
    _check_scores(scores)
    kept: list[Kept] = []
    n_without = 0
    for p, (answers, row) in enumerate(zip(samples, scores.double().tolist(), strict=True)):
        mine: dict[str, float] = {}
        for k in sorted(range(K), key=lambda k: -row[k]):  # stable: the earlier of equals first
            fit = (
                answers[k].ended and answers[k].text.strip() and (least is None or row[k] >= least)
            )
            if fit and len(mine) < keep:
                mine.setdefault(answers[k].text, row[k])
        kept += [Kept(p, text, score) for text, score in mine.items()]
        n_without += not mine
    every = [sample for answers in samples for sample in answers]
    report = RejectionReport(
        n_answers=len(every),
        n_unended=sum(not s.ended for s in every),
        n_blank=sum(s.ended and not s.text.strip() for s in every),
        n_without=n_without,
        mean=float(scores.double().mean()),
        best=float(scores.double().amax(dim=1).mean()),
        kept=sum(k.score for k in kept) / len(kept) if kept else None,
    )
    return kept, report


def kept_talk(task: Task, text: str) -> list[dict[str, str]]:
    """Put an answer behind its prompt: a row to train on.

    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    said = [dict(message) for message in task.messages]
    return [*said, {"role": "assistant", "content": text}]


def scores_of(score: Score, tasks: Sequence[Task], samples: Sequence[Sequence[Sample]]) -> Tensor:
    """Score all answers to all prompts.

    Args:
        score: see Score.
        tasks: P.
        samples: K answers each.

    Returns:
        (P, K).

    Raises:
        ValueError: if score does not give one finite number an answer.

    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    scores = plain_scores(score, tasks, samples)
    _check_scores(scores)
    return scores


def plain_scores(
    score: Score, tasks: Sequence[Task], samples: Sequence[Sequence[Sample]]
) -> Tensor:
    """Do what scores_of does, and let numbers that are not finite pass."""
    every = [task for task, s in zip(tasks, samples, strict=True) for _ in s]
    texts = [sample.text for s in samples for sample in s]
    found = torch.as_tensor(score(every, texts)).detach().cpu()
    if found.shape != (len(texts),):
        raise ValueError(
            f"score must give ({len(texts)},), one number an answer; got {tuple(found.shape)}"
        )
    return found.reshape(len(tasks), -1)


def _check_scores(scores: Tensor) -> None:
    if not scores.isfinite().all():
        p, k = (~scores.isfinite()).nonzero()[0].tolist()
        raise ValueError(
            f"the score of answer {k} to prompt {p} is {float(scores[p, k])}; mend what scores"
        )
