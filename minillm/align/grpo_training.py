"""GRPO's loop: draw groups of answers, score them, move a little; a step on one page.

Everything that is drawn in a step follows from the seed and the number of the step, so that model,
optimizer and that number are all that a checkpoint needs: a run that goes on is the undisturbed
one, bit for bit.

Shape letters: P prompts of a step, G answers to each, B = P G rows, T positions.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from minillm.align.answer_logprobs import response_logprobs
from minillm.align.drift import check_drift
from minillm.align.experience import check_scores
from minillm.align.grpo import (
    Baseline,
    Normalizer,
    clipped_share,
    group_advantages,
    grpo_loss,
    task_rewards,
)
from minillm.align.rejection import Score
from minillm.align.rollouts import Rollouts, rollout
from minillm.align.whiten import Average
from minillm.finetune.chat import CHATML, ChatTemplate, prompt_ids, reply_text
from minillm.finetune.talks import START
from minillm.finetune.tasks import Task
from minillm.model import Decoder
from minillm.tokenizer import Tokenizer
from minillm.train import OptimizerConfig, TrainState, clip_grad_norm, make_optimizer

Save = Callable[[nn.Module, torch.optim.Optimizer, TrainState], object]


@dataclass(frozen=True)
class GRPOLossConfig:
    """What a step does with its answers; see grpo.py.

    Attributes:
        baseline, normalizer: of `group_advantages`.
        average, clip_range, clip_range_high, kl_coef: of `grpo_loss`.
    """

    baseline: Baseline = "mean"
    normalizer: Normalizer = "std"
    average: Average = "rows"
    clip_range: float = 0.2
    clip_range_high: float | None = None
    kl_coef: float = 0.04


@dataclass(frozen=True)
class GRPOConfig:
    """How a run goes.

    Attributes:
        steps: rounds of drawing and learning.
        prompts: P, drawn in a step.
        group_size: G, answers to each.
        epochs: passes over the answers of a step.
        minibatches: updates a pass; P is cut into so many parts.
        max_tokens: longest answer.
        temperature: of the draws, and of the log-probabilities that are learned from.
        clip: longest gradient that is let through.
        max_kl: nats an answer at which the run stops.
        save_every: call save every so many steps and at the end; 0 only at the end.
        seed: of everything that is drawn.
        loss: see GRPOLossConfig.
    """

    steps: int = 100
    prompts: int = 8
    group_size: int = 8
    epochs: int = 1
    minibatches: int = 1
    max_tokens: int = 32
    temperature: float = 1.0
    clip: float = 1.0
    max_kl: float = math.inf
    save_every: int = 0
    seed: int = 0
    loss: GRPOLossConfig = field(default_factory=GRPOLossConfig)

    def __post_init__(self) -> None:
        for name in ("steps", "prompts", "epochs", "minibatches", "max_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.group_size < 2:
            raise ValueError(f"group_size must be at least 2, got {self.group_size}")
        if self.prompts % self.minibatches:
            raise ValueError(
                f"minibatches={self.minibatches} must divide prompts={self.prompts}, so that each "
                "update sees whole groups, equally many"
            )


def train_grpo(
    model: Decoder,
    ref_model: nn.Module | None,
    tokenizer: Tokenizer,
    tasks: Sequence[Task],
    config: GRPOConfig,
    *,
    score: Score = task_rewards,
    optimizer: OptimizerConfig | torch.optim.Optimizer | None = None,
    state: TrainState | None = None,
    save: Save | None = None,
    log: Callable[[dict[str, float]], object] | None = None,
    template: ChatTemplate = CHATML,
) -> TrainState:
    """Train a model on scores of its own answers.

    Args:
        model: trained in place, in evaluation mode: with dropout the ratio would not start at 1.
        ref_model: the reference, frozen (`reference_of`); None if kl_coef is 0 and max_kl infinite.
        tokenizer: of the model.
        tasks: the prompts, in shuffled order, each once in an epoch.
        config: how the run goes.
        score: gives each answer a number; by default 1 if the task's checker says so.
        optimizer: settings, or a ready optimizer; its rate is constant.
        state: where an earlier session stopped, from `minillm.train.resume`.
        save: called with (model, optimizer, state); see `minillm.train.checkpointer`.
        log: called with the record of each step: score, kl, length, ended, clipped, loss, grad_norm
            and spread, the share of groups whose scores are not all equal (the others teach
            nothing).
        template: that the model was trained with.

    Returns:
        The state at the end.

    Raises:
        ValueError: if a reference is missing, or there are fewer tasks than prompts.
        RewardError: if a score is not finite, before the weights change.
        DriftError: if the policy that draws is further than max_kl from its reference.
        NotFiniteError: if a gradient is not finite, before the weights change.

    Source: Shao et al. 2024 (DeepSeekMath), arXiv:2402.03300, Algorithm 1, one iteration.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    _check(ref_model, tasks, config)
    state = state or TrainState()
    if optimizer is None or isinstance(optimizer, OptimizerConfig):
        optimizer = make_optimizer(model, optimizer or OptimizerConfig())
    model.eval()
    while state.step < config.steps:
        step = state.step
        asked = [tasks[n] for n in _chosen(len(tasks), config.prompts, config.seed, step)]
        drawn = _draw(model, tokenizer, asked, config, step, template)
        texts = [reply_text(ids, tokenizer) for ids in drawn.answers()]
        repeated = [task for task in asked for _ in range(config.group_size)]
        scores = check_scores(score(repeated, texts), drawn, step + 1)
        old, ref, kl = _read(model, ref_model, drawn, config)
        check_drift(step, kl, config.max_kl)
        found = _learn(model, optimizer, drawn, scores, old, ref, config)
        state.step, state.n_tokens = step + 1, state.n_tokens + int(drawn.mask.sum())
        state.loss = found["loss"]
        if log is not None:
            told = _told(drawn, scores, config.group_size)
            log({"step": state.step, "kl": kl, **told, **found})
        due = config.save_every and state.step % config.save_every == 0
        if save is not None and (due or state.step == config.steps):
            save(model, optimizer, state)
    return state


