"""LayerNorm and RMSNorm: by hand, against torch, gradients, and the properties they exist for."""

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional as F

from minillm.model import LayerNorm, NormConfig, RMSNorm, layernorm, rmsnorm
from minillm.model.norm import make_norm

CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_rmsnorm_by_hand():
    x = torch.tensor([3.0, 4.0], dtype=torch.float64)  # mean square 12.5
    w = torch.tensor([1.0, 2.0], dtype=torch.float64)
    wanted = torch.tensor([3 / math.sqrt(12.5), 8 / math.sqrt(12.5)], dtype=torch.float64)
    torch.testing.assert_close(rmsnorm(x, w, 0.0), wanted, **CLOSE)
    wanted = torch.tensor([3 / math.sqrt(13), 8 / math.sqrt(13)], dtype=torch.float64)
    torch.testing.assert_close(rmsnorm(x, w, 0.5), wanted, **CLOSE)  # eps is under the root


def test_layernorm_by_hand():
    x = torch.tensor([1.0, 3.0, 5.0], dtype=torch.float64)  # mean 3, variance 8/3
    w = torch.tensor([1.0, 1.0, 2.0], dtype=torch.float64)
    b = torch.tensor([0.0, 7.0, 0.5], dtype=torch.float64)
    s = math.sqrt(8 / 3 + 1 / 3)
    wanted = torch.tensor([-2 / s, 7.0, 4 / s + 0.5], dtype=torch.float64)
    torch.testing.assert_close(layernorm(x, w, b, 1 / 3), wanted, **CLOSE)


@pytest.mark.parametrize("eps", [1e-5, 0.3])
@pytest.mark.parametrize("shape", [(6,), (2, 6), (2, 3, 6)])
def test_both_equal_torch(shape, eps):
    x, w, b = normal(*shape), normal(6, seed=1), normal(6, seed=2)
    torch.testing.assert_close(rmsnorm(x, w, eps), F.rms_norm(x, (6,), w, eps), **CLOSE)
    wanted = F.layer_norm(x, (6,), w, b, eps)
    torch.testing.assert_close(layernorm(x, w, b, eps), wanted, **CLOSE)
    wanted = F.layer_norm(x, (6,), w, None, eps)
    torch.testing.assert_close(layernorm(x, w, None, eps), wanted, **CLOSE)


def test_the_default_eps_is_1e_5():
    x, w = normal(2, 6) * 1e-3, torch.ones(6, dtype=torch.float64)
    torch.testing.assert_close(rmsnorm(x, w), rmsnorm(x, w, 1e-5), rtol=0, atol=0)
    torch.testing.assert_close(layernorm(x, w), layernorm(x, w, None, 1e-5), rtol=0, atol=0)
    assert RMSNorm(3).eps == LayerNorm(3).eps == NormConfig().eps == 1e-5


@pytest.mark.parametrize("make", [RMSNorm, LayerNorm])
def test_the_modules_equal_the_functions(make):
    module = make(6, 0.01, dtype=torch.float64)
    assert module.weight.tolist() == [1] * 6
    x = normal(2, 3, 6)
    with torch.no_grad():
        module.weight.copy_(normal(6, seed=1))
        if make is LayerNorm:
            assert module.bias.tolist() == [0] * 6
            module.bias.copy_(normal(6, seed=2))
            wanted = layernorm(x, module.weight, module.bias, 0.01)
        else:
            wanted = rmsnorm(x, module.weight, 0.01)
    torch.testing.assert_close(module(x), wanted, **CLOSE)
    assert "eps=0.01" in repr(module)


