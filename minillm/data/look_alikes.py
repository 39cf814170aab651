"""Numbers and words that look like personal data and are none, and writings that hide a datum.

A rule is judged by two mistakes. What it hits by mistake is seen on *look-alikes*: a date, a
version number, the number of a book. What it misses is seen on *disguises*: the same datum as
somebody writes it who does not want a machine to read it, or as it leaves a broken table.
"""

import random
from collections.abc import Callable

from minillm.data.identity import cn_id_digit, luhn_digit
from minillm.data.invented import invent, invent_digits

Maker = Callable[[random.Random], str]


def look_alike(kind: str, rng: random.Random) -> tuple[str, str]:
    """Write a sentence with something in it that is no personal datum.

    Args:
        kind: one of LOOK_ALIKES.
        rng: a random.Random, which moves on.

    Returns:
        The sentence, and the part of it that looks like a datum.

    Raises:
        ValueError: if the kind is unknown.

    Lesson: notebooks/05_privacy.ipynb
    """
    if kind not in LOOK_ALIKES:
        raise ValueError(f"unknown look-alike {kind!r}, choose from {', '.join(LOOK_ALIKES)}")
    sentences, maker = LOOK_ALIKES[kind]
    part = maker(rng)
    return rng.choice(sentences).format(part), part


def disguise(kind: str, rng: random.Random) -> tuple[str, int, int]:
    """Write a sentence with a datum that a person still reads and a pattern may not.

    Args:
        kind: one of DISGUISES.
        rng: a random.Random, which moves on.

    Returns:
        The sentence, and where the disguised datum starts and ends in it.

    Raises:
        ValueError: if the kind is unknown.

    Lesson: notebooks/05_privacy.ipynb
    """
    if kind not in DISGUISES:
        raise ValueError(f"unknown disguise {kind!r}, choose from {', '.join(DISGUISES)}")
    before = "You reach the office under "
    datum = DISGUISES[kind](rng)
    return f"{before}{datum} on weekdays.", len(before), len(before) + len(datum)


def _bad_luhn(rng: random.Random) -> str:
    body = "4" + invent_digits(rng, 14)
    wrong = (int(luhn_digit(body)) + rng.randrange(1, 10)) % 10
    return f"{body}{wrong}"


def _bad_cn_id(rng: random.Random) -> str:
    born = f"{rng.randrange(1800, 1860)}{rng.randrange(1, 13):02d}{rng.randrange(1, 29):02d}"
    body = f"110101{born}{rng.randrange(1, 1000):03d}"
    right = "0123456789X".index(cn_id_digit(body))
    return body + "0123456789X"[(right + rng.randrange(1, 11)) % 11]


def _isbn13(rng: random.Random) -> str:
    body = "978" + invent_digits(rng, 9)
    total = sum(int(sign) * (1, 3)[place % 2] for place, sign in enumerate(body))
    code = body + str(-total % 10)
    groups = code[:3], code[3], code[4:7], code[7:12], code[12]
    return rng.choice([code, "-".join(groups)])


def _version(rng: random.Random) -> str:
    return ".".join(str(rng.randrange(30)) for _ in range(4))


def _date(rng: random.Random) -> str:
    year, month, day = rng.randrange(1950, 2030), rng.randrange(1, 13), rng.randrange(1, 29)
    forms = [f"{year}-{month:02d}-{day:02d}", f"{day:02d}.{month:02d}.{year}"]
    forms.append(f"{year}{month:02d}{day:02d}{rng.randrange(24):02d}{rng.randrange(60):02d}")
    return rng.choice(forms)


def _phrase(rng: random.Random) -> str:
    first = rng.choice(("Winter", "Harbour", "Silver", "Morning", "Garden", "Western"))
    return f"{first} {rng.choice(('Bridge', 'Festival', 'Report', 'Library', 'Company'))}"


def _clock(rng: random.Random) -> str:
    hardware = ":".join(f"{rng.randrange(256):02x}" for _ in range(6))
    return rng.choice([f"{rng.randrange(24):02d}:{rng.randrange(60):02d}:07", hardware, "xs[::2]"])


LOOK_ALIKES: dict[str, tuple[list[str], Maker]] = {
    "version": (["It was mended in version {}.", "Install {} or a later one."], _version),
    "isbn": (["The book has the number {}.", "See ISBN {}, page 12."], _isbn13),
    "date": (["The file was written on {}.", "Valid until {}."], _date),
    "ten digits": (["Order {} was shipped.", "The row has id {}."], lambda r: invent_digits(r, 10)),
    "sixteen digits": (
        ["The serial number is {}.", "Invoice {} is open."],
        lambda r: str(r.randrange(2, 7)) + invent_digits(r, 15),
    ),
    "invalid card": (["The test number {} must be refused.", "Part {} is missing."], _bad_luhn),
    "invalid cn_id": (["The test number {} must be refused.", "批号{}已过期。"], _bad_cn_id),
    "name-like": (["The {} opens in May.", "They met at the {} again."], _phrase),
    "clock or slice": (["The line ends with {}.", "Look at {} first."], _clock),
}


def _spelled(rng: random.Random) -> str:
    words = "zero one two three four five six seven eight nine".split()  # noqa: SIM905
    return " ".join(words[int(d)] for d in invent("phone", rng) if d.isdigit())


def _full_width(rng: random.Random) -> str:
    digits = str.maketrans("0123456789", "０１２３４５６７８９")
    return invent("cn_mobile", rng, "zh").translate(digits)


DISGUISES: dict[str, Maker] = {
    "mail with words": lambda r: invent("email", r).replace("@", " at ").replace(".", " dot "),
    "mail with brackets": lambda r: invent("email", r).replace("@", "[at]"),
    "digits as words": _spelled,
    "full-width digits": _full_width,
    "card over two lines": lambda r: "4111 1111\n1111 1111",
    "card with dots": lambda r: "4242.4242.4242.4242",
    "phone with slashes": lambda r: f"{r.randrange(201, 990)}/555/01{invent_digits(r, 2)}",
}
