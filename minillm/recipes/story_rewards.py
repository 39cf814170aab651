"""Reward models on pairs about short stories: the parts that the studies of lesson 33 share.

    pairs = draw_pairs("train", 256, seed)          answers of known kinds, whose utility is known
    prefs = label(pairs, HELPFUL, seed)             what an annotator says of them
    model, tokenizer = train_on(prefs, "draft", seed, lr=1e-3)
    gaps = gaps_on(model, tokenizer, held_out)      reward of the first answer minus the second's

Every model reads the same pairs: those whose two rows fit into `CONTEXT`, which is the context of
the smallest. A seed has its own stories. Training goes over the pairs once: more epochs learn them
by heart (Ouyang et al. 2022, section 3.5).

Shape letters: N pairs.
"""

import copy
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice

import numpy as np
import torch

from minillm.align.annotators import Annotator, Labels, annotate
from minillm.align.calibration import best_accuracy
from minillm.align.preferences import Pair
from minillm.align.ranking import margins_of
from minillm.align.reward import RewardModel, score_texts
from minillm.align.reward_training import RewardBatches, encode_pairs, train_reward
from minillm.align.story_answers import VARIANTS, Variant, Weights, make_secret
from minillm.align.story_pairs import (
    StoryPair,
    features_of,
    make_story_pairs,
    preferences_of,
    utilities_of,
)
from minillm.finetune.talks import PAD, encode_talk
from minillm.finetune.tasks import Part, Task, each_story_task
from minillm.model import Decoder
from minillm.recipes.shipped import base
from minillm.tokenizer import Tokenizer
from minillm.train import OptimizerConfig, TrainConfig

CONTEXT, LONGEST, PER_STORY = 128, 340, 8
ROOM, ROOM_SECRET = 16, 6
"""Tokens of a row, characters of a story and pairs about one story, at most; and tokens that must
be left behind a right answer, without a secret and, in draws that have secrets, behind one, so that
these are dropped no more often than other stories. Short stories are rare, hence several pairs
about one. Intervals are over seeds, whose stories are their own."""
KINDS = ("answer", "people")
"""Kinds of tasks: those whose answers are short, so that a pair's two rows fit, and frequent, so
that each has a wrong answer among the others."""
BATCH = 8
"""Pairs of a batch: sixteen rows."""
USUAL = Annotator("usual", noise=1.0)
"""Who labels, unless a study says otherwise: Bradley-Terry's noise, no bias, no slips."""


@lru_cache(maxsize=4)
def opened(name: str) -> tuple[Decoder, Tokenizer]:
    """A shipped model in float32; nobody may train it in place."""
    model, tokenizer = base(name)
    return model.float(), tokenizer


def has_room(task: Task, tokenizer: Tokenizer, *, secret: bool) -> bool:
    """Whether enough tokens are left behind the right answer, with a secret in front or without."""
    talk = (make_secret(task) if secret else task).talk()
    return len(encode_talk(talk, tokenizer)) + (ROOM_SECRET if secret else ROOM) <= CONTEXT


def fits(pair: StoryPair, tokenizer: Tokenizer) -> bool:
    """Whether both rows of a pair have at most CONTEXT tokens."""
    said = [dict(message) for message in pair.task.messages]
    talks = [[*said, {"role": "assistant", "content": text}] for text in pair.texts]
    return all(len(encode_talk(talk, tokenizer)) <= CONTEXT for talk in talks)


@lru_cache(maxsize=8)
def draw_pairs(
    part: Part,
    n: int,
    seed: int,
    *,
    variants: tuple[Variant, ...] = VARIANTS,
    conflict: float = 0.0,
) -> tuple[StoryPair, ...]:
    """Draw pairs about the stories of a seed that fit.

    Args:
        part: "train" or "test"; no world is in both.
        n: how many. The first pairs of a longer draw are not those of a shorter one: take a slice.
        seed: of the stories and of the answers.
        variants, conflict: as `make_story_pairs`. Pairs that do not fit are left out afterwards, so
            that the share of conflicts is about, not exactly, the one asked for.

    Returns:
        n pairs.

    Raises:
        ValueError: if fewer than n of twice as many fit.

    Cost: most of it is for stories that are too long or of the other part; see `recipes/studies`.
    Lesson: notebooks/33_reward.ipynb
    """
    _, tokenizer = opened("draft")
    made_up = each_story_task(
        part, longest=LONGEST, corpus=3_300 + seed, per_story=PER_STORY, kinds=KINDS
    )
    roomy = (t for t in made_up if has_room(t, tokenizer, secret=conflict > 0))
    tasks = list(islice(roomy, 2 * n))
    made = make_story_pairs(tasks, seed=seed, variants=variants, conflict=conflict)
    found = tuple(islice((pair for pair in made if fits(pair, tokenizer)), n))
    if len(found) < n:
        raise ValueError(f"only {len(found)} of {len(made)} pairs fit {CONTEXT} tokens, not {n}")
    return found


