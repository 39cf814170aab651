"""How good is a reward model of which size after how many pairs, and how good can one be?

Three bodies, the shipped `draft` (0.3 M parameters), `tiny` (1.6 M) and `small` (3.1 M), each after
64, 192 and 576 pairs, once over them. The smaller sets are the beginnings of the larger. All read
the same rows of at most 128 tokens and are measured on the same held-out pairs.

`agreement` is with a fresh annotator, on average over the annotator's noise, so that its ceiling is
known: `ceiling`, what who knows the gold utility reaches. `gold` is the share of orders of the gold
utility. `right against wrong` is `gold` over pairs of a right and a wrong answer, which need the
story to be understood; the other kinds show by their form.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from minillm.align.calibration import best_accuracy, preference_accuracy
from minillm.align.story_answers import HELPFUL
from minillm.align.story_pairs import utilities_of
from minillm.recipes import story_rewards as parts
from minillm.recipes.records import Job

MODELS, SIZES, N_TEST = ("draft", "tiny", "small"), (64, 192, 576), 240
RATES = (3e-4, 1e-3, 3e-3)
PILOT: dict[str, dict[float, float]] = {}
"""By model the agreement after 192 pairs at each learning rate, seed 101, as `pilot` prints it."""


def best_rate(model: str) -> float:
    """The rate that seed 101 preferred; before the pilot, the middle one."""
    table = PILOT.get(model)
    return max(table, key=lambda lr: table[lr]) if table else RATES[1]


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train one reward model and measure it on held-out pairs."""
    pairs = parts.draw_pairs("train", max(SIZES), seed)[: settings["n"]]
    held = parts.draw_pairs("test", N_TEST, seed)
    prefs = parts.label(pairs, HELPFUL, seed)
    model, tokenizer = parts.train_on(prefs, settings["model"], seed, lr=settings["lr"])
    gaps, gold = parts.gaps_on(model, tokenizer, held), utilities_of(held, HELPFUL)
    chances = parts.USUAL.probabilities(gold)
    order = np.sign(gold[:, 0] - gold[:, 1])
    hard = np.array([set(pair.variants) == {"right", "wrong"} for pair in held])
    return {
        "agreement": parts.agreement(gaps, chances),
        "ceiling": best_accuracy(chances),
        "gold": preference_accuracy((order * gaps)[order != 0]),
        "right against wrong": preference_accuracy((order * gaps)[hard]),
        "parameters": float(model.decoder.n_parameters()),
    }


def pilot(rates: tuple[float, ...] = RATES, seed: int = 101) -> None:
    """Print the agreement after the middle number of pairs, on a seed outside the study."""
    for name in MODELS:
        found: dict[float, float] = {}
        for lr in rates:
            got = run({"model": name, "n": SIZES[1], "lr": lr}, seed)
            found[lr] = round(got["agreement"], 4)
        print(f'"{name}": {found},', flush=True)


JOB = Job(
    name="reward_sizes",
    title="Reward models of three sizes after 64 to 576 pairs: agreement against its ceiling",
    lesson="33",
    arms={
        f"{model}_{n}": {"model": model, "n": n, "lr": best_rate(model)}
        for model in MODELS
        for n in SIZES
    },
    run=run,
)
