"""Does gold fall when a proxy is pushed? Best-of-n and PPO, three sizes of reward model.

Gold is the known worth of an answer (recipes/backwards.py). A proxy is a reward model that has
learned from 8 192 noisy comparisons of the first policy's answers; its body has read
demonstrations. Best-of-n chooses by it, PPO learns from it without a price for distance, as Gao et
al. did. Everything is measured on words of no training.

Distances: best-of-n's is the bound for answers without ties; PPO's is measured.
Cut for want of time: an arm by DPO (see direct_methods), and PPO beyond 80 steps.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from minillm import align
from minillm.recipes import backwards as b
from minillm.recipes.backwards_ppo import ppo_in_parts
from minillm.recipes.records import Job

NS = (1, 2, 4, 8, 16, 32, 64)
N_WORDS = 64
"""Words that best-of-n answers, 64 times each."""
PLACES = (0, 2, 5, 10, 20, 40, 80)
"""Steps at which PPO is looked at."""
PILOT = {1e-4: 0.003, 3e-4: 0.0}
"""Learning rate -> highest gain in gold along the curve, PPO on the proxy "middle", seed 101. Gold
falls nearly from the start at both; a lower rate would not get far within the steps."""
PPO_RATE = 1e-4


@lru_cache(maxsize=1)
def answers_of(seed: int) -> list[list[align.Sample]]:
    """Draw what best-of-n chooses from; the same answers for all three proxies."""
    tasks = b.parts()[1][:N_WORDS]
    return align.sample_answers(
        b.first_policy(seed), b.TOKENIZER, tasks, max(NS), max_tokens=b.MAX_TOKENS, seed=seed
    )


def best_of_n(size: str, seed: int) -> dict[str, Any]:
    """Draw 64 answers a word once, and read every n off them.

    "ceiling" is the same curve with gold itself choosing: what a perfect proxy would win.
    """
    tasks, drawn = b.parts()[1][:N_WORDS], answers_of(seed)
    model = b.proxy(seed, size)
    proxy, gold = (align.scores_of(score, tasks, drawn) for score in (b.proxy_score(model), b.gold))
    points = align.best_of_n_curve(proxy, gold, NS)
    best = align.best_of_n_curve(gold, gold, NS)
    return {
        "distance": [point.distance for point in points],
        "proxy": [point.proxy for point in points],
        "gold": [point.gold for point in points],
        "ceiling": [point.gold for point in best],
        "start": float(gold.mean()),
        "accuracy": b.proxy_accuracy(model, b.comparisons(seed).test),
        "distinct": sum(len({s.text for s in row}) for row in drawn) / (len(tasks) * max(NS)),
    }


def curve_of(seen: list[dict[str, float]]) -> dict[str, Any]:
    """Lay what was seen into columns; gold and proxy relative to the first place."""
    start = seen[0]
    found: dict[str, Any] = {name: [one[name] for one in seen] for name in start}
    for name in ("gold", "proxy"):
        found[name] = [one[name] - start[name] for one in seen]
    return found | {"distance": [math.sqrt(one["kl"]) for one in seen]}


def by_ppo(size: str, seed: int, lr: float = PPO_RATE) -> dict[str, Any]:
    """Push the policy by PPO on a reward model."""
    model, first = b.proxy(seed, size), b.first_policy(seed)
    score = b.proxy_score(model)

    def look(policy: Any) -> dict[str, float]:
        found = b.measure(policy, first, seed)
        n = len(found.texts) // b.N_TEST
        tasks = [task for task in b.parts()[1] for _ in range(n)]
        proxy = float(score(tasks, found.texts).mean())
        return {
            "kl": found.kl, "proxy": proxy, "gold": found.gold, "right": found.right,
            "length": found.length,
        }  # fmt: skip

    found = curve_of(ppo_in_parts(seed, score, PLACES, look, lr=lr))
    return found | {"accuracy": b.proxy_accuracy(model, b.comparisons(seed).test)}


def drop_by_others(runs: Sequence[Sequence[float]]) -> list[float]:
    """How far gold falls behind its highest point, with that point chosen by the other runs.

    The highest point of the very runs that are judged lies too high by chance. Here each run is
    read at the point where the mean of all others is highest, so that a flat curve has a drop of 0
    on average, and one that still rises has one of 0 or less.

    Args:
        runs: gold at the same M points, one row a seed, two rows or more.

    Returns:
        Of each run, gold at the point chosen by the others minus gold at the last point.

    Raises:
        ValueError: if there are fewer than two runs, or they differ in length.
    """
    if len(runs) < 2 or len({len(run) for run in runs}) != 1:
        raise ValueError(
            f"need two runs or more of equal length, got lengths {[len(run) for run in runs]}"
        )
    drops = []
    for i, run in enumerate(runs):
        rest = [other for j, other in enumerate(runs) if j != i]
        others = [sum(point) for point in zip(*rest, strict=True)]
        drops.append(run[others.index(max(others))] - run[-1])
    return drops


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Push one policy, and measure proxy and gold on the way."""
    push = best_of_n if settings["by"] == "best_of_n" else by_ppo
    return push(settings["size"], seed)


def pilot() -> dict[float, float]:
    """Find a rate that gains much within the steps: gold's highest point for each."""
    return {lr: max(by_ppo("middle", 101, lr)["gold"]) for lr in PILOT}


JOB = Job(
    name="over_optimisation",
    title="Gold and proxy against sqrt(KL): best-of-n and PPO on three reward models",
    lesson="35",
    arms={
        f"{how}_{size}": {"by": by, "size": size}
        for how, by in (("best", "best_of_n"), ("ppo", "ppo"))
        for size in b.SIZES
    },
    run=run,
)
