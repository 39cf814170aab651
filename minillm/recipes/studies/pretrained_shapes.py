"""Pre-trained on plain stories at equal compute: which shape answers best, and which once tuned?

After Wang et al. 2022 (arXiv:2204.05832), whom BLOOM's authors followed: after pre-training alone
a causal decoder does best without examples; after tuning on many tasks the order changes. Here,
very small:

1. Pre-training. Windows of stories. `causal` learns at every place. `prefix` reads a prefix of
   random length both ways and learns at the places behind it. `encdec` reads the first SOURCE
   tokens and learns at the rest. `masked` is an encoder: it sees all of a window, 15 % of it
   hidden, and learns at the hidden places. Every arm gets PRETRAIN operations, counted; so an
   encoder-decoder, in which a token passes through half of the blocks, reads more windows.
2. Without any example: which of four sentences goes on with a story? The true one, or one of three
   from other stories; the choice has the largest mean log-probability a token.
3. Tuning. Questions about stories with their answers, loss on the answer alone, TUNE operations.

Rules, written before the first run. Cloze after pre-training: causal minus prefix, and causal
minus encdec, expected above zero. Loss of an answer after tuning: prefix minus causal, expected
below zero. And for the role of continuing a text: nats a token behind SOURCE tokens, causal
against masked and encdec.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm.data.storyworld import make_story
from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    EncoderDecoder,
    EncoderDecoderConfig,
    FeedForwardConfig,
    PositionConfig,
)
from minillm.model.masks import prefix_mask
from minillm.objectives import fast_cross_entropy
from minillm.recipes.records import Job
from minillm.tokenizer import Tokenizer, train_bpe
from minillm.train import OptimizerConfig, TrainConfig, train

END, MASKED = "<|endoftext|>", "<|mask|>"
V = 512
"""Entries, the two special tokens among them."""
SOURCE, TARGET = 72, 40
CONTEXT = SOURCE + TARGET
D, HEADS, WIDTH, LAYERS = 48, 4, 64, 4
BATCH, LR = 4, 8e-3
PRETRAIN, TUNE = 1.1e11, 0.4e11
N_TRAIN, N_TEST = 2_400, 300
"""Stories."""
CHOICES = 4

Model = Decoder | EncoderDecoder


@lru_cache(maxsize=1)
def tokenizer() -> Tokenizer:
    """A small BPE of stories."""
    texts = [make_story(seed).tell("en") for seed in range(300)]
    return Tokenizer(*train_bpe(texts, V, [END, MASKED]), [END, MASKED])


@lru_cache(maxsize=1)
def tokens() -> np.ndarray:
    """All stories to train on in a row, (N,), an end-of-text token before each."""
    ids: list[int] = []
    for seed in range(N_TRAIN):
        ids += [tokenizer().special_id(END), *tokenizer().encode(make_story(seed).tell("en"))]
    return np.array(ids)


def build(shape: str) -> Model:
    """Build a model; the encoder-decoder has as many parameters as the others."""
    both = shape == "encdec"
    config = DecoderConfig(
        V, D, LAYERS // 2 if both else LAYERS, CONTEXT, AttentionConfig(HEADS),
        FeedForwardConfig("swiglu", WIDTH - 2 * D // 3 if both else WIDTH),
        position=PositionConfig("learned"), tie_embeddings=False,
    )  # fmt: skip
    return EncoderDecoder(EncoderDecoderConfig(config, LAYERS // 2)) if both else Decoder(config)


def flops_of(shape: str) -> int:
    """Operations of training on one window; the output matrix counts at every place but the source
    of an encoder-decoder."""
    if shape != "encdec":
        matrices = LAYERS * (4 * D * D + 3 * D * WIDTH) + V * D
        return 6 * matrices * CONTEXT + 12 * LAYERS * D * CONTEXT * CONTEXT
    n, a_block = LAYERS // 2, 4 * D * D + 3 * D * (WIDTH - 2 * D // 3)
    matrices = n * a_block * CONTEXT + n * 2 * D * D * CONTEXT + V * D * TARGET
    pairs = n * (SOURCE * SOURCE + TARGET * TARGET + TARGET * SOURCE)
    return 6 * matrices + 12 * D * pairs


def logits_of(model: Model, x: Tensor, prefix: Tensor | None = None) -> Tensor:
    """Give logits at all places of x, (B, T, V), or behind the source for an encoder-decoder.

    Args:
        model: any of the four.
        x: ids, (B, T).
        prefix: how many places are read both ways, (B,); None: none.
    """
    if isinstance(model, EncoderDecoder):
        return model(x[:, :SOURCE], x[:, SOURCE - 1 : -1])
    if prefix is None:
        return model(x)
    return model(x, mask=prefix_mask(prefix, x.shape[1]), causal=False)


def behind_source(model: Model, shape: str, x: Tensor) -> Tensor:
    """Give the logits for the tokens x[:, SOURCE:], (B, T - SOURCE, V), each from what is before.

    An encoder is asked once for each place, with a mask there and nothing behind it.
    """
    if shape == "encdec":
        return logits_of(model, x)
    if shape != "masked":
        prefix = torch.full(x.shape[:1], SOURCE) if shape == "prefix" else None
        return logits_of(model, x, prefix)[:, SOURCE - 1 : -1]
    found = []
    for t in range(SOURCE, x.shape[1]):
        seen = x[:, : t + 1].clone()
        seen[:, t] = tokenizer().special_id(MASKED)
        found.append(model(seen, causal=False)[:, t])
    return torch.stack(found, dim=1)


def pretraining_loss(shape: str, rng: np.random.Generator) -> Callable[..., Tensor]:
    """Make the objective of an arm: (model, x, y) -> nats a token; y is not used."""

    def loss(model: Model, x: Tensor, y: Tensor) -> Tensor:
        B = x.shape[0]
        if shape == "causal":
            return fast_cross_entropy(model(x)[:, :-1], x[:, 1:])
        if shape == "encdec":
            return fast_cross_entropy(logits_of(model, x), x[:, SOURCE:])
        if shape == "prefix":
            prefix = torch.tensor(rng.integers(1, CONTEXT - 1, B))
            asked = torch.arange(1, CONTEXT) >= prefix[:, None]  # (B, T - 1): behind the prefix
            logits = logits_of(model, x, prefix)[:, :-1]
            return fast_cross_entropy(logits, x[:, 1:].masked_fill(~asked, -100))
        hidden = torch.tensor(rng.random((B, CONTEXT)) < 0.15)
        seen = x.masked_fill(hidden, tokenizer().special_id(MASKED))
        return fast_cross_entropy(model(seen, causal=False), x.masked_fill(~hidden, -100))

    return loss


def windows(seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Give batches of windows of the stories, without end."""
    rng = np.random.default_rng(seed)
    while True:
        starts = rng.integers(len(tokens()) - CONTEXT, size=BATCH)
        x = torch.tensor(tokens()[starts[:, None] + np.arange(CONTEXT)])
        yield x, x


