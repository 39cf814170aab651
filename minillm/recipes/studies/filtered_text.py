"""Does filtering help? The same small model at equal tokens on raw, filtered and clean text.

A raw corpus is made whose truth is known: documentation prose, and a stated share of junk by bytes.
A filter then keeps what it takes for good. Every arm reads the same number of tokens, no text
twice, and is measured on clean prose of *other* files that no arm has seen.

    clean              no junk
    raw_40             40 % junk, nothing filtered
    rules              raw_40 filtered by Gopher's rules (quality and repetition), the peer's words
    classifier         raw_40 filtered by a linear classifier that has seen markup and licences of
                       other files, but none of the planted junk
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from minillm.data.classifier import LinearClassifier
from minillm.data.corpora import load_corpus
from minillm.data.filters import Splitter, gopher_reason
from minillm.data.repetition import gopher_repetition_reason
from minillm.data.words import split_words
from minillm.recipes.records import Job
from minillm.recipes.small import SmallConfig, bits_on, stream, train_small

CONFIG = SmallConfig()
N_BYTES = 4 * CONFIG.steps * CONFIG.batch_size * CONFIG.context
"""Of a raw corpus; four times what a run reads, so that a strict filter leaves enough."""
N_TEST = 40
MIN_WORDS, MAX_WORDS = 60, 400
PIECE = 1500
"""Longest piece of markup or of a licence, in characters."""
JUNK = ("markup", "licence", "menu", "repeats", "shuffled")
"""Kinds of junk, each an equal share of its bytes: two are found, three are planted."""

Filter = Callable[[Sequence[str]], list[bool]]


@dataclass(frozen=True)
class Page:
    """A text of the raw corpus and what it is."""

    text: str
    kind: str
    """`prose`, or one of JUNK."""


@lru_cache(maxsize=1)
def good_texts() -> dict[str, list[str]]:
    """Prose by part: train, classifier, test. All texts of one source file are in one part."""
    corpus = load_corpus("prose", progress=False)
    parts: dict[str, list[str]] = {"train": [], "classifier": [], "test": []}
    for origin, text in zip(corpus.origins, corpus.texts, strict=True):
        if MIN_WORDS <= len(text.split()) <= MAX_WORDS:
            file = blake2b(origin.partition("::")[0].encode(), digest_size=1).digest()[0]
            part = ("train", "train", "train", "classifier", "test")[file % 5]
            parts[part].append(text)
    return parts


@lru_cache(maxsize=1)
def found_junk() -> dict[str, dict[str, list[str]]]:
    """Pieces of markup and licences by part, train or classifier, and kind."""
    parts: dict[str, dict[str, list[str]]] = {"train": {}, "classifier": {}}
    for kind, name in (("markup", "markup"), ("licence", "licences")):
        texts = load_corpus(name, progress=False).texts
        for part, some in (("train", texts[::2]), ("classifier", texts[1::2])):
            pieces = [t[i : i + PIECE] for t in some for i in range(0, len(t), PIECE)]
            parts[part][kind] = [piece for piece in pieces if len(piece) >= PIECE // 3]
    return parts


def planted_junk(kind: str, rng: random.Random) -> str:
    """Write one page of junk out of the words of prose: a menu, repeats, or shuffled letters.

    Raises:
        ValueError: if the kind is not a planted one.
    """
    text = rng.choice(good_texts()["classifier"])
    words = [word.strip(".,:;()[]`*\"'") for word in text.split()]
    words = [word for word in words if word.isalpha()] or ["home"]
    if kind == "menu":
        links = [" ".join(rng.sample(words, min(2, len(words)))).title() for _ in range(40)]
        return "\n".join(f"{link} |" if i % 3 else f"- {link}" for i, link in enumerate(links))
    if kind == "repeats":
        line = " ".join(words[: rng.randint(8, 14)])
        return "\n".join([line] * rng.randint(6, 14))
    if kind == "shuffled":
        return " ".join("".join(rng.sample(word, len(word))) for word in words)
    raise ValueError(f"kind must be menu, repeats or shuffled, got {kind!r}")


def raw_pages(seed: int, junk_share: float, n_bytes: int = N_BYTES) -> list[Page]:
    """Make a raw corpus in random order.

    Args:
        seed: of what is drawn, of what is planted, and of the order.
        junk_share: share of junk by bytes.
        n_bytes: about how long the corpus is.

    Raises:
        ValueError: if the share is not in [0, 1).
    """
    if not 0 <= junk_share < 1:
        raise ValueError(f"junk_share must be at least 0 and below 1, got {junk_share}")
    rng = random.Random(f"raw {seed}")
    pages = list(_until(_drawn("prose", rng), n_bytes * (1 - junk_share)))
    for kind in JUNK if junk_share else ():
        pages += _until(_drawn(kind, rng), n_bytes * junk_share / len(JUNK))
    rng.shuffle(pages)
    return pages


def _drawn(kind: str, rng: random.Random) -> Iterator[Page]:
    """Yield pages of one kind in random order, found ones each once."""
    if kind in ("menu", "repeats", "shuffled"):
        while True:
            yield Page(planted_junk(kind, rng), kind)
    texts = good_texts()["train"] if kind == "prose" else found_junk()["train"][kind]
    for text in rng.sample(texts, len(texts)):
        yield Page(text, kind)


def _until(pages: Iterator[Page], n_bytes: float) -> Iterator[Page]:
    for page in pages:
        if n_bytes <= 0:
            return
        n_bytes -= len(page.text.encode())
        yield page


def by_rules(words: Splitter) -> Filter:
    """Keep what breaks none of Gopher's rules."""
    return lambda texts: [
        (gopher_reason(text, words=words) or gopher_repetition_reason(text, words=words)) is None
        for text in texts
    ]


