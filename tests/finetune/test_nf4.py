"""NF4: the published levels, the nearest of them for every weight, and the bits that it takes.

Held once, by hand, against bitsandbytes 0.50.2 on a CPU (its wheel is too large for these tests):
levels within 2e-7, and for 49 152 weights the same bytes and the same scales.
"""

import math
from statistics import NormalDist

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.finetune import dequantise_nf4, nf4_bits, normal_float_levels, quantise_nf4

PUBLISHED = (  # Dettmers et al. 2023, appendix E
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)


def weights(*shape, seed=0, spread=0.02):
    return spread * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_levels_are_the_published_ones():
    levels = normal_float_levels()
    torch.testing.assert_close(levels, torch.tensor(PUBLISHED), rtol=0, atol=1e-6)
    assert levels[7] == 0


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_the_levels_are_quantiles(bits):
    levels, normal = normal_float_levels(bits).double(), NormalDist()
    half = 2 ** (bits - 1)
    assert len(levels) == 2 * half
    assert levels.diff().min() > 0
    assert levels[0] == -1
    assert levels[half - 1] == 0
    assert levels[-1] == 1
    top = normal.inv_cdf(1 - (1 / (4 * half) + 1 / (4 * half - 2)) / 2)
    places = torch.tensor([normal.cdf(x * top) for x in levels.tolist()])
    right, left = places[half - 1 :].diff(), places[:half].diff()
    torch.testing.assert_close(right, right.mean().expand_as(right), rtol=0, atol=1e-5)
    torch.testing.assert_close(left, left.mean().expand_as(left), rtol=0, atol=1e-5)
    assert left.mean() > right.mean()  # one fewer of them


@pytest.mark.parametrize("bits", [1, 9])
def test_other_bits_are_refused(bits):
    with pytest.raises(ValueError, match=f"bits must lie in 2 to 8, got {bits}"):
        normal_float_levels(bits)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 200), block=st.integers(1, 70), seed=st.integers(0, 99))
def test_every_number_goes_to_the_nearest_level(n, block, seed):
    x = weights(n, seed=seed)
    y = dequantise_nf4(quantise_nf4(x, block=block, double=False))
    levels = torch.tensor(PUBLISHED)
    for start in range(0, n, block):
        part = x[start : start + block]
        scale = part.abs().max()
        nearest = (part[:, None] - scale * levels).abs().min(dim=1).values
        mine = (part - y[start : start + block]).abs()
        torch.testing.assert_close(mine, nearest, rtol=0, atol=2e-6 * float(scale))


def test_two_codes_a_byte_and_the_earlier_one_first():
    x = torch.tensor([1.0, -1.0, 0.0])
    q = quantise_nf4(x, double=False)
    assert q.packed.tolist() == [15 << 4 | 0, 7 << 4 | 7]
    assert q.scales.tolist() == [1.0]
    assert torch.equal(dequantise_nf4(q), x)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("shape", [(7,), (3, 5), (64, 64), (4, 3, 33)])
def test_shapes_survive(shape, double):
    x = weights(*shape)
    y = dequantise_nf4(quantise_nf4(x, double=double), torch.float64)
    assert y.shape == x.shape
    assert y.dtype == torch.float64
    assert (y - x).abs().max() < 0.2 * x.abs().max()


def test_zero_and_the_largest_survive_exactly():
    x = weights(4, 64)
    x[:, 5] = 0.0
    x[2] = 0.0  # a whole block
    y = dequantise_nf4(quantise_nf4(x, double=False))
    assert not y[:, 5].any()
    assert not y[2].any()
    peak = x.abs().argmax(dim=1)
    rows = torch.arange(4)
    assert torch.equal(y[rows, peak], x[rows, peak])


def test_double_quantisation_by_hand():
    x = weights(600 * 64, seed=3)  # 600 scales: three outer blocks, the last one short
    scales = x.view(600, 64).abs().amax(dim=1)
    q = quantise_nf4(x)
    assert q.scales.dtype == torch.float8_e4m3fn
    assert q.scales.shape == (600,)
    assert q.outer.shape == (3,)
    for i, start in enumerate((0, 256, 512)):
        centred = scales[start : start + 256] - scales.mean()
        outer = centred.abs().max() / 448
        rounded = (centred / outer).to(torch.float8_e4m3fn).float() * outer
        torch.testing.assert_close(q.outer[i], outer)
        mine = q.scales[start : start + 256].float() * q.outer[i]
        torch.testing.assert_close(mine, rounded, rtol=0, atol=1e-4 * float(scales.max()))
    read = q.scales.float() * q.outer.repeat_interleave(256)[:600] + q.mean
    assert (read / scales - 1).abs().max() < 0.04
    single = (dequantise_nf4(quantise_nf4(x, double=False)) - x).square().mean()
    double = (dequantise_nf4(q) - x).square().mean()
    assert double < 1.02 * single


def test_bits_and_bytes():
    assert nf4_bits(double=False) == 4.5
    assert math.isclose(nf4_bits(), 4.127, abs_tol=5e-4)
    assert nf4_bits(block=32, double=False) == 5
    x = weights(512, 512)
    for double in (False, True):
        measured = 8 * quantise_nf4(x, double=double).n_bytes() / x.numel()
        assert math.isclose(measured, nf4_bits(double=double), abs_tol=2e-4)


def test_normal_levels_beat_even_ones_on_normal_weights():
    x = weights(1024, 64, spread=1.0)
    unit = x / x.abs().amax(dim=1, keepdim=True)
    even = torch.linspace(-1, 1, 16)
    nearest = (unit[..., None] - even).abs().min(dim=-1).values.square().mean()
    mine = dequantise_nf4(quantise_nf4(x, double=False)) / x.abs().amax(dim=1, keepdim=True)
    assert (mine - unit).square().mean() < 0.95 * nearest


@pytest.mark.parametrize(
    ("x", "block", "message"),
    [
        (torch.zeros(0), 64, "at least one number"),
        (torch.tensor([1.0, math.nan]), 64, "finite ones"),
        (torch.zeros(3), 0, "block must be at least 1, got 0"),
    ],
)
def test_what_is_refused(x, block, message):
    with pytest.raises(ValueError, match=message):
        quantise_nf4(x, block=block)
    with pytest.raises(ValueError, match="block must be at least 1, got 0"):
        nf4_bits(block=0)
