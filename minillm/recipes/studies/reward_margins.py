"""Does a margin help a reward model, and where: none, small and large, by how clear the pair is.

The same pairs, the same labels, the same order, the same start; only the margins of the ranking
loss differ (`ranking.MARGINS`: LLaMA-2's two sets, and none). Held-out pairs are labelled by the
same annotator. `right r` is the share of held-out pairs of rating r whose order is that of the
label, `agreement` the share over all of them with the noise of the labels averaged out. Margins
make gaps larger, hence `gap` (mean of r_c - r_r), `too sure` (expected calibration error minus what
chance would give) and `scale` (the factor that would make the confidence right).

RLH-006 in the ledger: `right 3` with the small margins minus without. A null is expected (the
linear case of the lesson gives one), and would not refute LLaMA-2, whose largest gain on such pairs
is 1.6 points on far more of them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from minillm.align.calibration import (
    calibration_error,
    expected_by_chance,
    fit_scale,
    preference_accuracy,
)
from minillm.align.ranking import MARGINS
from minillm.align.story_answers import HELPFUL
from minillm.align.story_pairs import utilities_of
from minillm.recipes import story_rewards as parts
from minillm.recipes.records import Job

MODEL, N_TRAIN, N_TEST = "draft", 512, 240
RATES = (3e-4, 1e-3, 3e-3, 1e-2)
PILOT: dict[float, float] = {3e-4: 0.7275, 1e-3: 0.7226, 3e-3: 0.7505, 1e-2: 0.7304}
"""Agreement by learning rate without margins, seed 101, as `pilot` prints it. One rate for all: a
margin is to be added to a training that works, not to be tuned for."""


def best_rate() -> float:
    """The rate that seed 101 preferred."""
    return max(PILOT, key=lambda lr: PILOT[lr])


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train one reward model and measure it on held-out pairs."""
    prefs = parts.label(parts.draw_pairs("train", N_TRAIN, seed), HELPFUL, seed)
    held = parts.draw_pairs("test", N_TEST, seed)
    told = parts.ask(held, HELPFUL, seed + 1_000)
    model, tokenizer = parts.train_on(
        prefs, MODEL, seed, lr=settings["lr"], margins=settings["margins"]
    )
    gaps, ratings = parts.gaps_by_label(model, tokenizer, held, told), told.ratings[:, 0]
    sign = np.where(told.first[:, 0], 1.0, -1.0)
    chances = parts.USUAL.probabilities(utilities_of(held, HELPFUL))
    return {
        **{f"right {r}": preference_accuracy(gaps[ratings == r]) for r in range(4)},
        "agreement": parts.agreement(sign * gaps, chances),
        "gap": float(gaps.mean()),
        "too sure": calibration_error(gaps) - expected_by_chance(gaps),
        "scale": fit_scale(gaps),
    }


def pilot(rates: tuple[float, ...] = RATES, seed: int = 101) -> None:
    """Print the agreement without margins at each rate, on a seed outside the study."""
    for lr in rates:
        found = run({"margins": "none", "lr": lr}, seed)
        print(f"{lr}: {found['agreement']:.4f},", flush=True)


JOB = Job(
    name="reward_margins",
    title="Reward models with no, small and large margins: accuracy by how clear the pair is",
    lesson="33",
    arms={name: {"margins": name, "lr": best_rate()} for name in MARGINS},
    run=run,
)