@pytest.mark.parametrize("make", [RMSNorm, LayerNorm])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_modules_equal_the_functions_in_training_dtypes(make, dtype):
    module = make(64, dtype=dtype)
    x = normal(8, 64).to(dtype)
    weights = (module.weight,) if make is RMSNorm else (module.weight, module.bias)
    wanted = (rmsnorm if make is RMSNorm else layernorm)(x, *weights, eps=1e-5)
    assert module(x).dtype == wanted.dtype == dtype
    tolerance = 2**-7 if dtype == torch.bfloat16 else 1e-6
    torch.testing.assert_close(module(x), wanted, rtol=tolerance, atol=tolerance)


def test_statistics_run_in_float32():
    x = torch.full((512,), 300.0, dtype=torch.float16)  # 300^2 overflows float16
    w = torch.ones(512, dtype=torch.float16)
    torch.testing.assert_close(rmsnorm(x, w), torch.ones_like(w), rtol=1e-3, atol=0)
    assert layernorm(x, w).abs().max() == 0


def test_gradients_of_both():
    x, w, b = (t.requires_grad_() for t in (normal(2, 5), normal(5, seed=1), normal(5, seed=2)))
    assert gradcheck(lambda x, w: rmsnorm(x, w, 1e-3), (x, w))
    assert gradcheck(lambda x, w, b: layernorm(x, w, b, 1e-3), (x, w, b))


def test_rmsnorm_ignores_scale_and_layernorm_ignores_shift_too():
    x, w = normal(4, 6), normal(6, seed=1)
    torch.testing.assert_close(rmsnorm(x * 7, w, 0.0), rmsnorm(x, w, 0.0), **CLOSE)
    assert not torch.allclose(rmsnorm(x + 7, w, 0.0), rmsnorm(x, w, 0.0))
    wanted = layernorm(x, w, None, 1e-300)
    torch.testing.assert_close(layernorm(3 * x + 7, w, None, 1e-300), wanted, rtol=0, atol=1e-10)


def test_rmsnorm_without_gain_is_the_unit_vector_times_sqrt_d():
    x = normal(4, 9)
    wanted = 3 * x / x.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(rmsnorm(x, torch.ones(9).double(), 0.0), wanted, **CLOSE)


def test_zeros_stay_zeros():
    w = torch.ones(4)
    assert rmsnorm(torch.zeros(2, 4), w).abs().max() == 0
    assert layernorm(torch.zeros(2, 4), w).abs().max() == 0


@pytest.mark.parametrize("function", [rmsnorm, layernorm])
def test_wrong_widths_and_eps_are_refused(function):
    with pytest.raises(ValueError, match=r"shape \(4,\).*got \(3,\)"):
        function(torch.ones(2, 4), torch.ones(3))
    with pytest.raises(ValueError, match=r"eps must not be negative, got -0\.1"):
        function(torch.ones(2, 4), torch.ones(4), eps=-0.1)


def test_layernorm_refuses_a_wrong_bias():
    with pytest.raises(ValueError, match=r"got \(3,\)"):
        layernorm(torch.ones(2, 4), torch.ones(4), torch.ones(3))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "batchnorm"}, "got 'batchnorm'"),
        ({"eps": 0.0}, r"positive, got 0\.0"),
        ({"eps": -1e-5}, "positive, got -1e-05"),
        ({"place": "between"}, "got 'between'"),
    ],
)
def test_a_wrong_config_is_refused_by_name(settings, words):
    with pytest.raises(ValueError, match=words):
        NormConfig(**settings)


def test_make_norm_builds_what_the_config_names():
    norm = make_norm(NormConfig("layernorm", 0.5), 6, device="meta", dtype=torch.float16)
    assert isinstance(norm, LayerNorm)
    assert (norm.eps, norm.width, norm.bias.dtype) == (0.5, 6, torch.float16)
    assert norm.weight.is_meta
    norm = make_norm(NormConfig("rmsnorm", 0.5), 6, device="meta", dtype=torch.float16)
    assert isinstance(norm, RMSNorm)
    assert (norm.eps, norm.weight.dtype, norm.weight.is_meta) == (0.5, torch.float16, True)
    assert LayerNorm(4, bias=False).bias is None
