"""Who says how good an answer is: the gold utility, a checker, or a reward model."""

from collections.abc import Sequence

import torch
from torch import Tensor

from minillm.align.experience import RewardFunction
from minillm.align.grpo import task_rewards
from minillm.align.rejection import Score
from minillm.align.reward import RewardModel, lengths_of, score_rows
from minillm.align.rollouts import Rollouts
from minillm.align.story_answers import HELPFUL, judge
from minillm.finetune.chat import CHATML, reply_text
from minillm.finetune.talks import PAD
from minillm.finetune.tasks import Task
from minillm.recipes.aligning.config import AlignRun
from minillm.recipes.aligning.material import task_prompt
from minillm.recipes.aligning.opening import open_reward
from minillm.tokenizer import Tokenizer


def open_scorer(run: AlignRun, tokenizer: Tokenizer, device: torch.device) -> RewardModel | None:
    """Open the reward model of a run; None if its reward is computed.

    Raises:
        ValueError: if there is none, or it does not go with the policy.
    """
    if run.scored_by_story:
        return None
    model, its = open_reward(run.reward)
    if its.hash != tokenizer.hash:
        raise ValueError(
            f"{run.reward} reads with another tokenizer than {run.base}: train both with one"
        )
    if model.config.context < run.train.context:
        raise ValueError(
            f"{run.reward} reads at most {model.config.context} tokens, and train.context is "
            f"{run.train.context}; shorten it"
        )
    return model.to(device).requires_grad_(False)


def make_score(run: AlignRun, tokenizer: Tokenizer, model: RewardModel | None) -> Score:
    """Make what scores texts: what rejection chooses by.

    Args:
        run: says which reward.
        tokenizer: of the policy.
        model: from open_scorer. A text that is longer than it can read is cut.
    """
    if run.reward == "checker":
        return task_rewards
    if model is None:
        return gold_scores
    end, pad = tokenizer.special_id(CHATML.end), tokenizer.special_id(PAD)

    def score(tasks: Sequence[Task], texts: Sequence[str]) -> Tensor:
        rows = [
            [*task_prompt(task, tokenizer), *tokenizer.encode(text), end][: model.config.context]
            for task, text in zip(tasks, texts, strict=True)
        ]
        return score_rows(model, rows, pad=pad)

    return score


def gold_scores(tasks: Sequence[Task], texts: Sequence[str]) -> Tensor:
    """The utility by which the pairs of storyworld were compared, (B,)."""
    found = [HELPFUL(judge(task, text)) for task, text in zip(tasks, texts, strict=True)]
    return torch.tensor(found, dtype=torch.float32)


def make_reward(
    run: AlignRun, tokenizer: Tokenizer, model: RewardModel | None, tasks: Sequence[Task]
) -> RewardFunction:
    """Make what scores rollouts: what ppo learns from.

    A reward model reads the very tokens that were drawn; what is computed reads their text.

    Args:
        run, tokenizer, model: as make_score.
        tasks: whose prompts are answered.
    """
    if model is None:
        return on_rollouts(make_score(run, tokenizer, None), tokenizer, tasks)

    def reward(drawn: Rollouts) -> Tensor:
        with torch.no_grad():
            scores: Tensor = model(drawn.ids, lengths_of(drawn.mask))
        return scores

    return reward


def on_rollouts(score: Score, tokenizer: Tokenizer, tasks: Sequence[Task]) -> RewardFunction:
    """Let what scores texts score rollouts; a task is known by its prompt."""
    known = {tuple(task_prompt(task, tokenizer)): task for task in tasks}

    def reward(drawn: Rollouts) -> Tensor:
        asked = [known[tuple(prompt)] for prompt in drawn.prompts()]
        return score(asked, [reply_text(ids, tokenizer) for ids in drawn.answers()])

    return reward
