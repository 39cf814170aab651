"""PPO on words said backwards, in parts, so that one can look at the policy on the way."""

import copy
from collections.abc import Callable, Sequence

from torch import Tensor

from minillm.align import ActorCritic, PPOConfig, RewardConfig, Rollouts, SamplingConfig, ppo
from minillm.finetune import Task
from minillm.finetune.chat import reply_text
from minillm.model import Decoder
from minillm.recipes import backwards as b
from minillm.train import OptimizerConfig, make_optimizer

PPO_BATCH, PPO_LR = 64, 1e-3


def ppo_in_parts(
    seed: int,
    score: Callable[[Sequence[Task], Sequence[str]], Tensor],
    places: Sequence[int],
    look: Callable[[Decoder], dict[str, float]],
    *,
    kl_coef: float = 0.0,
    lr: float = PPO_LR,
    policy: Decoder | None = None,
    draws: int | None = None,
) -> list[dict[str, float]]:
    """Train a policy by PPO, and look at it after so many steps each.

    Args:
        seed: of policy and draws.
        score: what is learned from.
        places: steps, rising.
        look: measures a policy.
        kl_coef: price of a nat; 0 lets it run.
        lr: of AdamW.
        policy: is trained in place; None takes a copy of the first policy.
        draws: seed of prompts and draws; None takes `seed`.

    Returns:
        What was seen, place by place.
    """
    policy = policy or copy.deepcopy(b.first_policy(seed))
    model = ActorCritic(policy)
    tasks = b.parts()[0]
    by_word = {task.about: task for task in tasks}

    def reward(drawn: Rollouts) -> Tensor:
        texts = [reply_text(ids, b.TOKENIZER) for ids in drawn.answers()]
        asked = [word_of(ids) for ids in drawn.prompts()]
        return score([by_word[word] for word in asked], texts)

    moving = make_optimizer(model, OptimizerConfig(lr=lr, weight_decay=0.0))
    state, seen = None, []
    for steps in places:
        config = PPOConfig(
            steps=steps,
            sampling=SamplingConfig(b.MAX_TOKENS, b.PAD_ID, (b.END_ID, b.START_ID)),
            batch_size=PPO_BATCH,
            minibatch_size=PPO_BATCH // 2,
            epochs=2,
            reward=RewardConfig(kl_coef=kl_coef, max_kl=float("inf")),
            seed=seed if draws is None else draws,
        )
        state = ppo(
            model, b.first_policy(seed), b.prompts_of(tasks), reward, config,
            optimizer=moving, state=state,
        )  # fmt: skip
        seen.append(look(policy))
    return seen


def word_of(prompt: Sequence[int]) -> str:
    """Read the word off the ids of a prompt."""
    text = bytes(i for i in prompt if i < 256).decode()
    return text.removeprefix("user\n").partition("\n")[0]
