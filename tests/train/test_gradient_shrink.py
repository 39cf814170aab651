"""Gradient shrink: the forward pass unchanged, the gradient times a share exactly."""

import pytest
import torch
from torch import nn

from minillm.objectives import causal_loss
from minillm.train.gradient_shrink import shrink_embedding, shrink_exactly, shrink_gradient

BOTH = pytest.mark.parametrize("shrink", [shrink_gradient, shrink_exactly])


def sample(dtype=torch.float32):
    g = torch.Generator().manual_seed(0)
    return torch.randn(50, 40, generator=g, dtype=torch.float64).to(dtype).requires_grad_()


@BOTH
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_gradient_is_the_share_of_what_it_was(shrink, share):
    x = sample(torch.float64)
    weight = torch.randn(50, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (shrink(x, share) * weight).sum().backward()
    assert torch.equal(x.grad, weight * share)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_exact_one_does_not_touch_a_bit(dtype):
    x = sample(dtype)
    out = shrink_exactly(x, 0.1)
    assert torch.equal(out, x)
    assert out.dtype == dtype
    odd = torch.tensor([float("inf"), -0.0, 3e-41])
    assert torch.equal(shrink_exactly(odd, 0.1).view(torch.int32), odd.view(torch.int32))


def test_the_formula_is_right_to_the_last_digit_only():
    x = sample()
    out = shrink_gradient(x, 0.1)
    torch.testing.assert_close(out, x, rtol=2e-7, atol=0)
    assert not torch.equal(out, x)


@pytest.mark.parametrize("shrink", [shrink_exactly])
def test_gradcheck_of_the_chain(shrink):
    x = torch.randn(4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    x.requires_grad_()
    (shrink(x**2, 0.25).sin()).sum().backward()
    torch.testing.assert_close(x.grad, 0.25 * (x**2).cos() * 2 * x)


def test_embedding_of_a_model(new_model):
    ids = torch.randint(0, 29, (2, 8), generator=torch.Generator().manual_seed(3))
    target = ids.roll(-1, 1)

    def gradients(share):
        model = new_model(torch.float64)
        handle = shrink_embedding(model.embedding, share)
        loss = causal_loss(model, ids, target)
        loss.backward()
        handle.remove()
        return loss.item(), {name: p.grad.clone() for name, p in model.named_parameters()}, model

    loss, whole, model = gradients(1.0)
    shrunk_loss, shrunk, _ = gradients(0.1)
    frozen_loss, frozen, _ = gradients(0.0)
    assert loss == shrunk_loss == frozen_loss
    for name in whole:
        if name != "embedding.weight":
            assert torch.equal(whole[name], shrunk[name]), name
    lookup, output = whole["embedding.weight"] - frozen["embedding.weight"], frozen
    expected = 0.1 * lookup + output["embedding.weight"]  # tied: the output's part is not shrunk
    torch.testing.assert_close(shrunk["embedding.weight"], expected, rtol=1e-10, atol=1e-14)
    assert lookup.abs().max() > 0
    assert not model.embedding._forward_hooks


@BOTH
@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_share_out_of_range_is_named(shrink, share):
    with pytest.raises(ValueError, match=r"share must lie in \[0, 1\], got"):
        shrink(torch.zeros(1), share)
    with pytest.raises(ValueError, match="share must lie"):
        shrink_embedding(nn.Embedding(2, 2), share)
