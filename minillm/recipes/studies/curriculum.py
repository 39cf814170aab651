"""Does the order matter? The same windows, each read once, in different orders."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from minillm.data.corpora import load_corpus
from minillm.data.curriculum import OrderedSampler, best_last, easy_first
from minillm.recipes.records import Job
from minillm.recipes.small import BYTE_END, N_BYTES_VOCAB, SmallConfig, bits_on, stream, train_small
from minillm.recipes.studies.mixtures import TRAIN_BYTES, domain

CONFIG = SmallConfig(steps=384, batch_size=8, context=64)
N_WINDOWS = CONFIG.steps * CONFIG.batch_size
N_TOKENS = N_WINDOWS * CONFIG.context + 1
GOOD = "stories-en"
GOOD_SHARE = 0.15
"""Of the windows in the arms with a text of high quality: stories, when the rest is prose."""
CHECKS = 4


@lru_cache(maxsize=1)
def prose() -> tuple[list[str], list[str]]:
    """Texts to train on, and other texts to count trigrams on."""
    texts = load_corpus("prose", max_bytes=4 * N_TOKENS, progress=False).texts
    held_out = set(domain("prose", TRAIN_BYTES["prose"]).test)
    texts = [text for text in texts if text not in held_out]
    return texts[::2], texts[1::2]


def tokens_of(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Lay shuffled prose into one row.

    Returns:
        The tokens, (N_TOKENS,), and for each window the length of the text in its middle,
        (N_WINDOWS,).
    """
    texts, _ = prose()
    order = np.random.default_rng(seed).permutation(len(texts))
    parts = [stream([texts[i]])[:-1] for i in order]
    lengths = np.repeat([len(part) for part in parts], [len(part) for part in parts])
    middles = np.arange(N_WINDOWS) * CONFIG.context + CONFIG.context // 2
    return np.concatenate(parts)[:N_TOKENS], lengths[middles]


@lru_cache(maxsize=1)
def trigram_bits() -> np.ndarray:
    """Bits of each byte behind two others, from texts that no model reads, (V, V, V).

    Interpolated: half the trigram, a little less of the bigram, the rest uniform.
    """
    V = N_BYTES_VOCAB
    a = stream(prose()[1])
    three = np.zeros((V, V, V), np.float32)
    np.add.at(three, (a[:-2], a[1:-1], a[2:]), 1.0)
    two = three.sum(axis=0)
    p3 = three / np.maximum(three.sum(axis=2, keepdims=True), 1)
    p2 = two / np.maximum(two.sum(axis=1, keepdims=True), 1)
    return -np.log2(0.5 * p3 + 0.45 * p2[None] + 0.05 / V)


def window_bits(tokens: np.ndarray) -> np.ndarray:
    """Mean bits of the tokens of each window under the trigram model, (N_WINDOWS,)."""
    before = np.concatenate([[BYTE_END, BYTE_END], tokens])
    bits = trigram_bits()[before[:-2], before[1:-1], tokens]
    return bits[: N_WINDOWS * CONFIG.context].reshape(N_WINDOWS, -1).mean(axis=1)


def with_good(tokens: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Put stories into the place of some windows; say which, (N_WINDOWS,)."""
    n_good = round(GOOD_SHARE * N_WINDOWS)
    good = np.zeros(N_WINDOWS, bool)
    good[np.random.default_rng([seed, 1]).choice(N_WINDOWS, n_good, replace=False)] = True
    body = tokens[:-1].reshape(N_WINDOWS, CONFIG.context).copy()
    stories = domain(GOOD, TRAIN_BYTES[GOOD]).train[: n_good * CONFIG.context]
    body[good] = stories.reshape(n_good, CONFIG.context)
    return np.append(body.ravel(), tokens[-1]), good


def order_of(kind: str, tokens: np.ndarray, lengths: np.ndarray, seed: int) -> np.ndarray:
    """The windows in the order of an arm, (N_WINDOWS,)."""
    if kind == "shuffled":
        return np.random.default_rng([seed, 2]).permutation(N_WINDOWS)
    if kind == "short_first":
        return easy_first(lengths, seed=seed)
    bits = window_bits(tokens)
    return easy_first(bits if kind == "easy_first" else -bits, seed=seed)


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train one model on the windows in one order; measure it four times on the way."""
    tokens, lengths = tokens_of(seed)
    if "good" in settings:
        tokens, good = with_good(tokens, seed)
        order = order_of("shuffled", tokens, lengths, seed)
        order = best_last(order, good) if settings["good"] == "last" else order
    else:
        order = order_of(settings["order"], tokens, lengths, seed)
    test, curve = domain("prose", TRAIN_BYTES["prose"]).test, []

    def evaluate(model: Any) -> float:
        curve.append(bits_on(model, test))
        return curve[-1]

    sampler = OrderedSampler(tokens, CONFIG.batch_size, CONFIG.context, order=order)
    every = CONFIG.steps // CHECKS
    model = train_small(sampler, seed, config=CONFIG, evaluate=evaluate, eval_every=every)
    measured = {f"bits prose {i + 1}/{CHECKS}": bits for i, bits in enumerate(curve[:CHECKS])}
    measured["bits prose"] = curve[-1]
    measured[f"bits {GOOD}"] = bits_on(model, domain(GOOD, TRAIN_BYTES[GOOD]).test)
    return measured


JOB = Job(
    name="curriculum",
    title="Easy text first, or the best text last: does the order matter?",
    lesson="08",
    arms={
        **{k: {"order": k} for k in ("shuffled", "short_first", "easy_first", "hard_first")},
        "good_spread": {"good": "spread"},
        "good_last": {"good": "last"},
    },
    run=run,
)
