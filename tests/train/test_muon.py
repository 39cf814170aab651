"""Muon against torch.optim.Muon, and its iteration against the singular value decomposition."""

import math

import pytest
import torch
from torch import nn

from minillm.train import AdamW
from minillm.train.muon import QUINTIC, Muon, muon_groups, muon_scale, muon_step, newton_schulz


def params(dtype):
    g = torch.Generator().manual_seed(0)
    shapes = ((6, 6), (9, 4), (4, 9))
    return [
        nn.Parameter(torch.randn(s, generator=g, dtype=torch.float64).to(dtype)) for s in shapes
    ]


def run(ps, optimizer, steps=100):
    g = torch.Generator().manual_seed(1)
    for _ in range(steps):
        for p in ps:
            p.grad = torch.randn(p.shape, generator=g, dtype=torch.float64).to(p.dtype)
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in ps])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("nesterov", "decay"), [(True, 0.1), (False, 0.0)])
@pytest.mark.parametrize(
    ("scale", "theirs"), [("original", "original"), ("match_adamw", "match_rms_adamw")]
)
def test_equals_torch_over_100_steps(scale, theirs, nesterov, decay, dtype):
    one, two = params(dtype), params(dtype)
    how = {"lr": 0.02, "momentum": 0.9, "nesterov": nesterov, "weight_decay": decay}
    a = run(one, Muon(one, **how, scale=scale))
    b = run(two, torch.optim.Muon(two, **how, adjust_lr_fn=theirs))
    tolerance = 1e-12 if dtype == torch.float64 else 1e-6
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", [(5, 5), (8, 3), (3, 8)])
@pytest.mark.parametrize("rounds", [0, 1, 5])
def test_iteration_works_on_singular_values_alone(shape, rounds):
    g = torch.randn(shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    U, s, V = torch.linalg.svd(g, full_matrices=False)
    s = s / s.square().sum().sqrt()
    a, b, c = QUINTIC
    for _ in range(rounds):
        s = a * s + b * s**3 + c * s**5
    ours = newton_schulz(g, rounds=rounds, dtype=None)
    torch.testing.assert_close(ours, U @ torch.diag(s) @ V, rtol=1e-11, atol=1e-11)


def test_singular_values_end_near_one():
    g = torch.randn(16, 24, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    for dtype in (None, torch.bfloat16):
        s = torch.linalg.svdvals(newton_schulz(g, dtype=dtype))
        assert 0.6 < s.min() < s.max() < 1.3
    raw = torch.linalg.svdvals(g / torch.linalg.norm(g))
    assert raw.max() > 5 * raw.min()  # ... and began far from it


def test_the_classical_iteration_ends_at_the_orthogonal_factor():
    g = torch.randn(4, 7, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    U, _, V = torch.linalg.svd(g, full_matrices=False)
    ours = newton_schulz(g, rounds=40, coefficients=(1.5, -0.5, 0.0), dtype=None)
    torch.testing.assert_close(ours, U @ V, rtol=1e-10, atol=1e-10)


def test_a_matrix_of_zeros_stays_one():
    assert newton_schulz(torch.zeros(3, 2)).tolist() == [[0.0, 0.0]] * 3


def test_gradient_of_any_length_gives_the_same_step():
    def after(factor):
        p, m = torch.zeros(4, 3).double(), torch.zeros(4, 3).double()
        grad = torch.randn(4, 3, generator=torch.Generator().manual_seed(5)).double() * factor
        muon_step(p, grad, m, lr=0.1, exact=True)
        return p

    torch.testing.assert_close(after(1.0), after(1e4), rtol=1e-10, atol=1e-12)


def test_two_steps_by_hand():
    """One by one matrices: orthogonal means plus or minus one, after many rounds."""
    p, m = torch.full((1, 1), 2.0).double(), torch.zeros(1, 1).double()
    how = {"lr": 0.1, "momentum": 0.75, "weight_decay": 0.5, "rounds": 0, "exact": True}
    muon_step(p, torch.full((1, 1), 4.0).double(), m, **how)
    assert (m.item(), p.item()) == (1.0, pytest.approx(2 * 0.95 - 0.1, abs=1e-15))
    muon_step(p, torch.full((1, 1), -4.0).double(), m, **how)  # m = -0.25, look ahead -1.1875
    assert m.item() == -0.25
    assert p.item() == pytest.approx(1.8 * 0.95 + 0.1, abs=1e-15)


def test_nesterov_looks_ahead():
    """The mean still points up, the look ahead down already."""
    for nesterov, moved in ((True, 0.1), (False, -0.1)):
        p, m = torch.zeros(1, 1).double(), torch.ones(1, 1).double()
        grad = torch.full((1, 1), -4.0).double()
        muon_step(p, grad, m, lr=0.1, momentum=0.85, nesterov=nesterov, rounds=0, exact=True)
        assert m.item() == pytest.approx(0.25)
        assert p.item() == pytest.approx(moved)


def test_scales():
    assert muon_scale((8, 2)) == 2.0
    assert muon_scale((2, 8)) == 1.0
    assert muon_scale((2, 25), "match_adamw") == pytest.approx(1.0)
    assert muon_scale((25, 2), "match_adamw") == pytest.approx(1.0)
    with pytest.raises(ValueError, match="scale must be one of original, match_adamw, got 'x'"):
        muon_scale((1, 1), "x")
    n, m = 40, 10  # orthogonal columns: mean square 1 / max(n, m)
    q = torch.linalg.qr(torch.randn(n, m, generator=torch.Generator().manual_seed(6)))[0]
    root = math.sqrt((q**2).mean())
    assert root * muon_scale((n, m), "match_adamw") == pytest.approx(0.2, rel=1e-5)


# ---- groups ------------------------------------------------------------------------------------


def test_groups_of_a_model(new_model):
    model = new_model()
    matrices, tables, vectors = muon_groups(model, lr=0.02, weight_decay=0.1, adamw_lr=1e-3)
    names = {id(p): name for name, p in model.named_parameters()}
    assert all("blocks" in names[id(p)] and p.ndim == 2 for p in matrices["params"])
    assert [names[id(p)] for p in tables["params"]] == ["embedding.weight"]
    assert all(p.ndim == 1 for p in vectors["params"])
    together = [*matrices["params"], *tables["params"], *vectors["params"]]
    assert len(together) == len(list(model.parameters()))
    assert (matrices["lr"], tables["lr"], vectors["lr"]) == (0.02, 1e-3, 1e-3)
    assert (matrices["weight_decay"], tables["weight_decay"], vectors["weight_decay"]) == (
        0.1, 0.1, 0.0,
    )  # fmt: skip


def test_what_is_no_matrix_goes_to_adamw(new_model):
    one, two = new_model(torch.float64), new_model(torch.float64)
    muon = Muon(muon_groups(one, lr=0.02, weight_decay=0.1, adamw_lr=1e-3))
    adamw = AdamW(
        [
            {"params": [two.embedding.weight], "weight_decay": 0.1},
            {"params": [p for p in two.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=1e-3,
        betas=(0.9, 0.95),
    )
    g = torch.Generator().manual_seed(7)
    for _ in range(10):
        for p, q in zip(one.parameters(), two.parameters(), strict=True):
            p.grad = torch.randn(p.shape, generator=g, dtype=torch.float64)
            q.grad = p.grad.clone()
        muon.step()
        adamw.step()
    assert list(muon.state[one.embedding.weight]) == ["step", "m", "v"]
    for (name, p), q in zip(one.named_parameters(), two.parameters(), strict=True):
        same = p.ndim < 2 or name == "embedding.weight"
        assert torch.allclose(p, q, rtol=1e-12, atol=1e-12) == same, name


def test_frozen_parameters_are_left_out(new_model):
    model = new_model()
    model.embedding.weight.requires_grad_(False)
    groups = muon_groups(model, lr=0.02, weight_decay=0.1, adamw_lr=1e-3)
    assert [g["orthogonal"] for g in groups] == [True, False]
    with pytest.raises(ValueError, match="nothing to train"):
        muon_groups(model.requires_grad_(False), lr=0.02, weight_decay=0.1, adamw_lr=1e-3)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"lr": -1.0}, "lr must be"),
        ({"momentum": 1.0}, "momentum must lie"),
        ({"weight_decay": -1.0}, "weight_decay must be"),
        ({"betas": (0.9, 1.0)}, "beta2 must lie"),
        ({"eps": 0.0}, "eps must be positive"),
        ({"scale": "x"}, "scale must be one of"),
    ],
)
def test_refusals(how, words):
    with pytest.raises(ValueError, match=words):
        Muon([torch.zeros(1, 1)], **how)


def test_only_matrices_are_orthogonalised():
    with pytest.raises(ValueError, match=r"got a parameter of shape \(3,\)"):
        Muon([torch.zeros(3)])
    with pytest.raises(ValueError, match=r"needs a matrix, got shape \(2, 2, 2\)"):
        newton_schulz(torch.zeros(2, 2, 2))
    with pytest.raises(ValueError, match="rounds must not be negative, got -1"):
        newton_schulz(torch.zeros(2, 2), rounds=-1)
