"""Invented personal data, with valid check digits, that belong to nobody.

To know how much a rule finds one must know what there is to find, so personal data are invented
and planted. Wherever a part of the space is reserved for examples the invented datum lies there:

    email      example.com, example.org, example.net and the top level `.example` (RFC 2606)
    phone      North America 555-0100 to 555-0199; London 020 7946 0000 to 0999 (Ofcom, for drama)
    ip         192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24 (RFC 5737), 2001:db8::/32 (RFC 3849)
    address    invented street and town, postal code 000xx, which no place in the USA has;
               in Chinese an invented province and city
    card       the first six digits of the card numbers that payment services print for tests
               (4111 11, 4242 42, 4000 00, 5555 55, 5105 10, 3782 82): no range is reserved by
               the standard, so these are test prefixes, not a guarantee
    cn_id      born between 1800 and 1859: nobody alive, and before such numbers were given out
    cn_mobile  154, 161, 164: prefixes that had been given to no operator in 2022
    name       put together from parts (invented_words.py): nobody is meant
"""

import random
from collections.abc import Callable
from datetime import date, timedelta

from minillm.data import invented_words as words
from minillm.data.identity import cn_id_digit, luhn_digit

KINDS = ("email", "phone", "address", "ip", "card", "cn_id", "cn_mobile", "name")
LANGUAGES = ("en", "zh")

_NETWORKS = ("192.0.2", "198.51.100", "203.0.113")
_CARDS = (
    ("411111", 16),
    ("424242", 16),
    ("400000", 16),
    ("555555", 16),
    ("510510", 16),
    ("378282", 15),
)
_REGIONS = ("110101", "310104", "330106", "420102", "440305", "510107")
_OLD, _OLD_DAYS = date(1800, 1, 1), 21_914  # up to 31 December 1859


def invent(kind: str, rng: random.Random, language: str = "en") -> str:
    """Invent one datum.

    Args:
        kind: one of KINDS.
        rng: a random.Random, which moves on. The same state gives the same datum.
        language: "en" or "zh"; it decides names, addresses, and how a telephone is written.

    Returns:
        The datum as one would write it: a card with spaces, with hyphens or without, an IP
        address of version 6 once in four times.

    Raises:
        ValueError: if the kind or the language is unknown.

    Lesson: notebooks/05_privacy.ipynb
    """
    _check(kind, language)
    return _MAKERS[kind](rng, language)


def sentence_with(kind: str, rng: random.Random, language: str = "en") -> tuple[str, int, int]:
    """Write a sentence around an invented datum.

    Args:
        kind: one of KINDS.
        rng: a random.Random, which moves on.
        language: "en" or "zh".

    Returns:
        The sentence, and where the datum starts and ends in it: text[start:end].

    Raises:
        ValueError: if the kind or the language is unknown.

    Lesson: notebooks/05_privacy.ipynb
    """
    _check(kind, language)
    before, after = rng.choice(words.SENTENCES[language][kind]).split("{}")
    datum = invent(kind, rng, language)
    return before + datum + after, len(before), len(before) + len(datum)


def invent_digits(rng: random.Random, n: int) -> str:
    """Return n random digits, each of the ten as likely."""
    return "".join(str(rng.randrange(10)) for _ in range(n))


def _check(kind: str, language: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}, choose from {', '.join(KINDS)}")
    if language not in LANGUAGES:
        raise ValueError(f"unknown language {language!r}, choose from {', '.join(LANGUAGES)}")


def _email(rng: random.Random, language: str) -> str:
    first = rng.choice(words.FIRST_EN).lower()
    forms = [
        f"{first}.{rng.choice(words.MAIL_WORDS)}",
        f"{first[0]}{rng.choice(words.LAST_HEADS).lower()}{rng.randrange(10, 99)}",
        f"{rng.choice(words.MAIL_WORDS)}_{first}",
        f"{first}+{rng.choice(words.MAIL_WORDS)}",
    ]
    return f"{rng.choice(forms)}@{rng.choice(words.MAIL_HOSTS)}"


