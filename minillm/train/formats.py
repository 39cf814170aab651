"""Numbers to the bit: float32, float16, bfloat16 and the two kinds of float8.

A number is a sign, an exponent field e and a mantissa field m of M bits:

    e = 0:       (-1)^sign  2^(1 - bias)      m / 2^M          subnormal; zero at m = 0
    otherwise:   (-1)^sign  2^(e - bias) (1 + m / 2^M)         normal
    e all ones:  infinity at m = 0, else not a number          but in E4M3, where it is normal, and
                                                               only m = all ones is not a number

- encode and decode work on one number, in whole numbers; round_to on a whole tensor. Both round to
  the nearest, and in the middle between two to the one whose last bit is 0.
- Rounding is once, from float64. torch's own float64 -> float16 goes by float32 and so rounds
  twice; the two differ for a few numbers, of which a test shows one.
- Beyond the largest number comes infinity, or in E4M3 not-a-number; or, with saturate, the largest
  number again. torch saturates E4M3 and nothing else.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Format:
    """A format of floating-point numbers.

    Attributes:
        name: as torch calls it.
        exponent_bits: width of the exponent field.
        mantissa_bits: M, width of the mantissa field; one more bit is implied.
        infinite: whether the highest exponent is kept for infinity. Without (E4M3) numbers beyond
            the largest become not a number.

    Source: IEEE 754-2008 (float16, float32); Kalamkar et al. 2019, arXiv:1905.12322 (bfloat16);
        Micikevicius et al. 2022, arXiv:2209.05433, table 1 (float8).
    Lesson: notebooks/21_stability.ipynb
    """

    name: str
    exponent_bits: int
    mantissa_bits: int
    infinite: bool = True

    @property
    def bits(self) -> int:
        """Width of a number."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def bias(self) -> int:
        """What the exponent field is above the exponent."""
        return 2 ** (self.exponent_bits - 1) - 1

    @property
    def lowest(self) -> int:
        """The exponent of the smallest normal number, and of all subnormal ones."""
        return 1 - self.bias

    @property
    def highest(self) -> int:
        """The exponent of the largest number."""
        return 2**self.exponent_bits - 1 - self.bias - (1 if self.infinite else 0)

    @property
    def largest(self) -> float:
        """The largest finite number."""
        spare = 1 if self.infinite else 2  # E4M3 gives its last mantissa to not-a-number
        return math.ldexp(2 ** (self.mantissa_bits + 1) - spare, self.highest - self.mantissa_bits)

    @property
    def smallest_normal(self) -> float:
        """The smallest positive number with all its digits."""
        return math.ldexp(1.0, self.lowest)

    @property
    def smallest(self) -> float:
        """The smallest positive number of all, with one digit left."""
        return math.ldexp(1.0, self.lowest - self.mantissa_bits)

    @property
    def eps(self) -> float:
        """The gap between 1 and the next number; half of it is the largest relative error."""
        return math.ldexp(1.0, -self.mantissa_bits)

    @property
    def overflow(self) -> float:
        """The smallest number that no longer rounds to a finite one.

        It lies in the middle between the largest and what would come next. The middle itself goes
        to the even side: up, where the largest ends in a 1, but down in E4M3, where it ends in a 0
        (there it is the next float64 after the middle that is given).
        """
        gap = math.ldexp(1.0, self.highest - self.mantissa_bits)
        middle = self.largest + gap / 2
        return middle if self.infinite else math.nextafter(middle, math.inf)


FLOAT32 = Format("float32", 8, 23)
FLOAT16 = Format("float16", 5, 10)
BFLOAT16 = Format("bfloat16", 8, 7)
E4M3 = Format("float8_e4m3fn", 4, 3, infinite=False)
E5M2 = Format("float8_e5m2", 5, 2)
FORMATS = {f.name: f for f in (FLOAT32, FLOAT16, BFLOAT16, E4M3, E5M2)}


@dataclass(frozen=True)
class Fields:
    """The three fields of a number, each a whole number, not negative.

    Attributes:
        sign: 1 for minus.
        exponent: the field as it stands, with the bias.
        mantissa: the field as it stands, without the implied bit.

    Source: as Format.
    Lesson: notebooks/21_stability.ipynb
    """

    sign: int
    exponent: int
    mantissa: int


def split_bits(pattern: int, fmt: Format) -> Fields:
    """Cut a pattern of bits into its fields.

    Args:
        pattern: whole number in [0, 2^bits).
        fmt: the format.

    Returns:
        The fields.

    Raises:
        ValueError: if the pattern has more bits than the format.

    Source: as Format.
    Lesson: notebooks/21_stability.ipynb
    """
    if not 0 <= pattern < 2**fmt.bits:
        raise ValueError(f"{fmt.name} has {fmt.bits} bits, got the pattern {pattern:#x}")
    M = fmt.mantissa_bits
    exponent = pattern >> M & (2**fmt.exponent_bits - 1)
    return Fields(pattern >> (fmt.bits - 1), exponent, pattern & (2**M - 1))


