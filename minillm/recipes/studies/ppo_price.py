"""What does leaving the reference cost a policy, and what does it buy? PPO at four prices.

Sums with polite signs (recipes/sums.py): PPO learns from a reward that was fitted to the choices of
noisy annotators, who like polite signs; the gold utility charges for them, and is only measured.
Arms are prices of a nat, `kl_coef`; all else is equal, and so are the models of a seed.

What is judged was fixed before the runs (RLH-001 in the ledger): at the price of 0.1, gold utility
of answers to 250 questions that nobody was trained on, drawn at temperature 1 four times each;
the smaller of `tuned` minus `base` and PPO minus `tuned`, a seed. Beside it stand, for every price,
the learned reward, KL, entropy, length and their curves; lesson 34b draws gold against proxy.

The learning rate is the best of the pilot (seed 101, price 0.1) by what PPO itself climbs, score
minus price times KL over the last ten steps: the gold utility chooses nothing.
"""

import copy
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch

from minillm.align import ActorCritic, PPOConfig, RewardConfig, SamplingConfig, ppo
from minillm.align.answer_logprobs import response_logprobs_and_entropy
from minillm.align.rollouts import Rollouts
from minillm.model import Decoder
from minillm.recipes.records import Job
from minillm.recipes.sums import (
    LONGEST,
    PAD,
    STOP,
    Models,
    ask,
    decode,
    gold_of,
    make_models,
    right_of,
)
from minillm.train import OptimizerConfig

STEPS, BATCH, MINIBATCH, EPOCHS, EVERY = 200, 64, 32, 2, 10
DRAWS = 4
"""Answers to each question of the test."""
N_SHOWN = 3
"""Questions whose answers are kept as texts."""
LR = 5e-4
RATES = (2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3)
PILOT = {2.5e-4: 1.291, 5e-4: 1.3905, 1e-3: 1.3336, 2e-3: 1.1735, 4e-3: -0.0002}
"""Learning rate -> score - 0.1 KL at the end on seed 101, as `pilot` printed them; LR is the best
of them."""


@cache
def models(seed: int) -> Models:
    """The models of a seed, the same for all prices."""
    torch.set_num_threads(1)
    return make_models(seed)


def measured(made: Models, policy: Decoder, seed: int) -> dict[str, float]:
    """What a policy says to the questions of the test, and what it is worth.

    Returns:
        gold, proxy (the learned reward), right (share), length (tokens), entropy (nats a token) and
        kl (nats an answer, to `tuned`).
    """
    drawn = ask(policy, made.test * DRAWS, seed=seed)
    with torch.no_grad():
        ours, entropy = response_logprobs_and_entropy(policy, drawn.ids, drawn.mask)
        theirs, _ = response_logprobs_and_entropy(made.tuned, drawn.ids, drawn.mask)
    return {
        "gold": float(gold_of(drawn).mean()),
        "proxy": float(made.proxy(drawn).mean()),
        "right": float(right_of(drawn).mean()),
        "length": float(drawn.lengths.double().mean()),
        "entropy": float(entropy.sum() / drawn.mask.sum()),
        "kl": float((ours - theirs).sum() / len(drawn)),
    }


def says(policy: Decoder, prompts: list[list[int]], seed: int) -> list[str]:
    """Questions with an answer to each, as texts, to be looked at."""
    answers = ask(policy, prompts, seed=seed).answers()
    return [decode(p) + decode(answer) for p, answer in zip(prompts, answers, strict=True)]


def trained(
    made: Models,
    seed: int,
    *,
    kl_coef: float,
    lr: float = LR,
    steps: int = STEPS,
    reward: Callable[[Rollouts], torch.Tensor] | None = None,
) -> tuple[Decoder, list[dict[str, Any]]]:
    """Carry out one run of PPO.

    Args:
        made: the models of the seed.
        seed: of prompts, draws and minibatches.
        kl_coef: price of a nat.
        lr: of AdamW, constant.
        steps: each of BATCH answers.
        reward: what is learned from; None for the learned reward.

    Returns:
        The policy, and the record of each step; `gold` is measured there and not learned from.
    """
    policy, seen = copy.deepcopy(made.tuned), list[dict[str, Any]]()
    config = PPOConfig(
        steps=steps,
        sampling=SamplingConfig(LONGEST, PAD, (STOP,)),
        batch_size=BATCH,
        minibatch_size=MINIBATCH,
        epochs=EPOCHS,
        reward=RewardConfig(kl_coef=kl_coef),
        seed=seed,
    )
    ppo(
        ActorCritic(policy),
        copy.deepcopy(made.tuned),
        made.train,
        reward or made.proxy,
        config,
        optimizer=OptimizerConfig(lr=lr, weight_decay=0.0),
        measures={"gold": gold_of, "right": right_of},
        log=seen.append,
    )
    return policy.eval(), seen


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Carry out one run at one price, and measure all three policies."""
    made = models(seed)
    policy, seen = trained(made, seed, kl_coef=settings["kl_coef"], lr=LR, steps=STEPS)
    found: dict[str, Any] = {}
    for name, model in (("base", made.base), ("tuned", made.tuned), ("ppo", policy)):
        now = measured(made, model, seed)
        found |= {f"{what}_{name}": round(value, 5) for what, value in now.items()}
        found[f"says_{name}"] = says(model, made.test[:N_SHOWN], seed)
    found["weights"] = [round(weight, 5) for weight in made.weights.tolist()]
    steps = [found["gold_ppo"] - found["gold_tuned"], found["gold_tuned"] - found["gold_base"]]
    found["smaller_step"] = min(steps)
    for what in ("score", "gold", "kl", "entropy", "length", "value_error", "clip_fraction"):
        curve = [step[what] for step in seen]
        parts = [curve[i : i + EVERY] for i in range(0, len(curve), EVERY)]
        found[f"{what} curve"] = [round(sum(part) / len(part), 5) for part in parts]
    return found


def climbed(seen: list[dict[str, Any]], kl_coef: float) -> float:
    """Score minus price times KL, mean of the last ten steps: what a run has climbed to."""
    last = seen[-10:]
    return sum(step["score"] - kl_coef * step["kl"] for step in last) / len(last)


def pilot(rates: tuple[float, ...] = RATES, seed: int = 101, kl_coef: float = 0.1) -> None:
    """Print where PPO ends at some learning rates, on a seed outside the study."""
    for lr in rates:
        _, seen = trained(models(seed), seed, kl_coef=kl_coef, lr=lr)
        print(f"{lr}: {climbed(seen, kl_coef):.4f},", flush=True)


JOB = Job(
    name="ppo_price",
    title="What does leaving the reference cost a policy, and what does it buy?",
    lesson="34b",
    arms={f"price_{c:g}": {"kl_coef": c} for c in (0.0, 0.03, 0.1, 0.5)},
    run=run,
)
