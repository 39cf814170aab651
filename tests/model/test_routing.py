"""Routing by hand: who goes where, who is dropped, and what the two losses push."""

import pytest
import torch

from minillm.model.routing import (
    ExpertsConfig,
    balance_loss,
    expert_capacity,
    route,
    z_loss,
)

LOGITS = torch.tensor([[2.0, 1.0, 0.0], [3.0, 0.0, 1.0], [0.5, 1.5, 0.0], [4.0, 0.0, 2.0]])
P = LOGITS.softmax(dim=-1)


def random_logits(M=40, E=5, seed=0):
    return torch.randn(M, E, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_top_1_by_hand():
    routing = route(LOGITS, ExpertsConfig(3, top_k=1, renormalise=False))
    assert routing.chosen.int().tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0]]
    torch.testing.assert_close(routing.weights[0], torch.tensor([P[0, 0], 0.0, 0.0]))
    assert routing.load.tolist() == [3, 1, 0]
    assert routing.dropped_share == 0


def test_top_2_weights_sum_to_one_in_proportion():
    routing = route(LOGITS, ExpertsConfig(3, top_k=2))
    assert routing.chosen.int().tolist() == [[1, 1, 0], [1, 0, 1], [1, 1, 0], [1, 0, 1]]
    torch.testing.assert_close(routing.weights.sum(dim=1), torch.ones(4))
    both = P[0, :2] / P[0, :2].sum()
    torch.testing.assert_close(routing.weights[0, :2], both)
    assert not torch.allclose(
        route(LOGITS, ExpertsConfig(3, 2, renormalise=False)).weights[0, :2], both
    )


def test_room_goes_to_first_choices_then_to_earlier_tokens():
    config = ExpertsConfig(3, top_k=2, capacity_factor=0.75)
    assert expert_capacity(4, config) == 2  # 0.75 x 4 x 2 / 3
    routing = route(LOGITS, config)
    # expert 0: first choice of tokens 0, 1, 3, second of 2: room for 0 and 1
    assert routing.kept[:, 0].tolist() == [True, True, False, False]
    assert routing.kept[:, 1].tolist() == [True, False, True, False]
    assert routing.kept[:, 2].tolist() == [False, True, False, True]
    assert routing.dropped_share == pytest.approx(2 / 8)
    whole = route(LOGITS, ExpertsConfig(3, top_k=2)).weights
    torch.testing.assert_close(routing.weights, whole * routing.kept)
    assert (routing.weights.sum(dim=1) < 0.99).sum() == 2  # nobody else becomes louder


def test_first_choices_come_before_second_ones_of_earlier_tokens():
    logits = torch.tensor([[1.0, 2.0], [2.0, 1.0], [2.0, 1.0]])
    routing = route(logits, ExpertsConfig(2, top_k=2, capacity_factor=2 / 3))
    assert expert_capacity(3, ExpertsConfig(2, 2, capacity_factor=2 / 3)) == 2
    assert routing.kept[:, 0].tolist() == [False, True, True]  # token 0 came with a second choice
    assert routing.kept[:, 1].tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("n", "factor", "k", "E", "room"),
    [
        (64, 1.0, 1, 8, 8),
        (64, 1.25, 1, 8, 10),
        (65, 1.0, 1, 8, 9),
        (3, 0.01, 1, 8, 1),
        (10, 9.0, 2, 2, 10),
        (100, 1.1, 1, 10, 11),
    ],
)
def test_capacity(n, factor, k, E, room):
    assert expert_capacity(n, ExpertsConfig(E, k, capacity_factor=factor)) == room


def test_without_a_factor_nobody_is_dropped():
    config = ExpertsConfig(5, 2)
    assert expert_capacity(40, config) == 40
    same = torch.zeros(40, 5, dtype=torch.float64)
    same[:, 3] = 9.0
    assert route(same, config).load[3] == 40


def test_expert_choice_fills_every_expert_alike():
    config = ExpertsConfig(5, 2, router="expert_choice")
    routing = route(random_logits(), config)
    assert routing.load.tolist() == [16] * 5
    assert routing.kept.sum(dim=1).unique().numel() > 1  # tokens differ
    for e in range(5):
        p = random_logits().softmax(-1)[:, e]
        assert p[routing.kept[:, e]].min() >= p[~routing.kept[:, e]].max()


def test_expert_choice_lets_a_later_token_change_an_earlier_one():
    """Which is why it does not suit a causal decoder; top-k without drops has no such thing."""
    logits = random_logits()
    changed = logits.clone()
    changed[-1] = torch.tensor([9.0, 0.0, 0.0, 0.0, 0.0])
    choice = ExpertsConfig(5, 2, router="expert_choice")
    assert not torch.equal(route(logits, choice).kept[:-1], route(changed, choice).kept[:-1])
    top = ExpertsConfig(5, 2)
    assert torch.equal(route(logits, top).kept[:-1], route(changed, top).kept[:-1])


def test_balance_loss_is_one_when_uniform_and_can_be_less():
    uniform = torch.zeros(8, 4)
    chosen = torch.eye(4, dtype=torch.bool).repeat(2, 1)
    assert balance_loss(uniform, chosen) == pytest.approx(1.0)
    # lesson-notes.md: 60 % of tokens at (.51, .49), 40 % at (.01, .99)
    p = torch.tensor([[0.51, 0.49]] * 60 + [[0.01, 0.99]] * 40)
    top = route(p.log(), ExpertsConfig(2, 1)).chosen
    assert balance_loss(p.log(), top).item() == pytest.approx(0.924, abs=5e-4)


