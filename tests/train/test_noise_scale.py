"""The noise scale on a problem whose G and Sigma are known."""

import math

import pytest
import torch
from torch import nn

from minillm.train.noise_scale import (
    NoiseParts,
    NoiseScale,
    critical_batch,
    examples_over_least,
    flat_gradient,
    noise_parts,
    parts_of_accumulation,
    steps_over_least,
)

P = 12


def known():
    """G, and a root of Sigma that is not diagonal."""
    g = torch.Generator().manual_seed(0)
    G = torch.randn(P, generator=g, dtype=torch.float64)
    root = torch.randn(P, P, generator=g, dtype=torch.float64)
    return G, root


def batch_gradients(n, size, seed):
    """n gradients, each the mean over `size` examples; the noise is not normal."""
    G, root = known()
    g = torch.Generator().manual_seed(seed)
    noise = torch.empty(n, size, P, dtype=torch.float64).exponential_(generator=g) - 1
    return G + noise.mean(dim=1) @ root.T


def test_both_parts_are_unbiased():
    G, root = known()
    signal, noise = float(G @ G), float((root**2).sum())  # tr(root root^T)
    small = (batch_gradients(4000, 4, 1) ** 2).sum(dim=1)
    big = (batch_gradients(4000, 32, 2) ** 2).sum(dim=1)
    each = [
        noise_parts(a, b, small=4, big=32)
        for a, b in zip(small.tolist(), big.tolist(), strict=True)
    ]
    for name, truth in (("signal", signal), ("noise", noise)):
        values = torch.tensor([getattr(p, name) for p in each], dtype=torch.float64)
        error = values.std().item() / math.sqrt(len(each))
        assert abs(values.mean().item() - truth) < 4 * error
        assert error < 0.05 * truth
    naive = small.mean().item()  # the size of a small batch's gradient is no estimate of |G|^2
    assert naive > 1.5 * signal


def test_running_estimate_finds_the_scale():
    G, root = known()
    truth = float((root**2).sum() / (G @ G))
    estimate = NoiseScale(memory=0.999)
    for seed in range(800):
        estimate.add(parts_of_accumulation(list(batch_gradients(8, 4, 100 + seed)), size=4))
    assert estimate.scale == pytest.approx(truth, rel=0.1)
    assert estimate.n_steps == 800


def test_accumulation_gives_the_usual_variance():
    micro = batch_gradients(6, 5, 3)
    parts = parts_of_accumulation([g.reshape(3, 4) for g in micro], size=5)
    assert parts.noise == pytest.approx(5 * micro.var(dim=0, correction=1).sum().item(), rel=1e-10)
    mean = micro.mean(dim=0)
    assert parts.signal == pytest.approx(float(mean @ mean) - parts.noise / 30, rel=1e-10)


def test_by_hand():
    """|G|^2 = 3 and tr(Sigma) = 8: sizes 3 + 8/2 and 3 + 8/8."""
    assert noise_parts(7.0, 4.0, small=2, big=8) == NoiseParts(3.0, 8.0)
    assert NoiseParts(3.0, 8.0).scale == pytest.approx(8 / 3)


def test_the_ratio_is_taken_last():
    """Two steps whose ratios are 1 and 9: the estimate is 5 / 1 here, as the signals agree."""
    estimate = NoiseScale(memory=0.5)
    estimate.add(NoiseParts(1.0, 1.0))
    assert estimate.scale == 1.0  # no trace of the start at zero
    estimate.add(NoiseParts(3.0, 9.0))
    assert estimate.parts.signal == pytest.approx((1 + 2 * 3) / 3)
    assert estimate.scale == pytest.approx((1 + 2 * 9) / (1 + 2 * 3))


def test_without_noise_the_scale_is_zero():
    g = torch.ones(5)
    assert parts_of_accumulation([g, g, g], size=2).scale == pytest.approx(0.0, abs=1e-12)


def test_flat_gradient_of_a_model_and_a_scale_from_it():
    """Mean gradients of halves of a batch, from real backward passes."""
    model = nn.Linear(3, 1, bias=False).double()
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    micro = []
    for part in x.split(2):
        model.zero_grad()
        model(part).mean().backward()
        micro.append(flat_gradient(model.parameters()))
    torch.testing.assert_close(torch.stack(micro).mean(0), x.mean(0))
    assert parts_of_accumulation(micro, size=2).noise == pytest.approx(
        2 * torch.stack([p.mean(0) for p in x.split(2)]).var(0).sum().item()
    )
    model.zero_grad()
    with pytest.raises(ValueError, match="call backward"):
        flat_gradient(model.parameters())


# ---- the trade ---------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1.0, 20.0, 700.0])
def test_steps_and_examples_lie_on_the_hyperbola(batch):
    s, e = steps_over_least(batch, 20.0), examples_over_least(batch, 20.0)
    assert (s - 1) * (e - 1) == pytest.approx(1.0)
    assert s * batch / (e * 20.0) == pytest.approx(1.0)  # E = B S, and E_min = B_crit S_min


def test_at_the_critical_size_both_are_doubled():
    assert steps_over_least(20.0, 20.0) == examples_over_least(20.0, 20.0) == 2.0
    assert steps_over_least(10.0, 20.0) == 3.0
    assert critical_batch(100.0, 2000.0) == 20.0


def test_progress_of_a_step_is_what_the_noise_leaves():
    """One step on a quadratic, with the best rate of each batch size."""
    G, sigma, curvature = 2.0, 6.0, 3.0
    for batch in (1.0, 9.0, 100.0):
        second = curvature * (G**2 + sigma**2 / batch)
        best = G**4 / (2 * second)  # max over lr of lr G^2 - lr^2 second / 2
        most = G**2 / (2 * curvature)
        assert most / best == pytest.approx(steps_over_least(batch, sigma**2 / G**2))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: noise_parts(1, 1, small=0, big=2), "small=0"),
        (lambda: noise_parts(1, 1, small=2, big=2), "0 < small < big, got small=2, big=2"),
        (lambda: parts_of_accumulation([torch.ones(1)], size=1), "got 1: accumulate more"),
        (lambda: parts_of_accumulation([torch.ones(1)] * 2, size=0), "small=0"),
        (lambda: NoiseParts(-1.0, 2.0).scale, "the noise hides it"),
        (lambda: NoiseParts(0.0, 2.0).scale, "average more steps"),
        (lambda: NoiseScale(1.0), r"memory must lie in \[0, 1\), got 1.0"),
        (lambda: NoiseScale().scale, "no step was added yet"),
        (lambda: steps_over_least(0.0, 1.0), "batch=0.0"),
        (lambda: examples_over_least(1.0, -1.0), "sizes must be positive"),
        (lambda: critical_batch(0.0, 1.0), "need positive ends, got 0.0 steps"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(ValueError, match=words):
        call()
