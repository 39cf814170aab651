"""The decisions of datatrove's filters and ours, on the same documents.

The peer cuts English with spaCy. Three questions are kept apart: do the rules agree when both get
the same words (ours, then spaCy's), and do they agree when each has its own?
"""

import importlib.metadata  # noqa: F401  (the peer uses it without importing it)
import random
import warnings

import pytest

from minillm.data.c4 import C4Limits, c4_clean
from minillm.data.code_filters import code_reason, strip_boilerplate
from minillm.data.corpora import load_corpus
from minillm.data.filters import PUNCTUATION, STOP_WORDS, gopher_reason
from minillm.data.planted import make_planted
from minillm.data.repetition import gopher_repetition_reason
from minillm.data.words import split_sentences, split_words

pytest.importorskip("datatrove", reason="the peer is not installed: requirements-test.txt")

REASONS = {
    "gopher_short_doc": "few_words",
    "gopher_long_doc": "many_words",
    "gopher_below_avg_threshold": "short_words",
    "gopher_above_avg_threshold": "long_words",
    "gopher_too_many_hashes": "hashes",
    "gopher_too_many_ellipsis": "ellipses",
    "gopher_too_many_bullets": "bullet_lines",
    "gopher_too_many_end_ellipsis": "ellipsis_lines",
    "gopher_below_alpha_threshold": "few_letters",
    "gopher_enough_stop_words": "few_stop_words",
    "dup_para_frac": "paragraphs",
    "dup_para_char_frac": "paragraph_characters",
    "dup_line_frac": "lines",
    "dup_line_char_frac": "line_characters",
    **{f"top_{n}_gram": f"top_{n}_gram" for n in (2, 3, 4)},
    **{f"duplicated_{n}_n_grams": f"repeated_{n}_grams" for n in range(5, 11)},
    "lorem_ipsum": "lorem_ipsum",
    "curly_bracket": "curly_bracket",
    "too_few_sentences": "few_sentences",
}
"""The peer's reason -> ours: all that it can give."""


