"""Batch ramps: the papers' figures, accumulation, and the closed form of their length."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.train.batch_ramp import (
    GPT3_RAMP,
    PALM_RAMP,
    LinearRamp,
    StepRamp,
    accumulation,
    ramp_length,
    ramp_steps,
)


def test_gpt3():
    assert GPT3_RAMP.tokens(0) == 32_000
    assert GPT3_RAMP.tokens(6_000_000_000) == (32_000 + 3_200_000) / 2
    assert GPT3_RAMP.tokens(12_000_000_000) == GPT3_RAMP.tokens(300_000_000_000) == 3_200_000
    assert GPT3_RAMP.end / GPT3_RAMP.start == 100


def test_palm():
    """512, 1 024 and 2 048 sequences of 2 048 tokens; 255 000 steps are 780 billion tokens."""
    assert PALM_RAMP.tokens(0) == PALM_RAMP.tokens(49_999) == 2**20
    assert PALM_RAMP.tokens(50_000) == PALM_RAMP.tokens(114_999) == 2**21
    assert PALM_RAMP.tokens(115_000) == PALM_RAMP.tokens(255_000) == 2**22
    total = 50_000 * 2**20 + 65_000 * 2**21 + 140_000 * 2**22
    assert PALM_RAMP.total(255_000) == total
    assert total == pytest.approx(780e9, rel=0.01)
    assert PALM_RAMP.total(50_000) == 50_000 * 2**20
    assert PALM_RAMP.total(0) == 0


@given(st.integers(0, 400))
def test_total_is_the_sum_of_steps(steps):
    ramp = StepRamp(((0, 3), (10, 5), (200, 1)))
    assert ramp.total(steps) == sum(ramp.tokens(s) for s in range(steps))


def test_accumulation_by_hand():
    assert accumulation(32_000, micro_batch=4, context=2048) == 4  # 3.9
    assert accumulation(3_200_000, micro_batch=4, context=2048) == 391  # 390.6
    assert accumulation(10, micro_batch=4, context=2048) == 1  # never none
    assert accumulation(2.5, micro_batch=1, context=1) == 3  # a half goes up
    assert accumulation(2.49, micro_batch=1, context=1) == 2


@given(st.floats(1, 1e9), st.integers(1, 64), st.integers(1, 4096))
def test_accumulation_is_the_nearest(wanted, micro_batch, context):
    passes = accumulation(wanted, micro_batch=micro_batch, context=context)
    size = micro_batch * context
    if wanted >= size / 2:
        assert abs(passes * size - wanted) <= size / 2 * (1 + 1e-9)
    else:
        assert passes == 1


def test_a_run_step_by_step():
    ramp = LinearRamp(start=100, end=300, over=1000)
    told = list(ramp_steps(ramp, 1500, micro_batch=5, context=10))
    assert told[:3] == [(0, 2), (100, 2), (200, 3)]  # wanted 100, 120, 140
    assert told[-1][1] == 6
    assert told[-1][0] < 1500 <= told[-1][0] + 300
    for (seen, passes), (then, _) in itertools.pairwise(told):
        assert then == seen + passes * 50


def test_length_is_that_of_the_steps():
    ramp = LinearRamp(start=1000, end=100_000, over=50_000_000)
    steps = list(ramp_steps(ramp, ramp.over, micro_batch=1, context=10))
    assert len(steps) == pytest.approx(ramp_length(ramp), rel=0.01)
    assert ramp_length(ramp) > 4 * ramp.over / ramp.end  # small batches take many more steps
    assert ramp_length(GPT3_RAMP) == pytest.approx(12e9 * math.log(100) / 3.168e6)
    assert ramp_length(LinearRamp(50, 50, 1000)) == 20


def test_no_ramp_starts_at_its_end():
    assert LinearRamp(10, 20, 0).tokens(0) == 20


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LinearRamp(0, 10, 5), "start=0, end=10"),
        (lambda: LinearRamp(10, 5, 5), "start=10, end=5"),
        (lambda: LinearRamp(1, 5, -1), "over=-1"),
        (lambda: LinearRamp(1, 5, 1).tokens(-1), "seen must not be negative, got -1"),
        (lambda: StepRamp(()), "stages must begin at 0"),
        (lambda: StepRamp(((1, 5),)), r"stages must begin at 0 .* got \[1\]"),
        (lambda: StepRamp(((0, 5), (0, 6))), "stages must begin at 0"),
        (lambda: StepRamp(((0, 5), (3, 0))), "at least one token"),
        (lambda: StepRamp(((0, 5),)).tokens(-1), "step must not be negative, got -1"),
        (lambda: accumulation(0.0, micro_batch=1, context=1), "batch_tokens=0.0"),
        (lambda: accumulation(5, micro_batch=0, context=1), "micro_batch=0"),
        (lambda: accumulation(5, micro_batch=1, context=0), "context=0"),
    ],
)
def test_refusals(make, words):
    with pytest.raises(ValueError, match=words):
        make()
