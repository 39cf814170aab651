"""The distance from the reference: estimators against the exact sum, and the price a token."""

import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.align.kl import AdaptiveKL, exact_kl, k1, k2, k3, kl_rewards, last_places

V = 6


def two_policies(scale=1.0, seed=0):
    g = torch.Generator().manual_seed(seed)
    return scale * torch.randn(2, V, generator=g, dtype=torch.float64)


def test_exact_kl_is_torchs_and_the_sum():
    p, q = two_policies()
    expected = sum(
        float(a.exp() * (a - b)) for a, b in zip(p.log_softmax(0), q.log_softmax(0), strict=True)
    )
    assert exact_kl(p, q).item() == pytest.approx(expected)
    torchs = torch.distributions.Categorical(logits=p), torch.distributions.Categorical(logits=q)
    assert exact_kl(p, q).item() == pytest.approx(torch.distributions.kl_divergence(*torchs).item())
    assert exact_kl(p, p) == 0
    assert exact_kl(p, q) != exact_kl(q, p)


def test_tokens_that_are_never_drawn():
    p, q = two_policies()
    p[2] = -math.inf
    q[2] = -math.inf
    without = [0, 1, 3, 4, 5]
    assert exact_kl(p, q).item() == pytest.approx(exact_kl(p[without], q[without]).item())
    q[3] = -math.inf
    assert exact_kl(p, q) == math.inf


@given(st.integers(0, 200), st.floats(0.01, 2))
@settings(deadline=None, max_examples=20)
def test_k1_and_k3_have_the_right_mean_and_k2_and_k3_no_sign(seed, scale):
    """The mean over all tokens, weighted by p, is the expectation: no samples, no luck."""
    p, q = two_policies(scale, seed)
    logp, logq = p.log_softmax(0), q.log_softmax(0)
    true = exact_kl(p, q).item()
    for estimator in (k1, k3):
        mean = (logp.exp() * estimator(logp, logq)).sum().item()
        assert mean == pytest.approx(true, rel=1e-9, abs=1e-12)
    assert (k2(logp, logq) >= 0).all()
    assert (k3(logp, logq) >= 0).all()
    assert (k1(logp, logq) < 0).any()


def test_near_the_reference_k2_is_nearly_right_and_k3_has_the_least_noise():
    p, q = two_policies(0.1)
    logp, logq = p.log_softmax(0), q.log_softmax(0)
    true = exact_kl(p, q)
    mean = {e: (logp.exp() * e(logp, logq)).sum() for e in (k1, k2, k3)}
    noise = {e: (logp.exp() * (e(logp, logq) - mean[e]).square()).sum() for e in (k1, k2, k3)}
    assert 1e-6 < abs(mean[k2] - true) < 0.1 * true  # biased, a little
    assert noise[k3] < noise[k1] / 20


def test_k3_can_be_noisier_than_k1():
    """The reference likes what the policy hardly ever says."""
    p = torch.tensor([0.999, 0.001], dtype=torch.float64).log()
    q = torch.tensor([0.5, 0.5], dtype=torch.float64).log()
    noise = []
    for e in (k1, k3):
        value = e(p, q)
        noise.append((p.exp() * (value - (p.exp() * value).sum()).square()).sum())
    assert noise[1] > 10 * noise[0]


def test_the_price_stands_at_each_token_and_the_score_at_the_last():
    mask = torch.tensor([[False, True, True, False], [False, False, True, True], [False] * 4])
    logprobs = torch.tensor([[0, -1, -2, 0], [0, 0, -3, -1], [5, 5, 5, 5]], dtype=torch.float64)
    ref = torch.tensor([[0, -1.5, -1, 0], [0, 0, -3, -4], [0, 0, 0, 0]], dtype=torch.float64)
    scores = torch.tensor([10.0, 20.0, 30.0])
    found = kl_rewards(scores, logprobs, ref, mask, 0.5)
    expected = [[0, -0.25, 10 + 0.5, 0], [0, 0, 0, 20 - 1.5], [0, 0, 0, 0]]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    spoilt = torch.where(mask, ref, torch.nan)
    torch.testing.assert_close(kl_rewards(scores, logprobs, spoilt, mask, 0.5), found)
    free = kl_rewards(scores, logprobs.requires_grad_(), ref, mask, 0.0)
    assert free.sum() == 30  # the row without an answer earns nothing
    assert not free.requires_grad


def test_last_places_with_a_hole():
    mask = torch.tensor([[True, False, True, False], [True, True, True, True], [False] * 4])
    assert last_places(mask).tolist() == [
        [False, False, True, False],
        [False, False, False, True],
        [False] * 4,
    ]


def test_the_price_follows_the_distance():
    rule = AdaptiveKL(target=6.0, horizon=1000)
    assert rule.update(0.1, 6.0, 100) == 0.1
    assert rule.update(0.1, 6.6, 100) == pytest.approx(0.1 * (1 + 0.1 * 0.1))
    assert rule.update(0.1, 60.0, 100) == pytest.approx(0.1 * 1.02)  # cut off at 0.2
    assert rule.update(0.1, -3.0, 100) == pytest.approx(0.1 * 0.98)


def test_torchrls_rule_is_ours():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchrl.data import AdaptiveKLController

        theirs = AdaptiveKLController(init_kl_coef=0.1, target=6.0, horizon=1000)
        ours, rule = 0.1, AdaptiveKL(target=6.0, horizon=1000)
        for kl in (3.0, 6.5, 40.0, 7.0):
            theirs.update([-float(theirs.coef) * kl] * 64)  # it is told what was paid
            ours = rule.update(ours, kl, 64)
            assert float(theirs.coef) == pytest.approx(ours, rel=1e-6)


def test_bad_input():
    p, q = two_policies()
    with pytest.raises(ValueError, match="must have one shape"):
        exact_kl(p, q[:3])
    mask = torch.ones(2, 3, dtype=torch.bool)
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"scores must be \(2,\), one a row; got \(3,\)"):
        kl_rewards(torch.zeros(3), x, x, mask, 0.1)
    for wrong in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="kl_coef must be finite and not negative"):
            kl_rewards(torch.zeros(2), x, x, mask, wrong)
    with pytest.raises(ValueError, match="ref_logprobs"):
        kl_rewards(torch.zeros(2), x, x[:1], mask, 0.1)
    with pytest.raises(ValueError, match="target must be positive, got 0"):
        AdaptiveKL(target=0)
    with pytest.raises(ValueError, match="horizon must be positive, got -1"):
        AdaptiveKL(target=1, horizon=-1)
