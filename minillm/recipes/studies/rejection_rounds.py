"""Rejection sampling in rounds against PPO, and breadth against depth.

    rounds    five rounds: 8 answers a word, the best is kept, 40 steps on what was kept
    broad     one round: 40 answers a word, the best is kept, 200 steps on what was kept
    deep      twenty rounds of 2 answers and 10 steps
    ppo       PPO on the same words and the same score, looked at on the way

The score is the known worth, so that nothing is over-optimised; all begin with the same policy.
The three arms of rejection sampling draw equally many answers and take equally many steps. A round
draws for N_WORDS words. RLH-011 compares "rounds" with "ppo" at the same KL (`at_kl`).
"""

import copy
from collections.abc import Mapping, Sequence
from tempfile import TemporaryDirectory
from typing import Any

from minillm import align
from minillm.recipes import backwards as b
from minillm.recipes.backwards_ppo import PPO_LR, ppo_in_parts
from minillm.recipes.records import Job

N_WORDS = 256
BATCH = 32
PLACES = (0, 5, 10, 20, 40, 80, 160)
PILOT: dict[str, dict[float, float]] = {}
"""Learning rate -> share of right answers at the end, for "rounds" and "ppo"; seed 101.
TODO: fill it with pilot(), then set the two rates below."""
LR = 1e-3
PPO_RATE = PPO_LR


def look(model: Any, seed: int) -> dict[str, float]:
    """Measure right, gold and KL on the words at the end."""
    found = b.measure(model, b.first_policy(seed), seed)
    return {"right": found.right, "gold": found.gold, "kl": found.kl}


def by_rejection(
    seed: int, rounds: int, n_samples: int, steps: int, lr: float = LR
) -> list[dict[str, float]]:
    """Draw, keep and fine-tune, round by round; look before the first and after each.

    Each round is a rejection_run of its own, on other words than the one before.
    """
    model = copy.deepcopy(b.first_policy(seed))
    tasks, seen = b.parts()[0], [look(model, seed)]
    for r in range(rounds):
        first = r * N_WORDS % (len(tasks) - N_WORDS + 1)
        how = align.RejectionConfig(n_samples, max_tokens=b.MAX_TOKENS, seed=100 * seed + r)
        with TemporaryDirectory() as folder:
            (report,) = align.rejection_run(
                model, b.TOKENIZER, tasks[first : first + N_WORDS], b.gold, how,
                b.settings(steps, BATCH, schedule="constant"), folder,
                optimizer=b.OptimizerConfig(lr=lr, weight_decay=0.0),
            )  # fmt: skip
        seen.append({**look(model, seed), "drawn": report.mean, "best": report.best})
    return seen


def by_ppo(seed: int, lr: float = PPO_RATE) -> list[dict[str, float]]:
    """Train by PPO on the same score, without a price for distance, so that the curve is long."""
    return ppo_in_parts(seed, b.gold, PLACES, lambda model: look(model, seed), lr=lr)


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train one policy and lay what was seen into columns."""
    if settings["by"] == "ppo":
        seen = by_ppo(seed)
    else:
        seen = by_rejection(seed, *(settings[x] for x in ("rounds", "n_samples", "steps")))
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
    found: dict[str, dict[float, float]] = {"rounds": {}, "ppo": {}}
    for lr in (3e-4, 1e-3, 3e-3):
        found["rounds"][lr] = by_rejection(101, 5, 8, 40, lr)[-1]["right"]
        found["ppo"][lr] = by_ppo(101, lr)[-1]["right"]
    return found


def rejection(rounds: int, n_samples: int, steps: int) -> dict[str, Any]:
    """Settings of an arm."""
    return {"by": "rejection", "rounds": rounds, "n_samples": n_samples, "steps": steps}


JOB = Job(
    name="rejection_rounds",
    title="Rounds of best of K and fine-tuning against PPO; breadth against depth",
    lesson="35",
    arms={
        "rounds": rejection(5, 8, 40),
        "broad": rejection(1, 40, 200),
        "deep": rejection(20, 2, 10),
        "ppo": {"by": "ppo"},
    },
    run=run,
)
