"""One domain, or several, and in which proportions? Equal tokens, four domains and one unseen."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from minillm.data.corpora import load_corpus
from minillm.data.mixture import MixtureSampler, temperature_shares
from minillm.model import Decoder
from minillm.recipes.records import Job
from minillm.recipes.small import SmallConfig, bits_on, stream, train_small

TRAIN_BYTES = {"prose": 320_000, "code": 160_000, "stories-en": 80_000, "stories-zh": 40_000}
"""Bytes that there are to train on, of each domain: 8 to 4 to 2 to 1."""
UNSEEN = "readmes"
"""No model is trained on it."""
TEST_BYTES = 12_000
CONFIG = SmallConfig(steps=384, batch_size=8, context=64)


class Domain(NamedTuple):
    """A domain of the study, in bytes."""

    train: np.ndarray
    """(N,), each text behind an end-of-text token."""
    test: list[str]


@lru_cache(maxsize=8)
def domain(name: str, train_bytes: int) -> Domain:
    """Part a corpus into texts to train on and texts to test on, none of which is in both."""
    texts = load_corpus(name, max_bytes=train_bytes + 3 * TEST_BYTES, progress=False).texts
    texts = [texts[i] for i in np.random.default_rng(8).permutation(len(texts))]
    test, n_bytes = [], 0
    while n_bytes < TEST_BYTES:  # the last text is cut
        text = texts.pop()[: TEST_BYTES - n_bytes]
        test.append(text)
        n_bytes += len(text.encode())
    return Domain(stream(texts)[: train_bytes + 1], test)


def domains() -> dict[str, Domain]:
    """The four domains, by name."""
    return {name: domain(name, n) for name, n in TRAIN_BYTES.items()}


def train_mixture(proportions: Mapping[str, float], seed: int) -> tuple[Decoder, dict[str, float]]:
    """Train on a mixture; return the model and how often each domain was read."""
    tokens = {name: found.train for name, found in domains().items()}
    sampler = MixtureSampler(
        tokens, CONFIG.batch_size, CONFIG.context, proportions=proportions, seed=seed
    )
    return train_small(sampler, seed, config=CONFIG), sampler.epochs


def bits_on_all(model: Decoder) -> dict[str, float]:
    """Bits per byte on the held-out texts of each domain, and of the unseen one."""
    tests = {name: found.test for name, found in domains().items()}
    tests[UNSEEN] = domain(UNSEEN, 1_000).test
    return {f"bits {name}": bits_on(model, texts) for name, texts in tests.items()}


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train one model and measure it on every domain."""
    if "only" in settings:
        proportions = {name: float(name == settings["only"]) for name in TRAIN_BYTES}
    else:
        T = settings["temperature"]
        proportions = temperature_shares(TRAIN_BYTES, math.inf if T == "inf" else T)
    model, epochs = train_mixture(proportions, seed)
    read = {f"epochs {name}": n for name, n in epochs.items()}
    return {**bits_on_all(model), **read}


JOB = Job(
    name="mixtures",
    title="Does a mixture of domains beat one domain, and does the temperature matter?",
    lesson="08",
    arms={
        **{f"only_{name.replace('-', '_')}": {"only": name} for name in TRAIN_BYTES},
        "by_size": {"temperature": 1},
        "temperature_2": {"temperature": 2},
        "uniform": {"temperature": "inf"},
    },
    run=run,
)
