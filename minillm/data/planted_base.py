"""Choosing documents that have nothing in common: the clean ground of the planted corpus."""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from minillm.data.planted_edits import word_ngrams

MIN_WORDS, MAX_WORDS = 60, 600
UNRELATED = 0.1
"""Two base documents have a Jaccard similarity of word 5-grams below this."""
_LIKE_PERSONAL = re.compile(r"\|\|\||@\w+\.|\d{6,}|(?:\d{1,4}[ .:-]){3}\d|::\w|\d{3}[-.]\d{4}")
_LIKE_MARKUP = re.compile(r"</?[a-zA-Z!]|/>|&#?\w+;|\{\{|\}\}|\[\[|\);|\{\w+:")


def unrelated(texts: Sequence[str], n_texts: int, rng: random.Random) -> list[int]:
    """Choose texts that have nothing in common, in random order.

    Args:
        texts: candidates; those that are too short, too long, or look as if they held personal
            data or markup are passed over.
        n_texts: how many to choose.
        rng: moves on.

    Returns:
        Indices of the chosen. No line and no run of 13 words stands twice in them, be it in two
        texts or in one, and each two have a Jaccard similarity of word 5-grams below UNRELATED.

    Raises:
        ValueError: if there are not that many.

    Cost: linear in the words of the texts that are looked at.
    """
    seen: set[object] = set()
    holders: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    sizes: list[int] = []
    chosen: list[int] = []
    for i in rng.sample(range(len(texts)), len(texts)):
        text = texts[i]
        if not MIN_WORDS <= len(text.split()) <= MAX_WORDS or text != text.strip():
            continue
        if _LIKE_PERSONAL.search(text) or _LIKE_MARKUP.search(text):
            continue
        words, lines = text.split(), [line.strip() for line in text.split("\n") if line.strip()]
        runs = [tuple(words[j : j + 13]) for j in range(len(words) - 12)]
        own = {*lines, *runs}
        if len(own) < len(lines) + len(runs) or not own.isdisjoint(seen):
            continue
        grams = word_ngrams(text)
        shared = Counter(k for gram in grams for k in holders.get(gram, ()))
        if any(n / (len(grams) + sizes[k] - n) >= UNRELATED for k, n in shared.items()):
            continue
        for gram in grams:
            holders[gram].append(len(chosen))
        seen |= own
        sizes.append(len(grams))
        chosen.append(i)
        if len(chosen) == n_texts:
            return chosen
    raise ValueError(
        f"{n_texts} documents of {MIN_WORDS} to {MAX_WORDS} words that have nothing in common are "
        f"needed, the source holds {len(chosen)}: take fewer documents or another source"
    )
