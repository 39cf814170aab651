"""Sentiment as a blank to fill in, or with a new output layer: which needs fewer examples?

Pre-training, as GLM: reviews such as

    soup fresh room big staff kind . it was great .

lose short spans, which the model writes. A reviewer is pleased or not, and nobody says which: each
word is one of praise or blame that fits (75 %), or one that does not fit (10 %), or says nothing
(15 %). Half of the reviews close with `it was great .` or `it was awful .`, which is wrong in one
case of ten; a quarter close with something that says nothing, a quarter do not close.

The task: a new review without any closing; is it good or bad? Three ways to ask the same model:

    cloze         review, `it was [MASK] .`; of the words `great` and `awful` the likelier one
    head          review alone; mean of the features, and a new matrix (2, D)
    head_at_blank review, `it was [MASK] .`; the feature at the blank, and a new matrix (2, D)

`head` is what one does with a model that has no blank; `head_at_blank` differs from `cloze` in
nothing but the output matrix. All three then learn from n labelled reviews, all weights, the same
number of steps. Rates were chosen on seed 101, see PILOT.

Rule, written before the first recorded run: accuracy, mean over 4 to 32 examples, of `cloze` minus
the better head (on the mean over the seeds), expected above zero; 512 examples are shown beside it.

Shape letters: B reviews, T tokens of a row, D model width.
"""

import copy
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from minillm.model import (
    AttentionConfig,
    DecoderConfig,
    FeedForwardConfig,
    PositionConfig,
)
from minillm.model.masks import prefix_mask
from minillm.model.two_dimensional import TwoDimensionalDecoder
from minillm.objectives import fast_cross_entropy
from minillm.objectives.blank_spans import short_spans
from minillm.objectives.infilling import IGNORED, blank_out
from minillm.recipes.records import Job
from minillm.train import OptimizerConfig, TrainConfig, train

PAD, MASK, START, END = range(4)
THINGS = ["soup", "bread", "fish", "room", "view", "bed", "staff", "music"]
GOOD = ["fresh", "kind", "clean", "warm", "bright", "quick", "soft", "sweet", "calm", "fair"]
BAD = ["stale", "rude", "dirty", "cold", "dark", "slow", "hard", "sour", "loud", "unfair"]
NEUTRAL = ["big", "small", "red", "long", "round"]
ELSE = ["i", "came", "with", "my", "friend", "on", "monday"]
WORDS = [".", "it", "was", "great", "awful", *ELSE, *THINGS, *GOOD, *BAD, *NEUTRAL]
ID = {word: 4 + i for i, word in enumerate(WORDS)}
V = 4 + len(WORDS)
ASK = [ID["it"], ID["was"], MASK, ID["."]]
VERBALISER = (ID["awful"], ID["great"])
"""The word of label 0 and of label 1."""
NOISE = 0.1
"""Share of the closings that say the contrary."""

FITS = (0.75, 0.1, 0.15)
"""Shares of the words that fit the writer's mood, that do not, and that say nothing."""
DENSITY, MEAN_SPAN, AT_CLOSING = 0.3, 1.0, 0.5
"""Blanks are denser and shorter than GLM's 15 % and 3, and half of the closings lose their last
word and nothing else: a run of seconds cannot wait for chance."""
LENGTH = 32
"""Longest row."""
D, INIT = 48, 0.1
PRETRAIN = TrainConfig(400, 32, LENGTH, warmup_steps=20, log_every=0, precision="float32")
TUNE = TrainConfig(60, 16, LENGTH, warmup_steps=6, log_every=0, precision="float32")
LR = 5e-3
SHOTS = (4, 8, 16, 32, 128, 512)
FEW = 32
"""The most examples that count as few."""
DRAWS, N_TEST = 3, 500
"""Sets of examples for each number, and reviews of the test."""
WAYS = ("cloze", "head", "head_at_blank")
PILOT: dict[str, dict[float, float]] = {
    "cloze": {0.0001: 0.9248, 0.0002: 0.9139, 0.0005: 0.8962, 0.002: 0.8682, 0.005: 0.8602},
    "head": {0.0001: 0.9317, 0.0002: 0.9287, 0.0005: 0.9182, 0.002: 0.8922, 0.005: 0.8759},
    "head_at_blank": {0.0001: 0.9182, 0.0002: 0.9096, 0.0005: 0.8929, 0.002: 0.8611, 0.005: 0.853},
}
"""Accuracy of each way and rate on seed 101, mean over SHOTS, before the study: see `pilot`."""


