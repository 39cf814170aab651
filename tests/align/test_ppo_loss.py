"""PPO's loss against loops over tokens, its gradient where it is cut off, and bad input."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.align.ppo_loss import LossConfig, policy_loss, ppo_loss, value_loss
from minillm.align.whiten import AVERAGES

B, T = 3, 5


def numbers(seed=0):
    g = torch.Generator().manual_seed(seed)

    def draw(scale=1.0):
        return scale * torch.randn(B, T, generator=g, dtype=torch.float64)

    mask = torch.tensor([[0, 1, 1, 1, 0], [0, 0, 1, 0, 0], [0, 1, 1, 1, 1]], dtype=torch.bool)
    return draw(0.3) - 2, draw(0.3) - 2, draw(), mask


def averaged(per_token, mask, average):
    """Loops: a dict of losses by place."""
    if average == "length":
        return sum(per_token.values()) / (B * T)
    if average == "tokens":
        return sum(per_token.values()) / len(per_token)
    rows = [[v for (b, _), v in per_token.items() if b == row] for row in range(B)]
    return sum(sum(row) / len(row) for row in rows) / len(rows)


@pytest.mark.parametrize("average", AVERAGES)
@given(st.integers(0, 1000), st.sampled_from([0.05, 0.2, 0.5]))
@settings(deadline=None, max_examples=10)
def test_the_policy_loss_token_by_token(average, seed, eps):
    new, old, A, mask = numbers(seed)
    losses, cut, k3 = {}, {}, {}
    for b, t in mask.nonzero().tolist():
        ratio = math.exp(new[b, t] - old[b, t])
        free, bound = ratio * A[b, t].item(), min(max(ratio, 1 - eps), 1 + eps) * A[b, t].item()
        losses[b, t] = -min(free, bound)
        cut[b, t] = float(bound < free)
        k3[b, t] = 1 / ratio - 1 + math.log(ratio)
    loss, stats = policy_loss(new, old, A, mask, clip_range=eps, average=average)
    assert loss.item() == pytest.approx(averaged(losses, mask, average), abs=1e-12)
    assert stats["clip_fraction"] == pytest.approx(averaged(cut, mask, "tokens"))
    assert stats["approx_kl"] == pytest.approx(averaged(k3, mask, "tokens"))


@pytest.mark.parametrize(
    ("ratio", "A", "moves"),
    [
        (1.5, 1.0, False),  # further up is not paid for
        (0.5, -1.0, False),  # nor further down
        (1.5, -1.0, True),  # too likely, and bad: it comes back
        (0.5, 1.0, True),  # too rare, and good: it comes back
        (1.1, 1.0, True),
        (0.9, -1.0, True),
    ],
)
def test_the_gradient_is_cut_off_on_the_improving_side_only(ratio, A, moves):
    logprobs = torch.tensor([[0.0, math.log(ratio)]], requires_grad=True)
    mask = torch.tensor([[False, True]])
    loss, stats = policy_loss(
        logprobs, torch.zeros(1, 2), torch.full((1, 2), A), mask, clip_range=0.2
    )
    loss.backward()
    expected = -ratio * A if moves else 0.0
    assert logprobs.grad[0, 1].item() == pytest.approx(expected, rel=1e-6)
    assert stats["clip_fraction"] == (not moves)


def test_at_the_start_it_is_the_policy_gradient():
    """Ratio 1: the gradient is that of A log p, the value minus the mean advantage."""
    new, _, A, mask = numbers()
    logprobs = new.clone().requires_grad_()
    loss, stats = policy_loss(logprobs, new, A, mask)
    loss.backward()
    torch.testing.assert_close(logprobs.grad, torch.where(mask, -A / mask.sum(), 0.0))
    assert loss.item() == pytest.approx(-A[mask].mean().item())
    assert stats == {"clip_fraction": 0, "approx_kl": 0, "ratio": 1}


@pytest.mark.parametrize("average", AVERAGES)
@given(st.integers(0, 1000), st.sampled_from([None, 0.1, 0.5]))
@settings(deadline=None, max_examples=10)
def test_the_value_loss_token_by_token(average, seed, eps):
    values, old, returns, mask = numbers(seed)
    losses, errors, cut = {}, {}, {}
    for b, t in mask.nonzero().tolist():
        v, o, r = values[b, t].item(), old[b, t].item(), returns[b, t].item()
        near = v if eps is None else o + min(max(v - o, -eps), eps)
        errors[b, t] = (v - r) ** 2
        losses[b, t] = 0.5 * max((v - r) ** 2, (near - r) ** 2)
        cut[b, t] = float((near - r) ** 2 > (v - r) ** 2)
    loss, stats = value_loss(values, old, returns, mask, clip_range=eps, average=average)
    assert loss.item() == pytest.approx(averaged(losses, mask, average), abs=1e-12)
    assert stats["value_error"] == pytest.approx(averaged(errors, mask, "tokens"))
    assert stats["value_clip_fraction"] == pytest.approx(averaged(cut, mask, "tokens"))


def test_what_is_masked_is_never_read_and_gets_no_gradient():
    new, old, A, mask = numbers()
    bad = torch.full_like(new, math.nan)
    spoilt = [torch.where(mask, x, bad) for x in (new, old, A)]
    for loss_of in (policy_loss, value_loss):
        first = spoilt[0].clone().requires_grad_()
        loss, stats = loss_of(first, *spoilt[1:], mask)
        assert loss.item() == loss_of(new, old, A, mask)[0].item()
        assert all(math.isfinite(x) for x in stats.values())
        loss.backward()
        assert torch.isfinite(first.grad).all()
        assert not first.grad[~mask].any()


def test_only_the_first_is_learned():
    new, old, A, mask = numbers()
    for loss_of in (policy_loss, value_loss):
        leaves = [x.clone().requires_grad_() for x in (new, old, A)]
        loss_of(*leaves, mask)[0].backward()
        assert leaves[0].grad is not None
        assert leaves[1].grad is None
        assert leaves[2].grad is None


def test_the_parts_are_added_with_their_signs():
    config = LossConfig(value_coef=0.5, entropy_coef=0.25)
    parts = [torch.tensor(x) for x in (1.0, 8.0, 4.0)]
    assert ppo_loss(*parts, config) == 1 + 4 - 1


def test_bad_input():
    new, old, A, mask = numbers()
    with pytest.raises(ValueError, match=r"advantages \(3, 4\)"):
        policy_loss(new, old, A[:, 1:], mask)
    with pytest.raises(ValueError, match="all False"):
        value_loss(new, old, A, torch.zeros_like(mask))
    for wrong in (0, -0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="clip_range must be positive and finite"):
            policy_loss(new, old, A, mask, clip_range=wrong)
        with pytest.raises(ValueError, match="clip_range must be positive and finite"):
            value_loss(new, old, A, mask, clip_range=wrong)
    for name, value in (
        ("clip_range", 0),
        ("value_clip", -1),
        ("value_coef", -1),
        ("entropy_coef", math.nan),
        ("average", "mean"),
    ):
        with pytest.raises(ValueError, match=f"loss.{name} must"):
            LossConfig(**{name: value})


def test_values_within_the_range_are_not_called_clipped():
    """old + (values - old) is not always values: what rounding does is not counted."""
    old, values, wanted = torch.randn(3, 40, 50, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(40, 50, dtype=torch.bool)
    assert (old + (values - old)).ne(values).any()
    _, stats = value_loss(values, old, wanted, mask, clip_range=20.0)
    assert stats["value_clip_fraction"] == 0
    _, stats = value_loss(values, old, wanted, mask, clip_range=0.2)
    assert stats["value_clip_fraction"] > 0.2
