"""The kinds of feed-forward layer: formulas, gates, biases, and what is refused."""

import pytest
import torch
from torch.nn import functional as F

from minillm.model import FeedForward, FeedForwardConfig, gelu, silu, swiglu

FORMULAS = {
    "relu": lambda up, gate: up.clamp(min=0),
    "gelu": lambda up, gate: gelu(up),
    "gelu_tanh": lambda up, gate: gelu(up, "tanh"),
    "silu": lambda up, gate: silu(up),
    "glu": lambda up, gate: up / (1 + (-gate).exp()),
    "geglu": lambda up, gate: gelu(gate) * up,
    "swiglu": lambda up, gate: silu(gate) * up,
}


@pytest.mark.parametrize("kind", FORMULAS)
@pytest.mark.parametrize("bias", [False, True])
def test_every_kind_is_its_formula(kind, bias):
    torch.manual_seed(0)
    layer = FeedForward(4, FeedForwardConfig(kind, 7, bias=bias), dtype=torch.float64)
    if bias:
        for name, parameter in layer.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(parameter)
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    up = F.linear(x, layer.up.weight, layer.up.bias)
    gate = None if layer.gate is None else F.linear(x, layer.gate.weight, layer.gate.bias)
    wanted = F.linear(FORMULAS[kind](up, gate), layer.down.weight, layer.down.bias)
    torch.testing.assert_close(layer(x), wanted, rtol=0, atol=1e-12)
    n_matrices = sum(p.ndim == 2 for p in layer.parameters())
    assert n_matrices == layer.config.n_matrices == (3 if gate is not None else 2)
    assert sum(p.ndim == 1 for p in layer.parameters()) == (n_matrices if bias else 0)


def test_the_swiglu_layer_equals_the_function():
    torch.manual_seed(0)
    layer = FeedForward(4, FeedForwardConfig("swiglu", 7), dtype=torch.float64)
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    wanted = swiglu(x, layer.gate.weight, layer.up.weight, layer.down.weight)
    torch.testing.assert_close(layer(x), wanted, rtol=0, atol=1e-12)


def test_positions_do_not_mix():
    torch.manual_seed(0)
    layer = FeedForward(4, FeedForwardConfig("geglu", 7))
    x = torch.randn(1, 5, 4)
    order = torch.tensor([2, 4, 0, 1, 3])
    torch.testing.assert_close(layer(x[:, order]), layer(x)[:, order], rtol=0, atol=1e-6)


def test_device_and_dtype_are_honoured():
    config = FeedForwardConfig("swiglu", 7, bias=True)
    for p in FeedForward(4, config, device="meta", dtype=torch.float16).parameters():
        assert p.is_meta
        assert p.dtype == torch.float16


@pytest.mark.parametrize(
    ("settings", "words"),
    [(("reglu", 4), "one of glu, .*; got 'reglu'"), (("gelu", 0), "at least 1, got 0")],
)
def test_a_wrong_config_is_refused_by_name(settings, words):
    with pytest.raises(ValueError, match=words):
        FeedForwardConfig(*settings)