def review(rng: np.random.Generator) -> tuple[list[int], int]:
    """Draw a review without its closing, and whether its writer is pleased (1) or not (0)."""
    label, words = int(rng.integers(2)), []
    for _ in range(int(rng.integers(3, 6))):
        kinds = (GOOD, BAD, NEUTRAL) if label else (BAD, GOOD, NEUTRAL)
        kind = kinds[int(rng.choice(3, p=FITS))]
        words += [str(rng.choice(THINGS)), str(rng.choice(kind))]
    return [ID[w] for w in [*words, "."]], label


def closed(rng: np.random.Generator) -> list[int]:
    """Draw a review as it stands in the text of the pre-training."""
    ids, label = review(rng)
    kind = rng.random()
    if kind < 0.5:
        label = 1 - label if rng.random() < NOISE else label
        return [*ids, ID["it"], ID["was"], VERBALISER[label], ID["."]]
    if kind < 0.75:
        return [*ids, *(ID[w] for w in [*ELSE, "."])]
    return ids


def make(seed: int) -> TwoDimensionalDecoder:
    """Build the model."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    config = DecoderConfig(
        V, D, 2, LENGTH, AttentionConfig(4), FeedForwardConfig("swiglu", 128),
        position=PositionConfig("learned"), tie_embeddings=False, init_std=INIT,
    )  # fmt: skip
    return TwoDimensionalDecoder(config)


def features(model: TwoDimensionalDecoder, rows: Tensor) -> Tensor:
    """Read rows (B, 4, T): tokens, place, place in the span, 1 in part A; give (B, T, D)."""
    mask = prefix_mask(rows[:, 3].sum(dim=1), rows.shape[2])
    return model.features(rows[:, 0], positions=rows[:, 1:3], mask=mask, causal=False)


class Classifier(nn.Module):
    """A pre-trained model with one of the three ways to say good or bad."""

    def __init__(self, glm: TwoDimensionalDecoder, way: str) -> None:
        super().__init__()
        self.glm, self.way = copy.deepcopy(glm), way
        self.head = nn.Linear(D, 2)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, rows: Tensor) -> Tensor:
        """Score the two labels, (B, 2)."""
        x = features(self.glm, rows)  # (B, T, D)
        if self.way == "head":
            real = (rows[:, 0] != PAD).to(x.dtype)  # (B, T)
            return self.head((x * real[:, :, None]).sum(dim=1) / real.sum(dim=1, keepdim=True))
        at = (rows[:, 0] == START).int().argmax(dim=1)
        x = x[torch.arange(len(x)), at]  # (B, D)
        if self.way == "head_at_blank":
            return self.head(x)
        return self.glm.logits(x)[:, VERBALISER]


def lay(rows: list[tuple[np.ndarray, np.ndarray, int]]) -> Tensor:
    """Lay (tokens, positions, tokens in part A) into one tensor, (B, 4, LENGTH)."""
    out = np.zeros((len(rows), 4, LENGTH), dtype=np.int64)
    for b, (tokens, positions, n_context) in enumerate(rows):
        n = len(tokens)
        out[b, 0, :n], out[b, 1:3, :n], out[b, 3, :n_context] = tokens, positions, 1
    return torch.from_numpy(out)


def infilling_batches(seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Give reviews with short blanks, and targets (B, LENGTH), without end."""
    rng = np.random.default_rng(seed)
    while True:
        rows, y = [], np.full((PRETRAIN.batch_size, LENGTH), IGNORED)
        for b in range(len(y)):
            ids = closed(rng)
            spans = short_spans(len(ids), rng, density=DENSITY, mean_span=MEAN_SPAN)
            if ids[-2] in VERBALISER and rng.random() < AT_CLOSING:
                spans = np.array([[len(ids) - 2, len(ids) - 1]])
            one = blank_out(ids, spans, rng, mask_id=MASK, start_id=START, end_id=END)
            rows.append((one.tokens, one.positions, one.n_context))
            y[b, : len(one.targets)] = one.targets
        yield lay(rows), torch.from_numpy(y)


