"""Toxic text: by a list of words, by a list that undoes spelling tricks, and by a classifier.

A list is fast, can be read, and fails in four ways, each of which can be counted:

    inside    the word stands inside a harmless one: Scunthorpe; *classic* became *clbuttic*
    spelling  sn0rk, s-n-o-r-k, snoooork are read by everybody and are on no list
    context   "it hurts to be called a snork" is no insult, and on the list all the same
    absence   "nobody wants you here" needs no bad word

A classifier sees the company that a word keeps, so it can do better at each; and it learns
something that no list would: that who is often insulted is himself a mark of toxic text.

The words are those of an invented village (toxicity_words.py).
"""

import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from minillm.data.personal import Span
from minillm.data.toxicity_words import INNOCENT, LISTED, NAMES, TEMPLATES, THINGS, UNLISTED

MATCHES = ("inside", "word", "folded")
PARTS = ("train", "test")
_LOOKS_LIKE = str.maketrans("013457@$!", "oleastasi")


class Example(NamedTuple):
    """A sentence of the village, whether it is toxic, and what is special about it."""

    text: str
    toxic: bool
    category: str


def toxic_sentences(
    seed: int, n: int, part: str = "train", *, leave_out: Sequence[str] = ()
) -> list[Example]:
    """Write labelled sentences, half of them toxic, all categories of each half equally often.

    Args:
        seed: the same seed gives the same sentences.
        n: how many.
        part: "train" or "test": other templates, other names, other things. The insults are the
            listed ones; in the test also `spelled` (a listed insult in disguise) and `new insult`
            (one that is neither on the list nor in the training sentences).
        leave_out: categories that do not occur.

    Returns:
        Examples in random order.

    Raises:
        ValueError: if the part is unknown, n is negative, or too much is left out.

    Lesson: notebooks/05_privacy.ipynb
    """
    if part not in PARTS:
        raise ValueError(f"unknown part {part!r}, choose from {', '.join(PARTS)}")
    if n < 0:
        raise ValueError(f"n must not be negative, got {n}")
    rng = random.Random(f"{part} {seed}")
    kinds = {toxic: [c for t, c in TEMPLATES if t == toxic] for toxic in (True, False)}
    kinds[True] += ["spelled"] if part == "train" else ["spelled", "new insult"]
    kinds = {toxic: [c for c in names if c not in leave_out] for toxic, names in kinds.items()}
    if not all(kinds.values()):
        raise ValueError(f"leave_out={leave_out!r} leaves no toxic or no harmless sentences")
    made = []
    for number in range(n):
        toxic = number % 2 == 0
        category = kinds[toxic][number // 2 % len(kinds[toxic])]
        made.append(_write(toxic, category, part, rng))
    rng.shuffle(made)
    return made


def find_listed(text: str, words: Sequence[str] = LISTED, match: str = "word") -> list[Span]:
    """Find the words of a list.

    Args:
        text: any text.
        words: the list, in small letters.
        match: "inside" finds a word wherever its letters stand in a row; "word" only as a whole
            word, with an s or without; "folded" also where digits, dots, hyphens, spaces between
            single letters, or repeated letters hide it (see `fold`).

    Returns:
        Spans from left to right, of kind "toxic".

    Raises:
        ValueError: if there is no such way to match, or the list is empty.

    Cost: linear in the text times the length of the list.
    Lesson: notebooks/05_privacy.ipynb
    """
    if match not in MATCHES:
        raise ValueError(f"unknown way to match {match!r}, choose from {', '.join(MATCHES)}")
    if not words:
        raise ValueError("the list of words is empty")
    one_of = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    if match == "folded":
        folded, places = fold(text)
        found = re.finditer(rf"\b(?:{one_of})s?\b", folded)
        return [Span(places[m.start()], places[m.end() - 1] + 1, "toxic") for m in found]
    pattern = rf"(?:{one_of})" if match == "inside" else rf"\b(?:{one_of})s?\b"
    return [Span(*m.span(), "toxic") for m in re.finditer(pattern, text, re.IGNORECASE)]


def replace_listed(text: str, new: str, words: Sequence[str] = LISTED, match: str = "word") -> str:
    """Write `new` wherever the list finds something; `inside` makes clbuttic of classic.

    >>> replace_listed("A classic book.", "butt", ["ass"], "inside")
    'A clbuttic book.'
    """
    parts, done = [], 0
    for start, end, _ in find_listed(text, words, match):
        parts += [text[done:start], new]
        done = end
    return "".join([*parts, text[done:]])


def fold(text: str) -> tuple[str, list[int]]:
    """Undo the commonest tricks of spelling.

    Small letters; digits and signs that look like a letter become it (0 o, 1 l, 3 e, 4 a, 5 s,
    7 t, @ a, $ s, ! i) where a letter stands on both sides; a dot, hyphen, star or space between
    single letters goes (s-n-o-r-k); three and more equal letters become one.

    Returns:
        The folded text, and for each of its characters the place in `text` that it comes from.

    Cost: linear.
    """
    keep: list[tuple[str, int]] = []
    for match in re.finditer(r"\b(?:\w[-.* ]){2,}\w\b|.", text, re.DOTALL):
        chars = [(c, match.start() + i) for i, c in enumerate(match.group())]
        keep += [(c, i) for c, i in chars if len(chars) == 1 or c not in "-.* "]
    inner = []
    for (c, i), left, right in zip(keep, [(" ", 0), *keep], [*keep[1:], (" ", 0)], strict=False):
        between = left[0].isalpha() and right[0].isalpha()
        inner.append((c.translate(_LOOKS_LIKE) if between else c, i))
    small = [(c.lower() if len(c.lower()) == 1 else c, i) for c, i in inner]
    out: list[tuple[str, int]] = []
    start = 0
    while start < len(small):
        end = start
        while end < len(small) and small[end][0] == small[start][0]:
            end += 1
        long = end - start >= 3 and small[start][0].isalpha()
        out += small[start : start + 1] if long else small[start:end]
        start = end
    return "".join(c for c, _ in out), [i for _, i in out]


def _write(toxic: bool, category: str, part: str, rng: random.Random) -> Example:
    key = "insult" if category in ("spelled", "new insult") else category
    word = rng.choice(UNLISTED if category == "new insult" else LISTED)
    word = _spelled(word, rng) if category == "spelled" else word
    text = rng.choice(TEMPLATES[toxic, key][part]).format(
        w=word, n=rng.choice(NAMES[part]), t=rng.choice(THINGS[part]), i=rng.choice(INNOCENT)
    )
    return Example(text, toxic, category)


def _spelled(word: str, rng: random.Random) -> str:
    """Disguise a word: 0 for o, letters parted, or a vowel drawn out."""
    like = str.maketrans("oeai", "034!")
    middle = word[1:-1]
    vowel = next(i for i, c in enumerate(word) if c in "aeiou")
    return rng.choice(
        [
            word[0] + middle.translate(like) + word[-1],
            rng.choice("-. *").join(word),
            word[:vowel] + word[vowel] * rng.randrange(3, 7) + word[vowel + 1 :],
        ]
    )
