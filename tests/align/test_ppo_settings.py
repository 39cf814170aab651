"""Settings of PPO: every wrong one is refused by its name."""

import math
from dataclasses import replace

import pytest

from minillm.align.ppo_settings import PPOConfig, RewardConfig, SamplingConfig

GOOD = PPOConfig(steps=3, sampling=SamplingConfig(8, pad_id=0))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", -1),
        ("batch_size", 0),
        ("minibatch_size", 0),
        ("epochs", 0),
        ("save_every", -1),
        ("seed", -1),
        ("max_grad_norm", 0),
        ("gamma", 1.1),
        ("lam", -0.1),
    ],
)
def test_a_wrong_setting_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"{name} must .* {value}"):
        replace(GOOD, **{name: value})


def test_minibatches_must_divide_the_batch():
    with pytest.raises(ValueError, match=r"minibatch_size=5 must divide ppo.batch_size=32"):
        replace(GOOD, minibatch_size=5)
    assert replace(GOOD, minibatch_size=8).minibatch_size == 8


@pytest.mark.parametrize("wrong", [0, -1, math.nan, math.inf])
def test_temperature(wrong):
    with pytest.raises(ValueError, match=r"sampling.temperature must be positive and finite"):
        SamplingConfig(8, pad_id=0, temperature=wrong)


def test_sampling_and_reward():
    with pytest.raises(ValueError, match=r"sampling.max_new_tokens must be at least 1, got 0"):
        SamplingConfig(0, pad_id=0)
    for wrong in (-1, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"reward.kl_coef must be finite and not negative"):
            RewardConfig(kl_coef=wrong)
    for wrong in (0, math.nan):
        with pytest.raises(ValueError, match=r"reward.max_kl must be positive"):
            RewardConfig(max_kl=wrong)
    assert RewardConfig(max_kl=math.inf).kl_coef == 0.05
