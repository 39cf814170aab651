"""UL2's seven denoisers: by hand, against the table, chances over many draws, round trips."""

from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from minillm.objectives.denoising import corrupt_spans, noise_counts, restore_spans, span_corruption
from minillm.objectives.mixture_of_denoisers import (
    UL2_DENOISERS,
    Denoiser,
    denoise,
    mixture_of_denoisers,
)

MODES = {"R": 500, "S": 501, "X": 502}
SENTINELS = range(600, 800)
END = 503
OPTIONS = {"mode_ids": MODES, "sentinels": SENTINELS, "end_id": END}


def test_the_seven_of_the_table():
    """(mode, mean span, density) of table 1, and what they make of 512 tokens."""
    rows = [(d.mode, d.mean_span, d.density) for d in UL2_DENOISERS]
    assert rows == [
        ("R", 3, 0.15), ("R", 8, 0.15), ("S", None, 0.25),
        ("X", 3, 0.5), ("X", 8, 0.5), ("X", 64, 0.15), ("X", 64, 0.5),
    ]  # fmt: skip
    wanted = [(77, 26), (77, 10), (128, 1), (256, 85), (256, 32), (77, 1), (256, 4)]
    ids, rng = np.arange(400).repeat(2)[:512], np.random.default_rng(0)
    for denoiser, (n_noise, n_spans) in zip(UL2_DENOISERS, wanted, strict=True):
        x, y = denoise(ids, rng, denoiser, **OPTIONS)
        assert x[0] == MODES[denoiser.mode]
        assert (x >= 600).sum() == (y >= 600).sum() == n_spans
        assert (len(x), len(y)) == (1 + 512 - n_noise + n_spans, n_noise + n_spans + 1)


def test_s_is_a_prefix_language_model():
    x, y = denoise(range(10, 18), np.random.default_rng(0), Denoiser("S", 0.25), **OPTIONS)
    assert x.tolist() == [501, 10, 11, 12, 13, 14, 15, 600]
    assert y.tolist() == [600, 16, 17, END]
    x, y = denoise([10, 11], np.random.default_rng(0), Denoiser("S", 0.99), **OPTIONS)
    assert (x.tolist(), y.tolist()) == ([501, 10, 600], [600, 11, END])


def test_r_is_span_corruption_behind_its_token():
    ids = np.arange(100)
    x, y = denoise(ids, np.random.default_rng(4), UL2_DENOISERS[0], **OPTIONS)
    x2, y2 = span_corruption(ids, np.random.default_rng(4), sentinels=SENTINELS, end_id=END)
    assert x.tolist() == [500, *x2.tolist()]
    assert y.tolist() == y2.tolist()
    x3, _ = denoise(ids, np.random.default_rng(5), UL2_DENOISERS[0], **OPTIONS)
    assert x3.tolist() != x.tolist()


def test_the_seven_are_drawn_alike():
    """Seven different densities tell the denoisers apart by the number of hidden tokens."""
    seven = [Denoiser(d.mode, i / 10, d.mean_span) for i, d in enumerate(UL2_DENOISERS, 1)]
    rng, ids = np.random.default_rng(0), np.arange(100)
    hidden = Counter()
    for _ in range(700):
        x, y = mixture_of_denoisers(ids, rng, denoisers=seven, **OPTIONS)
        n = int((y < 500).sum())
        assert x[0] == MODES[seven[n // 10 - 1].mode]
        hidden[n] += 1
    assert sorted(hidden) == [10, 20, 30, 40, 50, 60, 70]
    assert chisquare(list(hidden.values())).pvalue > 1e-4


def test_modes_by_default_and_by_weight():
    rng, ids = np.random.default_rng(0), np.arange(64)
    drawn = Counter(int(mixture_of_denoisers(ids, rng, **OPTIONS)[0][0]) for _ in range(700))
    counts = [drawn[MODES[mode]] for mode in "RSX"]
    assert chisquare(counts, [200, 100, 400]).pvalue > 1e-4
    assert chisquare(counts, [233, 233, 234]).pvalue < 1e-4  # ... not one third each
    weights = [1, 1, 2, 0, 0, 0, 0]
    drawn = Counter(
        int(mixture_of_denoisers(ids, rng, weights=weights, **OPTIONS)[0][0]) for _ in range(400)
    )
    assert set(drawn) == {500, 501}
    assert chisquare([drawn[500], drawn[501]]).pvalue > 1e-4


def test_round_trip():
    rng = np.random.default_rng(0)
    for L in [2, 3, 5, 20, 130]:
        ids = rng.integers(0, 500, L)
        for denoiser in UL2_DENOISERS:
            x, y = denoise(ids, rng, denoiser, **OPTIONS)
            back = restore_spans(x[1:], y, sentinels=SENTINELS, end_id=END)
            assert back.tolist() == ids.tolist()
            y[1] += 1
            other = restore_spans(x[1:], y, sentinels=SENTINELS, end_id=END)
            assert (other != ids).sum() == 1  # ... and a wrong token is seen


def test_hide_equals_the_parts():
    for denoiser in UL2_DENOISERS:
        hidden = denoiser.hide(200, np.random.default_rng(0))
        n_noise, _ = noise_counts(200, density=denoiser.density, mean_span=denoiser.mean_span or 1)
        assert hidden.sum() == n_noise
        x, _ = corrupt_spans(np.arange(200), hidden, sentinels=SENTINELS)
        ours, _ = denoise(np.arange(200), np.random.default_rng(0), denoiser, **OPTIONS)
        assert ours[1:].tolist() == x.tolist()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("Q", 0.15, 3), "mode must be 'R', 'S' or 'X', got 'Q'"),
        (("S", 0.15, 3), "mean_span is None for S alone, got 3 for S"),
        (("X", 0.15, None), "mean_span is None for S alone, got None for X"),
        (("R", 1.0, 3), r"density must lie in \(0, 1\), got 1.0"),
        (("S", 0.0, None), r"density must lie in \(0, 1\), got 0.0"),
        (("R", 0.15, 0.5), "mean_span must be at least 1, got 0.5"),
    ],
)
def test_denoiser_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        Denoiser(*arguments)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ids": [1, 501]}, "mode_ids=501 occurs in the text, at position 1"),
        ({"ids": [1, 600]}, "sentinels=600 occurs in the text, at position 1"),
        ({"ids": [1]}, "at least 2 tokens, got 1"),
        ({"mode_ids": {"R": 500}}, "mode_ids must hold R, S and X, got {'R': 500}"),
        ({"sentinels": []}, "1 spans need as many sentinels, got 0"),
        ({"denoisers": []}, "0 numbers"),
        ({"weights": [1, 1]}, r"7 numbers >= 0, one above 0, got \[1.0, 1.0\]"),
        ({"weights": [-1, 2, 0, 0, 0, 0, 0]}, "7 numbers >= 0"),
        ({"weights": [0] * 7}, "7 numbers >= 0"),
    ],
)
def test_refused(changes, words):
    options = {"ids": [1, 2], **OPTIONS, **changes}
    with pytest.raises(ValueError, match=words):
        mixture_of_denoisers(options.pop("ids"), np.random.default_rng(0), **options)
