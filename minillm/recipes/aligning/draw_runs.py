"""Runs that learn from their own answers, ppo and rejection, on one process."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from minillm.align.experience import RewardFunction
from minillm.align.ppo import ppo, resume_ppo
from minillm.align.ppo_settings import PPOConfig
from minillm.align.rejection_rounds import RoundCrew, rejection_run
from minillm.align.reward import RewardModel
from minillm.align.value import ActorCritic
from minillm.finetune.chat import CHATML
from minillm.finetune.talks import PAD, START
from minillm.model import Decoder
from minillm.recipes.aligning.config import STORYWORLD, AlignRun
from minillm.recipes.aligning.material import Material, task_prompt
from minillm.recipes.aligning.scorers import gold_scores, make_reward, make_score, on_rollouts
from minillm.recipes.finetuning.opening import Base
from minillm.tokenizer import Tokenizer
from minillm.train import MetricsFile, TrainState, checkpointer, make_optimizer

ROUNDS = "rounds"
"""Folder of rejection's rounds, in that of the run."""


Critic = TypeVar("Critic", bound=ActorCritic)


@dataclass(frozen=True)
class PPOParts:
    """What a run of ppo reads, on one process or on many.

    Attributes:
        config: what `align.ppo` is told.
        prompts: ids of each.
        reward: scores the answers.
        measures: other scores, by name: of storyworld the gold utility, if it is not the reward.
    """

    config: PPOConfig
    prompts: list[list[int]]
    reward: RewardFunction
    measures: Mapping[str, RewardFunction]


def ppo_parts(
    run: AlignRun, tokenizer: Tokenizer, scorer: RewardModel | None, material: Material
) -> PPOParts:
    """Make what ppo reads besides models."""
    start, pad, end = (tokenizer.special_id(name) for name in (START, PAD, CHATML.end))
    measures = {}
    if run.data.rows == STORYWORLD and run.reward != "gold":
        measures["gold"] = on_rollouts(gold_scores, tokenizer, material.prompts)
    return PPOParts(
        run.ppo.whole(run.train, pad_id=pad, stop_ids=(end, start)),
        [task_prompt(task, tokenizer) for task in material.prompts],
        make_reward(run, tokenizer, scorer, material.prompts),
        measures,
    )


def actor_critic(run: AlignRun, base: Base, kind: type[Critic]) -> tuple[Critic, Decoder]:
    """Make policy and critic of a base model, and the reference: the policy as it is now, frozen.

    Args:
        run: says whether the critic has a body of its own.
        base: its model becomes the policy.
        kind: ActorCritic, or a subclass.
    """
    torch.manual_seed(run.train.seed)
    first = copy.deepcopy(base.model).requires_grad_(False)
    critic = copy.deepcopy(base.model) if run.ppo.own_critic else None
    return kind(base.model, critic), first


def run_ppo(
    run: AlignRun,
    out: Path,
    base: Base,
    scorer: RewardModel | None,
    material: Material,
    *,
    resume_run: bool,
    manifest: dict[str, Any],
    say: Any,
) -> tuple[Decoder, TrainState]:
    """Draw, score, learn, step by step. Of storyworld the gold utility is logged beside the reward.

    Returns:
        The policy, and the state at the end.

    Raises:
        DriftError: if the policy has gone further from its reference than ppo.reward.max_kl.
        RewardError: if a score is not finite.
    """
    parts = ppo_parts(run, base.tokenizer, scorer, material)
    model, first = actor_critic(run, base, ActorCritic)
    optimizer = make_optimizer(model, run.optimizer)
    state = resume_ppo(out / "last", model, optimizer) if resume_run else TrainState()
    with MetricsFile(out / "metrics.jsonl", resume_at=state.step) as log:

        def note(record: dict[str, Any]) -> None:
            log(record)
            if run.train.log_every and record["step"] % run.train.log_every == 0:
                say(told_step(record))

        state = ppo(
            model,
            first,
            parts.prompts,
            parts.reward,
            parts.config,
            optimizer=optimizer,
            state=state,
            measures=parts.measures,
            log=note,
            save=checkpointer(out / "last", manifest=manifest),
        )
    return model.policy, state


def told_step(record: dict[str, Any]) -> str:
    """Write a step of ppo as one line."""
    names = ("score", "gold", "kl", "entropy", "length", "ended")
    parts = [f"{name} {record[name]:.3g}" for name in names if name in record]
    return f"step {record['step']}: {', '.join(parts)}"


def run_rejection(
    run: AlignRun,
    out: Path,
    base: Base,
    scorer: RewardModel | None,
    material: Material,
    *,
    say: Any,
) -> tuple[Decoder, bool]:
    """Draw, keep the best, fine-tune, round by round; a round that is done is not done again.

    Returns:
        The policy, and whether all rounds are done.
    """
    done = rejection_rounds_of(run, out, base, scorer, material, say=say)
    return base.model, done


def rejection_rounds_of(
    run: AlignRun,
    out: Path,
    base: Base,
    scorer: RewardModel | None,
    material: Material,
    *,
    say: Any,
    crew: RoundCrew | None = None,
) -> bool:
    """Do the rounds of a run, the base's model in place; say whether all of them are done."""
    config = run.rounds()
    reports = rejection_run(
        base.model,
        base.tokenizer,
        material.prompts,
        make_score(run, base.tokenizer, scorer),
        config,
        run.train,
        out / ROUNDS,
        optimizer=run.optimizer,
        crew=crew,
    )
    for n, report in enumerate(reports):
        say(
            f"round {n}: {report.n_answers:,} answers, mean score {report.mean:.3g}, best of "
            f"{config.n_samples} {report.best:.3g}; {report.n_without:,} prompts without one"
        )
    return len(reports) == config.rounds
