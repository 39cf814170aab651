"""Advantages: the recursion against the sum that defines it, and against torchrl."""

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.align.gae import gae, gae_of_row, gae_weights, td_errors
from minillm.align.policy_gradient import rewards_to_go

numbers = st.floats(-5, 5, allow_nan=False)
shares = st.sampled_from([0.0, 0.5, 0.9, 1.0])


def rows(B=4, T=7, seed=0):
    g = torch.Generator().manual_seed(seed)
    rewards = torch.randn(B, T, generator=g, dtype=torch.float64)
    values = torch.randn(B, T, generator=g, dtype=torch.float64)
    lengths = torch.tensor([T, 1, 3, T - 2])[:B]
    starts = torch.tensor([0, 2, 1, 2])[:B]
    place = torch.arange(T)[None]
    mask = (place >= starts[:, None]) & (place < (starts + lengths)[:, None])
    return rewards, values, mask


def test_by_hand():
    """Two steps: 1 then 2 earned, 0.5 and 3 expected."""
    assert td_errors([1, 2], [0.5, 3], gamma=0.5) == [1 + 0.5 * 3 - 0.5, 2 - 3]
    assert td_errors([1, 2], [0.5, 3], gamma=0.5, last=4) == [2, 2 + 0.5 * 4 - 3]
    assert gae_of_row([1, 2], [0.5, 3], gamma=0.5, lam=0.5) == [2 + 0.25 * -1, -1]


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=6), shares, shares, numbers)
@settings(deadline=None, max_examples=25)
def test_a_row_is_the_weighted_sum_of_surprises(steps, gamma, lam, last):
    rewards, values = [r for r, _ in steps], [v for _, v in steps]
    deltas = torch.tensor(td_errors(rewards, values, gamma=gamma, last=last), dtype=torch.float64)
    expected = gae_weights(len(steps), gamma=gamma, lam=lam) @ deltas
    found = gae_of_row(rewards, values, gamma=gamma, lam=lam, last=last)
    torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), expected)


def test_it_is_the_mixture_of_the_advantages_after_n_steps():
    """(1 - lam) sum lam^(n-1) A^(n), what is left of the weights on the last: equation 16."""
    rewards, values, gamma, lam = [1.0, -2.0, 0.5, 3.0], [0.2, 0.4, -1.0, 2.0], 0.9, 0.7
    after, mixture = [*values[1:], 0.0], 0.0
    for n in range(1, 5):
        earned = sum(gamma**i * rewards[i] for i in range(n))
        advantage = earned + gamma**n * after[n - 1] - values[0]
        mixture += (lam ** (n - 1)) * (1 - lam if n < 4 else 1) * advantage
    assert gae_of_row(rewards, values, gamma=gamma, lam=lam)[0] == pytest.approx(mixture)


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.0), (0.97, 1.0), (0.0, 0.5)])
@pytest.mark.parametrize("cut", [False, True])
def test_many_rows_are_the_definition_row_by_row(gamma, lam, cut):
    rewards, values, mask = rows()
    last = torch.tensor([1.5, -2.0, 0.5, 3.0], dtype=torch.float64) if cut else None
    advantages, returns = gae(rewards, values, mask, gamma=gamma, lam=lam, last_values=last)
    for b in range(len(mask)):
        r, v = rewards[b][mask[b]].tolist(), values[b][mask[b]].tolist()
        end = last[b].item() if cut else 0.0
        expected = torch.tensor(
            gae_of_row(r, v, gamma=gamma, lam=lam, last=end), dtype=torch.float64
        )
        torch.testing.assert_close(advantages[b][mask[b]], expected)
        torch.testing.assert_close(returns[b][mask[b]], expected + values[b][mask[b]])
    assert not advantages[~mask].any()
    assert not returns[~mask].any()


def test_lam_1_is_all_that_is_to_come_and_lam_0_one_step():
    rewards, values, mask = rows()
    full, returns = gae(rewards, values, mask, gamma=0.9, lam=1)
    to_go = rewards_to_go(rewards, mask, gamma=0.9)
    torch.testing.assert_close(returns, to_go)
    torch.testing.assert_close(full, torch.where(mask, to_go - values, 0.0))


def test_a_hole_in_the_mask_is_skipped_and_masked_numbers_are_never_read():
    rewards, values, mask = rows(B=1)
    holed = mask.clone()
    holed[0, 3:5] = False
    spoilt = torch.where(holed, rewards, torch.nan), torch.where(holed, values, torch.nan)
    advantages, returns = gae(*spoilt, holed, gamma=0.9, lam=0.8)
    expected = gae_of_row(rewards[holed].tolist(), values[holed].tolist(), gamma=0.9, lam=0.8)
    torch.testing.assert_close(advantages[holed], torch.tensor(expected, dtype=torch.float64))
    assert torch.isfinite(returns).all()


def test_torchrl_agrees():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchrl.objectives.value.functional import generalized_advantage_estimate as theirs
    rewards, values, _ = rows()
    B, T = rewards.shape
    everything = torch.ones(B, T, dtype=torch.bool)
    last = torch.tensor([1.5, -2.0, 0.5, 3.0], dtype=torch.float64)
    for gamma, lam, cut in [(1.0, 0.95, False), (0.9, 0.6, True), (0.99, 1.0, True)]:
        end = last if cut else torch.zeros_like(last)
        done = torch.zeros(B, T, 1, dtype=torch.bool)
        done[:, -1] = True
        after = torch.cat([values[:, 1:], end[:, None]], dim=1)
        expected = theirs(
            gamma,
            lam,
            values[..., None],
            after[..., None],
            rewards[..., None],
            done,
            terminated=torch.zeros_like(done) if cut else done,
        )
        ours = gae(
            rewards, values, everything, gamma=gamma, lam=lam, last_values=last if cut else None
        )
        for a, b in zip(ours, expected, strict=True):
            torch.testing.assert_close(a, b[..., 0], rtol=1e-6, atol=1e-6)  # gamma in float32


def test_no_gradient_flows_back():
    rewards, values, mask = rows()
    advantages, returns = gae(rewards, values.requires_grad_(), mask)
    assert not advantages.requires_grad
    assert not returns.requires_grad


def test_bad_input():
    rewards, values, mask = rows()
    with pytest.raises(ValueError, match="2 rewards and 1 values"):
        td_errors([1, 2], [0])
    for gamma, lam, name in ((1.5, 1, "gamma"), (1, -0.1, "lam"), (float("nan"), 1, "gamma")):
        with pytest.raises(ValueError, match=f"{name} must lie in"):
            gae(rewards, values, mask, gamma=gamma, lam=lam)
        with pytest.raises(ValueError, match=f"{name} must lie in"):
            gae_weights(3, gamma=gamma, lam=lam)
    with pytest.raises(ValueError, match="values"):
        gae(rewards, values[:, 1:], mask)
    with pytest.raises(ValueError, match=r"last_values must be \(4,\), got \(3,\)"):
        gae(rewards, values, mask, last_values=torch.zeros(3))
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        gae_weights(0)
