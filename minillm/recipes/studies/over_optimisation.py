"""Does gold fall when a proxy is pushed? Best-of-n and PPO, three sizes of reward model; and DPO.

Gold is the known worth of an answer (recipes/backwards.py). A proxy is a reward model that has
learned from 512 noisy comparisons of the first policy's answers; its body has read demonstrations.
Best-of-n chooses by it, PPO learns from it without a price for distance, as Gao et al. did. DPO
learns from the same comparisons for as long. Everything is measured on words of no training.

Distances: best-of-n's is the bound for answers without ties; the others' is measured.
"""

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch

from minillm import align
from minillm.recipes import backwards as b
from minillm.recipes.backwards_ppo import PPO_LR, ppo_in_parts
from minillm.recipes.records import Job
from minillm.train import OptimizerConfig, make_optimizer

NS = (1, 2, 4, 8, 16, 32, 64)
N_WORDS = 64
"""Words that best-of-n answers, 64 times each."""
PLACES = (0, 5, 10, 20, 40, 80, 160)
"""Steps at which PPO and DPO are looked at."""
PILOT: dict[str, dict[float, float]] = {}
"""Learning rate -> highest gold along the curve, for "ppo" (proxy "middle") and "dpo"; seed 101.
TODO: fill it with pilot(), then set the two rates below."""
PPO_RATE = PPO_LR
DPO_LR = 5e-4
DPO_BETA = 0.1
DPO_BATCH = 16


def best_of_n(size: str, seed: int) -> dict[str, Any]:
    """Draw 64 answers a word once, and read every n off them."""
    tasks = b.parts()[1][:N_WORDS]
    drawn = align.sample_answers(
        b.first_policy(seed), b.TOKENIZER, tasks, max(NS), max_tokens=b.MAX_TOKENS, seed=seed
    )
    model = b.proxy(seed, size)
    proxy, gold = (align.scores_of(score, tasks, drawn) for score in (b.proxy_score(model), b.gold))
    points = align.best_of_n_curve(proxy, gold, NS)
    return {
        "distance": [point.distance for point in points],
        "proxy": [point.proxy for point in points],
        "gold": [point.gold for point in points],
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


def by_dpo(seed: int, lr: float = DPO_LR) -> dict[str, Any]:
    """Push the policy by DPO on the comparisons; the proxy is its own implicit reward."""
    first, pairs = b.first_policy(seed), b.comparisons(seed)
    model = copy.deepcopy(first)
    batches = align.PairBatches(pairs.train, DPO_BATCH, b.CONTEXT, pad=b.PAD_ID, seed=seed)
    moving = adamw(model, lr)
    seen, state = [], None
    for steps in PLACES:
        if steps:
            state = align.prefer(
                model, batches, b.settings(steps, DPO_BATCH, schedule="constant", warmup_steps=0),
                align.DirectConfig("dpo", beta=DPO_BETA), ref_model=first, optimizer=moving,
                state=state, progress=False,
            )  # fmt: skip
        found = b.measure(model, first, seed)
        stats = align.pair_stats(model, first, pairs.test, pad=b.PAD_ID, batch_size=128)
        seen.append(
            {
                "kl": found.kl,
                "proxy": stats.margin,
                "gold": found.gold,
                "right": found.right,
                "length": found.length,
                "pairs right": stats.accuracy,
            }
        )
    return curve_of(seen)


def adamw(model: torch.nn.Module, lr: float) -> torch.optim.Optimizer:
    """AdamW without decay."""
    return make_optimizer(model, OptimizerConfig(lr=lr, weight_decay=0.0))


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Push one policy, and measure proxy and gold on the way."""
    if settings["by"] == "dpo":
        return by_dpo(seed)
    push = best_of_n if settings["by"] == "best_of_n" else by_ppo
    return push(settings["size"], seed)


def pilot() -> dict[str, dict[float, float]]:
    """Find rates that push far within the steps: print gold's highest point for each."""
    found: dict[str, dict[float, float]] = {"ppo": {}, "dpo": {}}
    for lr in (3e-4, 1e-3, 3e-3):
        found["ppo"][lr] = max(by_ppo("middle", 101, lr)["gold"])
    for lr in (1e-4, 5e-4, 2e-3):
        found["dpo"][lr] = max(by_dpo(101, lr)["gold"])
    return found


JOB = Job(
    name="over_optimisation",
    title="Gold and proxy against sqrt(KL): best-of-n and PPO on three reward models, and DPO",
    lesson="35",
    arms={
        **{
            f"{how}_{size}": {"by": by, "size": size}
            for how, by in (("best", "best_of_n"), ("ppo", "ppo"))
            for size in b.SIZES
        },
        "dpo": {"by": "dpo", "size": ""},
    },
    run=run,
)
