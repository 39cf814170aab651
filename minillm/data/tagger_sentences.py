"""Labelled sentences: what the tagger learns from, and others, of which it has seen no part.

The held-out sentences come from `invented.sentence_with` and `look_alikes`. They share with the
training sentences neither a template nor a name, street or town (a test compares the lists), so
the figure says what was learnt about the form of names and addresses, not what was learnt by heart.
Chinese family names are the exception: they are a closed list, of which the commonest stand in
`tagger.FAMILY_NAMES` as common knowledge.
"""

import random

from minillm.data import tagger_words as words
from minillm.data.invented import LANGUAGES, sentence_with
from minillm.data.invented_words import GIVEN_ZH
from minillm.data.look_alikes import LOOK_ALIKES, look_alike
from minillm.data.personal import Span

Labelled = tuple[str, list[Span]]


def training_sentences(seed: int, n: int, language: str = "en") -> list[Labelled]:
    """Write labelled sentences to train on.

    Args:
        seed: the same seed gives the same sentences.
        n: how many.
        language: "en" or "zh".

    Returns:
        n times a sentence and its spans of the kinds "name" and "address".

    Raises:
        ValueError: if the language is unknown or n is negative.

    Lesson: notebooks/05_privacy.ipynb
    """
    _check(n, language)
    rng = random.Random(f"train {seed} {language}")
    templates = words.EN if language == "en" else words.ZH
    return [_fill(rng.choice(templates), rng, language) for _ in range(n)]


def held_out_sentences(seed: int, n: int, language: str = "en") -> list[Labelled]:
    """Write labelled sentences to test on: other templates, other names, streets and towns.

    Args:
        seed, n, language: as in training_sentences.

    Returns:
        A third hold a name, a third an address, and a third none: data of other kinds and
        look-alikes (these in English, whatever the language).

    Raises:
        ValueError: if the language is unknown or n is negative.

    Lesson: notebooks/05_privacy.ipynb
    """
    _check(n, language)
    rng = random.Random(f"held out {seed} {language}")
    made: list[Labelled] = []
    for number in range(n):
        if number % 3 < 2:
            kind = ("name", "address")[number % 3]
            text, start, end = sentence_with(kind, rng, language)
            made.append((text, [Span(start, end, kind)]))
        elif rng.random() < 0.5:
            kind = rng.choice(("email", "phone", "ip", "card", "cn_id", "cn_mobile"))
            made.append((sentence_with(kind, rng, language)[0], []))
        else:
            made.append((look_alike(rng.choice(sorted(LOOK_ALIKES)), rng)[0], []))
    return made


def _check(n: int, language: str) -> None:
    if language not in LANGUAGES:
        raise ValueError(f"unknown language {language!r}, choose from {', '.join(LANGUAGES)}")
    if n < 0:
        raise ValueError(f"n must not be negative, got {n}")


def _fill(template: str, rng: random.Random, language: str) -> Labelled:
    text, spans = "", []
    for piece in template.replace("{", "}").split("}"):
        if piece in ("name", "address"):
            maker = _name if piece == "name" else _address
            datum = maker(rng, language)
            spans.append(Span(len(text), len(text) + len(datum), piece))
            text += datum
        elif piece == "number":
            text += str(rng.choice((rng.randrange(2, 100), rng.randrange(1900, 2030))))
        elif piece == "code":
            text += _code(rng)
        elif piece in ("thing", "day"):
            text += rng.choice(words.THINGS if piece == "thing" else words.DAYS)
        else:
            text += piece
    return text, spans


def _code(rng: random.Random) -> str:
    """Numbers and signs that are neither a name nor an address."""
    sign = rng.choice(".- :/")
    groups = [str(rng.randrange(10 ** rng.randrange(1, 5))) for _ in range(rng.randrange(1, 5))]
    desk = f"desk{rng.randrange(100)}@example.com"
    return rng.choice([sign.join(groups), sign.join(groups), f"({groups[0]}) {groups[-1]}", desk])


def _given_sign(rng: random.Random) -> str:
    """A usual sign, or any of 20 000, so that no sign of a name can be learned by heart."""
    while (sign := chr(rng.randrange(0x4E00, 0x9FA6))) in GIVEN_ZH:
        pass
    return rng.choice((sign, rng.choice(words.GIVEN_ZH)))


def _name(rng: random.Random, language: str) -> str:
    if language == "zh":
        given = "".join(_given_sign(rng) for _ in range(rng.choice((1, 2, 2))))
        return rng.choice(words.FAMILY_ZH) + given
    return f"{rng.choice(words.FIRST)} {rng.choice(words.LAST)}"


def _address(rng: random.Random, language: str) -> str:
    if language == "zh":
        province = rng.choice(words.PROVINCES_ZH) if rng.random() < 0.5 else ""
        road = rng.choice(words.ROADS_ZH) + rng.choice(("路", "街", "大道", "巷"))
        flat = f"{rng.randrange(1, 9)}单元{rng.randrange(101, 1900)}室"
        number = f"{rng.randrange(1, 300)}号{flat if rng.random() < 0.5 else ''}"
        return f"{province}{rng.choice(words.CITIES_ZH)}{road}{number}"
    flat = f", Apt. {rng.randrange(1, 60)}" if rng.random() < 0.3 else ""
    place = rng.choice(words.TOWNS)
    if rng.random() < 0.7:
        place += f", {rng.choice(words.CODES)} 000{rng.randrange(100):02d}"
    street = f"{rng.choice(words.STREETS)} {rng.choice(words.STREET_KINDS)}"
    return f"{rng.randrange(1, 2000)} {street}{flat}, {place}"
