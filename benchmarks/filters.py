"""Quality rules against datatrove's filters: `python -m benchmarks.filters`.

Lines, in MB of text a second; the decisions are checked to be the same first:

    1. words: our splitter alone against spaCy's, which the peer cuts English with
    2. the rules of Gopher, both kinds, and C4's alone: words and sentences are ready on both sides
    3. everything, from text to decisions, as each comes; this is the one named `filters`

Ours remembers the pieces of chunks seen before (`split_words`); so does spaCy. Both memories are
warm, as they are after the first megabytes of a corpus.
"""

import importlib.metadata
import warnings
from collections.abc import Callable, Sequence
from unittest import mock

from benchmarks.compare import compare
from minillm.data import load_corpus
from minillm.data.c4 import c4_clean
from minillm.data.filters import Splitter, gopher_reason
from minillm.data.repetition import gopher_repetition_reason
from minillm.data.words import split_sentences, split_words

KINDS = ("prose", "reference", "readmes", "licences", "stories-en")
N_BYTES = 120_000
"""Of each kind: the peer needs some ten seconds for a megabyte."""
PEER = f"datatrove {importlib.metadata.version('datatrove')}"

Decision = tuple[bool, bool, str | None]


def ours(text: str, words: Splitter, sentences: Splitter) -> Decision:
    """Decide by the rules of Gopher (quality, repetition) and of C4."""
    return (
        gopher_reason(text, words=words) is None,
        gopher_repetition_reason(text, words=words) is None,
        c4_clean(text, sentences=sentences)[0],
    )


def peer() -> Callable[[str], Decision]:
    """Build the same of datatrove's filters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from datatrove.data import Document
        from datatrove.pipeline import filters

    quality, repetition = filters.GopherQualityFilter(), filters.GopherRepetitionFilter()
    c4 = filters.C4QualityFilter()

    def decide(text: str) -> Decision:
        document = Document(text, "0")
        kept = quality.filter(document) is True, repetition.filter(document) is True
        return *kept, document.text if c4.filter(document) is True else None

    return decide


def remembered(cut: Splitter, texts: Sequence[str]) -> Splitter:
    """Cut the texts and their lines once; afterwards cutting is looking up."""
    lines = (line.strip() for text in texts for line in text.splitlines())
    ready = {text: cut(text) for text in (*texts, *lines)}
    return lambda text, _language="": ready.get(text) or cut(text)


def main() -> None:
    """Check that the decisions are equal, then print the lines."""
    from datatrove.utils.text import split_into_words

    texts = [text for kind in KINDS for text in load_corpus(kind, max_bytes=N_BYTES).texts]
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    theirs = peer()
    equal = sum(theirs(text) == ours(text, split_words, split_sentences) for text in texts)
    extra = {"documents": len(texts), "equal": equal}
    settings = {"unit": "MB/s", "work": megabytes, "rounds": 3, **extra}
    assert equal >= 0.995 * len(texts), f"only {equal} of {len(texts)} decisions are equal"

    compare(
        "filters (words)",
        f"{PEER}, spaCy {importlib.metadata.version('spacy')}",
        lambda: [split_words(text) for text in texts],
        lambda: [split_into_words(text) for text in texts],
        **settings,
    )
    words, sentences = remembered(split_words, texts), remembered(split_sentences, texts)
    modules = "datatrove.pipeline.filters"
    with (
        mock.patch(f"{modules}.gopher_quality_filter.split_into_words", words),
        mock.patch(f"{modules}.gopher_repetition_filter.split_into_words", words),
        mock.patch(f"{modules}.c4_filters.split_into_sentences", sentences),
    ):
        assert all(theirs(text) == ours(text, words, sentences) for text in texts)
        compare(
            "filters (rules)",
            PEER,
            lambda: [ours(text, words, sentences) for text in texts],
            lambda: [theirs(text) for text in texts],
            **settings,
        )
    compare(
        "filters",
        PEER,
        lambda: [ours(text, split_words, split_sentences) for text in texts],
        lambda: [theirs(text) for text in texts],
        **settings,
    )


if __name__ == "__main__":
    main()
