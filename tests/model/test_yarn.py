"""YaRN against transformers, hand calculation and the number of turns in training."""

import math

import pytest
import torch
import transformers.modeling_rope_utils as theirs
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from minillm.model.rope import rope_frequencies
from minillm.model.rope_scaling import interpolated_frequencies, scaled_rope_angles
from minillm.model.yarn import yarn_attention_factor, yarn_frequencies, yarn_ramp

CASES = pytest.mark.parametrize(
    ("width", "theta", "trained"),
    [(128, 1e4, 4096), (64, 1e4, 2048), (32, 1e4, 128), (16, 5e5, 8192), (8, 100.0, 4096)],
)


def llama(width=64, theta=1e4, trained=2048, **more):
    """A config of transformers with two heads of this width and YaRN."""
    rope = {
        "rope_type": "yarn", "rope_theta": theta, "original_max_position_embeddings": trained,
    }  # fmt: skip
    length = int(trained * more["factor"])
    return LlamaConfig(
        hidden_size=2 * width, num_attention_heads=2, max_position_embeddings=length,
        rope_parameters={**rope, **more},
    )  # fmt: skip


def reference(config):
    return theirs.ROPE_INIT_FUNCTIONS["yarn"](config, "cpu")


class WideTorch:
    """torch, except that the float32 asked for by name is float64."""

    float = float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


@CASES
@pytest.mark.parametrize("truncate", [True, False])
@pytest.mark.parametrize("factor", [1.0, 4.0, 32.0])
def test_frequencies_and_factor_are_those_of_transformers(
    monkeypatch, width, theta, trained, truncate, factor
):
    config = llama(width, theta, trained, factor=factor, truncate=truncate)
    ours = {"factor": factor, "trained_length": trained, "truncate": truncate}
    want, gain = reference(config)
    got = yarn_frequencies(width, theta, dtype=torch.float32, **ours)
    torch.testing.assert_close(got, want, rtol=1e-6, atol=0)
    assert yarn_attention_factor(factor) == pytest.approx(gain, abs=1e-15)
    monkeypatch.setattr(theirs, "torch", WideTorch())  # it always asks for float32
    want, _ = reference(config)
    assert want.dtype == torch.float64
    torch.testing.assert_close(yarn_frequencies(width, theta, **ours), want, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("fast", "slow"), [(32.0, 2.0), (16.0, 1.0), (8.0, 4.0)])
def test_other_betas_are_those_of_transformers(fast, slow):
    want, _ = reference(llama(factor=4.0, beta_fast=fast, beta_slow=slow))
    got = yarn_frequencies(
        64, factor=4.0, trained_length=2048, beta_fast=fast, beta_slow=slow, dtype=torch.float32
    )
    torch.testing.assert_close(got, want, rtol=1e-6, atol=0)
    default = yarn_frequencies(64, factor=4.0, trained_length=2048)
    assert not torch.allclose(got.double(), default, rtol=1e-3, atol=0)  # the betas are used


def test_ramp_by_hand():
    # theta = e and H = 8: frequency_j = e ** (-j / 4). L = 2 pi e ** 2: pair j turns
    # e ** (2 - j / 4) times in training. e ** 1.5 turns: j = 2. Once: j = 8, beyond the last.
    trained, settings = 2 * math.pi * math.e**2, {"truncate": False}
    ramp = yarn_ramp(8, math.e, trained_length=trained, beta_fast=math.e**1.5, **settings)
    assert ramp.tolist() == pytest.approx([0, 0, 0, 1 / 5])  # high is cut at H - 1 = 7
    betas = {"beta_fast": math.e**1.75, "beta_slow": math.e**1.25}  # j = 1 to j = 3
    ramp = yarn_ramp(8, math.e, trained_length=trained, **betas, **settings)
    assert ramp.tolist() == pytest.approx([0, 0, 0.5, 1])
    betas = {"beta_fast": math.e**1.7, "beta_slow": math.e**1.3}  # j = 1.2 to 2.8: the same
    ramp = yarn_ramp(8, math.e, trained_length=trained, **betas)
    assert ramp.tolist() == pytest.approx([0, 0, 0.5, 1])
    fine = yarn_ramp(8, math.e, trained_length=trained, **betas, **settings)
    assert fine.tolist() == pytest.approx([0, 0, 0.5, 1])
    assert yarn_ramp(8, math.e, trained_length=trained, beta_fast=math.e**1.45).tolist() == (
        pytest.approx([0, 0, 0, 1 / 5])  # j = 2.2, rounded down to 2
    )


@CASES
def test_the_ramp_goes_by_the_turns_in_training(width, theta, trained):
    turns = trained * rope_frequencies(width, theta) / (2 * math.pi)
    ramp = yarn_ramp(width, theta, trained_length=trained, truncate=False)
    assert (ramp[turns >= 32] == 0).all()
    assert (ramp[turns <= 1] == 1).all()
    between = (turns < 32) & (turns > 1)
    between[0] = False  # the fastest pair is left alone even if it turned fewer than 32 times
    assert ((ramp[between] > 0) & (ramp[between] < 1)).all()
    assert (ramp.diff() >= 0).all()
    assert ramp[0] == 0


