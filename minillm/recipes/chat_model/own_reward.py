"""PPO that learns by how much more an answer is worth than the SFT model's usual ones.

The usual answers are those that were drawn for the pairs: their mean is the baseline of a prompt.
Prompts to which all usual answers are worth the same are left out: nothing was to be learned there.
"""

import copy
from collections.abc import Sequence
from pathlib import Path

import torch

from minillm.align.experience import RewardFunction
from minillm.align.ppo import ppo, resume_ppo
from minillm.align.rollouts import Rollouts
from minillm.align.value import ActorCritic
from minillm.finetune.chat import CHATML
from minillm.finetune.talks import PAD, START
from minillm.finetune.tasks import Task
from minillm.model import Decoder
from minillm.recipes.aligning.material import task_prompt
from minillm.recipes.aligning.scorers import on_rollouts
from minillm.recipes.chat_model.answers import Drawn
from minillm.recipes.chat_model.gold import gold_scores
from minillm.recipes.chat_model.settings import ChatRecipe
from minillm.tokenizer import Tokenizer
from minillm.train import MetricsFile, TrainState, checkpointer, has_checkpoint, make_optimizer


def undecided(tasks: Sequence[Task], drawn: Sequence[Drawn]) -> list[tuple[Task, float]]:
    """The tasks whose usual answers differ in worth, each with their mean."""
    return [
        (tasks[one.task], sum(one.worth) / len(one.worth))
        for one in drawn
        if len(set(one.worth)) > 1
    ]


def gain(asked: Sequence[tuple[Task, float]], tokenizer: Tokenizer) -> RewardFunction:
    """Make what says by how much an answer is better than the usual ones to its prompt."""
    judge = on_rollouts(gold_scores, tokenizer, [task for task, _ in asked])
    means = {tuple(task_prompt(task, tokenizer)): mean for task, mean in asked}

    def gained(drawn: Rollouts) -> torch.Tensor:
        return judge(drawn) - torch.tensor([means[tuple(p)] for p in drawn.prompts()])

    return gained


def run_own_ppo(
    recipe: ChatRecipe,
    model: Decoder,
    tokenizer: Tokenizer,
    asked: Sequence[tuple[Task, float]],
    out: Path,
) -> Decoder:
    """Carry out PPO, or go on with it.

    Args:
        recipe: its ppo.
        model: the SFT model, which becomes the policy.
        tokenizer: of the model.
        asked: from `undecided`.
        out: folder of the run.

    Returns:
        The policy at the end.
    """
    out.mkdir(parents=True, exist_ok=True)
    ids = [tokenizer.special_id(name) for name in (START, PAD, CHATML.end)]
    config, settings = recipe.ppo(start=ids[0], pad=ids[1], end=ids[2])
    first = copy.deepcopy(model).requires_grad_(False)
    torch.manual_seed(recipe.seed)
    both = ActorCritic(model)
    optimizer = make_optimizer(both, settings)
    state = TrainState()
    if has_checkpoint(out / "last"):
        state = resume_ppo(out / "last", both, optimizer)
    prompts = [task_prompt(task, tokenizer) for task, _ in asked]
    with MetricsFile(out / "metrics.jsonl", resume_at=state.step) as log:
        ppo(
            both, first, prompts, gain(asked, tokenizer), config, optimizer=optimizer, state=state,
            log=log, save=checkpointer(out / "last"),
        )  # fmt: skip
    return both.policy
