"""Rejection sampling in rounds against PPO, and breadth against depth.

    rounds    five rounds: 128 words, 8 answers each, the best is kept, 4 steps on what was kept
    broad     one round: 128 words, 40 answers each, 20 steps
    deep      twenty rounds: 32 words, 8 answers each, one step
    ppo       PPO on the same words and the same score, looked at on the way
    both      as LLaMA-2 after V4: a round of 8 answers and 4 steps, 20 steps of PPO, and again

The score is the known worth, so that nothing is over-optimised; all begin with the same policy.
The three arms of rejection sampling draw equally many answers and take equally many steps.
RLH-011 compares "rounds" with "ppo" at the same KL (`at_kl`). The rounds are short on purpose:
after five of 40 steps every answer was right (seed 101), and nothing is left to compare.
"""

import copy
from collections.abc import Mapping, Sequence
from tempfile import TemporaryDirectory
from typing import Any

from minillm import align
from minillm.recipes import backwards as b
from minillm.recipes.backwards_ppo import ppo_in_parts
from minillm.recipes.records import Job

N_WORDS = 128
"""Words of a round; "deep" takes a quarter of them at a time."""
BATCH = 32
PLACES = (0, 10, 20, 40, 80, 110, 140)
PILOT = {
    "rounds": {3e-4: 0.5723, 1e-3: 0.8438, 3e-3: 0.9766},
    "ppo": {1e-4: 0.8184, 3e-4: 0.5918, 1e-3: 0.7812},
}
"""Learning rate -> share of right answers at the end, for "rounds" (KL 0.48, 1.04 and 1.41) and for
80 steps of "ppo" (KL 0.98, 2.15 and 1.77); seed 101. At the larger rates PPO's KL jumps up and
down. LR is not the best one but that whose KL PPO comes to as well."""
LR = 1e-3
PPO_RATE = 1e-4


def look(model: Any, seed: int) -> dict[str, float]:
    """Measure right, gold and KL on the words at the end."""
    found = b.measure(model, b.first_policy(seed), seed)
    return {"right": found.right, "gold": found.gold, "kl": found.kl}


def by_rejection(
    seed: int, rounds: int, n_words: int, n_samples: int, steps: int, lr: float = LR
) -> list[dict[str, float]]:
    """Draw, keep and fine-tune, round by round; look at the start and five times at most.

    Each round is a rejection_run of its own, on other words than the one before.
    """
    model = copy.deepcopy(b.first_policy(seed))
    seen = [look(model, seed)]
    for r in range(rounds):
        told = one_round(model, seed, r, (n_words, n_samples, steps), lr)
        if (r + 1) % max(1, rounds // 5) == 0:
            seen.append({**look(model, seed), **told})
    return seen


def one_round(
    model: Any, seed: int, r: int, work: tuple[int, int, int], lr: float = LR
) -> dict[str, float]:
    """Let the model answer words, keep the best answer to each, and learn them.

    Args:
        model: is trained in place.
        seed: of draws and order.
        r: number of the round; says which words.
        work: words, answers to each, steps.
        lr: of AdamW.
    """
    n_words, n_samples, steps = work
    tasks = b.parts()[0]
    first = r * n_words % (len(tasks) - n_words + 1)
    how = align.RejectionConfig(n_samples, max_tokens=b.MAX_TOKENS, seed=100 * seed + r)
    with TemporaryDirectory() as folder:
        (report,) = align.rejection_run(
            model, b.TOKENIZER, tasks[first : first + n_words], b.gold, how,
            b.settings(steps, BATCH, schedule="constant", warmup_steps=0), folder,
            optimizer=b.OptimizerConfig(lr=lr, weight_decay=0.0),
        )  # fmt: skip
    return {"drawn": report.mean, "best": report.best}


def by_both(seed: int) -> list[dict[str, float]]:
    """Take a round of rejection sampling and 20 steps of PPO in turns, twice."""
    model = copy.deepcopy(b.first_policy(seed))
    seen = [look(model, seed)]
    for r in range(2):
        one_round(model, seed, r, (N_WORDS, 8, 4))
        seen.append(look(model, seed))
        seen += ppo_in_parts(
            seed, b.gold, (20,), lambda model: look(model, seed), lr=PPO_RATE, policy=model,
            draws=100 * seed + r,
        )  # fmt: skip
    return seen


def by_ppo(seed: int, lr: float = PPO_RATE) -> list[dict[str, float]]:
    """Train by PPO on the same score, without a price for distance, so that the curve is long."""
    return ppo_in_parts(seed, b.gold, PLACES, lambda model: look(model, seed), lr=lr)


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train one policy and lay what was seen into columns."""
    if settings["by"] != "rejection":
        seen = by_ppo(seed) if settings["by"] == "ppo" else by_both(seed)
    else:
        told = (settings[x] for x in ("n_samples", "steps"))
        seen = by_rejection(seed, settings["rounds"], N_WORDS // settings["split"], *told)
    found: dict[str, Any] = {x: [one[x] for one in seen] for x in ("right", "gold", "kl")}
    if settings["by"] == "rejection":
        found |= {x: [one[x] for one in seen[1:]] for x in ("drawn", "best")}
    return found | {"right at the end": seen[-1]["right"], "kl at the end": seen[-1]["kl"]}


def at_kl(kl: Sequence[float], values: Sequence[float], wanted: float) -> float:
    """Read a curve off at a KL: linear between its points, the first time that it gets there.

    Args:
        kl: of the points, in the order of training, the first 0.
        values: at these points.
        wanted: a KL that the curve reaches.

    Raises:
        ValueError: if the curve never gets so far.
    """
    for n in range(1, len(kl)):
        if kl[n] >= wanted:
            share = (wanted - kl[n - 1]) / (kl[n] - kl[n - 1]) if kl[n] > kl[n - 1] else 1.0
            return values[n - 1] + share * (values[n] - values[n - 1])
    raise ValueError(
        f"the curve ends at a KL of {max(kl):.2f} and never gets to {wanted:.2f}: train it longer"
    )


def pilot() -> dict[str, dict[float, float]]:
    """Try learning rates on seed 101."""
    ppo = {lr: by_ppo(101, lr)[PLACES.index(80)]["right"] for lr in PILOT["ppo"]}
    rounds = {lr: by_rejection(101, 5, N_WORDS, 8, 4, lr)[-1]["right"] for lr in PILOT["rounds"]}
    return {"rounds": rounds, "ppo": ppo}


def rejection(rounds: int, n_samples: int, steps: int, split: int = 1) -> dict[str, Any]:
    """Settings of an arm; a round takes N_WORDS // split words."""
    work = {"rounds": rounds, "n_samples": n_samples, "steps": steps, "split": split}
    return {"by": "rejection", **work}


JOB = Job(
    name="rejection_rounds",
    title="Rounds of best of K and fine-tuning against PPO; breadth against depth",
    lesson="35",
    arms={
        "rounds": rejection(5, 8, 4),
        "broad": rejection(1, 40, 20),
        "deep": rejection(20, 8, 1, split=4),
        "ppo": {"by": "ppo"},
        "both": {"by": "both"},
    },
    run=run,
)