@CASES
def test_frequencies_lie_between_old_and_interpolated_and_fall(width, theta, trained):
    old = rope_frequencies(width, theta)
    new = yarn_frequencies(width, theta, factor=8.0, trained_length=trained)
    slack = 1 + 1e-12
    assert (new <= old * slack).all()
    assert (new * slack >= interpolated_frequencies(width, theta, factor=8.0)).all()
    assert (new.diff() < 0).all()
    assert new[0] == 1.0


def test_factor_one_changes_nothing():
    new = yarn_frequencies(64, factor=1.0, trained_length=2048)
    torch.testing.assert_close(new, rope_frequencies(64), rtol=1e-15, atol=0)
    assert yarn_attention_factor(1.0) == 1.0


@pytest.mark.parametrize(
    ("trained", "theta", "want"),
    [
        (3, 1e4, [0] + [1] * 31),  # no pair has turned once
        (10**9, 10.0, [0] * 32),  # every pair has turned more than 32 times
    ],
)
def test_a_ramp_whose_ends_cross_is_a_step(trained, theta, want):
    for truncate in (True, False):
        ramp = yarn_ramp(64, theta, trained_length=trained, truncate=truncate)
        assert ramp.tolist() == want
    # transformers turns its ramp round here and does the reverse, which no real model meets
    new, _ = reference(llama(64, theta, trained, factor=4.0))
    ramp_there = (1 - new.double() / rope_frequencies(64, theta)) / 0.75
    reverse = torch.full((32,), 1.0 - want[-1], dtype=torch.float64)
    torch.testing.assert_close(ramp_there, reverse, rtol=0, atol=1e-5)


def test_attention_factor_by_hand():
    assert yarn_attention_factor(math.e) == pytest.approx(1.1)
    assert yarn_attention_factor(math.e**2, 0.5) == pytest.approx(2.0)
    assert yarn_attention_factor(16.0, 0.0) == 1.0


def test_mscale_of_transformers_is_a_coefficient():
    _, gain = reference(llama(factor=40.0, mscale=1.0, mscale_all_dim=0.5))
    ours = yarn_attention_factor(40.0) / yarn_attention_factor(40.0, 0.1 * 0.5)
    assert ours == pytest.approx(gain, abs=1e-15)


def test_tables_are_those_of_a_llama_of_transformers():
    rotary = LlamaRotaryEmbedding(llama(16, trained=64, factor=4.0))
    positions = torch.arange(200)[None]
    cos, sin = rotary(torch.zeros(1, dtype=torch.float32), positions)  # (1, 200, H), halves alike
    frequencies = yarn_frequencies(16, factor=4.0, trained_length=64, dtype=torch.float32)
    gain = yarn_attention_factor(4.0)
    ours = scaled_rope_angles(positions, frequencies, attention_factor=gain)
    torch.testing.assert_close(ours[0], cos[..., :8], rtol=0, atol=5e-5)
    torch.testing.assert_close(ours[1], sin[..., :8], rtol=0, atol=5e-5)
    plain = scaled_rope_angles(positions, frequencies)
    assert (plain[0] - cos[..., :8]).abs().max() > 0.1  # without the factor it would be seen


def test_defaults_and_dtype():
    ramp = yarn_ramp(64, trained_length=2048)
    explicit = yarn_ramp(64, 1e4, trained_length=2048, beta_fast=32.0, beta_slow=1.0, truncate=True)
    assert torch.equal(ramp, explicit)
    assert ramp.dtype == torch.float64
    new = yarn_frequencies(64, factor=2.0, trained_length=2048)
    assert torch.equal(new, yarn_frequencies(64, 1e4, factor=2.0, trained_length=2048))
    assert new.dtype == torch.float64


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: yarn_ramp(8, 1.0, trained_length=4), "theta must be finite and more than 1.*1.0"),
        (lambda: yarn_ramp(8, math.inf, trained_length=4), "theta .*inf"),
        (lambda: yarn_ramp(8, trained_length=0), "trained_length must be at least 1, got 0"),
        (lambda: yarn_ramp(7, trained_length=4), "head_width .*got 7"),
        (lambda: yarn_ramp(8, trained_length=4, beta_slow=0.0), "beta_slow=0.0"),
        (lambda: yarn_ramp(8, trained_length=4, beta_fast=1.0), "beta_slow=1.0, beta_fast=1.0"),
        (lambda: yarn_frequencies(8, factor=0.5, trained_length=4), "factor .*got 0.5"),
        (lambda: yarn_frequencies(8, factor=2.0, trained_length=-1), "trained_length .*got -1"),
        (lambda: yarn_attention_factor(math.nan), "factor .*got nan"),
        (lambda: yarn_attention_factor(2.0, -0.1), "coefficient must not be negative, got -0.1"),
    ],
)
def test_wrong_arguments_are_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()