class Peer:
    """datatrove's three filters with our names of reasons."""

    def __init__(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from datatrove.data import Document
            from datatrove.pipeline.filters import (
                C4QualityFilter,
                GopherQualityFilter,
                GopherRepetitionFilter,
            )
        self.document = Document
        self.filters = GopherQualityFilter(), GopherRepetitionFilter(), C4QualityFilter()

    def decide(self, text):
        """(quality reason, repetition reason, cleaned text, C4 reason); no text: no repetition."""
        quality, repetition, c4 = self.filters
        document = self.document(text, "0")
        reasons = [f.filter(document) for f in (quality, repetition) if text or f is quality]
        reasons += [] if text else [True]
        cleaned = c4.filter(document)
        told = [None if r is True else REASONS[r[1]] for r in (*reasons, cleaned)]
        return told[0], told[1], document.text if told[2] is None else None, told[2]


def ours(text, words=split_words, sentences=split_sentences):
    quality = gopher_reason(text, words=words)
    repetition = gopher_repetition_reason(text, words=words)
    return quality, repetition, *c4_clean(text, sentences=sentences)


@pytest.fixture(scope="module")
def peer():
    return Peer()


@pytest.fixture
def peer_with_our_words(peer, monkeypatch):
    module = "datatrove.pipeline.filters"
    for file in ("gopher_quality_filter", "gopher_repetition_filter"):
        monkeypatch.setattr(f"{module}.{file}.split_into_words", lambda text, _: split_words(text))
    monkeypatch.setattr(
        f"{module}.c4_filters.split_into_sentences", lambda t, _: split_sentences(t)
    )
    return peer


@pytest.fixture(scope="module")
def spacy_cuts():
    pytest.importorskip("spacy", reason="spaCy is not installed: requirements-test.txt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from datatrove.utils.text import split_into_sentences, split_into_words

        split_into_words("warm up")
    return split_into_words, split_into_sentences


@pytest.fixture(scope="module")
def documents():
    """Real texts of every kind, texts with planted faults, and texts made to meet many rules."""
    found = []
    for name in ("prose", "reference", "readmes", "markup", "licences", "code", "stories-en"):
        texts = load_corpus(name, max_bytes=60_000, progress=False).texts
        found += [text[:6000] for text in texts]
    found += make_planted(60, seed=1).texts
    edges = ["the of" + n * " word" for n in (47, 48, 49)]
    edges += ["the of" + " word" * n + " 12" * (98 - n) for n in range(75, 80)]
    edges += [" ".join(map(str, range(n))) + "\nsame" * 40 for n in (60, 70, 80)]
    return edges + found + [made(seed) for seed in range(150)]


def made(seed):
    """A text of a random kind: ordinary words with a share of something that a rule looks at."""
    draw = random.Random(seed)
    share, size = draw.choice([0.02, 0.1, 0.3, 0.7]), draw.choice([20, 60, 200])
    odd = draw.choice(["#", "...", "…", "12", "x", "w" * 15, "word word", "word.", "\n", "{"])
    common = [*STOP_WORDS, "village", "river", "a", "lantern", "walked", "slowly", "home", "again"]
    words = [odd if draw.random() < share else draw.choice(common) for _ in range(size)]
    ends = draw.choice([[" "], [" ", "\n"], [" ", " ", ".\n"], [" ", "...\n- "], [" ", "\n\n"]])
    return "".join(word + draw.choice(ends) for word in words)


def test_punctuation_is_the_same_set(peer):
    from datatrove.utils.text import PUNCTUATION_SET

    assert PUNCTUATION == PUNCTUATION_SET


def test_same_decisions_with_the_same_words(peer_with_our_words, documents):
    told = [(peer_with_our_words.decide(text), ours(text)) for text in documents]
    assert [theirs for theirs, _ in told] == [mine for _, mine in told]
    seen = [{mine[i] for _, mine in told} for i in (0, 1, 3)]
    assert min(map(len, seen)) >= 3  # and many sorts of decisions were made
    assert all(None in reasons for reasons in seen)


def test_same_decisions_with_the_peers_words(peer, spacy_cuts, documents):
    for text in documents[::5]:
        assert peer.decide(text) == ours(text, *spacy_cuts)


def same_shares(peer, spacy_cuts, texts):
    """Shares of the texts with equal decisions, with equal words, with words equal to split()."""
    decisions = sum(peer.decide(text) == ours(text) for text in texts)
    words = sum(spacy_cuts[0](text) == split_words(text) for text in texts)
    spaces = sum(spacy_cuts[0](text) == text.split() for text in texts)
    return decisions / len(texts), words / len(texts), spaces / len(texts)


def test_same_decisions_each_with_its_own_words(peer, spacy_cuts, documents):
    decisions, words, spaces = same_shares(peer, spacy_cuts, documents[1::6])
    assert decisions == 1
    assert words > 0.95  # the cuts themselves differ a little more
    assert spaces < 0.3  # and a difference would be seen


@pytest.mark.slow
def test_same_decisions_on_many_documents(peer, spacy_cuts):
    texts = []
    for name in ("prose", "reference", "readmes", "markup", "licences", "code", "stories-en"):
        found = load_corpus(name, max_bytes=500_000, progress=False).texts
        texts += [text[:20_000] for text in found]
    texts += make_planted(500, seed=2).texts
    decisions, words, _ = same_shares(peer, spacy_cuts, texts)
    print(f"{len(texts)} documents: {decisions:.4%} decisions and {words:.2%} words equal")
    assert decisions > 0.999
    assert words > 0.97


def test_the_comparison_would_see_another_bound(peer_with_our_words, documents):
    """The bounds of the peer, moved a little: some document of the sample tells."""
    from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter

    for changed in (
        GopherQualityFilter(min_doc_words=51),
        GopherQualityFilter(max_non_alpha_words_ratio=0.79),
        GopherRepetitionFilter(top_n_grams=((2, 0.21), (3, 0.18), (4, 0.16))),
        GopherRepetitionFilter(dup_line_frac=0.25),
    ):
        i = 0 if isinstance(changed, GopherQualityFilter) else 1
        told = [changed.filter(peer_with_our_words.document(text, "0")) for text in documents]
        reasons = [None if r is True else REASONS[r[1]] for r in told]
        assert reasons != [ours(text)[i] for text in documents], changed


def fuzzed(n):
    draw = random.Random(7)
    pieces = [
        "", "\n", "\n\n", "\t", " ", "  ", "...", "…", "•", "-", "#", "{", "}", ".", "!", "?",
        '"', "'", "the", "of", "and", "word", "don't", "e.g.", "3.5", "[3]", "[edit]",
        "lorem ipsum", "javascript", "\x00", "\x0b", "\x1c", "\x85", "\u2028", "\ufeff",
        "\ud800", "词", "é", "e\u0301", "🙂", "１", "\u3000", "x" * 1001, "use cookies", "a.B",
        "):", "# Copyright", "/*", "*/", "//", "generated by",
    ]  # fmt: skip
    for _ in range(n):
        k = draw.randrange(25)
        some = draw.choices(pieces, k=k) + [chr(draw.randrange(0x3000)) for _ in range(k // 8)]
        draw.shuffle(some)
        yield draw.choice(["", " ", "\n"]).join(some)


@pytest.mark.parametrize("n", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_fuzzed_inputs(peer_with_our_words, n):
    """Odd texts: no exception, the same answer twice, the answer of the peer."""
    for i, text in enumerate(fuzzed(n)):
        mine = ours(text)
        assert mine == (peer_with_our_words.decide(text) if i % 4 == 0 else ours(text)), repr(text)
        code, n_cut = strip_boilerplate(text)
        assert (n_cut > 0) == (code != text)
        assert code_reason(text, licence=text) == code_reason(text, licence=text)


def test_meant_difference_an_empty_text_repeats_nothing(peer):
    with pytest.raises(ZeroDivisionError):
        peer.filters[1].filter(peer.document("", "0"))
    assert gopher_repetition_reason("") is None


def test_meant_difference_a_limit_of_zero_is_a_limit(peer):
    """The peer takes 0 for "no rule" in Gopher, and wants -1 in C4; here None is no rule."""
    from datatrove.pipeline.filters import GopherRepetitionFilter

    from minillm.data.repetition import RepetitionLimits

    text = "once\ntwice\ntwice\nthen"
    assert GopherRepetitionFilter(dup_line_frac=0, dup_line_char_frac=None).filter(
        peer.document("once\ntwice\ntwice\n" + " ".join(map(str, range(99))), "0")
    )
    assert gopher_repetition_reason(text, RepetitionLimits(lines=0.0)) == "lines"
    assert c4_clean("One line is here.", C4Limits(min_sentences=0))[1] is None
