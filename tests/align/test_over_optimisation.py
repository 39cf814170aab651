"""Over-optimisation: fits of known curves, a proxy that bends, one that does not."""

import math

import pytest
import torch

from minillm.align.best_of_n import best_of_n_kl_bound, expected_max_normal
from minillm.align.over_optimisation import best_of_n_curve, fall, fit_gold

FORMS = {
    "best_of_n": lambda d, a, b: d * (a - b * d),
    "rl": lambda d, a, b: d * (a - b * math.log(d)),
}
PLACES = [0.3, 0.8, 1.4, 2.0, 3.1]


@pytest.mark.parametrize("form", FORMS)
def test_a_known_curve_is_found(form):
    gold = [FORMS[form](d, 1.3, 0.4) for d in PLACES]
    found = fit_gold([0, *PLACES], [0, *gold], form)
    assert (found.alpha, found.beta) == pytest.approx((1.3, 0.4))
    assert found.rmse < 1e-12
    for d, wanted in zip(PLACES, gold, strict=True):
        assert found.at(d) == pytest.approx(wanted)
    assert found.at(0) == 0
    peak, top = found.peak()
    assert found.at(peak) == pytest.approx(top)
    assert found.at(peak) > max(found.at(0.99 * peak), found.at(1.01 * peak))


@pytest.mark.parametrize("form", FORMS)
def test_noise_is_left_over(form):
    noise = [0.1, -0.2, 0.05, 0.1, -0.05]
    gold = [FORMS[form](d, 1.3, 0.4) + e for d, e in zip(PLACES, noise, strict=True)]
    found = fit_gold(PLACES, gold, form)
    assert 0 < found.rmse < math.sqrt(sum(e * e for e in noise) / 5)

    def wrong(alpha, beta):
        return sum(
            (FORMS[form](d, alpha, beta) - g) ** 2 for d, g in zip(PLACES, gold, strict=True)
        )

    least = wrong(found.alpha, found.beta)
    for da, db in ((0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01)):
        assert wrong(found.alpha + da, found.beta + db) > least


@pytest.mark.parametrize("form", FORMS)
def test_a_curve_that_rises_has_no_peak(form):
    rising = [FORMS[form](d, 0.5, -0.3) for d in PLACES]
    assert fit_gold(PLACES, rising, form).peak() is None
    falling = fit_gold(PLACES, [-d - d * d for d in PLACES], "best_of_n")
    assert falling.peak() is None  # it goes down from the start


def test_a_noisy_proxy_does_not_bend():
    """Gold and proxy normal with correlation rho: gold rises as rho times the proxy, for ever."""
    generator = torch.Generator().manual_seed(0)
    gold = torch.randn(600, 64, generator=generator, dtype=torch.float64)
    noise = torch.randn(600, 64, generator=generator, dtype=torch.float64)
    proxy = 0.6 * gold + 0.8 * noise
    points = best_of_n_curve(proxy, gold, [1, 4, 16, 64])
    assert points[0].distance == 0
    assert (points[0].gold, points[0].proxy) == pytest.approx((0, 0), abs=1e-12)
    for point in points:
        assert point.distance == pytest.approx(math.sqrt(best_of_n_kl_bound(point.n)))
        assert point.proxy == pytest.approx(expected_max_normal(point.n), abs=0.1)
        assert point.gold == pytest.approx(0.6 * expected_max_normal(point.n), abs=0.12)
    assert points[1].gold < points[2].gold < points[3].gold


def runs(seeds, tail):
    """A proxy with rare huge errors (tail) is right until it is asked too hard."""
    found = []
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(seed)
        gold = torch.randn(200, 64, generator=generator, dtype=torch.float64)
        fooled = torch.rand(200, 64, generator=generator) < 0.03
        proxy = gold + tail * fooled
        points = best_of_n_curve(proxy, gold - tail * fooled, [1, 2, 4, 8, 16, 32, 64])
        found.append([point.gold for point in points])
    return found


def test_a_proxy_that_can_be_fooled_bends_and_the_curve_says_so():
    bent = fall(runs(4, tail=3.0))
    assert bent.bends
    assert bent.drop.low > 0.5
    assert 0 < bent.peak < 6
    straight = fall(runs(4, tail=0.0))
    assert not straight.bends
    assert straight.peak == 6
    assert straight.drop.value == 0


def test_the_drop_is_paired_by_seed():
    found = fall([[0, 1.0, 0.5], [5, 6.1, 5.5], [9, 10.0, 9.4]])
    assert found.peak == 1
    assert found.drop.value == pytest.approx((0.5 + 0.6 + 0.6) / 3)
    assert found.bends  # the runs differ far more than their drops do
    unclear = fall([[0, 1.0, 0.0], [0, 1.0, 1.9]])
    assert unclear.drop.value == pytest.approx(0.05)
    assert not unclear.bends


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: fit_gold([1, 2], [1, 2], "ppo"), "form must be one of best_of_n, rl; got 'ppo'"),
        (lambda: fit_gold([1, 2], [1], "rl"), "2 distances and 1 gold"),
        (lambda: fit_gold([0, 1, 1], [0, 1, 1], "rl"), "two different distances above 0"),
        (lambda: fit_gold([-1, 2], [1, 2], "rl"), "no distance negative"),
        (lambda: fit_gold([1, 2], [1, math.nan], "rl"), "finite"),
        (lambda: best_of_n_curve(torch.zeros(3), torch.zeros(3), [1]), r"need scores \(P, N\)"),
        (lambda: best_of_n_curve(torch.zeros(2, 3), torch.zeros(2, 3), [4]), "n <= N"),
        (lambda: fall([[1, 2]]), "two runs or more"),
        (lambda: fall([[1, 2], [1]]), "the same two points or more"),
        (lambda: fall([[1], [1]]), "two points"),
    ],
)
def test_bad_input(action, words):
    with pytest.raises(ValueError, match=words):
        action()
