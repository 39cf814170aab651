"""The spike monitor on synthetic curves: what it catches, and how often it cries wolf."""

import math
import random

import pytest

from minillm.train.spikes import SpikeConfig, SpikeMonitor, robust_units


def curve(seed, n=1000, heavy=False, noise=0.05):
    """A falling loss and a gradient norm, both with noise; heavy: Student's t with 4 degrees."""
    rng = random.Random(seed)

    def wild():
        if not heavy:
            return rng.gauss(0, 1)
        return rng.gauss(0, 1) / math.sqrt(sum(rng.gauss(0, 1) ** 2 for _ in range(4)) / 4)

    losses = [2 + 4 * (1 + t / 20) ** -0.5 + noise * wild() for t in range(n)]
    norms = [0.5 * math.exp(0.2 * wild()) for _ in range(n)]
    return losses, norms


def verdicts(losses, norms, config=None):
    monitor = SpikeMonitor(config)
    return [monitor.add(t, *pair) for t, pair in enumerate(zip(losses, norms, strict=True))]


def with_spike(seed, at, height=1.0, lead=3):
    """The norm rises `lead` steps before the loss, which jumps up and comes down in 30 steps."""
    losses, norms = curve(seed)
    for t in range(at, at + 30):
        losses[t] += height * (1 - (t - at) / 30)
    for t in range(at - lead, at + 5):
        norms[t] *= 30
    return losses, norms


@pytest.mark.parametrize("seed", range(10))
def test_a_spike_is_called_at_its_second_step(seed):
    told = verdicts(*with_spike(seed, at=400))
    assert all(v.kind != "spike" for v in told[:401])
    assert told[401].kind == "spike"
    assert told[401].since == 400
    assert "spike since step 400" in str(told[401])


@pytest.mark.parametrize("seed", range(10))
def test_the_gradient_norm_warns_before(seed):
    told = verdicts(*with_spike(seed, at=400, lead=3))
    assert [v.kind for v in told[397:400]] == ["warning"] * 3
    assert told[397].norm_units > 6 > told[397].loss_units


def test_false_alarms_on_healthy_curves():
    """15 000 steps of normal noise: no spike, hardly a warning. Of heavy noise: no spike."""
    calm = [v for seed in range(10) for v in verdicts(*curve(seed, 1500))]
    assert sum(v.kind == "spike" for v in calm) == 0
    assert sum(v.kind == "warning" for v in calm) < 1e-3 * len(calm)
    heavy = [v for seed in range(10) for v in verdicts(*curve(100 + seed, 1500, heavy=True))]
    assert sum(v.kind == "spike" for v in heavy) == 0
    assert sum(v.kind == "warning" for v in heavy) < 0.03 * len(heavy)


def test_a_standard_deviation_would_have_missed_what_the_median_sees():
    past = [1.0 + 0.01 * (i % 5 - 2) for i in range(60)] + [50.0, 60.0, 70.0]
    assert robust_units(1.5, past, floor=1e-3) > 20
    mean = sum(past) / len(past)
    spread = math.sqrt(sum((x - mean) ** 2 for x in past) / len(past))
    assert (1.5 - mean) / spread < 0


def test_robust_units_of_normal_noise_are_standard_deviations():
    rng = random.Random(0)
    past = [rng.gauss(3, 2) for _ in range(20_000)]
    assert robust_units(9.0, past, floor=1e-9) == pytest.approx(3.0, rel=0.03)


def test_robust_units_by_hand():
    assert robust_units(7.0, [1.0, 2.0, 3.0, 4.0, 100.0], floor=0.1) == pytest.approx(4 / 1.4826)
    assert robust_units(5.0, [2.0, 2.0, 2.0], floor=0.5) == 6.0  # no noise: the floor is the unit
    assert robust_units(math.nan, [1.0], floor=1.0) == math.inf
    assert robust_units(-math.inf, [1.0], floor=1.0) == math.inf
    with pytest.raises(ValueError, match="no past"):
        robust_units(1.0, [], floor=1.0)
    with pytest.raises(ValueError, match="floor must be positive, got 0"):
        robust_units(1.0, [1.0], floor=0.0)


def test_one_high_step_is_a_warning_only():
    losses, norms = curve(3)
    losses[500] += 2.0
    told = verdicts(losses, norms)
    assert told[500].kind == "warning"
    assert all(v.kind != "spike" for v in told)
    impatient = verdicts(losses, norms, SpikeConfig(patience=1))
    assert impatient[500].kind == "spike"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("at", [5, 300])
def test_a_loss_that_is_not_finite_is_a_spike_at_once(bad, at):
    losses, norms = curve(4)
    losses[at] = bad
    told = verdicts(losses, norms)
    assert told[at].kind == "spike"
    assert told[at].since == at
    assert told[at + 1].kind != "spike"  # and it did not enter the window


def test_a_norm_that_is_not_finite_warns():
    losses, norms = curve(4)
    norms[300] = math.inf
    norms[400] = 0.0  # all gradients zero: odd, but nothing that leads up
    told = verdicts(losses, norms)
    assert told[300].kind == "warning"
    assert told[400].kind == "calm"


def test_falling_fast_is_no_alarm():
    losses, norms = curve(5)
    losses = [x - (1.5 if t > 300 else 0) for t, x in enumerate(losses)]
    assert all(v.kind == "calm" for v in verdicts(losses, norms)[301:320])


def test_a_spike_does_not_become_normal_while_it_lasts():
    losses, norms = curve(6)
    losses = [x + (1.0 if 300 <= t < 340 else 0) for t, x in enumerate(losses)]
    told = verdicts(losses, norms)
    assert all(v.kind == "spike" for v in told[301:340])
    assert {v.since for v in told[301:340]} == {300}
    assert all(v.kind != "spike" for v in told[340:])


def test_what_lasts_longer_than_the_window_is_the_new_normal():
    losses, norms = curve(7)
    losses = [x + (1.0 if t >= 300 else 0) for t, x in enumerate(losses)]
    told = verdicts(losses, norms, SpikeConfig(window=50))
    assert all(v.kind == "spike" for v in told[301:350])
    assert all(v.kind != "spike" for v in told[350:])


def test_nothing_is_said_before_there_is_a_past():
    told = verdicts(*curve(8), SpikeConfig(least=40))
    assert all((v.kind, v.loss_units) == ("calm", 0.0) for v in told[:40])
    assert any(v.loss_units != 0 for v in told[40:])
    monitor = SpikeMonitor()
    for t in range(100):
        monitor.add(t, 1.0, 1.0)
    monitor.reset()
    assert monitor.add(100, 50.0, 1.0).kind == "calm"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"least": 2}, "least must lie in 3 to window=64, got 2"),
        ({"window": 10}, "window=10, got 20"),
        ({"warn": 0.0}, "0 < warn <= sure"),
        ({"warn": 9.0}, "got warn=9.0, sure=8.0"),
        ({"patience": 0}, "patience must be at least 1, got 0"),
        ({"floor": 0.0}, "floor must be positive"),
    ],
)
def test_refusals(how, words):
    with pytest.raises(ValueError, match=words):
        SpikeConfig(**how)
