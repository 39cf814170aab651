"""The bandit: PPO, from draws alone, against the policy that can be written down."""

import math

import pytest
import torch

from minillm.align.bandit import Bandit, BanditConfig, entropy, play_bandit, random_bandit
from minillm.align.optimum import optimal_policy


@pytest.mark.parametrize("beta", [0.3, 1.0])
def test_ppo_reaches_the_optimum(beta):
    bandit = random_bandit(64, seed=1)
    best = optimal_policy(bandit.ref_logprobs, bandit.rewards, beta)
    top = bandit.objective(best, beta).item()
    start = bandit.objective(bandit.ref_logprobs, beta).item()
    run = play_bandit(bandit, beta, BanditConfig(steps=80))
    assert run.objective[0] == pytest.approx(start)
    assert run.objective[-1] == pytest.approx(bandit.objective(run.logits, beta).item())
    assert max(run.objective) <= top
    assert (top - run.objective[-1]) < 0.03 * (top - start)
    assert len(run.objective) == len(run.entropy) == 81


def test_a_lower_price_leaves_less_entropy():
    bandit = random_bandit(64, seed=1)
    found = [entropy(bandit.optimum(beta)).item() for beta in (1.0, 0.3, 0.1, 0.03)]
    before = entropy(bandit.ref_logprobs).item()
    assert sorted([before, *found], reverse=True) == [before, *found]
    assert play_bandit(bandit, 0.3, BanditConfig(steps=25)).entropy[-1] < before


def test_the_exact_gradient_is_0_at_the_optimum_only():
    bandit = random_bandit(8, seed=2)
    for policy, is_best in ((bandit.optimum(0.5), True), (bandit.ref_logprobs, False)):
        logits = policy.clone().requires_grad_()
        bandit.objective(logits, 0.5).backward()
        assert (logits.grad.abs().max() < 1e-9) == is_best


def test_entropy_by_hand():
    assert entropy(torch.zeros(8)).item() == pytest.approx(math.log(8))
    assert entropy(torch.tensor([0.0, 0.0, -math.inf])).item() == pytest.approx(math.log(2))


def test_the_same_seed_plays_the_same_game():
    bandit = random_bandit(8)
    a, b, c = (play_bandit(bandit, 0.5, BanditConfig(steps=3, seed=s)) for s in (1, 1, 2))
    assert a.logits.equal(b.logits)
    assert not a.logits.equal(c.logits)
    assert not play_bandit(bandit, 0.5, BanditConfig(steps=3, seed=1, whiten=True)).logits.equal(
        a.logits
    )


def test_bad_input():
    r = torch.zeros(3)
    uniform = torch.full((3,), -math.log(3))
    with pytest.raises(ValueError, match=r"one shape \(K,\), K >= 2"):
        Bandit(r, uniform[:2])
    with pytest.raises(ValueError, match="K >= 2"):
        Bandit(r[:1], r[:1])
    with pytest.raises(ValueError, match="must be finite"):
        Bandit(torch.tensor([0.0, math.nan, 0.0]), uniform)
    with pytest.raises(ValueError, match="they give 3"):
        Bandit(r, r)
    with pytest.raises(ValueError, match=r"bandit.steps must be at least 1, got 0"):
        BanditConfig(steps=0)
    with pytest.raises(ValueError, match=r"bandit.lr must be positive, got 0"):
        BanditConfig(lr=0)
    with pytest.raises(ValueError, match="beta"):
        play_bandit(Bandit(r, uniform), 0.0)
