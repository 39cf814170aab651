"""Master weights: equal to float32 training, where bfloat16 alone stands still."""

import copy

import pytest
import torch
from torch import nn

from minillm.train import AdamW
from minillm.train.master_weights import (
    MasterWeights,
    mixed_precision_bytes,
    moved_share,
    repeated_sum,
)


def net(dtype):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 3)).bfloat16().to(dtype)


def adamw(lr):
    return lambda params: AdamW(params, lr=lr, weight_decay=0.1)


def set_gradients(model, g):
    for p in model.parameters():
        p.grad = torch.randn(p.shape, generator=g).bfloat16().to(p.dtype)


def test_256_plus_one_is_256():
    assert repeated_sum(256.0, 1.0, 100, torch.bfloat16) == 256.0
    assert repeated_sum(256.0, 1.0, 100, torch.float32) == 356.0
    assert repeated_sum(255.0, 1.0, 100, torch.bfloat16) == 256.0  # up to there it can count
    assert repeated_sum(2048.0, 1.0, 9, torch.float16) == 2048.0
    with pytest.raises(ValueError, match="times must not be negative, got -1"):
        repeated_sum(0.0, 1.0, -1, torch.float32)


def test_equals_float32_training_bit_for_bit():
    model, wide = net(torch.bfloat16), net(torch.float32)
    masters = MasterWeights(model, adamw(1e-3))
    optimizer = adamw(1e-3)(list(wide.parameters()))
    g, h = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    for _ in range(50):
        set_gradients(model, g)
        set_gradients(wide, h)
        masters.step()
        optimizer.step()
    for p, master, q in zip(model.parameters(), masters.masters, wide.parameters(), strict=True):
        assert torch.equal(master, q)
        assert torch.equal(p, q.bfloat16())
        assert (p.dtype, master.dtype) == (torch.bfloat16, torch.float32)


def test_small_steps_add_up_only_in_the_masters():
    """Weights of size 1, steps of 1e-4: less than half the gap of bfloat16 at 1."""
    one = nn.Linear(8, 8, bias=False).bfloat16()
    with torch.no_grad():
        one.weight.fill_(1.0)
    two = copy.deepcopy(one)
    before = [one.weight.detach().clone()]
    alone = torch.optim.SGD(one.parameters(), lr=1e-4)
    masters = MasterWeights(two, lambda params: torch.optim.SGD(params, lr=1e-4))
    for _ in range(100):
        for model in (one, two):
            model.weight.grad = torch.ones_like(model.weight)
        alone.step()
        masters.step()
    assert moved_share(before, [one.weight]) == 0.0
    assert moved_share(before, [two.weight]) == 1.0
    assert masters.masters[0][0, 0].item() == pytest.approx(0.99, rel=1e-5)


def test_gathered_gradients_may_be_changed_before_the_step():
    model = nn.Linear(1, 1, bias=False).bfloat16()
    with torch.no_grad():
        model.weight.fill_(1.0)
    masters = MasterWeights(model, lambda params: torch.optim.SGD(params, lr=1.0))
    model.weight.grad = torch.tensor([[8.0]]).bfloat16()
    masters.gather()
    assert masters.masters[0].grad.dtype == torch.float32
    masters.masters[0].grad.mul_(1 / 32)
    masters.step(gathered=True)
    assert model.weight.item() == 0.75
    assert model.weight.grad.item() == 8.0
    masters.zero_grad()
    assert model.weight.grad is None
    assert masters.masters[0].grad is None


def test_parameters_without_gradient_and_frozen_ones():
    model = net(torch.bfloat16)
    model[0].weight.requires_grad_(False)
    masters = MasterWeights(model, adamw(1e-2))
    assert len(masters.masters) == 3
    before = [p.detach().clone() for p in model.parameters()]
    model[1].bias.grad = torch.ones(3).bfloat16()
    masters.step()
    moved = [not torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True)]
    assert moved == [False, False, False, True]
    with pytest.raises(ValueError, match="nothing to train"):
        MasterWeights(model.requires_grad_(False), adamw(1e-2))


def test_float32_weights_are_copied_too():
    model = nn.Linear(2, 2)
    masters = MasterWeights(model, adamw(1e-2))
    assert masters.masters[0].data_ptr() != model.weight.data_ptr()


def test_state_round_trip():
    one, two = net(torch.bfloat16), net(torch.bfloat16)
    first, second = MasterWeights(one, adamw(1e-3)), MasterWeights(two, adamw(5e-1))
    g = torch.Generator().manual_seed(2)
    for _ in range(5):
        set_gradients(one, g)
        first.step()
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert all(torch.equal(p, q) for p, q in zip(one.parameters(), two.parameters(), strict=True))
    for model, masters in ((one, first), (two, second)):
        set_gradients(model, torch.Generator().manual_seed(3))
        masters.step()
    for a, b in zip(first.masters, second.masters, strict=True):
        assert torch.equal(a, b)
    other = MasterWeights(nn.Linear(2, 2), adamw(1e-3))
    with pytest.raises(ValueError, match="this state has masters of shapes"):
        other.load_state_dict(first.state_dict())


def test_bytes():
    assert mixed_precision_bytes(compute=2, master=4) == 16
    assert mixed_precision_bytes(compute=4, master=0) == 16
    assert mixed_precision_bytes(compute=2, master=4, moments=1) == 12
    with pytest.raises(ValueError, match="compute=0"):
        mixed_precision_bytes(compute=0, master=4)


def test_bytes_are_those_that_are_held():
    model = net(torch.bfloat16)
    masters = MasterWeights(model, adamw(1e-3))
    set_gradients(model, torch.Generator().manual_seed(4))
    masters.step()
    state = [t for s in masters.optimizer.state.values() for t in s.values()]
    held = [*model.parameters(), *(p.grad for p in model.parameters()), *masters.masters]
    held += [t for t in state if isinstance(t, torch.Tensor)]
    n = sum(p.numel() for p in model.parameters())
    assert sum(t.numel() * t.element_size() for t in held) == n * 16


def test_moved_share():
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([[3.0, 4.0]])
    assert moved_share([a, b], [torch.tensor([1.0, 5.0]), b]) == 0.25
    with pytest.raises(ValueError, match="no entries"):
        moved_share([], [])
