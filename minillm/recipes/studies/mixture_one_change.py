"""One mixture changed at a time: what does a domain's share do to the loss on every domain?

Four domains of text, one small model, the same number of bytes in every arm. `even` takes a quarter
of each domain; every other arm changes the share of one domain, and what the others have left stays
evenly shared among them. With the same seed all arms start from the same weights.
"""

import random
from collections.abc import Mapping
from typing import Any

from minillm.data.corpora import load_corpus
from minillm.data.storyworld import make_corpus
from minillm.recipes.records import Job
from minillm.recipes.small import SmallConfig, bits_on, stream, train_small

DOMAINS = ("prose", "code", "stories-en", "stories-zh")
CONFIG = SmallConfig(steps=200, batch_size=8, context=64)
N_BYTES = 110_000
"""Of text in a mixture: a little more than the run reads, so that no window comes twice."""
TEST_BYTES = 15_000
"""Of each domain, never trained on."""
CHUNK = 1_000
"""Characters: longer documents are cut here, so that shares can be met and pieces mixed."""

_CACHE: dict[str, tuple[list[str], list[str]]] = {}


def even_but(domain: str, share: float) -> dict[str, float]:
    """Shares of all domains: one is given, the rest is divided evenly among the others."""
    rest = (1 - share) / (len(DOMAINS) - 1)
    return {name: share if name == domain else rest for name in DOMAINS}


def domain_texts(name: str) -> tuple[list[str], list[str]]:
    """Texts of a domain to train on and to test on, cut into pieces; nothing is in both."""
    if name not in _CACHE:
        if name.startswith("stories"):
            texts = make_corpus(2, 250, name.removeprefix("stories-"))
        else:
            texts = load_corpus(name, max_bytes=300_000, progress=False).texts
        random.Random(f"domain {name}").shuffle(texts)
        pieces = [text[i : i + CHUNK] for text in texts for i in range(0, len(text), CHUNK)]
        n_test = _count_until(pieces, TEST_BYTES)
        _CACHE[name] = pieces[n_test:], pieces[:n_test]
    return _CACHE[name]


def mixture(shares: Mapping[str, float], n_bytes: int, rng: random.Random) -> list[str]:
    """Draw pieces of each domain, without repeats, until it has its share of the bytes; shuffle.

    Raises:
        ValueError: if the shares do not sum to 1, or a domain is too small for its share.
    """
    if abs(sum(shares.values()) - 1) > 1e-9:
        raise ValueError(f"shares must sum to 1, got {sum(shares.values())}")
    chosen = []
    for name, share in shares.items():
        pieces = list(domain_texts(name)[0])
        rng.shuffle(pieces)
        chosen += pieces[: _count_until(pieces, share * n_bytes)]
    rng.shuffle(chosen)
    return chosen


def _count_until(pieces: list[str], n_bytes: float) -> int:
    """How many pieces hold that many bytes."""
    total = 0.0
    for i, piece in enumerate(pieces):
        if total >= n_bytes:
            return i
        total += len(piece.encode())
    if total < n_bytes:
        raise ValueError(f"{n_bytes:,.0f} bytes are asked for, there are {total:,.0f}: take fewer")
    return len(pieces)


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train on one mixture; return bits per byte on every domain."""
    texts = mixture(settings["shares"], N_BYTES, random.Random(f"mixture {seed}"))
    model = train_small(stream(texts), seed, config=CONFIG)
    return {name: bits_on(model, domain_texts(name)[1]) for name in DOMAINS}


ARMS = {
    "even": {"shares": even_but("prose", 0.25)},
    "more_prose": {"shares": even_but("prose", 0.55)},
    "no_chinese": {"shares": even_but("stories-zh", 0.0)},
}

JOB = Job(
    name="mixture_one_change",
    title="One share of the mixture changed at a time: bits per byte on every domain",
    lesson="02",
    arms=ARMS,
    run=run,
)
