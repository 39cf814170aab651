"""Scaled RoPE against transformers, hand calculation and what each method promises."""

import math
from functools import partial

import pytest
import torch
import transformers.modeling_rope_utils as theirs
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from minillm.model.rope import apply_rope, rope_angles, rope_frequencies
from minillm.model.rope_scaling import (
    dynamic_ntk_frequencies,
    interpolated_frequencies,
    ntk_frequencies,
    ntk_theta,
    scaled_rope_angles,
)

SHAPES = pytest.mark.parametrize(("width", "theta"), [(8, 1e4), (64, 1e4), (128, 5e5)])
FACTORS = pytest.mark.parametrize("factor", [1.0, 1.5, 8.0])


def llama(kind, width=64, theta=1e4, trained=2048, **more):
    """A config of transformers with two heads of this width."""
    return LlamaConfig(
        hidden_size=2 * width, num_attention_heads=2, max_position_embeddings=trained,
        rope_parameters={"rope_type": kind, "rope_theta": theta, **more},
    )  # fmt: skip


def reference(config, **keywords):
    kind = config.rope_parameters["rope_type"]
    return theirs.ROPE_INIT_FUNCTIONS[kind](config, "cpu", **keywords)


class WideTorch:
    """torch, except that the float32 asked for by name is float64."""

    float = float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


@pytest.fixture
def wide(monkeypatch):
    """Let transformers compute its frequencies in float64; it always asks for float32."""
    monkeypatch.setattr(theirs, "torch", WideTorch())


# ---- position interpolation ------------------------------------------------------------------


@SHAPES
@FACTORS
def test_interpolation_is_that_of_transformers(width, theta, factor):
    want, gain = reference(llama("linear", width, theta, factor=factor))
    assert gain == 1.0
    got = interpolated_frequencies(width, theta, factor=factor, dtype=torch.float32)
    assert torch.equal(got, want)


@SHAPES
@FACTORS
def test_interpolation_in_float64(wide, width, theta, factor):
    want, _ = reference(llama("linear", width, theta, factor=factor))
    assert want.dtype == torch.float64
    got = interpolated_frequencies(width, theta, factor=factor)
    torch.testing.assert_close(got, want, rtol=1e-12, atol=0)


def test_interpolation_by_hand():
    got = interpolated_frequencies(4, 10000.0, factor=4.0)
    torch.testing.assert_close(got, torch.tensor([0.25, 0.0025], dtype=torch.float64))


def test_position_s_t_gets_the_angles_of_position_t():
    t = torch.arange(0, 100)
    new = scaled_rope_angles(8 * t, interpolated_frequencies(16, factor=8.0))
    old = rope_angles(t, 16)
    torch.testing.assert_close(new, old, rtol=0, atol=1e-12)
    other = scaled_rope_angles(8 * t, interpolated_frequencies(16, factor=7.9))
    assert not torch.allclose(other[0], old[0], atol=1e-3)  # ... and a change is seen


# ---- NTK-aware -------------------------------------------------------------------------------


def test_ntk_by_hand():
    assert ntk_theta(4, 10000.0, factor=3.0) == pytest.approx(90000.0)  # 3 ** (4 / 2) = 9
    got = ntk_frequencies(4, 10000.0, factor=3.0)
    torch.testing.assert_close(got, torch.tensor([1.0, 0.01 / 3], dtype=torch.float64))


