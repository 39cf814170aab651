"""A corpus with known faults, so that precision and recall of every cleaning step can be counted.

Documents of the harvest that have nothing in common are chosen, and then faults are planted in
some of them: copies, near copies, shared passages, lines of web pages, leaked test items, personal
data, remains of markup. What stands where is known to the character.

A document has at most one sort of fault, and the original of a copy has none, so what is counted
for one step is not mixed with another's. What is *not* planted is not there:

    no two base documents share a run of 13 words, a line, or a tenth of their word 5-grams;
    none holds what looks like personal data, or like markup.

Pages that carry the same lines of boilerplate in the same order may share a run of 13 words.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from minillm.data import planted_edits as edits
from minillm.data.invented import sentence_with
from minillm.data.planted_base import unrelated

KINDS = ("exact", "near", "substring", "boilerplate", "leak", "personal", "markup")
SHARES: Mapping[str, float] = {
    "exact": 0.06,
    "near": 0.12,
    "substring": 0.06,
    "boilerplate": 0.10,
    "leak": 0.06,
    "personal": 0.10,
    "markup": 0.06,
}
"""Share of all documents that have each fault; of exact and near duplicates the copies count."""
PERSONAL = ("email", "phone", "address", "ip", "card", "cn_id", "cn_mobile")
SIMILARITIES = (0.31, 0.95)
"""The near duplicates are aimed at similarities evenly spread between these two."""

LONG_WORDS, PASSAGE_WORDS = 100, (50, 90)


@dataclass(frozen=True)
class Plant:
    """One thing that was planted, with its truth: texts[document][start:end] == value."""

    kind: str
    """One of KINDS."""
    document: int
    """Index into Planted.texts."""
    start: int
    end: int
    """Where it stands in that text, in characters; a copy is the whole text."""
    value: str
    """The planted text; of personal data the datum alone."""
    detail: str
    """Personal: its sort, one of PERSONAL. Leak: verbatim or edited. Others: what it is."""
    partner: int | None = None
    """Exact, near: index of the original. Substring: the other document. Leak: the test item."""
    similarity: float | None = None
    """Jaccard similarity of the sets of word 5-grams, of the two whole texts for exact, near and
    substring, of value and test item for a leak. Words are runs without white space."""


@dataclass(frozen=True)
class Planted:
    """Texts with what was planted in them."""

    texts: list[str]
    origins: list[str]
    """Where each text came from; a copy says of which text."""
    plants: list[Plant]
    test_items: list[str]
    """Invented questions and answers. Fewer than half have leaked, each into a document or two."""

    def of(self, kind: str) -> list[Plant]:
        """Return the plants of one kind.

        Raises:
            ValueError: if the kind is not in KINDS.
        """
        _known([kind])
        return [plant for plant in self.plants if plant.kind == kind]


@dataclass
class _Draft:
    text: str
    origin: str
    plants: list[Plant] = field(default_factory=list)


def make_planted(
    n_documents: int = 1000,
    *,
    seed: int = 0,
    kinds: Iterable[str] = KINDS,
    source: str | Sequence[str] = "prose",
    shares: Mapping[str, float] | None = None,
) -> Planted:
    """Make a corpus whose faults are known.

    Args:
        n_documents: documents in all, copies counted; at least 20.
        seed: of the choice of documents, of what is planted and of the order.
        kinds: what to plant, of KINDS.
        source: the name of a corpus, or texts; documents of 60 to 600 words are taken.
        shares: {kind: share of the documents} in place of some of SHARES, for instance
            {"near": 0.4} where many pairs are needed.

    Returns:
        The texts in random order, and the truth about them. The same arguments give the same
        corpus (with the harvest: on the same installation).

    Raises:
        ValueError: if a kind is unknown, the shares leave too few documents, or the source holds
            too few texts that are long enough and have nothing in common.

    Cost: linear in the source; a second or two for 1 000 documents.
    Lesson: notebooks/03_quality.ipynb, 04_dedup.ipynb, 05_privacy.ipynb
    """
    n_of = _counts(n_documents, tuple(kinds), shares or {})
    rng = random.Random(f"planted {seed}")
    if isinstance(source, str):
        from minillm.data.corpora import load_corpus

        corpus = load_corpus(source, progress=False)
        texts, origins = corpus.texts, corpus.origins or [source] * len(corpus.texts)
    else:
        texts, origins = list(source), [f"text {i}" for i in range(len(source))]
    n_base = n_documents - n_of["exact"] - n_of["near"]
    n_spare = max(5, n_documents // 10, n_of["substring"])
    chosen = unrelated(texts, n_base + n_spare, rng)
    drafts = [_Draft(texts[i], origins[i]) for i in chosen]
    planter = _Planter(drafts[:n_base], [d.text for d in drafts[n_base:]], rng)
    for kind in KINDS:
        if n_of[kind]:
            getattr(planter, kind)(n_of[kind])
    return _shuffled(planter.drafts, planter.items, rng)


def _known(kinds: Iterable[str]) -> None:
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"unknown kind {kind!r}, choose from {', '.join(KINDS)}")


def _counts(n_documents: int, kinds: tuple[str, ...], shares: Mapping[str, float]) -> Counter[str]:
    """Return how many documents get each kind."""
    _known([*kinds, *shares])
    if n_documents < 20:
        raise ValueError(f"n_documents must be at least 20, got {n_documents}")
    given = {kind: share for kind, share in {**SHARES, **shares}.items() if kind in kinds}
    bad = [f"{kind} {share}" for kind, share in given.items() if not 0 < share < 1]
    if bad:
        raise ValueError(f"a share must lie between 0 and 1, got {', '.join(bad)}")
    n_of = Counter({kind: max(1, round(share * n_documents)) for kind, share in given.items()})
    if "substring" in n_of:
        n_of["substring"] += n_of["substring"] % 2  # they come in pairs
    if sum(n_of.values()) + n_of["exact"] + n_of["near"] > n_documents:  # a copy and its original
        raise ValueError(
            f"shares {given} ask for more than the {n_documents} documents: make them smaller"
        )
    return n_of


class _Planter:
    """Plants one kind after another, each in documents that have nothing yet."""

    def __init__(self, drafts: list[_Draft], spare: list[str], rng: random.Random) -> None:
        self.drafts, self.spare, self.rng = drafts, spare, rng
        self.free = list(range(len(drafts)))
        self.items: list[str] = []

    def take(self, min_words: int = 0) -> int:
        """Return a document that has nothing yet; a long one where there is one."""
        long = (i for i in self.free if len(self.drafts[i].text.split()) >= min_words)
        found = next(long, None)
        if found is None:
            found = max(self.free, key=lambda i: len(self.drafts[i].text))
        self.free.remove(found)
        return found

    def copy(self, kind: str, partner: int, text: str, similarity: float) -> None:
        """Add a document that repeats another."""
        origin = f"copy of {self.drafts[partner].origin}"
        plant = Plant(
            kind, len(self.drafts), 0, len(text), text, f"{kind} copy", partner, similarity
        )
        self.drafts.append(_Draft(text, origin, [plant]))

    def insert(
        self, i: int, plants: list[Plant], lines: list[tuple[str, int]], **how: bool
    ) -> None:
        """Put lines into document i; each plant stands at an offset in its line."""
        draft = self.drafts[i]
        draft.text, starts = edits.insert_lines(
            draft.text, [line for line, _ in lines], self.rng, **how
        )
        for plant, start, (_, offset) in zip(plants, starts, lines, strict=True):
            end = start + offset + len(plant.value)
            draft.plants.append(replace(plant, document=i, start=start + offset, end=end))

    def exact(self, n_copies: int) -> None:
        """Copy documents, most of them once, some two or three times."""
        while n_copies:
            partner = self.take()
            for _ in range(min(n_copies, self.rng.choice((1, 1, 1, 2, 3)))):
                self.copy("exact", partner, self.drafts[partner].text, 1.0)
                n_copies -= 1

    def near(self, n_copies: int) -> None:
        """Add edited copies, with similarities spread over SIMILARITIES."""
        words = " ".join(self.spare).split()
        low, high = SIMILARITIES
        for k in range(n_copies):
            partner = self.take(LONG_WORDS)
            target = low + (high - low) * (k + 0.5) / n_copies
            text, similarity = edits.edited(self.drafts[partner].text, target, words, self.rng)
            self.copy("near", partner, text, similarity)

    def substring(self, n_documents: int) -> None:
        """Put the same passage of another text into two documents at a time."""
        passages = _passages(self.spare, self.rng)
        for _ in range(n_documents // 2):
            pair = [self.take(LONG_WORDS), self.take(LONG_WORDS)]
            passage = next(passages)
            for i, other in (pair, pair[::-1]):
                detail = f"{len(passage.split())} words"
                plant = Plant("substring", i, 0, 0, passage, detail, other)
                self.insert(i, [plant], [(passage, 0)])
            similarity = edits.jaccard(self.drafts[pair[0]].text, self.drafts[pair[1]].text)
            for i in pair:
                self.drafts[i].plants = [
                    replace(plant, similarity=similarity) for plant in self.drafts[i].plants
                ]

    def boilerplate(self, n_documents: int) -> None:
        """Put two to four lines of web pages above and below documents."""
        for _ in range(n_documents):
            lines = self.rng.sample(edits.BOILERPLATE, self.rng.randint(2, 4))
            plants = [Plant("boilerplate", 0, 0, 0, line, "line of a page") for line in lines]
            self.insert(self.take(), plants, [(line, 0) for line in lines], edges=True)

    def leak(self, n_documents: int) -> None:
        """Put test items into documents, in turn as they are and lightly edited."""
        self.items = edits.invent_items(2 * n_documents, self.rng)
        for k in range(n_documents):
            number = 2 * (k - (k % 5 == 4))  # every fifth document repeats the leak before it
            value = item = self.items[number]
            if k % 2:
                value = edits.lightly_edited(item, self.rng)
            detail = "edited" if k % 2 else "verbatim"
            similarity = edits.jaccard(value, item)
            plant = Plant("leak", 0, 0, 0, value, detail, number, similarity)
            self.insert(self.take(), [plant], [(value, 0)])

    def personal(self, n_documents: int) -> None:
        """Put one to three sentences with invented personal data into documents."""
        turn = 0
        for _ in range(n_documents):
            plants, lines = [], []
            for _ in range(self.rng.randint(1, 3)):
                kind = PERSONAL[turn % len(PERSONAL)]
                turn += 1
                language = "zh" if kind.startswith("cn_") else "en"
                sentence, start, end = sentence_with(kind, self.rng, language)
                plants.append(Plant("personal", 0, 0, 0, sentence[start:end], kind))
                lines.append((sentence, start))
            self.insert(self.take(), plants, lines)

    def markup(self, n_documents: int) -> None:
        """Put two to five remains of markup between the lines of documents."""
        for _ in range(n_documents):
            noise = [edits.markup_noise(self.rng) for _ in range(self.rng.randint(2, 5))]
            plants = [Plant("markup", 0, 0, 0, line, "remains of markup") for line in noise]
            self.insert(self.take(), plants, [(line, 0) for line in noise])


def _passages(spare: Sequence[str], rng: random.Random) -> Iterator[str]:
    """Yield passages of at least 50 words that do not overlap."""
    for text in spare:
        words = text.split()
        n_words = min(rng.randint(*PASSAGE_WORDS), len(words))
        yield " ".join(words[:n_words])


def _shuffled(drafts: list[_Draft], items: list[str], rng: random.Random) -> Planted:
    """Put the documents into random order, and everything that names them too."""
    order = rng.sample(range(len(drafts)), len(drafts))
    place = {old: new for new, old in enumerate(order)}
    plants = []
    for old in order:
        for plant in sorted(drafts[old].plants, key=lambda plant: plant.start):
            partner = plant.partner
            if partner is not None and plant.kind != "leak":
                partner = place[partner]
            plants.append(replace(plant, document=place[old], partner=partner))
    texts = [drafts[old].text for old in order]
    return Planted(texts, [drafts[old].origin for old in order], plants, items)