def by_classifier(seed: int, n_each: int = 300) -> Filter:
    """Keep what a classifier takes for prose; it learns from files that are not in the corpus."""
    rng = random.Random(f"classifier {seed}")
    junk = [text for texts in found_junk()["classifier"].values() for text in texts]
    good = rng.sample(good_texts()["classifier"], n_each)
    texts = [*good, *rng.sample(junk, n_each)]
    model = LinearClassifier(1 << 16, (1, 2), seed=seed)
    model.fit(texts, ["good"] * n_each + ["junk"] * n_each)
    return lambda texts: [label == "good" for label in model.predict(texts)]


def filter_of(name: str, seed: int) -> Filter:
    """Look a filter up: none, rules or classifier."""
    if name == "classifier":
        return by_classifier(seed)
    if name == "none":
        return lambda texts: [True] * len(texts)
    return by_rules(split_words)


def n_bytes(pages: Sequence[Page], *, good: bool | None = None) -> int:
    """Bytes of the pages, of the good ones or of the junk alone if asked."""
    chosen = (p for p in pages if good is None or (p.kind == "prose") == good)
    return sum(len(page.text.encode()) for page in chosen)


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Filter a raw corpus, train on what is left, measure on clean prose of other files."""
    pages = raw_pages(seed, settings["junk"])
    keep = filter_of(settings["filter"], seed)([page.text for page in pages])
    kept = [page for page, good in zip(pages, keep, strict=True) if good]
    test = random.Random(f"test {seed}").sample(good_texts()["test"], N_TEST)
    model = train_small(stream(page.text for page in kept), seed, config=CONFIG)
    all_junk = n_bytes(pages, good=False)
    return {
        "bits_clean": bits_on(model, test),
        "kept": n_bytes(kept) / n_bytes(pages),
        "good_kept": n_bytes(kept, good=True) / n_bytes(pages, good=True),
        "junk_kept": n_bytes(kept, good=False) / all_junk if all_junk else 0.0,
        "junk_share": n_bytes(kept, good=False) / n_bytes(kept),
        "epochs": CONFIG.steps * CONFIG.batch_size * CONFIG.context / n_bytes(kept),
    }


JOB = Job(
    name="filtered_text",
    title="Is a model better after filtering its text, at equal tokens?",
    lesson="03",
    arms={
        "clean": {"junk": 0.0, "filter": "none"},
        "raw_40": {"junk": 0.4, "filter": "none"},
        **{name: {"junk": 0.4, "filter": name} for name in ("rules", "classifier")},
    },
    run=run,
)
