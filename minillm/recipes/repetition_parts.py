"""Parts for experiments on repeated text: who reads what how often, and what may soften it.

All runs of an experiment read equally many tokens. With more epochs the text is shorter: the first
`total / epochs` tokens of the same row, so that the text of 64 epochs is the beginning of the text
of one. Noise and shared blocks are put on a model from outside, so that the model knows nothing of
them.

Shape letters: B windows, T context, D model width.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from minillm.data.corpora import load_corpus
from minillm.data.loader import BatchSampler
from minillm.model import Decoder, FeedForwardConfig
from minillm.model.routing import ExpertsConfig
from minillm.objectives import routed_loss
from minillm.recipes.objective_rows import Words, collate, make_row
from minillm.recipes.runs import decoder
from minillm.recipes.small import MAX_FLOPS, N_BYTES_VOCAB, SmallConfig, stream
from minillm.train import OptimizerConfig, TrainConfig, train

TRAIN_BYTES, TEST_BYTES = 300_000, 24_000
BATCH, CONTEXT, WARMUP = 8, 64, 20
INIT_STD = 0.1
"""Of the matrices, near 1 / sqrt(D), so that no run spends its steps on growing them first."""


@dataclass(frozen=True)
class Repeated:
    """One run: which model reads how many tokens, how often, and with what against overfitting.

    Attributes:
        d_model, n_layers: the shape; heads are 16 wide.
        total, epochs: the run reads total tokens, which are total / epochs different ones.
        lr: the largest learning rate.
        weight_decay: see OptimizerConfig.
        dropout, late: see Noise; late is the share of the steps that pass before it begins.
        drop_parts: share of the parts of the blocks that are left out (stochastic depth).
        times: how often the stack of blocks is run through, with the same weights.
        n_experts: instead of each feed-forward layer, so many of 1 / n_experts of its width, of
            which every token takes one: equal parameters, fewer operations. 0: none.
    """

    d_model: int = 48
    n_layers: int = 2
    total: int = 65_536
    epochs: int = 1
    lr: float = 0.01
    weight_decay: float = 0.1
    dropout: float = 0.0
    late: float = 0.0
    drop_parts: float = 0.0
    times: int = 1
    n_experts: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.total % (self.epochs * CONTEXT) or self.total % self.a_step:
            raise ValueError(
                f"total={self.total} must be epochs={self.epochs} times a multiple of {CONTEXT}, "
                f"and a multiple of {self.a_step}, the tokens of a step"
            )
        if self.flops > MAX_FLOPS:
            raise ValueError(
                f"this run would cost {self.flops:.1e} FLOPs, at most {MAX_FLOPS:.1e} are allowed: "
                "read fewer tokens, or take a narrower model"
            )

    @property
    def a_step(self) -> int:
        """Tokens of a step."""
        return BATCH * CONTEXT

    @property
    def unique(self) -> int:
        """Different tokens that are read."""
        return self.total // self.epochs

    @property
    def steps(self) -> int:
        """Updates of the weights."""
        return self.total // self.a_step

    @property
    def flops(self) -> float:
        """Operations of the run, 6 N D; shared blocks are paid for each time they are run."""
        small = SmallConfig(
            d_model=self.d_model, n_layers=self.n_layers * self.times, context=CONTEXT,
            steps=self.steps, batch_size=BATCH,
        )  # fmt: skip
        return small.flops


@lru_cache(maxsize=4)
def prose(name: str = "prose") -> tuple[list[str], list[str]]:
    """Give texts to train on, and others to test on: a corpus by name, cut to what is needed."""
    found = load_corpus(name, max_bytes=TRAIN_BYTES + 4 * TEST_BYTES, progress=False).texts
    found = [found[i] for i in np.random.default_rng(26).permutation(len(found))]
    test, n_bytes = [], 0
    while n_bytes < TEST_BYTES:  # the last text is cut
        test.append(found.pop()[: TEST_BYTES - n_bytes])
        n_bytes += len(test[-1].encode())
    return found, test


def row_of(texts: Sequence[str], n: int, seed: int) -> np.ndarray:
    """Lay texts into a row in the order of a seed, and give its first n + 1 tokens.

    n tokens are read from it once an epoch; the last one is only a target. Smaller n give the
    beginning of the row of larger n.

    Raises:
        ValueError: if the texts hold fewer.
    """
    order = np.random.default_rng([26, seed]).permutation(len(texts))
    row = stream([texts[i] for i in order])
    if len(row) < n + 1:
        raise ValueError(f"{n + 1} different tokens are needed, the texts hold {len(row)}")
    return row[: n + 1]


def spoil(text: str, share: float, rng: np.random.Generator) -> str:
    """Replace words by random small letters, as many as the word has.

    Args:
        text: split at blanks; blanks and line ends stay.
        share: chance of every word, in [0, 1].
        rng: where the chances come from.

    Raises:
        ValueError: if share is not in [0, 1].
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1], got {share}")
    lines = []
    for line in text.split("\n"):
        words = line.split(" ")
        for i, word in enumerate(words):
            if word and rng.random() < share:
                words[i] = "".join(map(chr, rng.integers(97, 123, len(word))))
        lines.append(" ".join(words))
    return "\n".join(lines)


