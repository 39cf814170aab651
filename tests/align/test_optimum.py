"""The constrained optimum: against a search, the gap as a distance, and DPO arriving at it."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.align.dpo import dpo_loss, implicit_reward
from minillm.align.optimum import (
    expected_dpo_loss,
    kl_objective,
    log_partition,
    optimal_policy,
    preference_matrix,
)

REF = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64).log()
REWARDS = torch.tensor([0.0, 1.0, -0.5, 2.0], dtype=torch.float64)


def by_descent(loss, steps=60):
    """Minimise a function of four logits."""
    logits = REF.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([logits], max_iter=steps, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        value = loss(logits.log_softmax(-1))
        value.backward()
        return value

    optimizer.step(closure)
    return logits.detach().log_softmax(-1)


@pytest.mark.parametrize("beta", [0.3, 1.0, 5.0])
def test_no_search_finds_better(beta):
    best = optimal_policy(REF, REWARDS, beta)
    found = by_descent(lambda logp: -kl_objective(logp, REF, REWARDS, beta))
    torch.testing.assert_close(found.exp(), best.exp(), atol=1e-4, rtol=0)
    by_hand = REF.exp() * (REWARDS / beta).exp()
    torch.testing.assert_close(best.exp(), by_hand / by_hand.sum())
    value = kl_objective(best, REF, REWARDS, beta)
    assert float(value) == pytest.approx(beta * float(log_partition(REF, REWARDS, beta)))
    assert float(log_partition(REF, REWARDS, beta)) == pytest.approx(math.log(by_hand.sum()))


@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4), st.floats(0.2, 5))
@settings(deadline=None, max_examples=15)
def test_the_gap_is_a_distance(logits, beta):
    logp = torch.tensor(logits, dtype=torch.float64).log_softmax(-1)
    best = optimal_policy(REF, REWARDS, beta)
    gap = kl_objective(best, REF, REWARDS, beta) - kl_objective(logp, REF, REWARDS, beta)
    distance = (logp.exp() * (logp - best)).sum()
    assert float(gap) == pytest.approx(beta * float(distance), abs=1e-9)
    assert gap >= -1e-9


@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_dpo_arrives_at_the_optimum(beta):
    P = preference_matrix(REWARDS)
    torch.testing.assert_close(P + P.T, torch.ones_like(P))
    best = optimal_policy(REF, REWARDS, beta)
    logp = best.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(expected_dpo_loss(logp, REF, P, beta), logp)
    assert gradient.abs().max() < 1e-12
    found = by_descent(lambda logp: expected_dpo_loss(logp, REF, P, beta))
    torch.testing.assert_close(found.exp(), best.exp(), atol=1e-4, rtol=0)
    wrong = optimal_policy(REF, 2 * REWARDS, beta)
    assert expected_dpo_loss(wrong, REF, P, beta) > expected_dpo_loss(best, REF, P, beta) + 1e-3


def test_the_reward_is_read_off_the_optimum():
    beta = 0.7
    best = optimal_policy(REF, REWARDS, beta)
    found = implicit_reward(best, REF, beta) + beta * log_partition(REF, REWARDS, beta)
    torch.testing.assert_close(found, REWARDS)


def test_the_expected_loss_is_the_mean_over_pairs():
    beta = 0.4
    P = preference_matrix(REWARDS)
    logp = torch.tensor([1.0, 0.2, -1.0, 0.5], dtype=torch.float64).log_softmax(-1)
    total = 0.0
    for i in range(4):
        for j in range(4):
            if i != j:
                loss = dpo_loss(logp[i : i + 1], logp[j : j + 1], REF[i : i + 1], REF[j : j + 1],
                                beta=beta)  # fmt: skip
                total += float(P[i, j] * loss) / 6
    assert float(expected_dpo_loss(logp, REF, P, beta)) == pytest.approx(total)
    assert float(expected_dpo_loss(REF, REF, P, beta)) == pytest.approx(math.log(2))


def test_the_ends_of_beta():
    near = optimal_policy(REF, REWARDS, 1e4)
    torch.testing.assert_close(near, REF, atol=1e-3, rtol=0)
    far = optimal_policy(REF, REWARDS, 1e-2)
    assert far.exp()[3] > 0.999
    batch = optimal_policy(REF.expand(2, 4), torch.stack([REWARDS, -REWARDS]), 1.0)
    torch.testing.assert_close(batch[0], optimal_policy(REF, REWARDS, 1.0))
    assert batch[1].argmax() == 0


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: optimal_policy(REF, REWARDS, 0), "beta must be positive, got 0"),
        (lambda: optimal_policy(REF, REWARDS[:3], 1), r"same K, got \(4,\) and \(3,\)"),
        (lambda: log_partition(REF, REWARDS, -1), "beta must be positive"),
        (lambda: kl_objective(REF, REF, REWARDS, 0), "beta must be positive"),
        (lambda: expected_dpo_loss(REF, REF, torch.zeros(3, 3), 1), r"K=4 and \(3, 3\)"),
        (lambda: expected_dpo_loss(REF[:1], REF[:1], torch.zeros(1, 1), 1), "K >= 2"),
        (lambda: expected_dpo_loss(REF, REF, torch.zeros(4, 4), 0), "beta must be positive"),
    ],
)
def test_bad_input(action, words):
    with pytest.raises(ValueError, match=words):
        action()
