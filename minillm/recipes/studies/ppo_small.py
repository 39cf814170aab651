"""PPO on `small`: an instructed model, a reward model that learned from pairs, and gold beside it.

The policy is `chat_sft`, `small` after instruction tuning; it answers questions about short stories
of the village. It learns from `chat_reward`, a reward model of pairs of such answers (the proxy).
The gold utility by which these pairs were compared is computed beside it and not learned from.

Some questions are easier than others, and a reward model says more of the question than of the
answer. So both judges are read as a gain: minus what answers of the first model to the same task
are worth on average. That is a baseline (lesson 34a): it changes no aim, only the noise.

A seed is that of the draws: all runs begin with the same two models and the same tasks. So bands
over seeds say what chance in drawing does, and not what other models would have done.

The lesson carries out the first LIVE_STEPS steps with a seed of its own, and lays the recorded runs
beside them. The learning rate is the best of the pilot (seed 101) by what PPO itself climbs, score
minus price times KL; the gold utility chooses nothing.
"""

import copy
from collections import Counter
from collections.abc import Mapping
from functools import cache
from itertools import islice
from typing import Any

import torch

from minillm.align import ActorCritic, PPOConfig, RewardConfig, RewardModel, SamplingConfig, ppo
from minillm.align.answer_logprobs import response_logprobs_and_entropy
from minillm.align.experience import RewardFunction
from minillm.align.reward import lengths_of
from minillm.align.rollouts import Rollouts, rollout
from minillm.finetune.chat import CHATML, reply_text
from minillm.finetune.talks import PAD, START
from minillm.finetune.tasks import Part, Task, each_story_task
from minillm.model import Decoder
from minillm.recipes.aligning import open_reward
from minillm.recipes.aligning.material import task_prompt
from minillm.recipes.aligning.scorers import gold_scores, on_rollouts
from minillm.recipes.records import Job
from minillm.recipes.shipped import base
from minillm.tokenizer import Tokenizer
from minillm.train import OptimizerConfig

POLICY, REWARD = "chat_sft", "chat_reward"
KINDS, CORPUS, LONGEST_STORY, LONGEST_PROMPT = ("answer",), 340, 300, 100
"""Tasks with short answers, about stories that tuning did not read, of at most so many characters;
prompts in tokens."""
N_TASKS, USUAL = 24, 5
"""Tasks that PPO answers, and answers of the first model to each that the baseline is made of."""
N_HELD_OUT, DRAWS = 96, 1
"""Tasks in other worlds, and answers to each, before and after."""
N_COMMON = 6
"""Commonest answers that are kept as texts."""
MAX_TOKENS, BATCH, MINIBATCH, EPOCHS, PRICE = 16, 16, 8, 2, 0.1
LIVE_STEPS, STEPS = 12, 20
LR = 2e-4
RATES = (5e-5, 1e-4, 2e-4, 4e-4)
PILOT = {5e-5: 0.1642, 1e-4: 0.1711, 2e-4: 0.1828, 4e-4: -0.0557}
"""Learning rate -> gain in proxy - 0.1 KL, mean of the last eight of LIVE_STEPS steps, on seed 101,
as `pilot` printed them; LR is the best of them."""
CURVES = ("proxy", "gold", "kl", "entropy", "length", "value_error", "clip_fraction")


@cache
def opened() -> tuple[Decoder, RewardModel, Tokenizer]:
    """The instructed model, the reward model and their tokenizer; nobody trains them in place."""
    policy, tokenizer = base(POLICY)
    reward, _ = open_reward(REWARD)
    return (
        policy.float().requires_grad_(False),
        reward.float().requires_grad_(False),
        tokenizer,
    )


@cache
def tasks(part: Part, n: int) -> tuple[Task, ...]:
    """Tasks whose prompts are short; no world is in both parts."""
    _, _, tokenizer = opened()
    made = each_story_task(part, kinds=KINDS, per_story=2, corpus=CORPUS, longest=LONGEST_STORY)
    fit = (task for task in made if len(task_prompt(task, tokenizer)) <= LONGEST_PROMPT)
    return tuple(islice(fit, n))


def prompts_of(asked: tuple[Task, ...]) -> list[list[int]]:
    """What the policy reads before it answers."""
    _, _, tokenizer = opened()
    return [task_prompt(task, tokenizer) for task in asked]


def proxy(drawn: Rollouts) -> torch.Tensor:
    """What the reward model says of each answer, (B,); it reads the very tokens that were drawn."""
    _, reward, _ = opened()
    with torch.no_grad():
        scores: torch.Tensor = reward(drawn.ids, lengths_of(drawn.mask))
    return scores


def gold(asked: tuple[Task, ...]) -> RewardFunction:
    """Make what computes the gold utility of answers to these tasks."""
    _, _, tokenizer = opened()
    return on_rollouts(gold_scores, tokenizer, asked)


def draw(policy: Decoder, asked: tuple[Task, ...], n: int, seed: int) -> Rollouts:
    """Draw n answers to each task, all tasks in turn, at temperature 1."""
    c = settings(1, seed).sampling
    return rollout(
        policy,
        prompts_of(asked) * n,
        c.max_new_tokens,
        pad_id=c.pad_id,
        stop_ids=c.stop_ids,
        seed=seed,
    )


