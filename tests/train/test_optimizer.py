"""AdamW against hand calculation, torch.optim.AdamW, and the textbook form."""

import copy
import dataclasses
import math

import pytest
import torch
from torch import nn

from minillm.train import (
    AdamW,
    OptimizerConfig,
    adamw_step,
    make_optimizer,
    parameter_groups,
    textbook_step,
)

FOREACH = pytest.mark.parametrize("foreach", [True, False])
SETTINGS = {"lr": 3e-3, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}


def net(dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.LayerNorm(7), nn.Linear(7, 3)).to(dtype)


def run(model, optimizer, steps, scale=1.0):
    """Give both sides the same gradients, which change from step to step."""
    g = torch.Generator().manual_seed(1)
    for _ in range(steps):
        for p in model.parameters():
            p.grad = scale * torch.randn(p.shape, generator=g, dtype=torch.float64).to(p.dtype)
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


# ---- the arithmetic ----------------------------------------------------------------------------


def test_first_two_steps_by_hand():
    p, m, v = (torch.tensor([x], dtype=torch.float64) for x in (2.0, 0.0, 0.0))
    how = {"lr": 0.1, "betas": (0.5, 0.75), "eps": 1.0, "weight_decay": 0.5}
    adamw_step(p, torch.tensor([4.0], dtype=torch.float64), m, v, step=1, **how)
    assert (m.item(), v.item()) == (2.0, 4.0)  # 0.5 * 4 and 0.25 * 16
    # decay: 2 * (1 - 0.05) = 1.9; m_hat 2/0.5 = 4; v_hat 4/0.25 = 16; 1.9 - 0.1 * 4 / (4 + 1)
    assert p.item() == pytest.approx(1.82, abs=1e-15)
    adamw_step(p, torch.tensor([0.0], dtype=torch.float64), m, v, step=2, **how)
    assert (m.item(), v.item()) == (1.0, 3.0)
    m_hat, v_hat = 1.0 / 0.75, 3.0 / (1 - 0.75**2)
    assert p.item() == pytest.approx(1.82 * 0.95 - 0.1 * m_hat / (math.sqrt(v_hat) + 1), abs=1e-15)


@FOREACH
@pytest.mark.parametrize("scale", [1.0, 1e-7, 1e-9])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_equals_torch_over_100_steps(dtype, tolerance, scale, foreach):
    ours, theirs = net(dtype), net(dtype)
    a = run(ours, AdamW(ours.parameters(), **SETTINGS, foreach=foreach), 100, scale)
    b = run(theirs, torch.optim.AdamW(theirs.parameters(), **SETTINGS), 100, scale)
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_the_twins_are_equal_and_move():
    one, two, start = net(torch.float64), net(torch.float64), net(torch.float64)
    a = run(one, AdamW(one.parameters(), **SETTINGS, foreach=True), 30)
    b = run(two, AdamW(two.parameters(), **SETTINGS, foreach=False), 30)
    torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-13)
    before = torch.cat([p.detach().flatten() for p in start.parameters()])
    assert (a - before).abs().max() > 0.05


def test_textbook_form_differs_where_gradients_are_near_eps():
    def after(step_of, size, steps=3, **more):
        p, m, v = (torch.full((4,), x, dtype=torch.float64) for x in (1.0, 0.0, 0.0))
        for t in range(1, steps + 1):
            grad = size * torch.tensor([1.0, -2.0, 0.5, 1.5], dtype=torch.float64)
            step_of(p, grad, m, v, step=t, **{**SETTINGS, **more})
        return p

    def gap(size):
        pair = [after(f, size, weight_decay=0.0) for f in (adamw_step, textbook_step)]
        return (pair[0] - pair[1]).abs().max().item()

    assert gap(1.0) < 1e-8
    assert gap(1e-8) > 5e-4  # epsilon weighs 1 / sqrt(1 - beta2^t) times as much
    decayed = after(adamw_step, 1.0, steps=1) - after(textbook_step, 1.0, steps=1)
    assert decayed[0].item() == pytest.approx(-(3e-3**2) * 0.1, rel=1e-3)  # decay after the move


def test_textbook_by_hand():
    p, m, v = (torch.tensor([x], dtype=torch.float64) for x in (2.0, 0.0, 0.0))
    how = {"lr": 0.1, "betas": (0.5, 0.75), "eps": 1.0, "weight_decay": 0.5}
    textbook_step(p, torch.tensor([4.0], dtype=torch.float64), m, v, step=1, **how)
    moved = 2.0 - 0.1 * (0.5 / 0.5) * 2.0 / (2.0 + 1.0)  # lr_t = 0.1 * sqrt(0.25) / 0.5
    assert p.item() == pytest.approx(moved * 0.95, abs=1e-15)


# ---- the class ---------------------------------------------------------------------------------


@FOREACH
def test_parameters_without_gradient_stay(foreach):
    model = net()
    optimizer = AdamW(model.parameters(), **SETTINGS, foreach=foreach)
    frozen = model[0].weight.detach().clone()
    model[3].bias.grad = torch.ones(3)
    optimizer.step()
    assert torch.equal(model[0].weight, frozen)
    assert list(optimizer.state) == [model[3].bias]


