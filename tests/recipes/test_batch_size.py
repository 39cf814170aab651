"""The study of batch sizes: the fit, equal tokens, and what counts as reached."""

import math

import numpy as np
import pytest
import torch

from minillm.recipes.small import stream
from minillm.recipes.studies import batch_size as study


@pytest.fixture
def short(monkeypatch):
    """A text of two letters, so that the loss falls within a few steps."""
    rng = np.random.default_rng(0)
    tokens = stream(["".join(rng.choice(["ab", "ba"], 2000))])
    x, y = study.get_batch(tokens, 8, study.CONTEXT, 1)
    monkeypatch.setattr(study, "texts", lambda: (tokens, x, y))
    monkeypatch.setattr(study, "N_MICRO", 3)


def test_a_planted_hyperbola_comes_back():
    sizes = np.array(study.SIZES)
    s_min, e_min = study.fit_hyperbola(sizes, 30 + 2400 / sizes)
    assert math.isclose(s_min, 30)
    assert math.isclose(e_min, 2400)


def test_a_steeper_curve_is_refused_and_so_is_a_run_that_never_arrived():
    sizes = np.array(study.SIZES, dtype=float)
    with pytest.raises(ValueError, match="no hyperbola"):
        study.fit_hyperbola(sizes, 1e6 / sizes**2)
    with pytest.raises(ValueError, match="finite and positive"):
        study.fit_hyperbola([1, 2], [10, math.nan])


def test_small_large_and_ramp_read_equal_tokens_within_a_per_cent():
    for kind in ("small", "large", "ramp"):
        config, seen = study.ramp_config(kind), 0
        for _ in range(config.steps):
            seen += config.passes(seen) * config.batch_size * config.context
        assert abs(seen / study.MAX_TOKENS - 1) < 0.01
    assert study.ramp_config("small").steps == 16 * study.ramp_config("large").steps


def test_rises_adds_up_what_goes_up_and_nothing_else():
    assert study.rises([3.0, 2.0, 1.0]) == 0
    assert math.isclose(study.rises([3.0, 2.0, 2.5, 1.0, 1.2]), 0.7)


def test_steps_to_a_target_lie_between_two_points_of_the_grid(short, monkeypatch):
    monkeypatch.setattr(study, "FINE_GRID", 512)
    monkeypatch.setattr(study, "MAX_TOKENS", 10 * 256)
    found = study.steps_to_targets(8, 0.02, 1, targets=(5.0, 0.01))
    assert 0 < found["steps 5.0"] < 10
    assert found["noise start"] > 0
    assert found["noise 5.0"] > 0
    assert math.isnan(found["steps 0.01"])  # not reached, and it says so


def test_accumulated_passes_give_the_gradient_of_one_large_batch(short):
    def weights(accumulate, size):
        model = study.make(1)
        config = study.TrainConfig(
            steps=2, batch_size=size, context=study.CONTEXT, accumulate=accumulate
        )
        batches = study.BatchSampler(study.texts()[0], size, study.CONTEXT, seed=1)
        list(study.descend(model, batches, config, 0.01))
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    torch.testing.assert_close(weights(4, 2), weights(1, 8), rtol=1e-3, atol=1e-4)
    assert (weights(4, 2) - weights(4, 4)).abs().max() > 1e-3


def test_measuring_noise_changes_nothing(short):
    model = study.make(1)
    before = [p.clone() for p in model.parameters()]
    first, second = study.noise_at(model, 1), study.noise_at(model, 1)
    assert first == second
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert study.noise_at(model, 2) != first


def test_a_run_over_all_tokens_costs_no_more_than_the_limit():
    n = sum(p.numel() for p in study.make(1).parameters())
    test = study.MAX_TOKENS / study.GRID_TOKENS * study.N_TEST_WINDOWS * study.CONTEXT
    assert 6 * n * study.MAX_TOKENS + 2 * n * test < 1.5e11