def ask(
    pairs: Sequence[StoryPair], weights: Weights, seed: int, annotator: Annotator = USUAL
) -> Labels:
    """Let one annotator say of every pair which answer it prefers, and how clearly."""
    utilities, features = utilities_of(pairs, weights), features_of(pairs)
    return annotate(utilities, [annotator], seed=seed, features=features)


def label(
    pairs: Sequence[StoryPair], weights: Weights, seed: int, annotator: Annotator = USUAL
) -> list[Pair]:
    """The rows to learn from, in the order of the pairs: `preferences_of` what `ask` was told."""
    return preferences_of(pairs, ask(pairs, weights, seed, annotator))


def train_on(
    preferences: Sequence[Pair],
    name: str,
    seed: int,
    *,
    lr: float,
    margins: str = "none",
    batch_size: int = BATCH,
) -> tuple[RewardModel, Tokenizer]:
    """Train a reward model from a shipped base, once over the pairs.

    Args:
        preferences: what to learn from; every pair must fit.
        name: of the base, such as "draft"; a copy of it is trained.
        seed: of the head and of the order of the pairs.
        lr: peak of the learning rate, reached after a tenth of the steps; then a cosine.
        margins: a name of `ranking.MARGINS`.
        batch_size: pairs of a step.

    Returns:
        The model, in evaluation mode, and its tokenizer.

    Lesson: notebooks/33_reward.ipynb
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    body, tokenizer = opened(name)
    model = RewardModel(copy.deepcopy(body).train())
    steps = max(1, len(preferences) // batch_size)
    batches = RewardBatches(
        encode_pairs(preferences, tokenizer),
        min(batch_size, len(preferences)),
        pad=tokenizer.special_id(PAD),
        margins=margins_of(preferences, margins),
        longest=CONTEXT,
        seed=seed,
    )
    train_reward(
        model,
        batches,
        TrainConfig(steps=steps, warmup_steps=steps // 10, log_every=0, precision="float32"),
        optimizer=OptimizerConfig(lr=lr, weight_decay=0.0),
        log=lambda record: None,
        progress=False,
    )
    return model.eval(), tokenizer


def rewards_on(model: RewardModel, tokenizer: Tokenizer, pairs: Sequence[StoryPair]) -> np.ndarray:
    """Score both answers of pairs as they stand, (N, 2), float64."""
    prompts = [pair.task.messages for pair in pairs for _ in pair.texts]
    texts = [text for pair in pairs for text in pair.texts]
    return score_texts(model, tokenizer, prompts, texts).double().numpy().reshape(-1, 2)


def gaps_on(model: RewardModel, tokenizer: Tokenizer, pairs: Sequence[StoryPair]) -> np.ndarray:
    """Reward of the first answer minus that of the second, (N,); their order says nothing."""
    rewards = rewards_on(model, tokenizer, pairs)
    return np.asarray(rewards[:, 0] - rewards[:, 1])


def gaps_by_label(
    model: RewardModel, tokenizer: Tokenizer, pairs: Sequence[StoryPair], labels: Labels
) -> np.ndarray:
    """Reward of the preferred answer minus the other's, (N,): above 0 is right.

    Args:
        model, tokenizer: from `train_on`.
        pairs: N of them.
        labels: of those pairs; the first annotator's are taken.
    """
    return np.where(labels.first[:, 0], 1.0, -1.0) * gaps_on(model, tokenizer, pairs)


def agreement(gaps: np.ndarray, probabilities: np.ndarray) -> float:
    """How often an order agrees with a fresh annotator, on average over the annotator's noise.

        mean of p where the gap is above 0, 1 - p where it is below, 1/2 where it is 0

    Args:
        gaps: rewards of first minus second, (N,).
        probabilities: how often the annotator prefers the first, (N,); see
            `Annotator.probabilities`.

    Returns:
        A share, at most `best_accuracy(probabilities)`. Unlike the share of right labels it has
        no noise from the labels of the held-out pairs.

    Raises:
        ValueError: if the two do not fit, a gap is NaN, or a probability is not in 0 .. 1.

    Lesson: notebooks/33_reward.ipynb
    """
    best_accuracy(probabilities)  # refuses what is no probability
    gaps = np.asarray(gaps, dtype=np.float64)
    if gaps.shape != np.shape(probabilities):
        raise ValueError(f"{gaps.shape} gaps and {np.shape(probabilities)} probabilities differ")
    if np.isnan(gaps).any():
        at = int(np.flatnonzero(np.isnan(gaps))[0])
        raise ValueError(f"gap {at} of {len(gaps)} is NaN: it says no order; look at the rewards")
    return float((0.5 + np.sign(gaps) * (np.asarray(probabilities) - 0.5)).mean())