@FOREACH
def test_each_parameter_counts_its_own_steps(foreach):
    ours, theirs = net(torch.float64), net(torch.float64)
    pairs = [
        (ours, AdamW(ours.parameters(), **SETTINGS, foreach=foreach)),
        (theirs, torch.optim.AdamW(theirs.parameters(), **SETTINGS)),
    ]
    for model, optimizer in pairs:
        model[0].weight.grad = torch.full((7, 5), 0.3, dtype=torch.float64)
        optimizer.step()
        optimizer.step()
        model[3].bias.grad = torch.full((3,), 0.2, dtype=torch.float64)  # joins two steps later
        optimizer.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-13)


@FOREACH
def test_state_dict_round_trip(foreach):
    one, two = net(torch.float64), net(torch.float64)
    first = AdamW(one.parameters(), **SETTINGS, foreach=foreach)
    run(one, first, 5)
    second = AdamW(two.parameters(), lr=1.0)
    two.load_state_dict(one.state_dict())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert torch.equal(run(one, first, 5), run(two, second, 5))
    assert second.param_groups[0]["lr"] == SETTINGS["lr"]


def test_groups_keep_their_own_settings():
    ours, theirs = net(torch.float64), net(torch.float64)

    def groups(m):
        return [
            {"params": m[0].parameters(), "lr": 0.1, "weight_decay": 0.0},
            {"params": m[3].parameters(), "betas": (0.5, 0.6), "eps": 1e-3},
        ]

    a = run(ours, AdamW(groups(ours), lr=1e-2), 10)
    b = run(theirs, torch.optim.AdamW(groups(theirs), lr=1e-2), 10)
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_defaults_are_torchs():
    ours, theirs = AdamW([torch.zeros(1)]), torch.optim.AdamW([torch.zeros(1)])
    for key in ("lr", "betas", "eps", "weight_decay"):
        assert ours.defaults[key] == theirs.defaults[key]


def test_closure_is_called_with_gradients_on():
    p = nn.Parameter(torch.tensor([1.0]))
    optimizer = AdamW([p])

    def closure():
        optimizer.zero_grad()
        loss = (p**2).sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 1.0
    assert p.item() < 1.0
    assert optimizer.step() is None


def test_sparse_gradients_are_refused():
    table = nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(ValueError, match="dense gradients"):
        AdamW(table.parameters()).step()


# ---- groups and config -------------------------------------------------------------------------


def test_only_matrices_decay():
    model = net()
    decay, keep = parameter_groups(model, 0.3)
    assert [p.ndim for p in decay["params"]] == [2, 2]
    assert len(keep["params"]) == 4
    assert all(p.ndim == 1 for p in keep["params"])
    assert (decay["weight_decay"], keep["weight_decay"]) == (0.3, 0.0)


def test_groups_skip_names_and_frozen_ones():
    model = net()
    model[0].weight.requires_grad_(False)
    decay, keep = parameter_groups(model, 0.3, skip=["3.weight"])[0], None
    assert decay["weight_decay"] == 0.0  # the group of matrices is empty and left out
    assert any(p is model[3].weight for p in decay["params"])
    assert keep is None
    with pytest.raises(ValueError, match="nothing to train"):
        make_optimizer(model.requires_grad_(False), OptimizerConfig())


def test_make_optimizer_uses_the_config():
    optimizer = make_optimizer(net(), OptimizerConfig(0.5, (0.1, 0.2), 1e-3, 0.7))
    first, second = optimizer.param_groups
    assert (first["lr"], first["betas"], first["eps"]) == (0.5, (0.1, 0.2), 1e-3)
    assert (first["weight_decay"], second["weight_decay"]) == (0.7, 0.0)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"lr": -1e-3}, "lr must be finite and not negative, got -0.001"),
        ({"lr": math.inf}, "lr must be finite"),
        ({"betas": (1.0, 0.9)}, r"betas must be two numbers in \[0, 1\), got \(1.0, 0.9\)"),
        ({"betas": (0.9, -0.1)}, "betas"),
        ({"betas": (0.9,)}, "betas"),
        ({"eps": 0.0}, "eps must be positive.*got 0.0"),
        ({"eps": math.nan}, "eps"),
        ({"weight_decay": -0.1}, "weight_decay must be finite and not negative, got -0.1"),
        ({"weight_decay": math.nan}, "weight_decay"),
    ],
)
def test_settings_out_of_range_are_named(setting, words):
    with pytest.raises(ValueError, match=words):
        OptimizerConfig(**setting)
    with pytest.raises(ValueError, match=words):
        AdamW([torch.zeros(1)], **setting)
    with pytest.raises(ValueError, match=words):
        AdamW([{"params": [torch.zeros(1)], **setting}])


def test_edges_of_the_settings_are_allowed():
    OptimizerConfig(lr=0.0, betas=(0.0, 0.0), weight_decay=0.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        OptimizerConfig().lr = 1.0
