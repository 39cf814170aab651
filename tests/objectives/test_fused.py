"""The fused loss equals the plain one in value and gradients, for any chunking."""

import pytest
import torch

from minillm.objectives import cross_entropy, fused, linear_cross_entropy


def case(M=300, D=6, V=11, dtype=torch.float64):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(3, M // 3, D, generator=g, dtype=torch.float64).to(dtype)
    weight = torch.randn(V, D, generator=g, dtype=torch.float64).to(dtype)
    targets = torch.randint(0, V, (3, M // 3), generator=g)
    targets[:, ::4] = -100
    return x.requires_grad_(), weight.requires_grad_(), targets


@pytest.mark.parametrize("rows", [1, 7, 128, 300, 1000])
def test_equals_the_plain_loss_for_any_chunking(monkeypatch, rows):
    monkeypatch.setattr(fused, "CHUNK_NUMBERS", rows * 11)
    monkeypatch.setattr(fused, "CHUNK_ROWS", 1)
    x, weight, targets = case()
    ours, theirs = linear_cross_entropy(x, weight, targets), cross_entropy(x @ weight.mT, targets)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    got, wanted = (torch.autograd.grad(value * 3, (x, weight)) for value in (ours, theirs))
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)
    assert min(g.abs().max() for g in wanted) > 1e-3


def test_chunks_are_as_large_as_stated(monkeypatch):
    seen = []
    linear = fused.F.linear
    monkeypatch.setattr(fused.F, "linear", lambda x, w: seen.append(x.shape[0]) or linear(x, w))
    monkeypatch.setattr(fused, "CHUNK_NUMBERS", 11 * 140)
    linear_cross_entropy(*case())
    assert seen == [140, 140, 20]
    monkeypatch.setattr(fused, "CHUNK_NUMBERS", 1)
    linear_cross_entropy(*case())
    assert seen[3:] == [128, 128, 44]


@pytest.mark.parametrize("frozen", ["x", "weight", "both"])
def test_only_the_gradients_that_are_asked_for(frozen):
    x, weight, targets = case()
    wanted = torch.autograd.grad(cross_entropy(x @ weight.mT, targets), (x, weight))
    if frozen in ("x", "both"):
        x = x.detach()
    if frozen in ("weight", "both"):
        weight = weight.detach()
    loss = linear_cross_entropy(x, weight, targets)
    assert loss.requires_grad == (frozen != "both")
    if frozen == "x":
        torch.testing.assert_close(torch.autograd.grad(loss, weight)[0], wanted[1])
    if frozen == "weight":
        torch.testing.assert_close(torch.autograd.grad(loss, x)[0], wanted[0])


def test_a_batch_without_answers_gives_zero_and_zero_gradient():
    x, weight, targets = case()
    loss = linear_cross_entropy(x, weight, torch.full_like(targets, -100))
    assert loss.item() == 0
    assert all(g.abs().max() == 0 for g in torch.autograd.grad(loss, (x, weight)))


def test_another_ignore_index():
    x, weight, targets = case()
    targets = targets.clamp(min=0)
    ours = linear_cross_entropy(x, weight, targets, ignore_index=0)
    theirs = cross_entropy(x @ weight.mT, targets, ignore_index=0)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)


def test_bfloat16_is_summed_in_float32():
    x, weight, targets = case(dtype=torch.bfloat16)
    loss = linear_cross_entropy(x, weight, targets)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, cross_entropy(x @ weight.mT, targets), rtol=1e-5, atol=0)
    assert {g.dtype for g in torch.autograd.grad(loss, (x, weight))} == {torch.bfloat16}


def test_autocast_is_close_to_float32():
    x, weight, targets = case(dtype=torch.float32)
    wanted = linear_cross_entropy(x, weight, targets)
    with torch.autocast("cpu", torch.bfloat16):
        loss = linear_cross_entropy(x, weight, targets)
    torch.testing.assert_close(loss, wanted, rtol=0.02, atol=0)
    got = torch.autograd.grad(loss, (x, weight))
    for g, w in zip(got, torch.autograd.grad(wanted, (x, weight)), strict=True):
        assert g.dtype == torch.float32
        assert (g - w).abs().max() < 0.02 * w.abs().max()


@pytest.mark.parametrize(
    ("x", "weight", "targets"),
    [((2, 3, 4), (5, 3), (2, 3)), ((2, 3, 4), (5, 4), (3, 2)), ((2, 3, 4), (5, 4), (6,))],
)
def test_shapes_that_do_not_fit_are_refused(x, weight, targets):
    with pytest.raises(ValueError, match="do not fit"):
        linear_cross_entropy(
            torch.ones(x), torch.ones(weight), torch.zeros(targets, dtype=torch.long)
        )