def fit(text: list[int], length: int) -> list[int]:
    """Keep the last `length` tokens; too short a text gets end-of-text tokens in front."""
    return [tokenizer().special_id(END)] * (length - len(text)) + text[-length:]


@lru_cache(maxsize=2)
def questions(first: int, n: int) -> tuple[Tensor, Tensor]:
    """Questions about n stories.

    Returns:
        x: the end of the story and the question in SOURCE places, then the answer, (Q, CONTEXT).
        y: the answers and one end-of-text token, (Q, TARGET), -100 behind them.
    """
    end, xs, ys = tokenizer().special_id(END), [], []
    for seed in range(first, first + n):
        story = make_story(seed)
        told = tokenizer().encode(story.tell("en"))
        for question in story.questions("en")[:6]:
            asked = tokenizer().encode(" " + question.question)
            answer = [*tokenizer().encode(" " + question.answer), end][:TARGET]
            xs.append(fit(told + asked, SOURCE) + answer + [end] * (TARGET - len(answer)))
            ys.append(answer + [-100] * (TARGET - len(answer)))
    return torch.tensor(xs), torch.tensor(ys)


def question_batches(seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Give batches of questions, without end."""
    rng, (x, y) = np.random.default_rng(seed), questions(0, 400)
    while True:
        chosen = torch.tensor(rng.integers(len(x), size=BATCH))
        yield x[chosen], y[chosen]


@lru_cache(maxsize=1)
def cloze() -> tuple[Tensor, Tensor]:
    """Half stories with four endings: x, (N, 4, CONTEXT), y, (N, 4, TARGET); the first is true."""
    rng, end = np.random.default_rng(0), tokenizer().special_id(END)
    told = [
        [tokenizer().encode((" " if i else "") + part.text) for i, part in enumerate(story)]
        for story in (make_story(10_000 + i).trace("en") for i in range(N_TEST))
        if len(story) > 5
    ]
    at = [int(rng.integers(4, len(parts) - 1)) for parts in told]
    xs, ys = [], []
    for i, parts in enumerate(told):
        before = fit([t for part in parts[: at[i]] for t in part], SOURCE)
        others = [
            (i + 1 + int(j)) % len(told) for j in rng.integers(len(told) - 1, size=CHOICES - 1)
        ]
        endings = [told[j][at[j]][:TARGET] for j in (i, *others)]
        xs.append([before + e + [end] * (TARGET - len(e)) for e in endings])
        ys.append([e + [-100] * (TARGET - len(e)) for e in endings])
    return torch.tensor(xs), torch.tensor(ys)


@torch.no_grad()
def measure(model: Model, shape: str) -> dict[str, float]:
    """Measure on unseen stories: going on, choosing the ending, answering."""
    model.eval()
    rng = np.random.default_rng(1)
    test = [tokenizer().encode(make_story(10_000 + i).tell("en")) for i in range(N_TEST)]
    starts = [int(rng.integers(len(t) - CONTEXT)) if len(t) > CONTEXT else -1 for t in test]
    x = torch.tensor([t[s : s + CONTEXT] for t, s in zip(test, starts, strict=True) if s >= 0])
    x = x[:100] if shape == "masked" else x
    found = {"loss": fast_cross_entropy(behind_source(model, shape, x), x[:, SOURCE:]).item()}
    if shape == "masked":
        return found
    x, y = cloze()
    nats = fast_cross_entropy(
        behind_source(model, shape, x.flatten(0, 1)), y.flatten(0, 1), reduction="none"
    )
    mean = nats.sum(1) / (y.flatten(0, 1) != -100).sum(1)
    found["cloze"] = (mean.view(-1, CHOICES).argmin(1) == 0).float().mean().item()
    x, y = questions(10_000, 100)
    found["answer_loss"] = fast_cross_entropy(behind_source(model, shape, x), y).item()
    return found


def train_part(
    model: Model, batches: Iterator[tuple[Tensor, Tensor]], steps: int, loss: Any
) -> None:
    """Train for a number of steps."""
    settings = TrainConfig(steps, BATCH, CONTEXT, warmup_steps=20, log_every=0, precision="float32")
    optimizer = OptimizerConfig(lr=LR, weight_decay=0.1)
    train(model, batches, settings, optimizer=optimizer, objective=loss, progress=False)


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Pre-train, measure, tune, measure."""
    shape = settings["shape"]
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    model, a_step = build(shape), flops_of(shape) * BATCH
    steps = round(PRETRAIN / a_step)
    train_part(model, windows(seed), steps, pretraining_loss(shape, np.random.default_rng(seed)))
    found = measure(model, shape)
    found |= {"n_parameters": model.n_parameters(), "flops": a_step * steps}
    found["windows"] = steps * BATCH
    if shape == "masked":
        return found

    def answer_loss(model: Model, x: Tensor, y: Tensor) -> Tensor:
        return fast_cross_entropy(behind_source(model, shape, x), y)

    train_part(model, question_batches(seed), round(TUNE / a_step), answer_loss)
    tuned = measure(model, shape)
    return found | {f"tuned_{name}": value for name, value in tuned.items()}


JOB = Job(
    name="pretrained_shapes",
    title="Pre-trained on stories at equal compute: which shape answers best, before and tuned?",
    lesson="10",
    arms={shape: {"shape": shape} for shape in ("causal", "prefix", "encdec", "masked")},
    run=run,
)
