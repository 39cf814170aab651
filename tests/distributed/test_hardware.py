"""Rooflines and links, by hand."""

import pytest

from minillm.distributed.hardware import (
    A100_80,
    A800_80,
    CARDS,
    attainable,
    product_intensity,
    ridge,
    ring_share,
    tensor_intensity,
)
from minillm.distributed.links import sent_bytes
from minillm.train.flops import GPU_PEAKS


def test_ridge_and_roof():
    assert ridge(300.0, 2.0) == 150
    assert attainable(75, 300.0, 2.0) == 150  # on the slope
    assert attainable(150, 300.0, 2.0) == 300  # at the corner
    assert attainable(1e9, 300.0, 2.0) == 300  # on the roof
    assert attainable(0, 300.0, 2.0) == 0


def test_intensity_of_a_product():
    assert product_intensity(2, 3, 4) == 48 / (2 * (6 + 12 + 8))
    assert product_intensity(1, 4096, 4096) == pytest.approx(1.0, rel=1e-3)  # decoding: FLOP a byte
    n = 6000
    assert product_intensity(n, n, n) == pytest.approx(n / 3)


def test_intensity_of_a_spread_layer():
    for t in (2, 4, 8):
        assert tensor_intensity(64, 256, t) == pytest.approx(2 * 256 / (2 * (t - 1)))
    assert tensor_intensity(10, 256, 4) == pytest.approx(tensor_intensity(640, 256, 4))


def test_ring_share_is_that_of_the_links():
    assert ring_share(1) == 0
    for n in (2, 3, 8, 64):
        assert ring_share(n) == pytest.approx(sent_bytes("all_reduce", 1.0, n))


def test_cards():
    # HWC-001: 14 GB of gradients on 8 cards of one machine
    for card, ms in ((A100_80, 81.7), (A800_80, 122.5)):
        assert 1e3 * ring_share(8) * 14e9 / card.link == pytest.approx(ms, abs=0.1)
    for card in CARDS:  # one peak for all lessons
        name = card.name.split()[0].replace("00_80", "00").replace("800", "100")
        assert card.peak == GPU_PEAKS[name]


def test_errors():
    with pytest.raises(ValueError, match="must be positive, got 0 and 2"):
        ridge(0, 2)
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        attainable(-1, 3, 2)
    with pytest.raises(ValueError, match=r"sizes must be at least 1, got \(1, 0, 3, 2\)"):
        product_intensity(1, 0, 3)
    with pytest.raises(ValueError, match="n_ranks=1"):
        tensor_intensity(4, 16, 1)
    with pytest.raises(ValueError, match="n_ranks must be at least 1, got 0"):
        ring_share(0)
