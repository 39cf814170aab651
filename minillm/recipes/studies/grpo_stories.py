"""GRPO with a checker on stories of the village: what is learned, and is it the verdicts?

The policy is `chat_sft`, `small` after instruction tuning. It answers questions about short
stories, and a checker says of each answer whether it is right: 1 or 0, no reward model. Two arms
with equal tasks, steps and draws of the first step:

- `checked`: an answer's reward is the verdict on it;
- `shuffled`: the verdicts of a step are dealt out anew among all its answers, so that there are as
  many ones and they say nothing. What this arm does, GRPO does without information.

Measured on tasks of other worlds before and after: `greedy` (share of right answers when the
likeliest token is taken), `right` (when answers are drawn at temperature 1), and `any` (tasks that
at least one of K drawn answers solves: what the policy can say at all; Yue et al. 2025,
arXiv:2504.13837, ask whether learning from checkers enlarges it).

A seed is that of tasks drawn in order, of the draws and of the dealing; all runs begin with the
same model. The learning rate is the best of the pilot (seed 101) by the share right that training
itself reaches, mean of the last eight steps.
"""

import copy
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from minillm.align.answer_logprobs import response_logprobs
from minillm.align.direct_training import reference_of
from minillm.align.grpo import task_rewards
from minillm.align.grpo_training import GRPOConfig, train_grpo
from minillm.align.rejection import Score, sample_answers
from minillm.align.rollouts import rollout
from minillm.finetune.chat import CHATML
from minillm.finetune.score import score
from minillm.finetune.talks import PAD, START
from minillm.finetune.tasks import Part, Task, each_story_task
from minillm.model import Decoder
from minillm.recipes.aligning.material import task_prompt
from minillm.recipes.records import Job
from minillm.recipes.shipped import base
from minillm.tokenizer import Tokenizer
from minillm.train import OptimizerConfig

POLICY = "chat_sft"
CORPUS, LONGEST_STORY, LONGEST_PROMPT = 350, 300, 100
"""Stories that tuning did not read, of at most so many characters; prompts in tokens."""
N_TASKS, N_HELD_OUT, K = 96, 96, 8
STEPS, PROMPTS, GROUP, MAX_TOKENS = 24, 8, 8, 16
LR = 3e-4
RATES = (1e-4, 3e-4, 1e-3)
PILOT = {1e-4: 0.8438, 3e-4: 0.8652, 1e-3: 0.7344}
"""Learning rate -> share right in training, mean of the last eight steps, on seed 101, as `pilot`
printed them; LR is the best of them."""
CURVES = ("right", "kl", "spread", "length")


@cache
def opened() -> tuple[Decoder, Tokenizer]:
    """The instructed model, which nobody trains in place, and its tokenizer."""
    policy, tokenizer = base(POLICY)
    return policy.float().requires_grad_(False), tokenizer


@cache
def tasks(part: Part, n: int) -> tuple[Task, ...]:
    """Questions whose prompts are short; no world is in both parts."""
    _, tokenizer = opened()
    made = each_story_task(part, kinds=("answer",), corpus=CORPUS, longest=LONGEST_STORY)
    fit = (task for task in made if len(task_prompt(task, tokenizer)) <= LONGEST_PROMPT)
    return tuple(islice(fit, n))


def judge(arm: str, seed: int, seen: list[float]) -> Score:
    """Make the score of an arm.

    Args:
        arm: "checked", or "shuffled", which deals the verdicts of a step out anew.
        seed: of the dealing.
        seen: gets the true share of right answers of each step.
    """
    generator = torch.Generator().manual_seed(seed)

    def scored(asked: Sequence[Task], answers: Sequence[str]) -> Tensor:
        verdicts = task_rewards(asked, answers)
        seen.append(float(verdicts.mean()))
        if arm == "checked":
            return verdicts
        return verdicts[torch.randperm(len(verdicts), generator=generator)]

    return scored


def trained(arm: str, seed: int, *, lr: float = LR) -> tuple[Decoder, dict[str, list[float]]]:
    """Carry out one run of GRPO.

    Args:
        arm: "checked" or "shuffled".
        seed: of the order of the tasks, the draws and the dealing.
        lr: of AdamW, constant.

    Returns:
        The policy, and what each step saw: the true share `right` before its update, `kl` from the
        first policy (nats an answer), `spread` (share of groups whose rewards differ), `length`.
    """
    first, tokenizer = opened()
    policy = copy.deepcopy(first).requires_grad_(True)
    right: list[float] = []
    steps: list[dict[str, float]] = []
    train_grpo(
        policy,
        reference_of(first),
        tokenizer,
        tasks("train", N_TASKS),
        GRPOConfig(STEPS, PROMPTS, GROUP, max_tokens=MAX_TOKENS, seed=seed),
        score=judge(arm, seed, right),
        optimizer=OptimizerConfig(lr=lr, weight_decay=0.0),
        log=steps.append,
    )
    seen = {name: [step[name] for step in steps] for name in ("kl", "spread", "length")}
    return policy.eval(), {"right": right, **seen}


def measured(policy: Decoder, seed: int) -> dict[str, float]:
    """What a policy says to tasks of other worlds: greedy, right, any, and kl (nats an answer)."""
    first, tokenizer = opened()
    asked = tasks("test", N_HELD_OUT)
    found = sample_answers(policy, tokenizer, asked, K, max_tokens=MAX_TOKENS, seed=seed)
    texts = [sample.text for row in found for sample in row]
    verdicts = task_rewards([task for task in asked for _ in range(K)], texts).view(-1, K)
    greedy = score(policy, tokenizer, asked, max_tokens=MAX_TOKENS).right.value
    return {
        "greedy": round(greedy, 5),
        "right": round(float(verdicts.mean()), 5),
        "any": round(float((verdicts.sum(dim=1) > 0).float().mean()), 5),
        "kl": round(distance(policy, first, tokenizer, asked, seed), 5),
    }


@torch.no_grad()
def distance(
    policy: Decoder, first: Decoder, tokenizer: Tokenizer, asked: Sequence[Task], seed: int
) -> float:
    """KL of a policy from the first one, nats an answer, from one answer to each task."""
    start, pad, end = (tokenizer.special_id(name) for name in (START, PAD, CHATML.end))
    prompts = [task_prompt(task, tokenizer) for task in asked]
    stops = (end, start)
    drawn = rollout(policy, prompts, MAX_TOKENS, pad_id=pad, stop_ids=stops, seed=seed)
    ours, theirs = (response_logprobs(m, drawn.ids, drawn.mask) for m in (policy, first))
    return float((ours - theirs).sum(dim=1).mean())


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Carry out one run, and measure the policy in other worlds before and after."""
    torch.set_num_threads(1)
    policy, seen = trained(settings["arm"], seed)
    found: dict[str, Any] = {}
    for when, model in (("before", opened()[0]), ("after", policy)):
        found |= {f"{what} {when}": value for what, value in measured(model, seed).items()}
    return found | {f"{what} curve": [round(x, 5) for x in seen[what]] for what in CURVES}


def pilot(rates: tuple[float, ...] = RATES, seed: int = 101) -> None:
    """Print the share right that training reaches at each rate, on a seed outside the study."""
    for lr in rates:
        right = trained("checked", seed, lr=lr)[1]["right"][-8:]
        print(f"{lr}: {sum(right) / len(right):.4f},", flush=True)


JOB = Job(
    name="grpo_stories",
    title="GRPO with a checker on stories: what is learned, and is it the verdicts?",
    lesson="35",
    arms={arm: {"arm": arm} for arm in ("checked", "shuffled")},
    run=run,
)
