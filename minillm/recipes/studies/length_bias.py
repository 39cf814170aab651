"""A taste for long answers: planted in the annotator, measured in the reward, removed twice.

Answers are right, wrong, or right with one to three empty sentences behind. The gold utility takes
1/2 off for each 100 characters too many; the annotator `fond` adds BIAS for each 100 characters.

    honest     an annotator without bias
    fond       the planted bias
    fewer      as `fond`, with as many pairs, drawn by chance, as `balanced` has
    balanced   as `fond`, only pairs of which length says nothing (`length_bias.balance`)

Measured on held-out pairs, by gold utilities that no model sees: `gold` (share of right orders),
`padded wins` (how often empty sentences raise the reward of a right answer: 0 is right), `slope`
(what 100 characters add to the reward beside what the gold utility explains) and `gold slope` (what
one unit of utility adds). And for each arm the remedy afterwards, `gold regressed`: the reward's
line on length is taken off, as one does who has no gold utility.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from minillm.align.annotators import Annotator
from minillm.align.calibration import preference_accuracy
from minillm.align.length_bias import balance, length_effect, longer_wins, regress_out
from minillm.align.preferences import Pair
from minillm.align.story_answers import HELPFUL, Variant
from minillm.align.story_pairs import features_of, utilities_of
from minillm.recipes import story_rewards as parts
from minillm.recipes.records import Job

MODEL, N_TRAIN, N_TEST, BIAS, BINS = "draft", 768, 240, 2.0, 3
VARIANTS: tuple[Variant, ...] = ("right", "wrong", "padded")
RATES = (3e-4, 1e-3, 3e-3)
PILOT: dict[float, float] = {}
"""`gold` of the arm `honest` by learning rate, seed 101, as `pilot` prints it; one rate for all."""


def best_rate() -> float:
    """The rate that seed 101 preferred; before the pilot, the middle one."""
    return max(PILOT, key=lambda lr: PILOT[lr]) if PILOT else RATES[1]


def material(arm: str, seed: int) -> list[Pair]:
    """The rows that an arm learns from."""
    pairs = parts.draw_pairs("train", N_TRAIN, seed, variants=VARIANTS)
    bias = {} if arm == "honest" else {"length": BIAS}
    told = parts.ask(pairs, HELPFUL, seed, Annotator("fond", bias=bias))
    rows = parts.preferences_of(pairs, told)
    length = features_of(pairs)["length"]
    sign = np.where(told.first[:, 0], 1.0, -1.0)
    kept = balance(sign * (length[:, 0] - length[:, 1]), seed=seed, n_bins=BINS)
    if arm == "fewer":
        kept = np.sort(np.random.default_rng([seed, 33]).permutation(len(rows))[: len(kept)])
    return [rows[n] for n in kept] if arm in ("fewer", "balanced") else rows


def measure(rewards: np.ndarray, held: tuple[parts.StoryPair, ...]) -> dict[str, float]:
    """How much length there is in rewards (N, 2)."""
    gold, length = utilities_of(held, HELPFUL), features_of(held)["length"]
    padded = np.array([set(pair.variants) == {"right", "padded"} for pair in held])
    order = np.sign(gold[:, 0] - gold[:, 1])
    longer = np.sign(length[:, 0] - length[:, 1])
    gaps = rewards[:, 0] - rewards[:, 1]
    fit = length_effect(rewards.ravel(), length.ravel(), gold.ravel())
    flat = regress_out(rewards.ravel(), length.ravel()).reshape(-1, 2)
    mended = flat[:, 0] - flat[:, 1]
    return {
        "gold": preference_accuracy((order * gaps)[order != 0]),
        "gold regressed": preference_accuracy((order * mended)[order != 0]),
        "padded wins": preference_accuracy((longer * gaps)[padded]),
        "padded wins regressed": preference_accuracy((longer * mended)[padded]),
        "longer wins": longer_wins(gaps, longer),
        "slope": fit.slope,
        "gold slope": fit.gold_slope or 0.0,
    }


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train one reward model and measure it."""
    rows = material(settings["arm"], seed)
    held = parts.draw_pairs("test", N_TEST, seed, variants=VARIANTS)
    model, tokenizer = parts.train_on(rows, MODEL, seed, lr=settings["lr"])
    found = measure(parts.rewards_on(model, tokenizer, held), held)
    return found | {"pairs": float(len(rows))}


def pilot(rates: tuple[float, ...] = RATES, seed: int = 101) -> None:
    """Print `gold` of the honest arm at each rate, on a seed outside the study."""
    for lr in rates:
        print(f"{lr}: {run({'arm': 'honest', 'lr': lr}, seed)['gold']:.4f},", flush=True)


JOB = Job(
    name="length_bias",
    title="A taste for long answers: planted, measured, removed by balance or by regression",
    lesson="33",
    arms={arm: {"arm": arm, "lr": best_rate()} for arm in ("honest", "fond", "fewer", "balanced")},
    run=run,
)
