"""linear, embedding, softmax, silu, gelu, swiglu: by hand, against torch, and what they refuse."""

import math

import pytest
import torch
from torch.nn import functional as F

from minillm.model import embedding, gelu, linear, silu, softmax, swiglu
from minillm.model.functional import accumulation_dtype

CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_accumulation_runs_in_float32_at_least():
    assert accumulation_dtype(torch.bfloat16) == torch.float32
    assert accumulation_dtype(torch.float16) == torch.float32
    assert accumulation_dtype(torch.float32) == torch.float32
    assert accumulation_dtype(torch.float64) == torch.float64


def test_linear_by_hand():
    x = torch.tensor([[1.0, 2.0]])
    w = torch.tensor([[3.0, 4.0], [5.0, 6.0], [0.0, -1.0]])
    b = torch.tensor([0.5, 0.0, 1.0])
    assert linear(x, w).tolist() == [[11.0, 17.0, -2.0]]
    assert linear(x, w, b).tolist() == [[11.5, 17.0, -1.0]]


@pytest.mark.parametrize("shape", [(5,), (2, 5), (2, 3, 5)])
def test_linear_equals_torch(shape):
    x, w, b = normal(*shape), normal(4, 5, seed=1), normal(4, seed=2)
    torch.testing.assert_close(linear(x, w, b), F.linear(x, w, b), **CLOSE)


@pytest.mark.parametrize(
    ("x", "w", "b", "words"),
    [
        ((2, 5), (5, 4), None, r"weight \(out, 5\), got \(5, 4\)"),
        ((2, 5), (5,), None, r"got \(5,\)"),
        ((2, 5), (4, 5), (5,), r"bias must have shape \(4,\).*got \(5,\)"),
    ],
)
def test_linear_refuses_shapes_that_do_not_fit(x, w, b, words):
    with pytest.raises(ValueError, match=words):
        linear(torch.ones(x), torch.ones(w), None if b is None else torch.ones(b))


def test_embedding_is_a_one_hot_product():
    w = normal(6, 3)
    ids = torch.tensor([[0, 5], [2, 2]])
    torch.testing.assert_close(embedding(ids, w), F.one_hot(ids, 6).double() @ w, **CLOSE)
    torch.testing.assert_close(embedding(ids.int(), w), embedding(ids, w), rtol=0, atol=0)
    assert embedding(torch.empty(0, dtype=torch.long), w).shape == (0, 3)


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (torch.tensor([0, 6]), "id 6 is outside.*0 to 5"),
        (torch.tensor([-1, 6]), "id -1 is outside"),
        (torch.tensor([0.0]), "integers, got torch.float32"),
        (torch.tensor([True]), "integers, got torch.bool"),
        (torch.tensor([1j]), "integers, got torch.complex64"),
    ],
)
def test_embedding_refuses_what_is_not_an_id(ids, words):
    with pytest.raises(ValueError, match=words):
        embedding(ids, normal(6, 3))


def test_embedding_accepts_the_meta_device():
    ids = torch.zeros(2, 3, dtype=torch.long, device="meta")
    assert embedding(ids, torch.empty(6, 4, device="meta")).shape == (2, 3, 4)


def test_softmax_by_hand():
    p = softmax(torch.tensor([0.0, math.log(3.0)], dtype=torch.float64))
    torch.testing.assert_close(p, torch.tensor([0.25, 0.75], dtype=torch.float64), **CLOSE)


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_softmax_equals_torch_and_sums_to_one(dim):
    x = normal(3, 4, 5) * 10
    torch.testing.assert_close(softmax(x, dim), x.softmax(dim), **CLOSE)
    torch.testing.assert_close(softmax(x, dim).sum(dim), torch.ones_like(x.sum(dim)), **CLOSE)


def test_softmax_does_not_overflow_and_ignores_a_shift():
    x = torch.tensor([1000.0, 999.0, -math.inf])
    torch.testing.assert_close(softmax(x), softmax(x - 1000), rtol=1e-6, atol=0)
    assert softmax(x)[2] == 0
    assert softmax(torch.tensor([-math.inf, -math.inf])).isnan().all()  # as torch


def test_softmax_sums_in_float32():
    x = torch.zeros(4096, dtype=torch.bfloat16)  # bfloat16 cannot count beyond 256
    assert softmax(x).dtype == torch.bfloat16
    assert softmax(x)[0].item() == 2**-12


def test_silu_by_hand_and_against_torch():
    assert silu(torch.tensor(0.0)) == 0
    assert math.isclose(silu(torch.tensor(2.0, dtype=torch.float64)), 2 / (1 + math.exp(-2)))
    x = normal(100) * 5
    torch.testing.assert_close(silu(x), F.silu(x), **CLOSE)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_equals_torch(approximate):
    x = normal(200) * 4
    torch.testing.assert_close(gelu(x, approximate), F.gelu(x, approximate=approximate), **CLOSE)


def test_the_two_gelus_differ_by_at_most_5e_4():
    x = torch.linspace(-6, 6, 2001, dtype=torch.float64)
    assert 4e-4 < (gelu(x) - gelu(x, "tanh")).abs().max() < 5e-4
    assert math.isclose(gelu(torch.tensor(1.0, dtype=torch.float64)), 0.8413447460685429)


def test_gelu_refuses_an_unknown_form():
    with pytest.raises(ValueError, match="got 'sigmoid'"):
        gelu(torch.ones(1), "sigmoid")


@pytest.mark.parametrize("function", [silu, gelu, softmax])
def test_the_dtype_is_kept_and_the_work_done_in_float32(function):
    x = normal(50).bfloat16()
    assert function(x).dtype == torch.bfloat16
    torch.testing.assert_close(function(x), function(x.float()).bfloat16(), rtol=0, atol=0)


def test_swiglu_by_hand():
    x = torch.tensor([[2.0]], dtype=torch.float64)
    gate, up, down = (torch.tensor([[w]], dtype=torch.float64) for w in (1.0, 3.0, 0.5))
    wanted = 2 / (1 + math.exp(-2)) * 6 * 0.5
    assert math.isclose(swiglu(x, gate, up, down).item(), wanted)


def test_swiglu_equals_torch_and_its_gate_is_the_first_matrix():
    x, gate, up, down = normal(2, 3, 4), normal(7, 4, seed=1), normal(7, 4, seed=2), normal(4, 7)
    wanted = F.linear(F.silu(F.linear(x, gate)) * F.linear(x, up), down)
    torch.testing.assert_close(swiglu(x, gate, up, down), wanted, **CLOSE)
    assert not torch.allclose(swiglu(x, up, gate, down), wanted)


@pytest.mark.parametrize("shapes", [((7, 4), (6, 4), (4, 7)), ((7, 4), (7, 4), (7, 4))])
def test_swiglu_refuses_shapes_that_do_not_fit(shapes):
    with pytest.raises(ValueError, match="w_down"):
        swiglu(torch.ones(2, 4), *(torch.ones(s) for s in shapes))
