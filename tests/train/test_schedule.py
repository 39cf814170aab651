"""Schedules at their borders, by hand, and against transformers' own."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from minillm.train import constant_schedule, cosine_schedule, linear_schedule

HOW = {"max_lr": 0.3, "min_lr": 0.1, "warmup_steps": 10, "total_steps": 50}
BOTH = pytest.mark.parametrize("schedule", [cosine_schedule, linear_schedule])


@BOTH
def test_borders_are_exact(schedule):
    assert schedule(0, **HOW) == 0.0
    assert schedule(1, **HOW) == 0.03
    assert schedule(9, **HOW) == pytest.approx(0.27, abs=1e-16)
    assert schedule(10, **HOW) == 0.3
    assert schedule(11, **HOW) < 0.3
    assert schedule(49, **HOW) > 0.1
    assert schedule(50, **HOW) == 0.1
    assert schedule(51, **HOW) == 0.1
    assert schedule(10_000, **HOW) == 0.1


def test_halves_and_quarters_by_hand():
    assert cosine_schedule(30, **HOW) == pytest.approx(0.2, abs=1e-15)
    assert cosine_schedule(20, **HOW) == pytest.approx(0.2 + 0.1 * math.cos(math.pi / 4), abs=1e-15)
    assert linear_schedule(20, **HOW) == pytest.approx(0.25, abs=1e-15)


@pytest.mark.parametrize(
    ("schedule", "theirs"),
    [
        (cosine_schedule, get_cosine_schedule_with_warmup),
        (linear_schedule, get_linear_schedule_with_warmup),
    ],
)
def test_equals_transformers(schedule, theirs):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.3)
    reference = theirs(optimizer, num_warmup_steps=7, num_training_steps=40)
    for step in range(40):
        ours = schedule(step, max_lr=0.3, min_lr=0.0, warmup_steps=7, total_steps=40)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-15)
        optimizer.step()
        reference.step()


@BOTH
def test_no_warmup_and_nothing_but_warmup(schedule):
    none = {**HOW, "warmup_steps": 0}
    assert schedule(0, **none) == 0.3
    assert schedule(1, **none) < 0.3
    only = {**HOW, "warmup_steps": 50}
    assert schedule(50, **only) == 0.3
    assert schedule(49, **only) == pytest.approx(0.294)
    assert schedule(0, max_lr=0.3, min_lr=0.1, warmup_steps=0, total_steps=0) == 0.3


@given(st.integers(0, 60), st.integers(0, 50))
def test_rises_then_falls(step, warmup):
    how = {**HOW, "warmup_steps": warmup}
    for schedule in (cosine_schedule, linear_schedule):
        here, there = schedule(step, **how), schedule(step + 1, **how)
        assert (there > here) if step < warmup else (there <= here)
        assert 0 <= here <= 0.3


def test_constant():
    assert [constant_schedule(s, max_lr=0.4, warmup_steps=4) for s in (0, 1, 4, 5, 99)] == [
        0.0, 0.1, 0.4, 0.4, 0.4,
    ]  # fmt: skip
    assert constant_schedule(0, max_lr=0.4) == 0.4


@BOTH
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"step": -1}, "step must not be negative, got -1"),
        ({"warmup_steps": -1}, "warmup_steps must lie in 0 to total_steps=50, got -1"),
        ({"warmup_steps": 51}, "got 51"),
        ({"min_lr": 0.4}, "min_lr=0.4, max_lr=0.3"),
        ({"min_lr": -0.1}, "min_lr=-0.1"),
        ({"max_lr": math.inf}, "max_lr=inf"),
    ],
)
def test_refusals(schedule, change, words):
    with pytest.raises(ValueError, match=words):
        schedule(**{"step": 3, **HOW, **change})
    if "step" in change:
        with pytest.raises(ValueError, match=words):
            constant_schedule(-1, max_lr=0.3)


def test_constant_refuses_a_negative_warmup():
    with pytest.raises(ValueError, match="got -2"):
        constant_schedule(1, max_lr=0.3, warmup_steps=-2)
