"""How good is a reward model of which size after how many pairs, and how good can one be?

Three bodies, the shipped `draft` (0.3 M parameters), `tiny` (1.6 M) and `small` (3.1 M), each after
64 and 256 pairs, once over them (64, 192 and 576 were planned, and cut for time). The smaller set
is the beginning of the larger. All read rows of at most 128 tokens and are measured on the same
held-out pairs.

`agreement` is with a fresh annotator, on average over the annotator's noise, so that its ceiling is
known: `ceiling`, what who knows the gold utility reaches. `gold` is the share of orders of the gold
utility. `right against wrong` is `gold` over further pairs about the same held-out stories, of a
right and a wrong answer each: these need the story to be understood; other kinds show by form.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minillm.align.calibration import best_accuracy, preference_accuracy
from minillm.align.story_answers import HELPFUL
from minillm.align.story_pairs import StoryPair, make_story_pairs, utilities_of
from minillm.recipes import story_rewards as parts
from minillm.recipes.records import Job

MODELS, SIZES, N_TEST = ("draft", "tiny", "small"), (64, 256), 240
N_HARD, N_PILOT = 120, 192
RATES = (3e-4, 1e-3, 3e-3)
PILOT: dict[str, dict[float, float]] = {
    "draft": {1e-4: 0.6900, 3e-4: 0.7208, 1e-3: 0.6840, 3e-3: 0.7112, 1e-2: 0.7300, 3e-2: 0.6659},
    "tiny": {1e-4: 0.6951, 3e-4: 0.7115, 1e-3: 0.7381, 3e-3: 0.7350},
    "small": {3e-4: 0.7204, 1e-3: 0.7220, 3e-3: 0.7228, 1e-2: 0.7062},
}
"""By model the agreement after N_PILOT pairs at each learning rate, seed 101, as `pilot` prints it.
To RATES others were added until a model's best was not at the edge."""


def best_rate(model: str) -> float:
    """The rate that seed 101 preferred."""
    return max(PILOT[model], key=lambda lr: PILOT[model][lr])


def hard_pairs(held: Sequence[StoryPair], seed: int) -> list[StoryPair]:
    """Pairs of a right and a wrong answer to the tasks of other pairs."""
    return make_story_pairs([pair.task for pair in held], seed=seed, variants=("right", "wrong"))


def right_against_wrong(gaps: np.ndarray, pairs: Sequence[StoryPair]) -> float:
    """Share of pairs whose right answer has the higher reward."""
    right_first = np.array([pair.variants[0] == "right" for pair in pairs])
    return preference_accuracy(np.where(right_first, gaps, -gaps))


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train one reward model and measure it on held-out pairs."""
    pairs = parts.draw_pairs("train", max(SIZES), seed)[: settings["n"]]
    held = parts.draw_pairs("test", N_TEST, seed)
    prefs = parts.label(pairs, HELPFUL, seed)
    model, tokenizer = parts.train_on(prefs, settings["model"], seed, lr=settings["lr"])
    hard = [pair for pair in hard_pairs(held, seed) if parts.fits(pair, tokenizer)][:N_HARD]
    gaps, gold = parts.gaps_on(model, tokenizer, held), utilities_of(held, HELPFUL)
    chances = parts.USUAL.probabilities(gold)
    order = np.sign(gold[:, 0] - gold[:, 1])
    return {
        "agreement": parts.agreement(gaps, chances),
        "ceiling": best_accuracy(chances),
        "gold": preference_accuracy((order * gaps)[order != 0]),
        "right against wrong": right_against_wrong(parts.gaps_on(model, tokenizer, hard), hard),
        "parameters": float(model.decoder.n_parameters()),
    }


def pilot(rates: tuple[float, ...] = RATES, seed: int = 101) -> None:
    """Print the agreement after N_PILOT pairs at each rate, on a seed outside the study."""
    for name in MODELS:
        found: dict[float, float] = {}
        for lr in rates:
            got = run({"model": name, "n": N_PILOT, "lr": lr}, seed)
            found[lr] = round(got["agreement"], 4)
        print(f'"{name}": {found},', flush=True)


JOB = Job(
    name="reward_sizes",
    title="Reward models of three sizes after 64 and 256 pairs: agreement against its ceiling",
    lesson="33",
    arms={
        f"{model}_{n}": {"model": model, "n": n, "lr": best_rate(model)}
        for model in MODELS
        for n in SIZES
    },
    run=run,
)
