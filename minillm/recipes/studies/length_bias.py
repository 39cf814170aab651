"""A taste for long answers: planted in the annotator, measured in the reward, removed twice.

Answers are right, right without the end of the sentence, right with one to three empty sentences
behind, or refusals: how good they are shows by their form. The gold utility takes 1/2 off for each
100 characters too many; the annotator `fond` adds BIAS for each 100 characters.

    honest     an annotator without bias
    fond       the planted bias
    fewer      as `fond`, with as many pairs, drawn by chance, as `balanced` has
    balanced   as `fond`, only pairs of which length says nothing (`length_bias.balance`)
    must_read  the honest annotator, the same stories, but right, wrong and padded answers: who
               cannot tell right from wrong sees only that padded answers are never wrong

Measured on held-out pairs of the first four kinds, by gold utilities that no model sees: `gold`
(share of right orders), `slope` (what 100 characters add to the reward beside what the gold utility
explains) and `gold slope` (what one unit of utility adds). `padded wins` is how often empty
sentences raise the reward of a right answer, on further pairs about the same stories; 0 is right.
For each arm the remedy afterwards, `... regressed`: the reward's line on length is taken off, as
one does who has no gold utility.

The first four arms had the answers of `must_read` at first. Its pilot on seed 101 showed that even
the honest annotator's reward liked padding, for the reason above; so what is planted could not be
told from what was there, and the answers were changed before any run was recorded.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minillm.align.annotators import Annotator
from minillm.align.calibration import preference_accuracy
from minillm.align.length_bias import balance, length_effect, longer_wins, regress_out
from minillm.align.preferences import Pair
from minillm.align.story_answers import HELPFUL, Variant
from minillm.align.story_pairs import StoryPair, features_of, make_story_pairs, utilities_of
from minillm.recipes import story_rewards as parts
from minillm.recipes.records import Job

MODEL, N_TRAIN, N_TEST, BIAS, BINS = "draft", 768, 240, 2.0, 3
VARIANTS: tuple[Variant, ...] = ("right", "unfinished", "refusal", "padded")
MUST_READ: tuple[Variant, ...] = ("right", "wrong", "padded")
ARMS = ("honest", "fond", "fewer", "balanced", "must_read")
RATES = (3e-4, 1e-3, 3e-3, 1e-2)
PILOT: dict[float, float] = {3e-4: 0.9540, 1e-3: 0.9456, 3e-3: 0.9623, 1e-2: 0.8661}
"""`gold` of the arm `honest` by learning rate, seed 101, as `pilot` prints it; one rate for all."""


def best_rate() -> float:
    """The rate that seed 101 preferred."""
    return max(PILOT, key=lambda lr: PILOT[lr])


def again(pairs: Sequence[StoryPair], seed: int, variants: tuple[Variant, ...]) -> list[StoryPair]:
    """Other answers to the tasks of pairs, those that fit."""
    _, tokenizer = parts.opened(MODEL)
    made = make_story_pairs([pair.task for pair in pairs], seed=seed, variants=variants)
    return [pair for pair in made if parts.fits(pair, tokenizer)]


def ask_of(arm: str) -> Annotator:
    """Who labels the pairs of an arm; the dice are the same."""
    return Annotator("fond", bias={} if arm in ("honest", "must_read") else {"length": BIAS})


def material(arm: str, seed: int) -> list[Pair]:
    """The rows that an arm learns from."""
    pairs: Sequence[StoryPair] = parts.draw_pairs("train", N_TRAIN, seed, variants=VARIANTS)
    if arm == "must_read":
        pairs = again(pairs, seed, MUST_READ)
    told = parts.ask(pairs, HELPFUL, seed, ask_of(arm))
    rows = parts.preferences_of(pairs, told)
    length = features_of(pairs)["length"]
    sign = np.where(told.first[:, 0], 1.0, -1.0)
    kept = balance(sign * (length[:, 0] - length[:, 1]), seed=seed, n_bins=BINS)
    if arm == "fewer":
        kept = np.sort(np.random.default_rng([seed, 33]).permutation(len(rows))[: len(kept)])
    return [rows[n] for n in kept] if arm in ("fewer", "balanced") else rows


def padding_wins(rewards: np.ndarray, pairs: Sequence[StoryPair]) -> float:
    """How often the longer of two answers has the higher reward (N, 2)."""
    length = features_of(pairs)["length"]
    return longer_wins(rewards[:, 0] - rewards[:, 1], length[:, 0] - length[:, 1])


def flattened(rewards: np.ndarray, pairs: Sequence[StoryPair], slope: float) -> np.ndarray:
    """Rewards (N, 2) of pairs without the line of that slope on length."""
    length = features_of(pairs)["length"]
    return regress_out(rewards.ravel(), length.ravel(), slope).reshape(-1, 2)


def gold_share(rewards: np.ndarray, pairs: Sequence[StoryPair]) -> float:
    """Share of pairs with a gap in the gold utility whose order the rewards (N, 2) have."""
    gold = utilities_of(pairs, HELPFUL)
    order = np.sign(gold[:, 0] - gold[:, 1])
    return preference_accuracy((order * (rewards[:, 0] - rewards[:, 1]))[order != 0])


def measure(
    rewards: np.ndarray,
    held: Sequence[StoryPair],
    padded: np.ndarray,
    empty: Sequence[StoryPair],
) -> dict[str, float]:
    """How much length there is in rewards (N, 2) of held pairs, and of (M, 2) empty sentences."""
    gold, length = utilities_of(held, HELPFUL), features_of(held)["length"]
    blind = length_effect(rewards.ravel(), length.ravel())
    fit = length_effect(rewards.ravel(), length.ravel(), gold.ravel())
    return {
        "gold": gold_share(rewards, held),
        "gold regressed": gold_share(flattened(rewards, held, blind.slope), held),
        "padded wins": padding_wins(padded, empty),
        "padded wins regressed": padding_wins(flattened(padded, empty, blind.slope), empty),
        "slope": fit.slope,
        "gold slope": fit.gold_slope or 0.0,
    }


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train one reward model and measure it."""
    rows = material(settings["arm"], seed)
    held = parts.draw_pairs("test", N_TEST, seed, variants=VARIANTS)
    empty = again(held, seed, ("right", "padded"))
    model, tokenizer = parts.train_on(rows, MODEL, seed, lr=settings["lr"])
    rewards, padded = (parts.rewards_on(model, tokenizer, pairs) for pairs in (held, empty))
    return measure(rewards, held, padded, empty) | {"pairs": float(len(rows))}


def pilot(rates: tuple[float, ...] = RATES, seed: int = 101) -> None:
    """Print `gold` of the honest arm at each rate, on a seed outside the study."""
    for lr in rates:
        print(f"{lr}: {run({'arm': 'honest', 'lr': lr}, seed)['gold']:.4f},", flush=True)


JOB = Job(
    name="length_bias",
    title="A taste for long answers: planted, measured, removed by balance or by regression",
    lesson="33",
    arms={arm: {"arm": arm, "lr": best_rate()} for arm in ARMS},
    run=run,
)
