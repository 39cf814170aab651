"""REINFORCE against the exact gradient: its mean over every answer, and an estimate from draws."""

import pytest
import torch

from minillm.align.answer_logprobs import response_logprobs
from minillm.align.enumeration import every_answer, exact_objective, flat_gradient, lay_answers
from minillm.align.policy_gradient import (
    best_baseline,
    leave_one_out,
    reinforce_loss,
    rewards_to_go,
    sample_gradients,
)
from minillm.align.rollouts import rollout
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig

V, STOP, N = 4, 3, 2
CONFIG = DecoderConfig(
    vocab_size=V,
    d_model=8,
    n_layers=1,
    context=8,
    attention=AttentionConfig(n_heads=2),
    feedforward=FeedForwardConfig(kind="swiglu", width=8),
    init_std=0.5,
)


@pytest.fixture(scope="module")
def world():
    """A policy, every answer, a reward for each, and the exact gradient."""
    torch.manual_seed(0)
    model = Decoder(CONFIG, dtype=torch.float64)
    answers = every_answer(V, N, [STOP])
    ids, mask = lay_answers([1], answers)
    rewards = torch.tensor([5.0 + a.count(2) - (a[0] == 0) for a in answers], dtype=torch.float64)
    logp = response_logprobs(model, ids, mask).sum(1)
    exact = flat_gradient(exact_objective(logp, rewards), model)
    return model, answers, ids, mask, rewards, logp.detach().exp(), exact


def spread_over(mask, numbers):
    return torch.where(mask, numbers[:, None], 0.0)


def test_the_mean_of_the_estimate_is_the_gradient_whatever_the_baseline(world):
    model, _, ids, mask, rewards, p, exact = world
    score = sample_gradients(model, ids, mask, spread_over(mask, torch.ones_like(rewards)))
    b = best_baseline(rewards, score, p)
    noise = {}
    for baseline in (0.0, float(p @ rewards), b, 20.0):
        g = (rewards - baseline)[:, None] * score  # (M, P)
        torch.testing.assert_close(p @ g, exact, rtol=0, atol=1e-12)
        noise[baseline] = float(p @ (g - exact).square().sum(dim=1))
    assert noise[b] == min(noise.values())
    assert noise[b] < noise[0.0] / 10
    around = [float(p @ ((rewards - x)[:, None] * score - exact).square().sum(1)) for x in
              (b - 0.01, b + 0.01)]  # fmt: skip
    assert min(around) > noise[b]


def test_rewards_to_go_have_the_same_mean_and_less_noise(world):
    """A reward at each token: what came before a token does not tell anything about it."""
    model, _, ids, mask, _, p, _ = world
    each = torch.where(mask & (ids == 2), 1.0, 0.0) + torch.where(mask, 0.5, 0.0)
    each = each.double()
    logp = response_logprobs(model, ids, mask).sum(1)
    exact = flat_gradient(exact_objective(logp, each.sum(1)), model)
    whole = sample_gradients(model, ids, mask, spread_over(mask, each.sum(1)))
    to_go = sample_gradients(model, ids, mask, rewards_to_go(each, mask))
    for g in (whole, to_go):
        torch.testing.assert_close(p @ g, exact, rtol=0, atol=1e-12)
    assert p @ (to_go - exact).square().sum(1) < p @ (whole - exact).square().sum(1)


def test_the_loss_has_the_mean_of_the_samples_gradients(world):
    model, _, ids, mask, rewards, _, _ = world
    weights = spread_over(mask, rewards)
    logprobs = response_logprobs(model, ids, mask)
    found = flat_gradient(reinforce_loss(logprobs, weights, mask), model)
    expected = -sample_gradients(model, ids, mask, weights).mean(dim=0)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_drawn_answers_estimate_the_gradient_within_their_error(world):
    model, answers, ids, mask, rewards, p, exact = world
    n = 4000
    drawn = rollout(model, [[1]] * n, N, pad_id=0, stop_ids=[STOP], seed=5)
    place = {a: i for i, a in enumerate(answers)}
    counts = torch.zeros(len(answers), dtype=torch.float64)
    for answer in drawn.answers():
        counts[place[tuple(answer)]] += 1
    weights = spread_over(mask, rewards - float(p @ rewards))
    g = sample_gradients(model, ids, mask, weights)
    estimate = counts @ g / n
    error = ((p @ (g - exact).square()) / n).sqrt()  # standard error of each coordinate
    moving = error > 1e-9
    off = ((estimate - exact) / error)[moving]
    assert off.abs().max() < 5
    assert 0.2 < off.square().mean() < 3
    wrong = ((counts @ sample_gradients(model, ids, mask, spread_over(mask, rewards - 9)) / n
              - exact - 1.0 * exact) / error)[moving]  # fmt: skip
    assert wrong.abs().max() > 5  # ... and a wrong gradient would be seen


def test_rewards_to_go_by_hand():
    rewards = torch.tensor([[9.0, 1.0, 2.0, 4.0], [1.0, 9.0, 9.0, 3.0]])
    mask = torch.tensor([[False, True, True, True], [True, False, False, True]])
    assert rewards_to_go(rewards, mask, gamma=0.5).tolist() == [[0, 3, 4, 4], [2.5, 0, 0, 3]]


def test_leave_one_out_by_hand_and_without_the_answer_itself():
    scores = torch.tensor([1.0, 2.0, 6.0, 10.0, 20.0, 30.0])
    assert leave_one_out(scores, 3).tolist() == [4, 3.5, 1.5, 25, 20, 15]
    other = scores.clone()
    other[1] = 100
    assert leave_one_out(other, 3)[1] == 3.5


def test_no_gradient_flows_through_the_weights(world):
    model, _, ids, mask, rewards, _, _ = world
    weights = spread_over(mask, rewards).requires_grad_()
    reinforce_loss(response_logprobs(model, ids, mask), weights, mask).backward()
    assert weights.grad is None
    model.zero_grad(set_to_none=True)


def test_best_baseline_of_samples_counts_each_alike():
    scores = torch.tensor([1.0, 3.0])
    gradients = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    assert best_baseline(scores, gradients) == pytest.approx((9 * 1 + 1 * 3) / 10)


def test_bad_input():
    mask = torch.ones(2, 3, dtype=torch.bool)
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="gamma must lie in"):
        rewards_to_go(x, mask, gamma=2)
    with pytest.raises(ValueError, match="weights"):
        reinforce_loss(x, x[:1], mask)
    with pytest.raises(ValueError, match=r"4 for each; got scores of shape \(6,\)"):
        leave_one_out(torch.zeros(6), 4)
    with pytest.raises(ValueError, match="at least 2 answers"):
        leave_one_out(torch.zeros(6), 1)
    with pytest.raises(ValueError, match="every baseline is as good"):
        best_baseline(torch.zeros(2), torch.zeros(2, 4))
