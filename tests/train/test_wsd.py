"""Warm-up, stable, decay and the inverse root, at their borders and against transformers."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import get_inverse_sqrt_schedule, get_wsd_schedule

from minillm.train.wsd import DECAYS, inverse_sqrt_schedule, wsd_schedule

HOW = {"max_lr": 0.3, "min_lr": 0.1, "warmup_steps": 10, "decay_steps": 20, "total_steps": 100}
EACH = pytest.mark.parametrize("decay", DECAYS)


@EACH
def test_borders_are_exact(decay):
    def at(step):
        return wsd_schedule(step, **HOW, decay=decay)

    assert (at(0), at(1), at(10), at(11), at(80)) == (0.0, 0.03, 0.3, 0.3, 0.3)
    assert 0.1 < at(99) < at(81) < 0.3
    assert at(100) == pytest.approx(0.1, abs=1e-16)
    assert at(5000) == at(100)


def test_halfway_down_by_hand():
    told = {decay: wsd_schedule(90, **HOW, decay=decay) for decay in DECAYS}
    assert told["linear"] == pytest.approx(0.2)
    assert told["cosine"] == pytest.approx(0.2)
    assert told["root"] == pytest.approx(0.1 + 0.2 * (1 - math.sqrt(0.5)))
    assert told["exponential"] == pytest.approx(math.sqrt(0.03))


@pytest.mark.parametrize(
    ("decay", "theirs"), [("linear", "linear"), ("cosine", "cosine"), ("root", "1-sqrt")]
)
def test_wsd_equals_transformers(decay, theirs):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.3)
    reference = get_wsd_schedule(optimizer, 7, 12, num_training_steps=40, decay_type=theirs)
    for step in range(45):
        how = {"max_lr": 0.3, "min_lr": 0.0, "warmup_steps": 7, "decay_steps": 12}
        ours = wsd_schedule(step, **how, total_steps=40, decay=decay)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-15)
        optimizer.step()
        reference.step()


@given(st.integers(0, 130), st.integers(0, 40), st.integers(0, 60), st.sampled_from(DECAYS))
def test_rises_stays_and_falls(step, warmup, decay_steps, decay):
    how = {**HOW, "warmup_steps": warmup, "decay_steps": decay_steps, "decay": decay}
    here, there = wsd_schedule(step, **how), wsd_schedule(step + 1, **how)
    if step < warmup:
        assert there > here
    elif step < 100 - decay_steps:
        assert here == there == 0.3
    else:
        assert there <= here
    assert 0 <= here <= 0.3


def test_the_end_plays_no_part_until_the_decay():
    longer = {**HOW, "total_steps": 1000}
    assert all(wsd_schedule(s, **HOW) == wsd_schedule(s, **longer) for s in range(81))
    assert wsd_schedule(81, **HOW) < wsd_schedule(81, **longer)


def test_without_decay_it_stays():
    how = {**HOW, "decay_steps": 0}
    assert wsd_schedule(100, **how) == wsd_schedule(50, **how) == 0.3
    assert wsd_schedule(101, **how) == 0.3


def test_inverse_sqrt_equals_transformers():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.3)
    reference = get_inverse_sqrt_schedule(optimizer, 10)
    for step in range(100):
        ours = inverse_sqrt_schedule(step, max_lr=0.3, warmup_steps=10)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-15)
        optimizer.step()
        reference.step()


def test_inverse_sqrt_by_hand():
    palm = [inverse_sqrt_schedule(s, max_lr=0.01, hold_steps=10_000) for s in (1, 10_000, 40_000)]
    assert palm == pytest.approx([0.01, 0.01, 0.005])
    d_model, warmup = 512, 4000  # the Transformer's formula, as it stands in the paper
    for step in (1, 100, 4000, 4001, 100_000):
        paper = d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)
        ours = inverse_sqrt_schedule(step, max_lr=(512 * 4000) ** -0.5, warmup_steps=4000)
        assert ours == pytest.approx(paper, rel=1e-12)
    held = [inverse_sqrt_schedule(s, max_lr=1.0, warmup_steps=2, hold_steps=4) for s in range(6)]
    assert held == pytest.approx([0.0, 0.5, 1.0, 1.0, 1.0, math.sqrt(4 / 5)])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"step": -1}, "step must not be negative, got -1"),
        ({"warmup_steps": -1}, "warmup_steps=-1"),
        ({"decay_steps": -1}, "decay_steps=-1"),
        ({"warmup_steps": 90}, "warmup_steps=90 and decay_steps=20 .* total_steps=100"),
        ({"min_lr": 0.4}, "min_lr=0.4, max_lr=0.3"),
        ({"max_lr": math.inf}, "max_lr=inf"),
        ({"decay": "steps"}, "decay must be one of .* got 'steps'"),
        ({"decay": "exponential", "min_lr": 0.0}, "never reaches min_lr=0"),
    ],
)
def test_refusals(change, words):
    with pytest.raises(ValueError, match=words):
        wsd_schedule(**{"step": 3, **HOW, **change})


def test_inverse_sqrt_refusals():
    with pytest.raises(ValueError, match=r"hold_steps must be at least 1 .* got 0"):
        inverse_sqrt_schedule(1, max_lr=0.1)
    with pytest.raises(ValueError, match="at least warmup_steps=9, got 5"):
        inverse_sqrt_schedule(1, max_lr=0.1, warmup_steps=9, hold_steps=5)
    with pytest.raises(ValueError, match="step must not be negative"):
        inverse_sqrt_schedule(-1, max_lr=0.1, warmup_steps=9)
