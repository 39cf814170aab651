"""NF4: four bits a weight, on levels where a normal distribution has its numbers.

Weights of a trained matrix are nearly normal. Cut into blocks, and each block divided by its
largest absolute value, they lie in -1 to 1, most of them near 0. So the 16 levels are quantiles of
the normal distribution, close together near 0; and 0 itself is one, so that a zero stays zero.

    code = argmin_i |w / c - level_i|         w ~ c level_code         c = max |w| of the block

A block of 64 costs 64 x 4 bits and 32 for c: 4.5 bits a weight. Double quantisation rounds the c
themselves to 8 bits, in blocks of 256, around their mean: 4.127 bits.

Shape letters: n numbers of a tensor, G blocks of them.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK, OUTER_BLOCK = 64, 256
FLOAT8_MAX = 448.0  # the largest E4M3 number


def normal_float_levels(bits: int = 4) -> Tensor:
    """Compute the levels of a NormalFloat: quantiles of the normal distribution, up to 1.

        p_i: 2^(bits-1) + 1 places from 1/2 to 1 - delta for the right half, 2^(bits-1) for the left
        level = quantile(p) / quantile(1 - delta)

    The halves share the 0 at p = 1/2. The outermost quantiles would be infinite, so the halves end
    at delta = (1/32 + 1/30) / 2 for 4 bits: the middle of the last of 16 equal bins lies 1/32 from
    the end, of 15 bins 1/30. The formula of the paper leaves this open; the released code has it.

    Args:
        bits: of a code, 2 to 8.

    Returns:
        Levels, (2^bits,), float32, from -1 to 1 and rising.

    Raises:
        ValueError: if bits is not in 2 to 8.

    Source: Dettmers et al. 2023, arXiv:2305.14314, section 3 and appendix E; delta as in Yoshida
        2023, arXiv:2306.06965, which also shows why no such levels are optimal for every block.
    Lesson: notebooks/32_peft.ipynb
    """
    if not 2 <= bits <= 8:
        raise ValueError(f"bits must lie in 2 to 8, got {bits}")
    half = 2 ** (bits - 1)  # levels above 0; one fewer below
    delta = (1 / (4 * half) + 1 / (4 * half - 2)) / 2
    right = torch.linspace(0.5, 1 - delta, half + 1, dtype=torch.float64)
    left = torch.linspace(0.5, 1 - delta, half, dtype=torch.float64)
    right, left = torch.special.ndtri(right), torch.special.ndtri(left)
    return (torch.cat([-left.flip(0)[:-1], right]) / right[-1]).float()


@dataclass(frozen=True)
class NF4:
    """A tensor in four bits a number.

    Attributes:
        packed: two codes a byte, the earlier one in the high half, (ceil(n / 2),) uint8.
        scales: largest absolute value of each block, (G,) float32; or, quantised again, E4M3
            numbers, (G,) float8.
        outer: None; or the scale of each block of scales, (ceil(G / 256),) float32.
        mean: None; or what was subtracted from the scales, a scalar.
        shape: of the tensor.
        block: numbers in a block.
    """

    packed: Tensor
    scales: Tensor
    outer: Tensor | None
    mean: Tensor | None
    shape: tuple[int, ...]
    block: int = BLOCK

    def n_bytes(self) -> int:
        """Count the bytes that it takes."""
        kept = (self.packed, self.scales, self.outer, self.mean)
        return sum(t.numel() * t.element_size() for t in kept if t is not None)


@torch.no_grad()
def quantise_nf4(x: Tensor, *, block: int = BLOCK, double: bool = True) -> NF4:
    """Write a tensor in four bits a number.

    Args:
        x: any shape, n numbers; blocks run along the last axis and on into the next row. The last
            block may be shorter.
        block: numbers in a block.
        double: quantise the scales, too.

    Returns:
        The quantised tensor.

    Raises:
        ValueError: if x is empty or not finite, or the block is smaller than 1.

    Cost: n comparisons with 15 thresholds.
    Source: Dettmers et al. 2023, arXiv:2305.14314, section 3.
    Lesson: notebooks/32_peft.ipynb
    """
    if block < 1:
        raise ValueError(f"block must be at least 1, got {block}")
    if not x.numel() or not x.isfinite().all():
        raise ValueError(f"need at least one number and finite ones, got shape {tuple(x.shape)}")
    rows = _blocks(x.float().flatten(), block)  # (G, block)
    scales = rows.abs().amax(dim=1)  # (G,)
    levels = normal_float_levels().to(x.device)
    thresholds = (levels[1:] + levels[:-1]) / 2
    unit = rows / torch.where(scales > 0, scales, 1.0)[:, None]
    codes = torch.bucketize(unit, thresholds).to(torch.uint8).flatten()[: x.numel()]
    codes = F.pad(codes, (0, codes.numel() % 2), value=7)  # 7 is the code of 0
    packed = (codes[::2] << 4) | codes[1::2]
    shape = tuple(x.shape)
    if not double:
        return NF4(packed, scales, None, None, shape, block)
    mean = scales.mean()
    groups = _blocks(scales - mean, OUTER_BLOCK)  # (ceil(G / 256), 256)
    outer = groups.abs().amax(dim=1) / FLOAT8_MAX
    small = groups / torch.where(outer > 0, outer, 1.0)[:, None]
    inner = small.flatten()[: scales.numel()].to(torch.float8_e4m3fn)
    return NF4(packed, inner, outer, mean, shape, block)


@torch.no_grad()
def dequantise_nf4(q: NF4, dtype: torch.dtype = torch.float32) -> Tensor:
    """Compute the numbers that an NF4 tensor stands for.

    Args:
        q: the quantised tensor.
        dtype: of the result.

    Returns:
        The tensor, in its shape.

    Lesson: notebooks/32_peft.ipynb
    """
    n = torch.Size(q.shape).numel()
    codes = torch.stack([q.packed >> 4, q.packed & 15], dim=1).flatten()[:n]
    scales = q.scales.float()
    if q.outer is not None and q.mean is not None:
        scales = scales * q.outer.repeat_interleave(OUTER_BLOCK)[: scales.numel()] + q.mean
    levels = normal_float_levels().to(codes.device)
    x = levels[codes.int()] * scales.repeat_interleave(q.block)[:n]
    return x.view(q.shape).to(dtype)


def nf4_bits(*, block: int = BLOCK, double: bool = True) -> float:
    """Compute the bits that NF4 takes for a weight.

        4 + 32 / block                         single
        4 + 8 / block + 32 / (256 block)       double

    Args:
        block: numbers in a block.
        double: whether the scales are quantised, too.

    Returns:
        Bits a weight: 4.5 and 4.127 for blocks of 64.

    Raises:
        ValueError: if the block is smaller than 1.

    Source: Dettmers et al. 2023, arXiv:2305.14314, section 3.
    Lesson: notebooks/32_peft.ipynb
    """
    if block < 1:
        raise ValueError(f"block must be at least 1, got {block}")
    if not double:
        return 4 + 32 / block
    return 4 + 8 / block + 32 / (OUTER_BLOCK * block)


def _blocks(x: Tensor, size: int) -> Tensor:
    """Cut (n,) into rows of a size, the last one filled up with zeros."""
    return F.pad(x, (0, -x.numel() % size)).view(-1, size)