class Noise:
    """Dropout or stochastic depth, put on a model from outside; off in evaluation mode.

        units:  every number that a part adds to x, and of the embedding, is 0 with probability
                rate, and divided by 1 - rate otherwise
        parts:  the same for all numbers that a part adds to the x of a window: it is left out
                there, or counts more

    Args:
        model: gets hooks; its weights stay as they are.
        rate: in [0, 1).
        seed: of the noise, which is independent of torch's own.
        first: passes in training mode before the noise begins.
        parts: leave whole parts out (attention or feed-forward layer), not single numbers.

    Raises:
        ValueError: if rate is not in [0, 1).

    Source: Srivastava et al. 2014 (dropout); Huang et al. 2016 (stochastic depth),
        arXiv:1603.09382, section 3, here with one rate for all depths.
    Lesson: notebooks/26_repetition.ipynb
    """

    def __init__(
        self, model: Decoder, rate: float, *, seed: int, first: int = 0, parts: bool = False
    ) -> None:
        if not 0 <= rate < 1:
            raise ValueError(f"rate must lie in [0, 1), got {rate}")
        self.rate, self.first, self.parts, self.n_passes = rate, first, parts, 0
        self.generator = torch.Generator().manual_seed(seed)
        model.embedding.register_forward_hook(self._begin)
        for block in dict.fromkeys(model.blocks):  # a shared block gets its hooks once
            block.attention.register_forward_hook(self._on)  # type: ignore[union-attr]
            block.feedforward.register_forward_hook(self._on)  # type: ignore[union-attr]

    def _begin(self, module: nn.Module, given: Any, out: Tensor) -> Tensor:
        """Count the pass, which begins with the embedding."""
        self.n_passes += module.training
        return out if self.parts else self._on(module, given, out)

    def _on(self, module: nn.Module, _: Any, out: Tensor) -> Tensor:
        if not module.training or self.n_passes <= self.first or not self.rate:
            return out
        shape = (out.shape[0], 1, 1) if self.parts else out.shape
        kept = torch.empty(shape).bernoulli_(1 - self.rate, generator=self.generator)
        return out * kept / (1 - self.rate)


def build(run: Repeated, seed: int, vocab_size: int = N_BYTES_VOCAB) -> Decoder:
    """Build the model of a run, with its noise and its sharing."""
    torch.manual_seed(seed)
    heads = max(1, run.d_model // 16)
    shape = decoder(vocab_size, run.d_model, run.n_layers, heads, 2 * CONTEXT)
    shape = dataclasses.replace(shape, init_std=INIT_STD)
    if run.n_experts:
        experts = ExpertsConfig(run.n_experts, 1, renormalise=False, balance_coef=0.01)
        width = shape.feedforward.width // run.n_experts
        layer = FeedForwardConfig("swiglu", width, experts=experts)
        shape = dataclasses.replace(shape, feedforward=layer)
    model = Decoder(shape)
    model.blocks = nn.ModuleList([*model.blocks] * run.times)
    if run.dropout:
        Noise(model, run.dropout, seed=seed, first=round(run.late * run.steps))
    if run.drop_parts:
        Noise(model, run.drop_parts, seed=seed, parts=True)
    return model


class Rows:
    """Windows of a sampler, laid out for an objective; `now` is the batch given out last.

    Args:
        inner: gives (x, y), (B, T).
        name: of an objective, see recipes.objective_rows.
        words: the special ids.
        seed: of what is hidden, drawn anew every time that a window is read.
    """

    def __init__(self, inner: BatchSampler, name: str, words: Words, seed: int) -> None:
        self.inner, self.name, self.words = inner, name, words
        self.rng = np.random.default_rng([seed, 26])
        self.now: Any = None

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for x, _ in self.inner:
            rows = [make_row(self.name, ids, self.rng, self.words) for ids in x.numpy()]
            self.now = collate(self.name, rows)
            yield self.now.tokens, self.now.targets


def train_repeated(
    run: Repeated,
    tokens: np.ndarray,
    seed: int,
    *,
    model: Decoder | None = None,
    losses: list[float] | None = None,
    eval_every: int = 0,
    **how: Any,
) -> Decoder:
    """Train the model of a run on its tokens, on one thread.

    Args:
        run: see Repeated.
        tokens: at least run.unique + 1 of them, see row_of; the rest is not read.
        seed: of the weights, of the order of the windows, and of the noise.
        model: go on from this one, changed in place, instead of fresh weights.
        losses: a list to which the loss of every step is added, nats a token.
        eval_every: call evaluate every so many steps, and at the end.
        how: objective, batches, evaluate: instead of the usual ones, see train.train.

    Returns:
        The model, in evaluation mode.

    Lesson: notebooks/26_repetition.ipynb
    """
    torch.set_num_threads(1)
    model = build(run, seed) if model is None else model

    def log(record: dict[str, Any]) -> None:
        if losses is not None and "loss" in record:  # an evaluation has none
            losses.append(record["loss"])

    batches = BatchSampler(tokens[: run.unique + 1], BATCH, CONTEXT, seed=seed)
    settings = TrainConfig(
        run.steps, BATCH, CONTEXT, warmup_steps=min(WARMUP, run.steps // 2), log_every=0,
        eval_every=eval_every, precision="float32",
    )  # fmt: skip
    train(
        model,
        how.pop("batches", batches),
        settings,
        optimizer=OptimizerConfig(lr=run.lr, weight_decay=run.weight_decay),
        objective=how.pop("objective", routed_loss),
        log=log,
        progress=False,
        **how,
    )
    return model.eval()
