"""Keeping the exam out of the textbook: 13-word overlaps between a test set and a training text.

Two ways, which belong together:
    before training   cut what overlaps with a test set out of the training text (`clean_text`)
    after training    say which test items were in the training text (`contaminated_items`)

A run of 13 words hardly ever occurs twice by chance; a shorter one may be a common phrase.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from minillm.data.shingles import word_spans, words


@dataclass(frozen=True)
class Cleaned:
    """A training text without what it shares with a test set.

    Attributes:
        pieces: what is left, in order; empty if the whole text was dropped.
        n_matches: runs of words that overlapped (neighbours count one by one).
    """

    pieces: list[str]
    n_matches: int


def ngrams(text: str, n: int = 13, *, shorter: bool = False) -> set[str]:
    """The runs of n normalised words of a text.

    Args:
        text: any text.
        n: words in a run.
        shorter: take a text of fewer than n words as one run (GPT-3 lowered n for short items).

    Returns:
        The set; empty if the text has fewer than n words, unless `shorter`.

    Raises:
        ValueError: if n < 1.

    Lesson: notebooks/04_dedup.ipynb
    """
    _check(n)
    found = words(text)
    if shorter and 0 < len(found) < n:
        return {" ".join(found)}
    return {" ".join(found[i : i + n]) for i in range(len(found) - n + 1)}


def ngrams_of(test_items: Iterable[str], n: int = 13) -> set[str]:
    """All runs of n words of a test set.

    Raises:
        ValueError: if n < 1, or test_items is one str instead of several.

    Lesson: notebooks/04_dedup.ipynb
    """
    if isinstance(test_items, str):
        raise ValueError("test_items must be a list of texts; write [text]")
    return set().union(*(ngrams(item, n) for item in test_items))


def overlaps(text: str, forbidden: Set[str], n: int = 13) -> list[tuple[int, int]]:
    """Where a text shares n words with the test set.

    Args:
        text: a training text.
        forbidden: as from `ngrams_of`, with the same n.
        n: words in a run.

    Returns:
        (start, end) in characters of each matching run, in order; runs may overlap.

    Raises:
        ValueError: if n < 1.

    Cost: linear in the text.
    Lesson: notebooks/04_dedup.ipynb
    """
    _check(n)
    spans = word_spans(text)
    found = []
    for i in range(len(spans) - n + 1):
        run = spans[i : i + n]
        if " ".join(word for word, _, _ in run) in forbidden:
            found.append((run[0][1], run[-1][2]))
    return found


def clean_text(
    text: str,
    forbidden: Set[str],
    n: int = 13,
    *,
    window: int = 200,
    min_characters: int = 200,
    max_pieces: int = 10,
) -> Cleaned:
    """Cut the overlaps with a test set out of a training text, as was done for GPT-3.

    Each overlap goes together with `window` characters on both sides (the answer often stands
    near the question). Pieces that become shorter than min_characters are dropped, and a text
    that falls into more than max_pieces is dropped whole: it is probably a copy of the test set.

    Args:
        text: a training text.
        forbidden: as from `ngrams_of`, with the same n.
        n: words in a run.
        window: characters.
        min_characters: of a piece that is kept. A text without overlap is kept at any length.
        max_pieces: most pieces that the cuts may leave, short ones counted.

    Returns:
        The pieces that are left, and how many runs overlapped.

    Raises:
        ValueError: if a number is out of its range.

    Source: Brown et al. 2020, GPT-3, appendix C; the four numbers are theirs.
    Lesson: notebooks/04_dedup.ipynb
    """
    if window < 0 or min_characters < 0 or max_pieces < 1:
        raise ValueError(
            "window and min_characters must be 0 or more and max_pieces 1 or more, got "
            f"{window}, {min_characters}, {max_pieces}"
        )
    found = overlaps(text, forbidden, n)
    if not found:
        return Cleaned([text], 0)
    parts, at = [], 0
    for start, end in found:
        start, end = max(start - window, 0), min(end + window, len(text))
        if start > at:
            parts.append(text[at:start])
        at = max(at, end)
    parts = [part for part in [*parts, text[at:]] if part]
    if len(parts) > max_pieces:
        return Cleaned([], len(found))
    return Cleaned([part for part in parts if len(part) >= min_characters], len(found))


def contaminated_items(
    test_items: Sequence[str],
    texts: Iterable[str],
    n: int = 13,
    *,
    shorter: bool = True,
) -> list[int]:
    """Which items of a test set share a run of n words with the training texts.

    Args:
        test_items: the items, question and answer in one text each.
        texts: the training texts; they are read one by one.
        n: words in a run.
        shorter: look for an item of fewer than n words as a whole; otherwise it never counts.

    Returns:
        Numbers of the items, in increasing order. An evaluation reports its score with and
        without them.

    Raises:
        ValueError: if n < 1.

    Cost: linear in the texts, times the number of different lengths of short items.
    Source: Brown et al. 2020, GPT-3, appendix C; Gao et al. 2021, lm-evaluation-harness, its page
        on decontamination.
    Lesson: notebooks/04_dedup.ipynb
    """
    index = index_items(test_items, n, shorter=shorter)
    return sorted(set().union(*(items_in(text, index) for text in texts)))


def index_items(
    test_items: Sequence[str], n: int = 13, *, shorter: bool = True
) -> dict[str, list[int]]:
    """Which test items hold each run of n words: what `items_in` looks runs up in.

    Args:
        test_items, n, shorter: as in `contaminated_items`.

    Raises:
        ValueError: if n < 1.

    Lesson: notebooks/04_dedup.ipynb
    """
    _check(n)
    holds: dict[str, list[int]] = {}
    for number, item in enumerate(test_items):
        for run in ngrams(item, n, shorter=shorter):
            holds.setdefault(run, []).append(number)
    return holds


def items_in(text: str, index: Mapping[str, Sequence[int]]) -> list[int]:
    """Numbers of the test items that share a run of words with one text, in increasing order.

    Args:
        text: a training text.
        index: from `index_items`.

    Cost: linear in the text, times the number of different lengths of runs.
    Lesson: notebooks/04_dedup.ipynb
    """
    spelled = words(text)
    found: set[int] = set()
    for length in {run.count(" ") + 1 for run in index}:
        for i in range(len(spelled) - length + 1):
            found.update(index.get(" ".join(spelled[i : i + length]), ()))
    return sorted(found)


def _check(n: int) -> None:
    if n < 1:
        raise ValueError(f"a run needs at least 1 word, got n={n}; 13 is usual")
