import ipaddress
import random
from datetime import date

import pytest

from minillm.data.identity import (
    Address,
    birth_date,
    cn_id_digit,
    cn_id_ok,
    luhn_digit,
    luhn_ok,
    parse_ip,
)

PUBLISHED_CARDS = [  # numbers that payment services print for tests, and the patent's pattern
    "4111 1111 1111 1111",
    "4242-4242-4242-4242",
    "5555555555554444",
    "378282246310005",
    "6011111111111117",
    "79927398713",
]
STANDARD = ["11010519491231002X", "440524188001010014"]  # examples in GB 11643-1999


def luhn_by_table(number):
    """The rule once more, by tables and from the left: nothing in common with the package."""
    doubled = {0: 0, 1: 2, 2: 4, 3: 6, 4: 8, 5: 1, 6: 3, 7: 5, 8: 7, 9: 9}
    digits = [int(sign) for sign in number if sign.isdigit()]
    parity = len(digits) % 2
    return sum(doubled[d] if i % 2 == parity else d for i, d in enumerate(digits)) % 10 == 0


def cn_by_weights(number):
    """The check with the printed weights and the printed row of signs."""
    weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
    total = sum(w * int(sign) for w, sign in zip(weights, number[:17], strict=True))
    return "10X98765432"[total % 11] == number[17].upper()


@pytest.mark.parametrize("number", PUBLISHED_CARDS)
def test_published_card_numbers_pass(number):
    assert luhn_ok(number)


def test_luhn_by_hand():
    # 7992739871: from the right 1 7 8 9 3 7 2 9 9 7, every second doubled from the first on:
    # 2 7 7 9 6 7 4 9 9 7 = 67, and 67 + 3 = 70
    assert luhn_digit("7992739871") == "3"
    assert luhn_digit("0") == "0"


@pytest.mark.parametrize("number", PUBLISHED_CARDS)
def test_luhn_sees_every_single_slip_and_every_swap_but_09(number):
    digits = number.replace(" ", "").replace("-", "")
    for place, sign in enumerate(digits):
        for other in set("0123456789") - {sign}:
            assert not luhn_ok(digits[:place] + other + digits[place + 1 :])
    for a in range(10):
        for b in range(10):
            body = f"12{a}{b}4"
            swapped = f"12{b}{a}4" + luhn_digit(body)
            assert luhn_ok(swapped) == (a == b or {a, b} == {0, 9})


def test_luhn_equals_a_second_way_of_writing_it_and_passes_one_in_ten():
    rng = random.Random(5)
    rows = ["".join(rng.choices("0123456789", k=rng.randrange(2, 20))) for _ in range(20_000)]
    passed = [luhn_ok(row) for row in rows]
    assert passed == [luhn_by_table(row) for row in rows]
    assert abs(sum(passed) / len(rows) - 0.1) < 4 * (0.09 / len(rows)) ** 0.5
    assert all(sum(luhn_ok(f"{body}{d}") for d in range(10)) == 1 for body in rows[:500])


@pytest.mark.parametrize("number", ["", "0", "4111x11", "４１１１", "¹²"])
def test_what_is_no_number_does_not_pass_luhn(number):
    assert not luhn_ok(number)


@pytest.mark.parametrize("digits", ["", "12 34", "12a"])
def test_a_check_digit_needs_digits(digits):
    with pytest.raises(ValueError, match="digits 0 to 9 only"):
        luhn_digit(digits)


@pytest.mark.parametrize("number", STANDARD)
def test_the_examples_of_the_standard_pass(number):
    assert cn_id_ok(number)
    assert cn_id_ok(number.lower())
    assert cn_id_digit(number[:17]) == number[17]


def test_the_check_sign_by_hand():
    # thirteen zeros, then 0001: the weight of the last is 2, and (1 - 2) mod 11 = 10, written X
    assert cn_id_digit("0" * 16 + "1") == "X"
    assert cn_id_digit("0" * 17) == "1"


