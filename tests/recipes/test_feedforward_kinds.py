"""The study of feed-forward kinds: what is equal, how it starts, and which units count as shut."""

import math

import numpy as np
import pytest
import torch

from minillm.model import FeedForward, count_parameters, flops_per_token
from minillm.recipes.studies import feedforward_kinds as study


def test_all_kinds_cost_the_same_within_one_per_cent():
    for cost in (count_parameters, flops_per_token):
        costs = [cost(study.model_config(kind)) for kind in study.WIDTHS]
        assert max(costs) / min(costs) < 1.01


def test_a_curve_sees_numbers_of_spread_one_at_the_start():
    block = study.make("swiglu", seed=1).blocks[0]
    x = torch.randn(500, 64)
    assert math.isclose(block.feedforward.gate(x).std().item(), 1, rel_tol=0.1)
    assert math.isclose(study.make("relu", 1).embedding.weight[:257].std().item(), 1, rel_tol=0.1)


@pytest.mark.parametrize("kind", ["relu", "swiglu"])
def test_a_unit_that_is_never_open_is_counted(kind, monkeypatch):
    rng = np.random.default_rng(0)
    text = "".join(chr(c) for c in rng.integers(32, 127, 640))
    monkeypatch.setattr(study, "texts", lambda: (np.zeros(1), [text]))
    model = study.make(kind, seed=1)
    opened, never = study.inner_signs(model)
    assert 0.4 < opened < 0.6
    assert never == 0
    layer = model.blocks[0].feedforward
    assert isinstance(layer, FeedForward)
    with torch.no_grad():
        (layer.up if kind == "relu" else layer.gate).weight[:5] = 0
    _, never = study.inner_signs(model)
    assert math.isclose(never, 5 / (2 * study.WIDTHS[kind]), rel_tol=1e-4)
    if kind == "swiglu":  # the gate counts, not the signal
        with torch.no_grad():
            layer.up.weight[:9] = 0
        assert study.inner_signs(model)[1] == never


def test_the_better_of_the_two_rates_is_taken():
    assert study.best_rate("glu") == 0.01
    assert study.best_rate("geglu") == 0.005
