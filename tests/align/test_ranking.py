"""The ranking loss against its definition, its gradient by hand against autograd, the margins."""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minillm.align.preferences import Pair
from minillm.align.ranking import (
    MARGINS,
    margins_of,
    preference_probability,
    ranked_loss,
    reward_loss,
    reward_loss_gradient,
)

ASK = ({"role": "user", "content": "Who?"},)


def wide(*values):
    return torch.tensor(values, dtype=torch.float64)


rows = st.lists(st.tuples(*[st.floats(-30, 30)] * 2, st.floats(0, 3)), min_size=1, max_size=6)


@given(rows)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_loss_is_its_definition(rows):
    chosen, rejected, margin = (wide(*column) for column in zip(*rows, strict=True))
    expected = sum(math.log1p(math.exp(-(c - r - m))) for c, r, m in rows) / len(rows)
    assert reward_loss(chosen, rejected, margin).item() == pytest.approx(expected, rel=1e-12)
    assert reward_loss(chosen + 5, rejected + 5).item() == pytest.approx(
        reward_loss(chosen, rejected).item(), rel=1e-9, abs=1e-12
    )  # only differences count


@given(rows)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_gradient_by_hand_is_that_of_autograd(rows):
    chosen, rejected, margin = (wide(*column) for column in zip(*rows, strict=True))
    for m in (None, margin):
        a, b = chosen.clone().requires_grad_(), rejected.clone().requires_grad_()
        expected = torch.autograd.grad(reward_loss(a, b, m), [a, b])
        for mine, theirs in zip(reward_loss_gradient(chosen, rejected, m), expected, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    ("margin", "size"), [(0, 0.2689), (1 / 3, 0.3392), (2 / 3, 0.4174), (1, 0.5), (3, 0.8808)]
)
def test_how_hard_a_gap_of_one_is_pushed(margin, size):
    """RLH-004: sigma(m - 1), by hand."""
    chosen, rejected = reward_loss_gradient(wide(1.0), wide(0.0), wide(margin))
    assert chosen.item() == pytest.approx(-1 / (1 + math.exp(1 - margin)), rel=1e-12)
    assert (chosen + rejected).item() == 0
    assert rejected.item() == pytest.approx(size, abs=5e-5)


def test_far_gaps_stay_finite():
    chosen = torch.tensor([1e4, -1e4], requires_grad=True)
    loss = reward_loss(chosen, torch.zeros(2))
    assert loss.item() == pytest.approx(5e3)
    (grad,) = torch.autograd.grad(loss, chosen)
    assert grad.tolist() == [0.0, -0.5]


def test_equal_rewards_cost_ln_2():
    assert reward_loss(wide(3, 1), wide(3, 1)).item() == pytest.approx(math.log(2))
    assert reward_loss(wide(3), wide(1), wide(2)).item() == pytest.approx(math.log(2))
    assert preference_probability(wide(1, 0), wide(0, 0)).tolist() == pytest.approx(
        [1 / (1 + math.exp(-1)), 0.5]
    )


def test_ranked_answers_are_all_their_pairs():
    rewards = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    losses = [
        reward_loss(rewards[b, i : i + 1], rewards[b, j : j + 1])
        for b in range(3)
        for i in range(4)
        for j in range(i + 1, 4)
    ]
    assert len(losses) == 18
    assert ranked_loss(rewards).item() == pytest.approx(torch.stack(losses).mean().item())
    two = rewards[:, :2]
    assert ranked_loss(two).item() == pytest.approx(reward_loss(two[:, 0], two[:, 1]).item())
    assert ranked_loss(rewards.flip(1)) > ranked_loss(rewards.sort(dim=1, descending=True)[0])


def test_margins_are_those_of_llama_2():
    assert MARGINS["small"] == pytest.approx((0, 1 / 3, 2 / 3, 1))
    assert MARGINS["large"] == (0, 1, 2, 3)
    pairs = [Pair(ASK, "a", "b", rating) for rating in (3, 2, 1, 0, None)]
    assert margins_of(pairs, "large").tolist() == [3, 2, 1, 0, 0]
    assert margins_of(pairs, "small").tolist() == pytest.approx([1, 2 / 3, 1 / 3, 0, 0])
    assert margins_of(pairs).tolist() == [0] * 5
    assert margins_of(pairs, (0.5, 1, 2, 4)).tolist() == [4, 2, 1, 0.5, 0]


def test_a_margin_of_its_own_goes_before_the_rating():
    pairs = [Pair(ASK, "a", "b", 3, 0.25), Pair(ASK, "a", "b", margin=2), Pair(ASK, "a", "b", 3, 0)]
    assert margins_of(pairs, "large").tolist() == [0.25, 2, 0]
    assert margins_of(pairs).tolist() == [0.25, 2, 0]


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: reward_loss(wide(1, 2), wide(1)), r"same B >= 1, got \(2,\) and \(1,\)"),
        (lambda: reward_loss(wide(), wide()), "B >= 1"),
        (lambda: reward_loss(torch.zeros(1, 1), torch.zeros(1, 1)), r"rewards \(B,\)"),
        (lambda: reward_loss(wide(1), wide(0), wide(1, 2)), r"margin \(2,\) must have"),
        (lambda: reward_loss(wide(1), wide(0), wide(-1)), "at least 0.*allow the wrong order"),
        (lambda: reward_loss(wide(1), wide(0), wide(math.inf)), "finite"),
        (lambda: ranked_loss(torch.zeros(2, 1)), r"K >= 2, got \(2, 1\)"),
        (lambda: margins_of([], "big"), "none, small, large; got 'big'"),
        (lambda: margins_of([], (1.0, 2.0)), "four finite numbers"),
        (lambda: margins_of([], (0.0, 1.0, 2.0, -1.0)), "four finite numbers"),
    ],
)
def test_bad_input(action, words):
    with pytest.raises(ValueError, match=words):
        action()
