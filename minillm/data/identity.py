"""Numbers that check themselves: cards (Luhn), Chinese identity numbers (MOD 11-2), IP addresses.

A check digit is a redundant last sign, computed from the others so that a slip of the pen gives a
number that cannot be. For whoever looks for personal data it is a gift: a random row of digits
passes Luhn once in 10 times and the Chinese check once in 11, so the check removes nine tenths of
the false alarms and no true find.
"""

from datetime import date
from typing import NamedTuple

_MODULUS = 11
_PROVINCES = frozenset(
    [
        *range(11, 16),
        *range(21, 24),
        *range(31, 38),
        *range(41, 47),
        *range(50, 55),
        *range(61, 66),
        71,
        81,
        82,
        83,
        91,
    ]
)
_OLDEST = 1800


def luhn_digit(digits: str) -> str:
    """Return the digit that makes a number valid under Luhn's rule.

    From the right every second digit is doubled (a result above 9 loses 9), beginning with the
    last digit given, since the check digit will stand to its right; the check digit brings the
    sum to a multiple of 10:

        c = -(sum_i s(d_i)) mod 10        s(d) = d, or 2 d - 9 [2 d > 9] in every second place

    Args:
        digits: the number without its last digit, signs 0 to 9 only.

    Returns:
        One sign, "0" to "9".

    Raises:
        ValueError: if digits is empty or holds another sign.

    Source: ISO/IEC 7812-1, annex B; H. P. Luhn, US patent 2 950 048 (1960).
    Lesson: notebooks/05_privacy.ipynb
    """
    _check_digits(digits)
    total = 0
    for place, sign in enumerate(reversed(digits)):
        value = int(sign)
        if place % 2 == 0:
            value = 2 * value - 9 * (value > 4)
        total += value
    return str(-total % 10)


def luhn_ok(number: str) -> bool:
    """Say whether a number, spaces and hyphens left out, passes Luhn's rule.

    Args:
        number: such as "4111 1111 1111 1111".

    Returns:
        True if there are at least two digits, no other signs, and the last is the check digit.
        Of uniformly random rows of digits exactly one in ten passes, and a single wrong digit
        or a swap of neighbours (but for 09 and 90) always fails.

    Source: as luhn_digit.
    Lesson: notebooks/05_privacy.ipynb
    """
    digits = number.replace(" ", "").replace("-", "")
    if len(digits) < 2 or not _is_digits(digits):
        return False
    return luhn_digit(digits[:-1]) == digits[-1]


def cn_id_digit(digits: str) -> str:
    """Return the last sign of a Chinese identity number (身份证号).

        c = (1 - sum_{i=1..17} 2^(18 - i) d_i) mod 11        written X when it is 10

    Args:
        digits: the first 17 digits: six of the region, eight of the birth date, three in order.

    Returns:
        "0" to "9", or "X".

    Raises:
        ValueError: unless there are 17 digits.

    Source: GB 11643-1999, which takes the rule from ISO 7064, MOD 11-2.
    Lesson: notebooks/05_privacy.ipynb
    """
    _check_digits(digits)
    if len(digits) != 17:
        raise ValueError(f"the check sign needs the first 17 digits, got {len(digits)}")
    rest = 0
    for sign in digits:  # Horner's scheme: each further digit doubles the weight of the earlier
        rest = (rest + int(sign)) * 2 % _MODULUS
    return "0123456789X"[(1 - rest) % _MODULUS]


def cn_id_ok(number: str) -> bool:
    """Say whether a text of 18 signs can be a Chinese identity number.

    Args:
        number: such as "11010519491231002X"; the X may be small.

    Returns:
        True if the first two digits are a province, digits 7 to 14 a date of the calendar from
        1800 on, and the last sign is the check sign. Among random rows of 18 digits the check
        sign alone passes one in 11, over all 11 possible last signs.

    Source: GB 11643-1999 (number), GB/T 2260 (provinces).
    Lesson: notebooks/05_privacy.ipynb
    """
    if len(number) != 18 or not _is_digits(number[:17]):
        return False
    if int(number[:2]) not in _PROVINCES or birth_date(number) is None:
        return False
    return cn_id_digit(number[:17]) == number[17].upper()


def birth_date(number: str) -> date | None:
    """Read the birth date in digits 7 to 14 of a Chinese identity number.

    Args:
        number: at least 14 signs.

    Returns:
        The date, or None where these eight digits are none or lie before 1800.
    """
    part = number[6:14]
    if len(part) != 8 or not _is_digits(part):
        return None
    try:
        found = date(int(part[:4]), int(part[4:6]), int(part[6:]))
    except ValueError:
        return None
    return found if found.year >= _OLDEST else None


class Address(NamedTuple):
    """An IP address: its version, 4 or 6, and its value, a whole number of 32 or 128 bits."""

    version: int
    value: int


def parse_ip(text: str) -> Address | None:
    """Read an IP address, version 4 (192.0.2.7) or 6 (2001:db8::7, ::ffff:192.0.2.7).

    Version 4 is four numbers from 0 to 255 without leading zeros. Version 6 is eight groups of
    one to four hexadecimal digits; once, `::` may stand for one or more groups of zeros, and the
    last two groups may be written as an address of version 4.

    Args:
        text: the address alone: no port, no `/64`, no `%eth0`.

    Returns:
        Version and value, or None where the text is no address.

    Source: RFC 4291, section 2.2.
    Lesson: notebooks/05_privacy.ipynb
    """
    if ":" not in text:
        value = _four_octets(text)
        return None if value is None else Address(4, value)
    groups = _six_groups(text)
    if groups is None:
        return None
    value = 0
    for group in groups:
        value = value << 16 | group
    return Address(6, value)


def _four_octets(text: str) -> int | None:
    parts = text.split(".")
    if len(parts) != 4:
        return None
    value = 0
    for part in parts:
        if not _is_digits(part) or len(part) > 3 or (part[0] == "0" and part != "0"):
            return None
        if int(part) > 255:
            return None
        value = value << 8 | int(part)
    return value


def _six_groups(text: str) -> list[int] | None:
    """Return the eight groups of an address of version 6, or None."""
    halves = text.split("::")
    if len(halves) > 2:
        return None
    parts = []
    for index, half in enumerate(halves):
        last = index == len(halves) - 1
        read = _read_groups(half.split(":") if half else [], may_end_in_four=last)
        if read is None:
            return None
        parts.append(read)
    n_given = sum(map(len, parts))
    if len(halves) == 1:
        return parts[0] if n_given == 8 else None
    return [*parts[0], *[0] * (8 - n_given), *parts[1]] if n_given < 8 else None


def _read_groups(signs: list[str], *, may_end_in_four: bool) -> list[int] | None:
    groups: list[int] = []
    for index, group in enumerate(signs):
        if "." in group:
            four = _four_octets(group)
            if four is None or not may_end_in_four or index < len(signs) - 1:
                return None
            groups += [four >> 16, four & 0xFFFF]
        elif 1 <= len(group) <= 4 and set(group) <= set("0123456789abcdefABCDEF"):
            groups.append(int(group, 16))
        else:
            return None
    return groups


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _check_digits(digits: str) -> None:
    if not _is_digits(digits):
        raise ValueError(
            f"expected the digits 0 to 9 only, got {digits!r}: remove spaces and hyphens first"
        )