def labelled(rng: np.random.Generator, n: int, way: str) -> tuple[Tensor, Tensor]:
    """Draw n reviews, half of them good, as a way asks them: rows (n, 4, LENGTH) and labels."""
    rows: list[tuple[np.ndarray, np.ndarray, int]] = []
    labels: list[int] = []
    while len(rows) < n:
        ids, label = review(rng)
        if label == len(rows) % 2:
            part_a = ids if way == "head" else ids + ASK
            tokens = part_a if way == "head" else [*part_a, START]
            places = np.zeros((2, len(tokens)), dtype=np.int64)
            places[0, : len(part_a)] = np.arange(len(part_a))
            if way != "head":
                places[:, -1] = part_a.index(MASK), 1
            rows.append((np.array(tokens), places, len(part_a)))
            labels.append(label)
    return lay(rows), torch.tensor(labels)


def pretrain(seed: int) -> TwoDimensionalDecoder:
    """Train a small GLM on reviews."""
    glm = make(seed)
    train(
        glm,
        infilling_batches(seed),
        PRETRAIN,
        optimizer=OptimizerConfig(lr=LR, weight_decay=0.1),
        objective=lambda net, x, y: fast_cross_entropy(net.logits(features(net, x)), y),  # type: ignore[arg-type,operator]
        progress=False,
    )
    return glm.eval()


def tune(glm: TwoDimensionalDecoder, way: str, shots: int, seed: int, *, lr: float) -> Classifier:
    """Train a copy of the model, all of its weights, on some labelled reviews."""
    rng = np.random.default_rng((seed, shots))
    x, y = labelled(rng, shots, way)
    model = Classifier(glm, way)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            size = min(TUNE.batch_size, shots)
            chosen = torch.from_numpy(rng.choice(shots, size, replace=False))
            yield x[chosen], y[chosen]

    train(
        model,
        batches(),
        TUNE,
        optimizer=OptimizerConfig(lr=lr, weight_decay=0.0),
        objective=lambda net, x, y: fast_cross_entropy(net(x), y),
        progress=False,
    )
    return model.eval()


@lru_cache(maxsize=3)
def questions(way: str) -> tuple[Tensor, Tensor]:
    """Draw the reviews of the test, as a way asks them."""
    return labelled(np.random.default_rng(0), N_TEST, way)


@torch.no_grad()
def accuracy(model: Classifier) -> float:
    """Share of 500 new reviews that are judged right; half of them are good."""
    x, y = questions(model.way)
    return (model(x).argmax(dim=1) == y).float().mean().item()


def best_rate(way: str) -> float:
    """The rate that seed 101 preferred for a way."""
    return max(PILOT[way], key=lambda lr: PILOT[way][lr])


def few_shot(glm: TwoDimensionalDecoder, way: str, seed: int, *, lr: float) -> dict[str, float]:
    """Accuracy by number of examples, mean over DRAWS sets of examples."""
    found = {"0": accuracy(Classifier(glm, way).eval())}
    for shots in SHOTS:
        seeds = [1_000 * seed + draw for draw in range(DRAWS)]
        found[str(shots)] = float(
            np.mean([accuracy(tune(glm, way, shots, s, lr=lr)) for s in seeds])
        )
    few = [found[str(shots)] for shots in SHOTS if shots <= FEW]
    return {**found, "few": float(np.mean(few))}


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Pre-train one model; tune copies of it in the three ways, on few and on many examples."""
    model = pretrain(seed)
    found: dict[str, float] = {}
    for way in settings["ways"]:
        by_shots = few_shot(model, way, seed, lr=best_rate(way))
        found |= {f"{way} {name}": value for name, value in by_shots.items()}
    return found


def pilot(rates: tuple[float, ...] = (5e-4, 2e-3, 5e-3), seed: int = 101) -> None:
    """Print the mean accuracy of each way at some rates, on a seed outside the study."""
    glm = pretrain(seed)
    for way in WAYS:
        found = {}
        for lr in rates:
            by_shots = few_shot(glm, way, seed, lr=lr)
            found[lr] = round(float(np.mean([by_shots[str(n)] for n in SHOTS])), 4)
        print(f'"{way}": {found},', flush=True)


JOB = Job(
    name="cloze",
    title="Sentiment as a blank to fill in, or with a new output layer, from 4 to 512 examples",
    lesson="18",
    arms={"glm": {"ways": list(WAYS)}},
    run=run,
)
