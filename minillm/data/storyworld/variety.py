"""How varied a pile of texts is: repeated words, repeated word sequences, repeated texts."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(r"[A-Za-z]+(?:'[a-z]+)?|[\u4e00-\u9fff]|\d+")


@dataclass(frozen=True)
class Variety:
    """Figures of `variety`; ratios lie between 0 and 1, and more is more varied.

    Attributes:
        n_tokens: words of English, single characters of Chinese.
        type_token: different tokens over tokens.
        distinct_4: different sequences of four tokens over all sequences of four.
        duplicates: share of the texts that are equal to an earlier one.
    """

    n_tokens: int
    type_token: float
    distinct_4: float
    duplicates: float


def tokens(text: str) -> list[str]:
    """Cut a text into lower-case English words and single Chinese characters.

    >>> tokens("Mia's key. 钥匙")
    ["mia's", 'key', '钥', '匙']
    """
    return _TOKEN.findall(text.lower())


def variety(texts: Sequence[str] | Iterable[str], *, max_tokens: int | None = None) -> Variety:
    """Measure how varied texts are.

    Args:
        texts: the texts; sequences of four never cross from one to the next.
        max_tokens: stop after so many tokens. Both ratios fall with the amount of text, so compare
            two piles only at the same max_tokens.

    Raises:
        ValueError: if there is no token in the texts.

    Cost: about 1 s for a million tokens.
    Source: distinct-n, Li et al. 2016, arXiv:1510.03055, section 5.2.
    """
    n_tokens, n_grams, n_texts = 0, 0, 0
    types: set[str] = set()
    grams: set[tuple[str, ...]] = set()
    seen: set[str] = set()
    for text in texts:
        words = tokens(text)
        if max_tokens is not None:
            words = words[: max_tokens - n_tokens]
        n_tokens += len(words)
        types.update(words)
        n_grams += max(0, len(words) - 3)
        grams.update(zip(words, words[1:], words[2:], words[3:], strict=False))
        n_texts += 1
        seen.add(text)
        if max_tokens is not None and n_tokens >= max_tokens:
            break
    if not n_tokens:
        raise ValueError("no words in these texts; variety needs at least one")
    distinct = len(grams) / n_grams if n_grams else 0.0
    return Variety(n_tokens, len(types) / n_tokens, distinct, 1 - len(seen) / n_texts)