def test_balance_loss_of_a_collapse_is_the_number_of_experts():
    logits = torch.tensor([[50.0, 0.0, 0.0, 0.0]] * 6)
    chosen = route(logits, ExpertsConfig(4, 1)).chosen
    assert balance_loss(logits, chosen).item() == pytest.approx(4.0)


def test_top_2_of_uniform_is_one_as_well():
    chosen = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1]], dtype=torch.bool)
    assert balance_loss(torch.zeros(2, 4), chosen) == pytest.approx(1.0)


def test_a_step_down_the_balance_loss_takes_load_off_the_fullest_expert():
    logits = random_logits(200, 4, seed=1) + torch.tensor([1.0, 0.0, 0.0, -1.0])
    logits.requires_grad_(True)
    routing = route(logits, ExpertsConfig(4, 1))
    before = routing.load
    (gradient,) = torch.autograd.grad(balance_loss(logits, routing.chosen), logits)
    assert gradient[:, before.argmax()].sum() > 0  # its logits go down
    assert gradient[:, before.argmin()].sum() < 0
    after = route(logits.detach() - 300 * gradient, ExpertsConfig(4, 1)).load
    assert after.float().std() < before.float().std()
    worse = route(logits.detach() + 300 * gradient, ExpertsConfig(4, 1)).load
    assert worse.float().std() > before.float().std()  # the wrong sign would be seen


def test_the_gradient_of_the_balance_loss_is_its_formula():
    """E / M p_mj (f_j - sum_e p_me f_e): down where fuller than the token's average."""
    logits = random_logits(30, 4, seed=2).requires_grad_(True)
    chosen = route(logits, ExpertsConfig(4, 2)).chosen
    (gradient,) = torch.autograd.grad(balance_loss(logits, chosen), logits)
    p = logits.detach().softmax(-1)
    f = chosen.double().mean(0) / 2
    by_hand = 4 / 30 * p * (f - (p * f).sum(-1, keepdim=True))
    torch.testing.assert_close(gradient, by_hand, rtol=0, atol=1e-15)


def test_a_collapse_of_undecided_tokens_has_loss_one_and_is_still_pushed_apart():
    logits = torch.tensor([[1e-7, 0.0]] * 10, dtype=torch.float64, requires_grad=True)
    chosen = route(logits, ExpertsConfig(2, 1)).chosen
    loss = balance_loss(logits, chosen)
    assert chosen.sum(dim=0).tolist() == [10, 0]
    assert loss.item() == pytest.approx(1.0, abs=1e-6)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.sum(dim=0).tolist() == pytest.approx([0.5, -0.5], abs=1e-6)


@pytest.mark.parametrize(("k", "renormalise", "moved"), [(1, True, 0), (1, False, 4), (2, True, 2)])
def test_the_router_learns_through_the_weight_only(k, renormalise, moved):
    logits = random_logits(6, 4, seed=3).requires_grad_(True)
    weights = route(logits, ExpertsConfig(4, k, renormalise=renormalise)).weights
    said = random_logits(6, 4, seed=4)
    (gradient,) = torch.autograd.grad((weights * said).sum(), logits)
    assert (gradient.abs() > 1e-12).sum(dim=1).tolist() == [moved] * 6


def test_z_loss_by_hand_and_its_minimum():
    assert z_loss(torch.zeros(3, 4)).item() == pytest.approx(1.3862944**2, rel=1e-6)
    assert z_loss(torch.full((3, 4), -1.3862944)).item() == pytest.approx(0, abs=1e-10)
    assert z_loss(torch.full((3, 4), 9.0)) > z_loss(torch.full((3, 4), 1.0))


def test_losses_compute_in_float32():
    logits = (100 * random_logits()).bfloat16()
    assert z_loss(logits).dtype == torch.float32
    assert balance_loss(logits, route(logits, ExpertsConfig(5, 2)).chosen).dtype == torch.float32


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_experts": 0}, "n_experts must be at least 1, got 0"),
        ({"n_experts": 4, "top_k": 5}, "1 to n_experts=4, got 5"),
        ({"n_experts": 4, "top_k": 0}, "got 0"),
        ({"n_experts": 4, "capacity_factor": 0.0}, r"capacity_factor must be positive, got 0\.0"),
        ({"n_experts": 4, "router": "hash"}, "'top_k' or 'expert_choice', got 'hash'"),
        ({"n_experts": 4, "n_shared": -1}, "n_shared must not be negative, got -1"),
        ({"n_experts": 4, "z_coef": -1.0}, r"z_coef must not be negative, got -1\.0"),
        ({"n_experts": 4, "implementation": "slow"}, "got 'slow'"),
    ],
)
def test_wrong_configs_are_refused_by_name(settings, words):
    with pytest.raises(ValueError, match=words):
        ExpertsConfig(**settings)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(M, 3\).*got \(4, 2\)"):
        route(torch.zeros(4, 2), ExpertsConfig(3))
    with pytest.raises(ValueError, match=r"must both be \(M, E\)"):
        balance_loss(torch.zeros(4, 2), torch.zeros(3, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        expert_capacity(0, ExpertsConfig(3))
