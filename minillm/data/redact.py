"""What to put where personal data stood: a placeholder with its kind, or an invented substitute.

A bare gap breaks the sentence and teaches the model broken sentences. A *placeholder* keeps the
part of speech, and says what was there; it is the same for everybody, so "who wrote to whom" is
lost. A *substitute* is an invented datum of the same kind and form, the same for the same datum
throughout one document, so that the text stays a text; whoever reads it cannot see that something
was replaced.
"""

import hashlib
import random
import re
from collections.abc import Callable, Sequence

from minillm.data.invented import invent
from minillm.data.personal import Span, find_personal
from minillm.data.privacy import EMAIL, IP, NAME, PHONE

PLACEHOLDERS = {
    "email": EMAIL,
    "phone": PHONE,
    "address": "|||POSTAL_ADDRESS|||",
    "ip": IP,
    "card": "|||CARD_NUMBER|||",
    "cn_id": "|||IDENTITY_NUMBER|||",
    "cn_mobile": PHONE,
    "name": NAME,
}
_NUMBERS = ("card", "phone", "cn_mobile", "cn_id")
_HAN = re.compile(r"[\u4e00-\u9fff]")
_ATTEMPTS = 1000


def redact(
    text: str,
    spans: Sequence[Span] | None = None,
    *,
    substitute: Callable[[str, str], str] | None = None,
) -> tuple[str, dict[str, int]]:
    """Replace personal data.

    Args:
        text: any text.
        spans: what to replace, from left to right and without overlaps; None asks the rules
            (`find_personal`).
        substitute: (kind, datum) -> what to write instead, such as a `Substitutes`; None writes
            the placeholders of PLACEHOLDERS.

    Returns:
        The text and how many data of each kind were replaced (kinds that did not occur are left
        out). Text outside the spans is unchanged. With placeholders a second call finds nothing.

    Raises:
        ValueError: if spans overlap, are out of order, or leave the text.

    Cost: linear in the text.
    Lesson: notebooks/05_privacy.ipynb
    """
    spans = find_personal(text) if spans is None else spans
    parts: list[str] = []
    counts: dict[str, int] = {}
    done = 0
    for start, end, kind in spans:
        if not done <= start < end <= len(text):
            raise ValueError(
                f"span {start}:{end} overlaps, is out of order, is empty or leaves the text of "
                f"{len(text)} characters; sort the spans, or lay them together with merge_spans"
            )
        datum = text[start:end]
        new = PLACEHOLDERS[kind] if substitute is None else substitute(kind, datum)
        parts += [text[done:start], new]
        counts[kind] = counts.get(kind, 0) + 1
        done = end
    return "".join([*parts, text[done:]]), counts


class Substitutes:
    """Invented substitutes, the same for the same datum in one document.

    Two writings of one datum are one datum: spaces and hyphens in numbers and capitals in mail
    addresses do not count. Two different data never get the same substitute. Without the key
    nobody can find the datum from its substitute, since a hash of it only seeds the draw; with
    the key one can try all data, so keep the key as secret as the data, or throw it away.

    Args:
        key: of the document or of the corpus. Another key gives other substitutes, so data
            cannot be followed from one document to the next.

    Lesson: notebooks/05_privacy.ipynb
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.chosen: dict[tuple[str, str], str] = {}
        self._taken: set[tuple[str, str]] = set()

    def __call__(self, kind: str, datum: str) -> str:
        """Return the substitute of a datum, in the form in which the datum is written."""
        name = (kind, plain_form(kind, datum))
        if name not in self.chosen:
            self.chosen[name] = self._draw(kind, datum, name[1])
        new = self.chosen[name]
        return _written_like(datum, new) if kind in _NUMBERS else new

    def _draw(self, kind: str, datum: str, plain: str) -> str:
        seed = hashlib.sha256(f"{self.key}\0{kind}\0{plain}".encode()).digest()
        rng = random.Random(int.from_bytes(seed[:8], "big"))
        language = "zh" if _HAN.search(datum) else "en"
        for _ in range(_ATTEMPTS):
            new = invent(kind, rng, language)
            taken = (kind, plain_form(kind, new))
            same_form = kind not in _NUMBERS or _n_digits(new) == _n_digits(datum)
            if same_form and taken not in self._taken and taken[1] != plain:
                break
        self._taken.add(taken)
        return new


def plain_form(kind: str, datum: str) -> str:
    """Write a datum in the one form in which equal data are equal texts.

    Args:
        kind: one of PLACEHOLDERS.
        datum: as it stands in a text.

    Returns:
        A number without spaces, hyphens, points and brackets; a mail address in small letters.
    """
    if kind in _NUMBERS:
        return re.sub(r"[ ().-]", "", datum).upper()
    return datum.lower() if kind == "email" else datum


def _n_digits(text: str) -> int:
    return sum(sign.isalnum() for sign in text)


def _written_like(datum: str, new: str) -> str:
    """Put the digits of `new` into the spaces and hyphens of `datum`, if there are as many."""
    digits = [sign for sign in new if sign.isalnum()]
    if len(digits) != _n_digits(datum):
        return new
    signs = iter(digits)
    return "".join(next(signs) if sign.isalnum() else sign for sign in datum)
