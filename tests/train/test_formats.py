"""Number formats against torch and numpy: every pattern, every midpoint, many random numbers."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minillm.train.formats import (
    BFLOAT16,
    E4M3,
    E5M2,
    FLOAT16,
    FLOAT32,
    FORMATS,
    Fields,
    decode,
    encode,
    join_bits,
    round_half_even,
    round_to,
    spacing,
    split_bits,
)

WORDS = {8: torch.uint8, 16: torch.int16, 32: torch.int32}
EACH = pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
SMALL = pytest.mark.parametrize("fmt", [FLOAT16, BFLOAT16, E4M3, E5M2], ids=lambda f: f.name)


def theirs(x, fmt):
    """What torch makes of float32 numbers."""
    return x.float().to(getattr(torch, fmt.name)).double()


def all_numbers(fmt):
    """The number of every pattern, as torch reads it."""
    patterns = torch.arange(2**fmt.bits, dtype=torch.int32).to(WORDS[fmt.bits])
    return patterns.view(getattr(torch, fmt.name)).double()


def same(a, b):
    """Equal bit for bit, but for the patterns of not-a-number."""
    a, b = torch.as_tensor(a).double(), torch.as_tensor(b).double()
    nan = a.isnan() & b.isnan()
    return bool((nan | ((a == b) & (a.signbit() == b.signbit()))).all())


# ---- every pattern -----------------------------------------------------------------------------


@SMALL
def test_every_pattern_is_read_as_torch_reads_it_and_written_back(fmt):
    numbers = all_numbers(fmt)
    ours = [decode(pattern, fmt) for pattern in range(2**fmt.bits)]
    assert same(torch.tensor(ours, dtype=torch.float64), numbers)
    for pattern, number in enumerate(ours):
        if not math.isnan(number):
            assert encode(number, fmt) == pattern
    assert same(round_to(numbers, fmt), numbers)  # what is in the format already stays


@SMALL
def test_every_midpoint_and_its_neighbours_round_as_torch_rounds_them(fmt):
    finite = all_numbers(fmt).unique()
    finite = finite[finite.isfinite()]
    middle = ((finite[:-1] + finite[1:]) / 2).float()  # exact: one bit more than the format has
    up = torch.nextafter(middle, torch.tensor(math.inf))
    down = torch.nextafter(middle, torch.tensor(-math.inf))
    for x in (middle, up, down):
        assert same(round_to(x, fmt), theirs(x, fmt))
    some = torch.cat([middle, up, down])[:: max(1, middle.numel() // 500)]
    assert same([decode(encode(v, fmt), fmt) for v in some.tolist()], theirs(some, fmt))


@EACH
def test_random_patterns_of_float32_round_as_torch_rounds_them(fmt):
    g = torch.Generator().manual_seed(0)
    words = torch.randint(-(2**31), 2**31, (200_000,), generator=g, dtype=torch.int64)
    x = words.to(torch.int32).view(torch.float32)
    near = torch.randn(100_000, generator=g) * 2.0 ** torch.randint(
        -20, 10, (100_000,), generator=g
    )
    x = torch.cat([x, near])
    saturate = fmt is E4M3  # torch saturates it
    assert same(round_to(x, fmt, saturate=saturate), theirs(x, fmt))
    few = x[:1000]
    ours = [decode(encode(v, fmt, saturate=saturate), fmt) for v in few.tolist()]
    assert same(ours, theirs(few, fmt))


def test_float64_is_rounded_once_as_numpy_does():
    g = np.random.default_rng(0)
    x = g.standard_normal(20_000) * 2.0 ** g.integers(-30, 16, 20_000)
    with np.errstate(over="ignore"):
        expected = torch.from_numpy(x.astype(np.float16).astype(np.float64))
    assert same(round_to(torch.from_numpy(x), FLOAT16), expected)
    twice = 1 + 2**-11 + 2**-40  # by float32 it becomes a tie, which goes down
    once = torch.tensor(twice, dtype=torch.float64)
    assert round_to(once, FLOAT16).item() == float(np.float16(twice)) == 1 + 2**-10
    assert round_to(once.float(), FLOAT16).item() == 1.0
    assert decode(encode(twice, FLOAT16), FLOAT16) == 1 + 2**-10


# ---- what the formats are ----------------------------------------------------------------------


@EACH
def test_properties_are_torchs(fmt):
    told = torch.finfo(getattr(torch, fmt.name))
    assert (fmt.largest, fmt.eps, fmt.smallest_normal) == (told.max, told.eps, told.tiny)
    assert fmt.bits == told.bits
    assert decode(1, fmt) == fmt.smallest
    smallest = torch.tensor(fmt.smallest)
    assert theirs(smallest, fmt).item() == fmt.smallest
    assert round_to(torch.tensor(fmt.smallest / 2), fmt).item() == 0.0
    assert round_to(torch.tensor(fmt.smallest * 0.500001, dtype=torch.float64), fmt) == fmt.smallest


def test_the_largest_float16_is_65504():
    """The article says 65 506."""
    assert FLOAT16.largest == 65504.0
    assert decode(encode(65506.0, FLOAT16), FLOAT16) == 65504.0
    assert decode(encode(65519.99, FLOAT16), FLOAT16) == 65504.0
    assert decode(encode(65520.0, FLOAT16), FLOAT16) == math.inf
    assert FLOAT16.overflow == 65520.0


def test_where_numbers_overflow():
    for fmt in (FLOAT32, FLOAT16, BFLOAT16, E5M2):
        assert decode(encode(fmt.overflow, fmt), fmt) == math.inf
        before = math.nextafter(fmt.overflow, 0.0)
        assert decode(encode(-before, fmt), fmt) == -fmt.largest
    assert E4M3.largest == 448.0
    assert decode(encode(464.0, E4M3), E4M3) == 448.0  # the tie goes to the even side, down
    assert math.isnan(decode(encode(464.001, E4M3), E4M3))
    assert decode(encode(464.001, E4M3, saturate=True), E4M3) == 448.0
    assert decode(encode(-math.inf, FLOAT16, saturate=True), FLOAT16) == -65504.0
    assert round_to(torch.tensor([1e9, -1e9]), FLOAT16, saturate=True).tolist() == [65504, -65504]


def test_bfloat16_has_the_range_of_float32_and_eight_digits():
    assert BFLOAT16.smallest_normal == FLOAT32.smallest_normal
    assert BFLOAT16.largest == pytest.approx(FLOAT32.largest, rel=0.004)
    assert spacing(256.0, BFLOAT16) == 2.0
    assert decode(encode(256.0 + 1.0, BFLOAT16), BFLOAT16) == 256.0
    assert decode(encode(258.0 + 1.0, BFLOAT16), BFLOAT16) == 260.0  # a tie, too, but it goes up


@EACH
def test_spacing_is_the_distance_of_neighbours(fmt):
    for value in (1.0, 1.5, 3.0, fmt.smallest_normal, fmt.largest / 2.5, 0.0, fmt.smallest):
        pattern = encode(value, fmt)
        here, there = decode(pattern, fmt), decode(pattern + 1, fmt)
        assert there - here == spacing(here, fmt)
        assert spacing(-here, fmt) == spacing(here, fmt)


def test_fields_by_hand():
    assert split_bits(0b1_01111_1000000000, FLOAT16) == Fields(1, 15, 512)
    assert decode(0b1_01111_1000000000, FLOAT16) == -1.5
    assert decode(0b0_00000_0000000011, FLOAT16) == 3 * 2**-24
    assert split_bits(encode(6.5, E4M3), E4M3) == Fields(0, 9, 0b101)  # 2^2 (1 + 5/8)
    assert encode(-0.0, FLOAT16) == 0x8000
    assert join_bits(Fields(0, 0x7F, 0), BFLOAT16) == encode(1.0, BFLOAT16) == 0x3F80


def test_a_carry_goes_into_the_exponent():
    assert decode(encode(1.9999, FLOAT16), FLOAT16) == 2.0
    below = FLOAT16.smallest_normal * (1 - 2**-12)  # subnormal, rounds to a normal number
    assert decode(encode(below, FLOAT16), FLOAT16) == FLOAT16.smallest_normal


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_nearest_is_chosen(x):
    for fmt in (FLOAT16, BFLOAT16, E5M2):
        got = decode(encode(x, fmt), fmt)
        if abs(x) < fmt.overflow:
            gap = Fraction(spacing(got, fmt))
            assert abs(Fraction(x) - Fraction(got)) <= gap / 2
        else:
            assert got == math.copysign(math.inf, x)


def test_round_half_even():
    assert [round_half_even(x) for x in (0.0, 0.5, 1.5, 2.5, 2.51, 3.49)] == [0, 0, 2, 2, 3, 3]
    assert round_half_even(2.0**53 + 2) == 2**53 + 2


def test_refusals():
    for bad in (-1, 2**16):
        with pytest.raises(ValueError, match="float16 has 16 bits, got the pattern"):
            decode(bad, FLOAT16)
    for bad in (65505.0, math.nan):
        with pytest.raises(ValueError, match=r"lies beyond the largest float16, 65504\.0"):
            spacing(bad, FLOAT16)