@SHAPES
@FACTORS
def test_ntk_keeps_the_fastest_and_stretches_the_slowest_by_s(width, theta, factor):
    ratio = rope_frequencies(width, theta) / ntk_frequencies(width, theta, factor=factor)
    assert ratio[0] == 1.0
    assert ratio[-1].item() == pytest.approx(factor, rel=1e-12)
    j = torch.arange(width // 2, dtype=torch.float64)
    torch.testing.assert_close(ratio, factor ** (2 * j / (width - 2)), rtol=1e-12, atol=0)
    if factor > 1:
        assert (ratio.diff() > 0).all()


@SHAPES
@FACTORS
def test_ntk_is_the_dynamic_method_of_transformers_at_s_times_the_length(
    wide, width, theta, factor
):
    config = llama("dynamic", width, theta, trained=2048, factor=1.0)
    want, _ = reference(config, seq_len=int(2048 * factor))
    got = ntk_frequencies(width, theta, factor=factor)
    torch.testing.assert_close(got, want, rtol=1e-12, atol=0)


# ---- dynamic NTK -----------------------------------------------------------------------------


@SHAPES
@pytest.mark.parametrize("factor", [1.0, 2.0, 4.5])
@pytest.mark.parametrize("length", [1, 2048, 2049, 10000])
def test_dynamic_is_that_of_transformers(width, theta, factor, length):
    want, gain = reference(llama("dynamic", width, theta, factor=factor), seq_len=length)
    got = dynamic_ntk_frequencies(
        width, theta, length=length, trained_length=2048, factor=factor, dtype=torch.float32
    )
    assert gain == 1.0
    torch.testing.assert_close(got, want, rtol=1e-6, atol=0)


@pytest.mark.parametrize("length", [7, 2048, 5000])
def test_dynamic_in_float64(wide, length):
    want, _ = reference(llama("dynamic", factor=2.0), seq_len=length)
    got = dynamic_ntk_frequencies(64, length=length, trained_length=2048, factor=2.0)
    torch.testing.assert_close(got, want, rtol=1e-12, atol=0)


def test_dynamic_changes_nothing_within_the_trained_length_and_grows_from_there():
    at = partial(dynamic_ntk_frequencies, 16, trained_length=128)
    assert torch.equal(at(length=1, factor=4.0), rope_frequencies(16))
    assert torch.equal(at(length=128), rope_frequencies(16))
    assert torch.equal(at(length=512), ntk_frequencies(16, factor=4.0))  # 512 / 128
    assert torch.equal(at(length=256, factor=3.0), ntk_frequencies(16, factor=4.0))  # 3 * 2 - 2
    slowest = torch.stack([at(length=n)[-1] for n in (128, 129, 256, 1024)])
    assert (slowest.diff() < 0).all()


# ---- tables, and what all methods share ------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (2, 5)])
def test_tables_are_those_of_rope_angles(shape):
    positions = torch.arange(math.prod(shape)).reshape(shape)
    got = scaled_rope_angles(positions, rope_frequencies(8))
    torch.testing.assert_close(got, rope_angles(positions, 8), rtol=0, atol=0)
    assert got[0].shape == (*shape, 4)


def test_tables_are_those_of_a_llama_of_transformers():
    rotary = LlamaRotaryEmbedding(llama("linear", 16, factor=4.0))
    positions = torch.arange(40)[None]
    cos, sin = rotary(torch.zeros(1, dtype=torch.float32), positions)  # (1, 40, H), halves alike
    frequencies = interpolated_frequencies(16, factor=4.0, dtype=torch.float32)
    ours = scaled_rope_angles(positions, frequencies)
    torch.testing.assert_close(ours[0], cos[..., :8], rtol=0, atol=1e-6)
    torch.testing.assert_close(ours[1], sin[..., :8], rtol=0, atol=1e-6)


def test_the_attention_factor_lengthens_vectors_and_squares_in_scores():
    x = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plain = scaled_rope_angles(torch.arange(6), rope_frequencies(8))
    longer = scaled_rope_angles(torch.arange(6), rope_frequencies(8), attention_factor=1.5)
    q, k = apply_rope(x[0], *plain), apply_rope(x[1], *plain)
    q2, k2 = apply_rope(x[0], *longer), apply_rope(x[1], *longer)
    torch.testing.assert_close(q2.norm(dim=-1), 1.5 * x[0].norm(dim=-1))
    torch.testing.assert_close(q2 @ k2.mT, 2.25 * (q @ k.mT))


@SHAPES
def test_factor_one_changes_nothing(width, theta):
    old = rope_frequencies(width, theta)
    assert torch.equal(interpolated_frequencies(width, theta, factor=1.0), old)
    assert torch.equal(ntk_frequencies(width, theta, factor=1.0), old)
    assert ntk_theta(width, theta, factor=1.0) == theta


def test_the_default_base_is_ten_thousand_and_the_dtype_is_kept():
    for method in (interpolated_frequencies, ntk_frequencies):
        assert torch.equal(method(16, factor=2.0), method(16, 10000.0, factor=2.0))
        assert method(16, factor=2.0).dtype == torch.float64
        assert method(16, factor=2.0, dtype=torch.float32).dtype == torch.float32
    assert ntk_theta(16, factor=2.0) == ntk_theta(16, 1e4, factor=2.0)
    dynamic = partial(dynamic_ntk_frequencies, 16, length=9, trained_length=4)
    assert torch.equal(dynamic(), dynamic_ntk_frequencies(16, 1e4, length=9, trained_length=4))
    assert dynamic(dtype=torch.float32).dtype == torch.float32


@pytest.mark.parametrize("factor", [0.99, 0.0, -1.0, math.inf, math.nan])
def test_a_factor_that_does_not_lengthen_is_refused(factor):
    for call in (interpolated_frequencies, ntk_frequencies, ntk_theta):
        with pytest.raises(ValueError, match=f"factor must be finite and at least 1.*{factor}"):
            call(8, factor=factor)
    with pytest.raises(ValueError, match=f"factor must .*{factor}"):
        dynamic_ntk_frequencies(8, length=8, trained_length=4, factor=factor)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: interpolated_frequencies(3, factor=2.0), "head_width .*got 3"),
        (lambda: interpolated_frequencies(4, 0.0, factor=2.0), "theta must be positive, got 0.0"),
        (lambda: ntk_theta(2, factor=2.0), "head_width must be even and at least 4.*got 2"),
        (lambda: ntk_frequencies(5, factor=2.0), "head_width .*got 5"),
        (lambda: ntk_theta(4, -1.0, factor=2.0), "theta must be positive, got -1.0"),
        (lambda: dynamic_ntk_frequencies(8, length=0, trained_length=4), "length .*got 0"),
        (lambda: dynamic_ntk_frequencies(8, length=4, trained_length=0), "trained_length .*got 0"),
        (lambda: dynamic_ntk_frequencies(2, length=4, trained_length=4), "head_width .*got 2"),
        (lambda: scaled_rope_angles(torch.arange(3), torch.ones(2, 2)), r"\(H/2,\).*\(2, 2\)"),
        (lambda: scaled_rope_angles(torch.arange(3), torch.arange(2)), "int64"),
        (
            lambda: scaled_rope_angles(torch.arange(3), torch.ones(2), attention_factor=0.0),
            "attention_factor must be positive, got 0.0",
        ),
    ],
)
def test_wrong_arguments_are_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()