def gain(judge: RewardFunction, usual: Rollouts) -> RewardFunction:
    """Make what says by how much an answer is better than usual answers to the same prompt.

    Args:
        judge: scores answers.
        usual: answers to every prompt that will come, equally many to each.
    """
    sums: dict[tuple[int, ...], list[float]] = {}
    for prompt, score in zip(usual.prompts(), judge(usual).tolist(), strict=True):
        sums.setdefault(tuple(prompt), []).append(score)
    means = {prompt: sum(scores) / len(scores) for prompt, scores in sums.items()}

    def gained(drawn: Rollouts) -> torch.Tensor:
        return judge(drawn) - torch.tensor([means[tuple(p)] for p in drawn.prompts()])

    return gained


@cache
def judges() -> dict[str, RewardFunction]:
    """Proxy and gold as gains over the first model's usual answers to the tasks of training."""
    asked = tasks("train", N_TASKS)
    usual = draw(opened()[0], asked, USUAL, seed=0)
    return {"proxy": gain(proxy, usual), "gold": gain(gold(asked), usual)}


def settings(steps: int, seed: int, *, price: float = PRICE) -> PPOConfig:
    """How PPO goes on, live and recorded."""
    _, _, tokenizer = opened()
    start, pad, end = (tokenizer.special_id(name) for name in (START, PAD, CHATML.end))
    return PPOConfig(
        steps=steps,
        sampling=SamplingConfig(MAX_TOKENS, pad, (end, start)),
        batch_size=BATCH,
        minibatch_size=MINIBATCH,
        epochs=EPOCHS,
        reward=RewardConfig(kl_coef=price),
        seed=seed,
    )


def trained(
    seed: int, *, climb: str = "proxy", steps: int = STEPS, lr: float = LR
) -> tuple[Decoder, list[dict[str, Any]]]:
    """Carry out one run of PPO.

    Args:
        seed: of the order of the tasks, the draws and the minibatches.
        climb: "proxy" or "gold": which one is learned from.
        steps: each of BATCH answers.
        lr: of AdamW, constant.

    Returns:
        The policy, and the record of each step, with both gains, `proxy` and `gold`.
    """
    first, _, _ = opened()
    policy = copy.deepcopy(first).requires_grad_(True)
    asked, seen = tasks("train", N_TASKS), list[dict[str, Any]]()
    ppo(
        ActorCritic(policy),
        first,
        prompts_of(asked),
        judges()[climb],
        settings(steps, seed),
        optimizer=OptimizerConfig(lr=lr, weight_decay=0.0),
        measures={name: judge for name, judge in judges().items() if name != climb},
        log=lambda step: seen.append({**step, climb: step["score"]}),
    )
    return policy.eval(), seen


def measured(policy: Decoder, seed: int) -> dict[str, Any]:
    """What a policy says to the tasks of other worlds, and what it is worth.

    Returns:
        gold and proxy (as they are, no gains), right (share), length (tokens), entropy (nats a
        token), kl (nats an answer), distinct (share of different texts); and the commonest answers,
        with how often they were given.
    """
    first, _, _ = opened()
    asked = tasks("test", N_HELD_OUT)
    drawn = draw(policy, asked, DRAWS, seed)
    with torch.no_grad():
        ours, entropy = response_logprobs_and_entropy(policy, drawn.ids, drawn.mask)
        theirs, _ = response_logprobs_and_entropy(first, drawn.ids, drawn.mask)
    found = {
        "gold": gold(asked)(drawn),
        "proxy": proxy(drawn),
        "right": (gold(asked)(drawn) >= 3).float(),
        "length": drawn.lengths.float(),
        "kl": (ours - theirs).sum(dim=1),
    }
    texts = Counter(reply_text(answer, opened()[2]) for answer in drawn.answers())
    return {name: round(float(x.mean()), 5) for name, x in found.items()} | {
        "entropy": round(float(entropy.sum() / drawn.mask.sum()), 5),
        "distinct": round(len(texts) / len(drawn), 5),
        "commonest": [[text, n] for text, n in texts.most_common(N_COMMON)],
    }


def run(arm: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Carry out one run, and measure the policy in other worlds before and after."""
    torch.set_num_threads(1)
    policy, seen = trained(seed, climb=arm["climb"], steps=STEPS, lr=LR)
    found: dict[str, Any] = {}
    for when, model in (("before", opened()[0]), ("after", policy)):
        now = measured(model, seed)
        found |= {f"{what}_{when}": value for what, value in now.items()}
    for what in CURVES:
        found[f"{what} curve"] = [round(step[what], 5) for step in seen]
    return found


def climbed(seen: list[dict[str, Any]]) -> float:
    """Score minus price times KL, mean of the last eight steps: what a run has climbed to."""
    return sum(step["score"] - PRICE * step["kl"] for step in seen[-8:]) / len(seen[-8:])


def pilot(rates: tuple[float, ...] = RATES, seed: int = 101, steps: int = LIVE_STEPS) -> None:
    """Print where PPO ends at some learning rates, on a seed outside the study."""
    for lr in rates:
        _, seen = trained(seed, steps=steps, lr=lr)
        print(f"{lr}: {climbed(seen):.4f},", flush=True)


JOB = Job(
    name="ppo_small",
    title="PPO on an instructed model: what the reward model says, and what gold says of it",
    lesson="34b",
    arms={climb: {"climb": climb} for climb in ("proxy", "gold")},
    run=run,
)