def test_the_check_sign_equals_the_printed_weights_and_passes_one_in_eleven():
    rng = random.Random(5)
    n = 20_000
    rows = ["".join(rng.choices("0123456789", k=17)) for _ in range(n)]
    ends = [rng.choice("0123456789X") for _ in range(n)]
    right = [cn_id_digit(row) == end for row, end in zip(rows, ends, strict=True)]
    assert right == [cn_by_weights(row + end) for row, end in zip(rows, ends, strict=True)]
    assert abs(sum(right) / n - 1 / 11) < 4 * (10 / 121 / n) ** 0.5


@pytest.mark.parametrize(
    "number",
    [
        "110105194912310021",  # another check sign
        "11010519491331002X",  # no thirteenth month
        "990105194912310026",  # no province 99; its check sign is right
        "1101051949123100",
        "11010519491231002x0",
        "X1010519491231002X",
        "１１010519491231002X",
    ],
)
def test_what_is_no_identity_number(number):
    assert not cn_id_ok(number)


def test_the_wrong_province_fails_although_its_check_sign_is_right():
    assert cn_by_weights("990105194912310026") or cn_id_digit("99010519491231002") != "6"
    body = "99010519491231002"
    assert not cn_id_ok(body + cn_id_digit(body))


def test_slips_and_swaps_are_seen():
    number = STANDARD[1]
    for place in range(17):
        for other in set("0123456789") - {number[place]}:
            assert cn_id_digit(number[:place] + other + number[place + 1 : 17]) != number[17]
    for i in range(16):
        if number[i] != number[i + 1]:
            swapped = number[:i] + number[i + 1] + number[i] + number[i + 2 : 17]
            assert cn_id_digit(swapped) != number[17]


def test_the_check_sign_needs_seventeen_digits():
    with pytest.raises(ValueError, match="17 digits, got 16"):
        cn_id_digit("1" * 16)


def test_birth_dates():
    assert birth_date(STANDARD[0]) == date(1949, 12, 31)
    assert birth_date("11010518000101") == date(1800, 1, 1)
    assert birth_date("11010517991231") is None
    assert birth_date("11010520230229") is None  # no leap year
    assert birth_date("1101052024022") is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("192.0.2.7", Address(4, 0xC0000207)),
        ("0.0.0.0", Address(4, 0)),
        ("2001:db8::7", Address(6, (0x20010DB8 << 96) | 7)),
        ("::", Address(6, 0)),
        ("::ffff:192.0.2.7", Address(6, 0xFFFFC0000207)),
        ("1:2:3:4:5:192.0.2.7:8", None),  # an address of version 4 stands at the end only
        ("1:2:3:4:5:6:7::8", None),  # a double colon stands for one group of zeros at least
    ],
)
def test_addresses_by_hand(text, wanted):
    assert parse_ip(text) == wanted


def stdlib(text):
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (address.version, int(address))


def test_addresses_are_read_as_the_standard_library_reads_them():
    rng = random.Random(5)
    parts = [
        "0",
        "1",
        "db8",
        "ffff",
        "10000",
        "g",
        "::",
        ":",
        ":",
        ":",
        ".",
        ".",
        "255",
        "256",
        "01",
    ]
    texts = ["".join(rng.choices(parts, k=rng.randrange(1, 16))) for _ in range(20_000)]
    for _ in range(5_000):
        six = ipaddress.IPv6Address(rng.getrandbits(128) >> rng.choice((0, 64, 100)))
        texts += [
            str(six),
            six.exploded,
            str(six).upper(),
            str(ipaddress.IPv4Address(rng.getrandbits(32))),
        ]
        place = rng.randrange(len(texts[-2]))
        texts.append(texts[-4][:place] + rng.choice(":.0fx ") + texts[-4][place:])
    texts += [
        "fe80::1%eth0",
        "1.2.3.4.5",
        "1::2::3",
        "::1.2.3.4",
        "1.2.3.4::",
        "١.2.3.4",
        "1:2:3:4:5:6:7::",
    ]
    differ = [t for t in texts if "%" not in t and stdlib(t) != parse_ip(t)]
    assert differ == []
    assert parse_ip("fe80::1%eth0") is None
    assert sum(parse_ip(t) is not None for t in texts) > 5_000
    assert sum(parse_ip(t) is None for t in texts) > 3_000
