"""Normalisation: which texts are the same text before they are cut into tokens?

Unicode can write one thing in several ways. Its four normal forms choose one of them:

    NFC    canonical, composed: e + accent becomes é. Looks the same, means the same.
    NFD    canonical, decomposed: é becomes e + accent.
    NFKC   compatible, composed: also ﬁ becomes fi, ２ becomes 2, and 2² becomes 22.
    NFKD   compatible, decomposed.

"none" leaves the text alone, as BLOOM and GPT do. What a form merges, no model can ever tell apart.

Source: Unicode Standard Annex 15, Unicode Normalization Forms.
Lesson: notebooks/07a_tokenizers.ipynb
"""

import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Literal

Form = Literal["none", "NFC", "NFD", "NFKC", "NFKD"]
FORMS: tuple[Form, ...] = ("none", "NFC", "NFD", "NFKC", "NFKD")


def normalise(text: str, form: Form = "NFC") -> str:
    """Bring a text into a normal form.

        normalise("2² ﬁ", "NFKC") -> "22 fi"

    Args:
        text: any str.
        form: one of FORMS.

    Raises:
        ValueError: if the form is unknown.

    Cost: linear.
    Lesson: notebooks/07a_tokenizers.ipynb
    """
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}; got {form!r}")
    return text if form == "none" else unicodedata.normalize(form, text)


def merged_by(form: Form) -> dict[str, list[str]]:
    """The single characters that a form maps to the same text.

        merged_by("NFKC")["2"] -> ["2", "²", "₂", "②", "２", ...]

    Returns:
        Normal text -> the characters that become it, in order of code points; only those texts to
        which a character leads that is not the text itself.

    Raises:
        ValueError: if the form is unknown.

    Cost: a pass over all 1.1 million code points, about half a second.
    """
    groups: dict[str, list[str]] = {}
    for character in map(chr, range(sys.maxunicode + 1)) if form != "none" else ():
        if (text := normalise(character, form)) != character:
            groups.setdefault(text, []).append(character)
    for text, those in groups.items():
        if len(text) == 1:
            those[:] = sorted([text, *those])
    return groups


def changed_characters(texts: Iterable[str], form: Form) -> Counter[str]:
    """Count the characters of texts that a form would change, each looked at alone.

    A composition of two characters into one (e + accent) changes none of them alone, and is not
    counted here; whether a text changes as a whole is `normalise(text, form) != text`.
    """
    counts = Counter(character for text in texts for character in text)
    return Counter({c: n for c, n in counts.items() if normalise(c, form) != c})
