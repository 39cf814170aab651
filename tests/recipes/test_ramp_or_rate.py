"""The arms that swap the rates of a ramp and of a large batch; nothing is trained."""

import numpy as np
import pytest

from minillm.recipes.studies import batch_size as sizes
from minillm.recipes.studies import ramp_or_rate as study


def test_a_ramp_does_most_of_its_steps_in_the_first_half_of_the_tokens():
    seen, shares = study.rate_over_tokens("ramp")
    assert len(seen) == len(shares) == sizes.ramp_config("ramp").steps
    early = np.searchsorted(seen, sizes.MAX_TOKENS / 2) / len(seen)
    assert 0.7 < early < 0.8  # ln(16) / 3840 against 1 / 4096 a token
    at_half = np.interp(sizes.MAX_TOKENS / 2, seen, shares)
    large = np.interp(sizes.MAX_TOKENS / 2, *study.rate_over_tokens("large"))
    assert at_half < 0.5 * large  # the confusion that this study takes apart


def test_the_ramp_gets_the_rate_of_the_large_batch_at_equal_tokens():
    config = study.planned("ramp_over_tokens")
    assert config.ramp == sizes.ramp_config("ramp").ramp
    seen, _ = study.rate_over_tokens("ramp")
    wanted = np.interp(seen, *study.rate_over_tokens("large"))
    found = [config.lr_at(step, 2.0) for step in range(1, config.steps + 1)]
    assert found == pytest.approx(2 * wanted)


def test_the_large_batch_gets_the_rate_of_the_ramp_but_keeps_its_warm_up():
    config, own = study.planned("large_as_ramp"), sizes.ramp_config("large")
    assert (config.ramp, config.accumulate, config.steps) == (None, own.accumulate, own.steps)
    warm = range(1, own.warmup_steps + 1)
    assert [config.lr_at(step, 1.0) for step in warm] == [own.lr_at(step, 1.0) for step in warm]
    seen, _ = study.rate_over_tokens("large")
    lent = np.interp(seen, *study.rate_over_tokens("ramp"))
    late = slice(own.warmup_steps, None)
    assert config.shares[late] == pytest.approx(lent[late])


def test_arms_are_at_the_rates_of_their_batch():
    lrs = {arm: settings["lr"] for arm, settings in study.JOB.arms.items()}
    assert lrs["large_as_ramp_tuned"] == sizes.RATES["large"]
    assert lrs["ramp_over_tokens_tuned"] == sizes.RATES["ramp"]
    assert lrs["ramp_over_tokens_high"] == lrs["large_as_ramp_high"] == sizes.HIGH_RATE
