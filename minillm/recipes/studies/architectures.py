"""One task, five shapes: encoder, causal decoder, prefix decoder, and two encoder-decoders.

The task is a toy translation. A sentence such as `old red boat sees cat today please` becomes one
of another language: the verb goes to the end, adjectives stand behind their noun in reverse order,
each word has a translation, a noun has a polite form where the sentence ends in `please`, and
adjectives and the verb agree with the class (of three) of their noun. So each word of the target
depends on one to three words of the source, and which these are depends on the whole sentence. All
learn from the same sentences in the same order, and from the words of the target alone.

A second task on the same sentences is a classification: are subject and object of one class?

What is equal: sentences, steps, width, heads, parameters (`encdec` has half its blocks on each
side, and gives its inner width for the cross-attention). What is not: `encdec` spends about half
the operations, because a word passes through half of the blocks. `encdec_deep` spends the same as
the decoders and has twice the parameters. `encoder` writes all words of the target at once, from
masks. Nobody's learning rate is tuned for itself.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    EncoderDecoder,
    EncoderDecoderConfig,
    FeedForwardConfig,
    PositionConfig,
)
from minillm.model.masks import causal_mask, prefix_mask
from minillm.objectives import fast_cross_entropy
from minillm.recipes.records import Job
from minillm.train import OptimizerConfig, TrainConfig, train

NOUNS, ADJECTIVES, VERBS, ADVERBS, CLASSES = 12, 6, 6, 3, 3
PAD, SEP, END, MASK = range(4)
NOUN = 4
ADJECTIVE = NOUN + NOUNS
VERB = ADJECTIVE + ADJECTIVES
ADVERB = VERB + VERBS
MARK = ADVERB + ADVERBS  # plain, please
TO_NOUN = MARK + 2
TO_ADJECTIVE = TO_NOUN + 2 * NOUNS
TO_VERB = TO_ADJECTIVE + CLASSES * ADJECTIVES
TO_ADVERB = TO_VERB + CLASSES * VERBS
VOCABULARY = TO_ADVERB + ADVERBS
S, T = 9, 9
"""Places of the source, and of the target behind SEP: its words and END."""
STEPS = {"translate": 1_000, "classify": 500}
BATCH, LR = 16, 8e-3
D, HEADS, WIDTH, LAYERS = 48, 4, 64, 4
N_TEST = 1_000
EVERY = 50
"""Steps over which the training loss is averaged for the record."""

Model = Decoder | EncoderDecoder


def noun_class(noun: int) -> int:
    """Say to which of the three classes a noun belongs."""
    return (noun * 7 // 3) % CLASSES


def sentence(rng: np.random.Generator) -> tuple[list[int], list[int], bool]:
    """Draw a sentence: its words, its translation, and whether both nouns are of one class."""
    polite = int(rng.integers(2))
    a, b = (int(i) for i in rng.integers(NOUNS, size=2))
    same = bool(rng.integers(2))  # as often as not, which a blind draw would not give
    while (noun_class(a) == noun_class(b)) != same:
        a, b = (int(i) for i in rng.integers(NOUNS, size=2))
    of_a, of_b = (rng.integers(ADJECTIVES, size=rng.integers(3)).tolist() for _ in range(2))
    verb, adverb = int(rng.integers(VERBS)), rng.integers(ADVERBS, size=rng.integers(2)).tolist()
    source = [ADJECTIVE + i for i in of_a] + [NOUN + a, VERB + verb]
    source += [ADJECTIVE + i for i in of_b] + [NOUN + b]
    source += [ADVERB + i for i in adverb] + [MARK + polite]
    target = []
    for noun, adjectives in ((a, of_a), (b, of_b)):
        c = noun_class(noun)
        target += [TO_NOUN + 2 * noun + polite]
        target += [TO_ADJECTIVE + CLASSES * i + c for i in reversed(adjectives)]
    target += [TO_ADVERB + i for i in adverb] + [TO_VERB + CLASSES * verb + noun_class(a)]
    return source, target, same


def kept_for_the_test(source: list[int]) -> bool:
    """Say whether a sentence is never trained on: one in eight, whichever the seed."""
    return sum((i + 1) * word for i, word in enumerate(source)) % 8 == 0


def rows(
    rng: np.random.Generator, n: int, task: str, *, test: bool = False
) -> tuple[Tensor, Tensor]:
    """Draw rows: source, SEP and the target but for its last id; and what is asked.

    Args:
        rng: draws them.
        n: how many.
        task: "translate" or "classify".
        test: from the sentences that are kept for the test, or from all others.

    Returns:
        x, (n, S + T), and y, (n, T) with -100 where nothing is asked; T is 1 for "classify".
    """
    places = T if task == "translate" else 1
    x, y = np.full((n, S + places), PAD), np.full((n, places), -100)
    x[:, S] = SEP
    for i in range(n):
        source, target, same = sentence(rng)
        while kept_for_the_test(source) != test:
            source, target, same = sentence(rng)
        target = [*target, END] if task == "translate" else [TO_NOUN + same]
        x[i, : len(source)] = source
        x[i, S + 1 : S + len(target)] = target[:-1]
        y[i, : len(target)] = target
    return torch.tensor(x), torch.tensor(y)


def build(shape: str) -> Model:
    """Build a model of one of the five shapes."""
    n = LAYERS // 2 if shape == "encdec" else LAYERS
    width = WIDTH - 2 * D // 3 if shape.startswith("encdec") else WIDTH
    config = DecoderConfig(
        VOCABULARY, D, n, S + T, AttentionConfig(HEADS), FeedForwardConfig("swiglu", width),
        position=PositionConfig("learned"), tie_embeddings=False,
    )  # fmt: skip
    if shape.startswith("encdec"):
        return EncoderDecoder(EncoderDecoderConfig(config, n))
    return Decoder(config)


def predict(model: Model, shape: str, x: Tensor) -> Tensor:
    """Give the logits at the places of the target, (B, T, V)."""
    seen = x != PAD  # (B, S + T)
    seen[:, S:] = True
    if isinstance(model, EncoderDecoder):
        return model(x[:, :S], x[:, S:], source_mask=seen[:, :S])
    B, length = x.shape
    if shape == "encoder":  # what stands in the target is hidden, and nobody else
        x = torch.cat([x[:, :S], torch.full_like(x[:, S:], MASK)], dim=1)
        mask = torch.ones(length, length, dtype=torch.bool)
    elif shape == "prefix":
        mask = prefix_mask(torch.full((B,), S + 1), length)
    else:
        mask = causal_mask(length)
    own = torch.eye(length, dtype=torch.bool)  # padding may look at itself, so no row is empty
    mask = (mask & seen[:, None, None, :]) | own
    return model.logits(model.features(x, mask=mask, causal=False)[:, S:])


def flops_of(model: Model, places: int = T) -> int:
    """Count the operations of training on one row, as flops_per_token does, place by place."""
    shape = model.config.decoder if isinstance(model, EncoderDecoder) else model.config
    a_block = 4 * D * D + 3 * D * shape.feedforward.width
    output = VOCABULARY * D * places
    if not isinstance(model, EncoderDecoder):
        length = S + places
        return 6 * (shape.n_layers * a_block * length + output) + (
            12 * shape.n_layers * D * length * length
        )
    n_read = model.config.n_encoder_layers
    matrices = n_read * a_block * S
    matrices += shape.n_layers * ((a_block + 2 * D * D) * places + 2 * D * D * S)
    pairs = n_read * S * S + shape.n_layers * (places * places + places * S)
    return 6 * (matrices + output) + 12 * D * pairs


@torch.no_grad()
def measure(model: Model, shape: str, task: str) -> dict[str, float]:
    """Measure sentences that are kept for the test: nats a word, and how many are all right.

    A sentence that is right at each place, given what stands before, is what greedy decoding
    would write, so no decoding is needed.
    """
    x, y = rows(np.random.default_rng(0), N_TEST, task, test=True)
    logits = predict(model, shape, x)
    right = (logits.argmax(dim=-1) == y) | (y == -100)
    return {
        "loss": fast_cross_entropy(logits, y).item(),
        "exact_match": right.all(dim=1).float().mean().item(),
    }


def train_shape(shape: str, task: str, seed: int, losses: list[float] | None = None) -> Model:
    """Train a model of a shape on a task."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    model = build(shape)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        rng = np.random.default_rng(seed)
        while True:
            yield rows(rng, BATCH, task)

    train(
        model,
        batches(),
        TrainConfig(STEPS[task], BATCH, S + T, warmup_steps=20, log_every=0, precision="float32"),
        optimizer=OptimizerConfig(lr=LR, weight_decay=0.1),
        objective=lambda _, x, y: fast_cross_entropy(predict(model, shape, x), y),
        log=lambda record: losses.append(record["loss"]) if losses is not None else None,
        progress=False,
    )
    return model.eval()


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train one model, and measure it on sentences that it has not seen."""
    shape, task = settings["shape"], settings["task"]
    losses: list[float] = []
    model = train_shape(shape, task, seed, losses)
    places = T if task == "translate" else 1
    return {
        **measure(model, shape, task),
        "n_parameters": model.n_parameters(),
        "flops": flops_of(model, places) * STEPS[task] * BATCH,
        **{
            f"trained {step}": float(np.mean(losses[step - EVERY : step]))
            for step in range(EVERY, STEPS[task] + 1, EVERY)
        },
    }


JOB = Job(
    name="architectures",
    title="Which shape learns a toy translation, and a classification, from the same sentences?",
    lesson="10",
    arms={
        **{
            f"translate_{shape}": {"task": "translate", "shape": shape}
            for shape in ("encoder", "causal", "prefix", "encdec", "encdec_deep")
        },
        **{
            f"classify_{shape}": {"task": "classify", "shape": shape}
            for shape in ("encoder", "causal", "encdec")
        },
    },
    run=run,
)
