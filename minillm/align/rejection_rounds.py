"""Rounds of rejection sampling and fine-tuning, in a folder; a run that was killed goes on.

    round-0.jsonl      the answers that were kept: messages, score, task, round; and the report
    round-0/           the checkpoint of the fine-tuning, see minillm/train/checkpoint.py
    round-1.jsonl ...

A round draws from the model as the round before left it. Everything in it follows from the seed
and the round, so that a run that goes on ends where the undisturbed one does, bit for bit: answers
that were written down are not drawn again, and a fine-tuning goes on at its last checkpoint.
"""

import copy
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from minillm.align.rejection import (
    Kept,
    RejectionReport,
    Sample,
    Score,
    keep_best,
    kept_talk,
    sample_answers,
    scores_of,
)
from minillm.finetune.chat import CHATML, ChatTemplate
from minillm.finetune.sft import fine_tune
from minillm.finetune.talks import PAD, START, ChatBatches, encode_talk
from minillm.finetune.tasks import Task
from minillm.model import Decoder
from minillm.tokenizer import Tokenizer
from minillm.train import OptimizerConfig, TrainConfig, checkpointer, make_optimizer, resume
from minillm.train.checkpoint import has_checkpoint

T = TypeVar("T")


@dataclass(frozen=True)
class RejectionConfig:
    """How broad and how deep.

    Attributes:
        n_samples: K, answers a prompt: the breadth.
        rounds: the depth.
        keep: answers kept a prompt and round.
        least: keep nothing that scores less; None keeps the best whatever it scores.
        max_tokens: longest answer.
        temperature: of the draws.
        seed: of draws and order.
        from_first: fine-tune the first model in every round, not the one that drew.
        all_rounds: learn from the best of all rounds so far, not of this one alone.
    """

    n_samples: int = 8
    rounds: int = 1
    keep: int = 1
    least: float | None = None
    max_tokens: int = 32
    temperature: float = 1.0
    seed: int = 0
    from_first: bool = False
    all_rounds: bool = False

    def __post_init__(self) -> None:
        for name in ("n_samples", "rounds", "keep", "max_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.keep > self.n_samples:
            raise ValueError(f"keep={self.keep} is more than n_samples={self.n_samples}")


class RoundCrew:
    """Who does the rounds: this process alone. RankRounds, in rejection_ranks.py, is that of many.

    Attributes:
        about: what run.json says of the crew.

    Lesson: notebooks/35_beyond_ppo.ipynb
    """

    about: ClassVar[dict[str, object]] = {}

    def decide(self, action: Callable[[], T]) -> T:
        """Do something that one process does for all, such as writing a file."""
        return action()

    def fit(self, config: TrainConfig) -> TrainConfig:
        """Cut the batch of a fine-tuning to the processes."""
        return config

    def draw(
        self,
        model: Decoder,
        tokenizer: Tokenizer,
        tasks: Sequence[Task],
        score: Score,
        n_samples: int,
        **how: Any,
    ) -> tuple[list[list[Sample]], Tensor]:
        """Answer each prompt, as sample_answers, and score the answers, (P, K)."""
        samples = sample_answers(model, tokenizer, tasks, n_samples, **how)
        return samples, scores_of(score, tasks, samples)

    def tune(
        self,
        model: Decoder,
        batches: ChatBatches,
        config: TrainConfig,
        folder: Path,
        optimizer: OptimizerConfig,
    ) -> bool:
        """Fine-tune a model in place, or go on; False if Ctrl-C came before the end."""
        moving = make_optimizer(model, optimizer)
        state = resume(folder, model, moving, batches) if has_checkpoint(folder) else None
        end = fine_tune(
            model,
            batches,
            config,
            optimizer=moving,
            state=state,
            save=checkpointer(folder),
            progress=False,
        )
        return end.step == config.steps


def rejection_run(
    model: Decoder,
    tokenizer: Tokenizer,
    tasks: Sequence[Task],
    score: Score,
    config: RejectionConfig,
    train_config: TrainConfig,
    folder: str | Path,
    *,
    teacher: Decoder | None = None,
    optimizer: OptimizerConfig | None = None,
    template: ChatTemplate = CHATML,
    crew: RoundCrew | None = None,
) -> list[RejectionReport]:
    """Sample, keep the best, fine-tune; and again.

    Args:
        model: the first model; it is trained in place. To go on, give the same first model.
        tokenizer: of the model.
        tasks: the prompts.
        score: what the best is chosen by.
        config: how broad and how deep.
        train_config: of the fine-tuning of each round; its seed is not read, config.seed is.
        folder: where rows and checkpoints lie. One that holds another run is refused.
        teacher: who draws the answers, if not the model: a larger one, which the model learns from
            (distillation). It stands still, so that more rounds are only more answers.
        optimizer: of the fine-tuning; a new one each round.
        template: how talks are framed.
        crew: who does it; None means this process alone.

    Returns:
        The report of each round that is done. Fewer than config.rounds after Ctrl-C.

    Raises:
        ValueError: if the folder belongs to a run of other settings, a round keeps no answer, or as
            `sample_answers`, `scores_of` and `fine_tune`.

    Source: Touvron et al. 2023 (LLaMA-2), arXiv:2307.09288, section 3.2.3; from_first: Singh et al.
        2023 (ReST-EM), arXiv:2312.06585, section 3.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    folder, crew = Path(folder), crew or RoundCrew()
    optimizer = optimizer or OptimizerConfig()
    told: dict[str, object] = {"rejection": asdict(config), "train": asdict(train_config)}
    told = {**told, "optimizer": asdict(optimizer), **crew.about}
    crew.decide(lambda: _claim(folder, tasks, told))
    first = copy.deepcopy(model.state_dict()) if config.from_first else None
    reports: list[RejectionReport] = []
    pool: list[Kept] = []
    for r in range(config.rounds):
        draws = teacher or model
        kept, report = _answers(draws, tokenizer, tasks, score, config, folder, r, template, crew)
        pool = _best_of_both(pool, kept, config.keep) if config.all_rounds else kept
        if not pool:
            raise ValueError(
                f"round {r} keeps none of {report.n_answers} answers ({report.n_unended} did not "
                f"end, {report.n_blank} were blank): draw more, allow more tokens, or lower least"
            )
        if first is not None:
            model.load_state_dict(first)
        talks = [kept_talk(tasks[k.task], k.text) for k in pool]
        torch.manual_seed(config.seed + r)  # dropout does not depend on the rounds before
        shared = crew.fit(train_config)
        batches = _batches(talks, tokenizer, shared, config.seed + r, template)
        if not crew.tune(model, batches, shared, folder / f"round-{r}", optimizer):
            return reports
        reports.append(report)
    return reports


def _answers(
    model: Decoder,
    tokenizer: Tokenizer,
    tasks: Sequence[Task],
    score: Score,
    config: RejectionConfig,
    folder: Path,
    r: int,
    template: ChatTemplate,
    crew: RoundCrew,
) -> tuple[list[Kept], RejectionReport]:
    """Draw and keep the answers of a round, or read what was written down."""
    path = folder / f"round-{r}.jsonl"
    if crew.decide(path.is_file):
        head, *lines = path.read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        kept = [Kept(row["task"], row["messages"][-1]["content"], row["score"]) for row in rows]
        return kept, RejectionReport(**json.loads(head)["report"])
    samples, scores = crew.draw(
        model,
        tokenizer,
        tasks,
        score,
        config.n_samples,
        max_tokens=config.max_tokens,
        temperature=config.temperature,
        seed=config.seed * 1009 + r,
        template=template,
    )
    kept, report = keep_best(samples, scores, keep=config.keep, least=config.least)
    lines = [json.dumps({"report": asdict(report)})]
    for k in kept:
        row = {"messages": kept_talk(tasks[k.task], k.text), "score": k.score, "task": k.task}
        lines.append(json.dumps(row, ensure_ascii=False))
    crew.decide(lambda: _write_whole(path, "\n".join(lines) + "\n"))
    return kept, report


def _batches(
    talks: Sequence[list[dict[str, str]]],
    tokenizer: Tokenizer,
    config: TrainConfig,
    seed: int,
    template: ChatTemplate,
) -> ChatBatches:
    """Serve talks, of which the last answer is learned."""
    return ChatBatches(
        [encode_talk(t, tokenizer, template=template, answers="last") for t in talks],
        config.batch_size,
        config.context,
        start=tokenizer.special_id(START),
        pad=tokenizer.special_id(PAD),
        seed=seed,
    )


def _best_of_both(pool: Sequence[Kept], new: Sequence[Kept], keep: int) -> list[Kept]:
    """The best answers to each prompt among old and new ones; of equals the older."""
    by_task: dict[int, dict[str, Kept]] = {}
    for k in [*pool, *new]:
        by_task.setdefault(k.task, {}).setdefault(k.text, k)
    best = (sorted(found.values(), key=lambda k: -k.score)[:keep] for found in by_task.values())
    return sorted((k for some in best for k in some), key=lambda k: k.task)


def _claim(folder: Path, tasks: Sequence[Task], told: dict[str, object]) -> None:
    """Write down whose folder this is, or refuse it."""
    folder.mkdir(parents=True, exist_ok=True)
    asked = repr([[dict(message) for message in task.messages] for task in tasks])
    told["tasks"] = hashlib.sha256(asked.encode("utf-8")).hexdigest()
    path, text = folder / "run.json", json.dumps(told, indent=1) + "\n"
    if path.is_file() and path.read_text(encoding="utf-8") != text:
        raise ValueError(f"{folder} holds a run of other settings; take another folder")
    if not path.is_file():
        _write_whole(path, text)


def _write_whole(path: Path, text: str) -> None:
    """Write a file so that it is whole or not there."""
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8", newline="\n")
    os.replace(new, path)