def join_bits(fields: Fields, fmt: Format) -> int:
    """Put fields together to a pattern of bits; the inverse of split_bits.

    Source: as Format.
    Lesson: notebooks/21_stability.ipynb
    """
    head = fields.sign << fmt.exponent_bits | fields.exponent
    return head << fmt.mantissa_bits | fields.mantissa


def decode(pattern: int, fmt: Format) -> float:
    """Give the number that a pattern of bits stands for, exactly.

    Args:
        pattern: whole number in [0, 2^bits).
        fmt: the format.

    Returns:
        The number; every number of these formats is a float64.

    Raises:
        ValueError: if the pattern has more bits than the format.

    Source: as Format; the rule is the table at the top of this file.
    Lesson: notebooks/21_stability.ipynb
    """
    f = split_bits(pattern, fmt)
    sign = -1.0 if f.sign else 1.0
    M, top = fmt.mantissa_bits, 2**fmt.exponent_bits - 1
    if f.exponent == top and fmt.infinite:
        return sign * math.inf if f.mantissa == 0 else math.nan
    if f.exponent == top and f.mantissa == 2**M - 1:
        return math.nan
    if f.exponent == 0:
        return sign * math.ldexp(f.mantissa, fmt.lowest - M)
    return sign * math.ldexp(2**M + f.mantissa, f.exponent - fmt.bias - M)


def encode(value: float, fmt: Format, *, saturate: bool = False) -> int:
    """Round a number to a format, and give the pattern of bits.

    The number is counted in units of the last place, then rounded to a whole number of them: the
    nearest, and of two equally near ones the even one. If the count reaches the next power of two,
    it carries into the exponent field by itself, as the fields stand side by side.

    Args:
        value: any float; infinities and not-a-numbers too.
        fmt: the format.
        saturate: give the largest number where the value, infinity too, lies beyond it.

    Returns:
        The pattern. Which of its patterns a not-a-number gets is left open by the standard.

    Source: IEEE 754-2008, section 4.3.1 (roundTiesToEven); saturation: Micikevicius et al. 2022,
        arXiv:2209.05433, section 3.1.
    Lesson: notebooks/21_stability.ipynb
    """
    sign = int(math.copysign(1.0, value) < 0)
    M, top = fmt.mantissa_bits, 2**fmt.exponent_bits - 1
    if math.isnan(value):
        quiet = 2 ** (M - 1) if fmt.infinite else 2**M - 1
        return join_bits(Fields(sign, top, quiet), fmt)
    size = min(abs(value), fmt.largest) if saturate else abs(value)
    if size >= fmt.overflow:
        return join_bits(Fields(sign, top, 0 if fmt.infinite else 2**M - 1), fmt)
    exponent = max(math.frexp(size)[1] - 1, fmt.lowest) if size else fmt.lowest
    units = round_half_even(math.ldexp(size, M - exponent))
    base = (exponent - fmt.lowest) << M  # a normal number's implied bit is the 1 that is missing
    return sign << (fmt.bits - 1) | (base + units)


def round_half_even(x: float) -> int:
    """Round to the nearest whole number; a half goes to the even one.

    Args:
        x: not negative, finite.

    Returns:
        The whole number.

    Source: IEEE 754-2008, section 4.3.1 (roundTiesToEven).
    Lesson: notebooks/21_stability.ipynb
    """
    down = math.floor(x)
    rest = x - down  # exact
    return down + 1 if rest > 0.5 or (rest == 0.5 and down % 2 == 1) else down


def spacing(value: float, fmt: Format) -> float:
    """Give the gap between the numbers of a format around a value (above it, at a power of two).

    Args:
        value: finite, at most the largest number in size.
        fmt: the format.

    Returns:
        The gap: 2^(floor(log2 |value|) - M), and no smaller than the smallest number.

    Raises:
        ValueError: if the value lies beyond the largest number.

    Source: as Format.
    Lesson: notebooks/21_stability.ipynb
    """
    if not abs(value) <= fmt.largest:
        raise ValueError(f"{value} lies beyond the largest {fmt.name}, {fmt.largest}")
    exponent = math.frexp(value)[1] - 1 if value else fmt.lowest
    return math.ldexp(1.0, max(exponent, fmt.lowest) - fmt.mantissa_bits)


def round_to(x: Tensor, fmt: Format, *, saturate: bool = False) -> Tensor:
    """Round every entry to a format, and keep it as float64: what would be left of it.

    Args:
        x: any shape, floating point; float64 is rounded once.
        fmt: the format.
        saturate: as in encode.

    Returns:
        Same shape, float64. Beyond the largest number: infinity, or not a number in E4M3.

    Source: as encode, all entries at once.
    Lesson: notebooks/21_stability.ipynb
    """
    wide = x.double().clamp(-fmt.largest, fmt.largest) if saturate else x.double()
    exponent = (torch.frexp(wide).exponent - 1).clamp(min=fmt.lowest)
    unit = torch.ldexp(torch.ones_like(wide), exponent - fmt.mantissa_bits)
    rounded = (wide / unit).round() * unit  # torch.round takes a half to the even side
    beyond = math.inf if fmt.infinite else math.nan
    far = wide.abs() >= fmt.overflow
    return torch.where(far, torch.copysign(torch.full_like(wide, beyond), wide), rounded)
