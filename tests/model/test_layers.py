"""Linear and Embedding as modules: equal to the functions, and built where they are asked for."""

import pytest
import torch

from minillm.model import Embedding, Linear, embedding, linear


@pytest.mark.parametrize("bias", [False, True])
def test_linear_equals_the_function(bias):
    torch.manual_seed(0)
    layer = Linear(5, 3, bias=bias, dtype=torch.float64)
    if bias:
        assert layer.bias.tolist() == [0, 0, 0]
        torch.nn.init.normal_(layer.bias)
    x = torch.randn(2, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(layer(x), linear(x, layer.weight, layer.bias), rtol=0, atol=1e-14)
    assert layer.weight.shape == (3, 5)
    assert f"bias={bias}" in repr(layer)


def test_embedding_equals_the_function():
    table = Embedding(7, 3)
    ids = torch.tensor([[1, 6], [0, 1]])
    assert torch.equal(table(ids), embedding(ids, table.weight))
    assert "7, 3" in repr(table)


def test_the_starts_have_the_stated_spread():
    torch.manual_seed(0)
    assert abs(Linear(400, 500).weight.std().item() - 0.05) < 0.001
    assert abs(Embedding(400, 500).weight.std().item() - 0.02) < 0.0005


def test_device_and_dtype_are_honoured():
    layer = Linear(2, 3, bias=True, device="meta", dtype=torch.float16)
    assert layer.weight.is_meta
    assert layer.bias.is_meta
    assert layer.weight.dtype == layer.bias.dtype == torch.float16
    assert Embedding(2, 3, device="meta", dtype=torch.float64).weight.dtype == torch.float64
    assert Embedding(2, 3, device="meta").weight.is_meta


@pytest.mark.parametrize("make", [Linear, Embedding])
@pytest.mark.parametrize("sizes", [(0, 1), (1, 0), (-1, 2)])
def test_sizes_below_one_are_refused(make, sizes):
    with pytest.raises(ValueError, match=str(min(sizes))):
        make(*sizes)