@torch.no_grad()
def _read(
    model: Decoder, ref_model: nn.Module | None, drawn: Rollouts, config: GRPOConfig
) -> tuple[Tensor, Tensor | None, float]:
    """Log-probabilities of who drew the answers and of the reference, and the KL between them."""
    read = partial(
        response_logprobs, ids=drawn.ids, mask=drawn.mask, temperature=config.temperature
    )
    old = read(model)  # (B, T)
    if ref_model is None:
        return old, None, 0.0
    ref = read(ref_model)
    return old, ref, float((old - ref).sum(dim=1).mean())


def _learn(
    model: Decoder,
    optimizer: torch.optim.Optimizer,
    drawn: Rollouts,
    scores: Tensor,
    old: Tensor,
    ref: Tensor | None,
    config: GRPOConfig,
) -> dict[str, float]:
    """Go over the answers of a step, some whole groups at a time."""
    how = config.loss
    advantages = group_advantages(scores, config.group_size, how.baseline, how.normalizer)
    low, high = how.clip_range, how.clip_range_high
    found: dict[str, list[float]] = {"loss": [], "grad_norm": [], "clipped": []}
    for rows in torch.arange(len(scores)).chunk(config.minibatches) * config.epochs:
        ids, mask = drawn.ids[rows], drawn.mask[rows]
        here = response_logprobs(model, ids, mask, temperature=config.temperature)
        compared = (here, old[rows], advantages[rows], mask)
        loss = grpo_loss(
            *compared,
            clip_range=low,
            clip_range_high=high,
            ref_logprobs=None if ref is None else ref[rows],
            kl_coef=how.kl_coef,
            average=how.average,
            max_tokens=config.max_tokens,
        )
        loss.backward()
        found["grad_norm"].append(clip_grad_norm(model.named_parameters(), config.clip).item())
        optimizer.step()
        optimizer.zero_grad()
        found["loss"].append(loss.item())
        found["clipped"].append(clipped_share(*compared, clip_range=low, clip_range_high=high))
    return {name: sum(x) / len(x) for name, x in found.items()}


def _draw(
    model: Decoder,
    tokenizer: Tokenizer,
    asked: Sequence[Task],
    config: GRPOConfig,
    step: int,
    template: ChatTemplate,
) -> Rollouts:
    """Draw a group of answers to each prompt."""
    start, end = tokenizer.special_id(START), tokenizer.special_id(template.end)
    prompts = [[start, *prompt_ids(t.messages, tokenizer, template=template)] for t in asked]
    return rollout(
        model,
        [p for p in prompts for _ in range(config.group_size)],
        config.max_tokens,
        stop_ids=(end, start),
        pad_id=start,
        temperature=config.temperature,
        seed=config.seed * 1_000_003 + step,
    )


def _chosen(n_tasks: int, n: int, seed: int, step: int) -> list[int]:
    """Say which tasks a step asks: a new permutation for each epoch, laid end to end."""
    found = []
    for place in range(step * n, (step + 1) * n):
        epoch, at = divmod(place, n_tasks)
        found.append(int(np.random.default_rng([seed, epoch]).permutation(n_tasks)[at]))
    return found


def _told(drawn: Rollouts, scores: Tensor, group_size: int) -> dict[str, float]:
    groups = scores.reshape(-1, group_size)
    return {
        "score": float(scores.mean()),
        "spread": float((groups != groups[:, :1]).any(dim=1).double().mean()),
        "length": float(drawn.lengths.double().mean()),
        "ended": float(drawn.ended.double().mean()),
    }


def _check(ref_model: nn.Module | None, tasks: Sequence[Task], config: GRPOConfig) -> None:
    if ref_model is None and (config.loss.kl_coef or config.max_kl < math.inf):
        raise ValueError(
            f"kl_coef={config.loss.kl_coef} and max_kl={config.max_kl} need a reference; give "
            "ref_model, or set kl_coef=0 and max_kl=inf"
        )
    if len(tasks) < config.prompts:
        raise ValueError(
            f"{len(tasks)} tasks are fewer than prompts={config.prompts}; give more, or ask fewer"
        )