def _phone(rng: random.Random, language: str) -> str:
    area = f"{rng.randrange(2, 10)}{rng.randrange(10):d}{rng.randrange(2, 10)}"
    line = f"01{rng.randrange(100):02d}"
    london = f"0{rng.randrange(1000):03d}"
    forms = [
        f"{area}-555-{line}",
        f"({area}) 555-{line}",
        f"+1 {area}-555-{line}",
        f"{area}.555.{line}",
        f"+44 20 7946 {london}",
        f"{area} 555 {line}",
        f"{area}555{line}",
    ]
    return rng.choice(forms)


def _address(rng: random.Random, language: str) -> str:
    if language == "zh":
        road = rng.choice(words.ROAD_ZH) + rng.choice(words.ROAD_KINDS_ZH)
        place = rng.choice(words.PROVINCE_ZH) if rng.random() < 0.5 else ""
        place += rng.choice(words.CITY_ZH)
        flat = f"{rng.randrange(1, 9)}单元{rng.randrange(101, 1900)}室"
        return f"{place}{road}{rng.randrange(1, 300)}号{flat if rng.random() < 0.5 else ''}"
    street = f"{rng.randrange(1, 2000)} {rng.choice(words.STREET_WORDS)} "
    street += rng.choice(words.STREET_KINDS)
    if rng.random() < 0.3:
        street += f", Apt. {rng.randrange(1, 60)}"
    town = rng.choice(words.TOWN_HEADS) + rng.choice(words.TOWN_TAILS)
    if rng.random() < 0.7:
        town += f", {rng.choice(words.STATES)} 000{rng.randrange(100):02d}"
    return f"{street}, {town}"


def _ip(rng: random.Random, language: str) -> str:
    if rng.random() < 0.75:
        return f"{rng.choice(_NETWORKS)}.{rng.randrange(1, 255)}"
    groups = [f"{rng.randrange(1, 1 << 16):x}" for _ in range(rng.randrange(1, 7))]
    shortened = "2001:db8::" + ":".join(groups[:4])
    return ":".join(["2001:db8", *groups]) if len(groups) == 6 else shortened


def _card(rng: random.Random, language: str) -> str:
    prefix, n = rng.choice(_CARDS)
    body = prefix + invent_digits(rng, n - len(prefix) - 1)
    number = body + luhn_digit(body)
    joint = rng.choice(["", " ", " ", "-"])
    if n == 15:  # 4, 6, 5 digits, as this issuer prints them
        return joint.join((number[:4], number[4:10], number[10:]))
    return joint.join(number[i : i + 4] for i in range(0, n, 4))


def _cn_id(rng: random.Random, language: str) -> str:
    born = _OLD + timedelta(days=rng.randrange(_OLD_DAYS))
    body = f"{rng.choice(_REGIONS)}{born:%Y%m%d}{rng.randrange(1, 1000):03d}"
    return body + cn_id_digit(body)


def _cn_mobile(rng: random.Random, language: str) -> str:
    number = rng.choice(("154", "161", "164")) + invent_digits(rng, 8)
    spaced = f"{number[:3]} {number[3:7]} {number[7:]}"
    return rng.choice([number, number, spaced, spaced.replace(" ", "-"), f"+86 {spaced}"])


def _name(rng: random.Random, language: str) -> str:
    if language == "zh":
        n = rng.choice((1, 2, 2))
        return rng.choice(words.FAMILY_ZH) + "".join(rng.choice(words.GIVEN_ZH) for _ in range(n))
    last = rng.choice(words.LAST_HEADS) + rng.choice(words.LAST_TAILS)
    return f"{rng.choice(words.FIRST_EN)} {last}"


_MAKERS: dict[str, Callable[[random.Random, str], str]] = {
    "email": _email,
    "phone": _phone,
    "address": _address,
    "ip": _ip,
    "card": _card,
    "cn_id": _cn_id,
    "cn_mobile": _cn_mobile,
    "name": _name,
}
