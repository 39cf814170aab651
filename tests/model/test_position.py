"""Sinusoidal vectors and ALiBi: by hand, against the authors' code, and their shift properties."""

import math

import pytest
import torch

from minillm.model import PositionConfig, alibi_bias, alibi_slopes, sinusoidal


def test_sinusoidal_by_hand():
    p = sinusoidal(torch.tensor([0, 3]), 4)
    assert p.dtype == torch.float64
    assert p[0].tolist() == [0, 1, 0, 1]
    wanted = [math.sin(3), math.cos(3), math.sin(0.03), math.cos(0.03)]
    torch.testing.assert_close(p[1].tolist(), wanted, rtol=0, atol=1e-15)
    assert sinusoidal(torch.zeros(2, 5), 6).shape == (2, 5, 6)


def test_a_shift_of_sinusoids_is_one_rotation_for_all_positions():
    p = sinusoidal(torch.arange(50), 16)
    products = p @ p.T  # depends on the distance alone
    for distance in (1, 7, 20):
        diagonal = products.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=0, atol=1e-12)
    assert abs(products[0, 0] - 8) < 1e-12  # length sqrt(D / 2)
    assert abs(products[0, 1] - products[0, 7]) > 0.1


@pytest.mark.parametrize("width", [0, 5, -2])
def test_sinusoidal_refuses_odd_widths(width):
    with pytest.raises(ValueError, match=f"got {width}"):
        sinusoidal(torch.arange(3), width)


def authors_slopes(n):
    """get_slopes as the authors of ALiBi published it."""

    def power_of_2(n):
        start = 2 ** (-(2 ** -(math.log2(n) - 3)))
        return [start * start**i for i in range(n)]

    if math.log2(n).is_integer():
        return power_of_2(n)
    closest = 2 ** math.floor(math.log2(n))
    return power_of_2(closest) + authors_slopes(2 * closest)[0::2][: n - closest]


@pytest.mark.parametrize("n_heads", [*range(1, 41), 52, 64, 112])
def test_slopes_equal_the_authors(n_heads):
    slopes = alibi_slopes(n_heads)
    assert len(slopes) == n_heads
    torch.testing.assert_close(slopes, authors_slopes(n_heads), rtol=1e-12, atol=0)


def test_slopes_of_8_and_16_heads_are_the_papers():
    assert alibi_slopes(8) == [2**-i for i in range(1, 9)]
    torch.testing.assert_close(alibi_slopes(16), [2 ** (-i / 2) for i in range(1, 17)])
    with pytest.raises(ValueError, match="got 0"):
        alibi_slopes(0)


def test_alibi_bias_by_hand():
    keys = torch.arange(4)
    bias = alibi_bias(torch.tensor([0.5, 2.0]), keys[2:], keys, dtype=torch.float64)
    assert bias.dtype == torch.float64
    assert bias.tolist() == [
        [[-1.0, -0.5, 0.0, -0.5], [-1.5, -1.0, -0.5, 0.0]],
        [[-4.0, -2.0, 0.0, -2.0], [-6.0, -4.0, -2.0, 0.0]],
    ]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "rotary"}, "one of rope, .*; got 'rotary'"),
        ({"rope_theta": 0.0}, r"positive, got 0\.0"),
        ({"rope_theta": -1.0}, r"positive, got -1\.0"),
    ],
)
def test_a_wrong_config_is_refused_by_name(settings, words):
    with pytest.raises(ValueError, match=words):
        PositionConfig(**settings)
