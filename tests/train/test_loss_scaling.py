"""The loss scaler against torch.amp.GradScaler, step by step, and what it is for."""

import math
import random

import pytest
import torch
from torch import nn

from minillm.train.loss_scaling import LossScaler, ScalerConfig, ScalerState, next_scale

SHORT = ScalerConfig(start=1024.0, growth=2.0, backoff=0.5, patience=3)


def both(events, config):
    """The scales of ours and of torch's before each step, and how often each moved the weights."""
    p, q = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    a, b = torch.optim.SGD([p], lr=1.0), torch.optim.SGD([q], lr=1.0)
    ours = LossScaler(config)
    theirs = torch.amp.GradScaler(
        "cpu",
        init_scale=config.start,
        growth_factor=config.growth,
        backoff_factor=config.backoff,
        growth_interval=config.patience,
    )
    scales = []
    for event in events:
        scales.append((ours.state.scale, theirs.get_scale()))
        theirs.scale(torch.zeros(1))
        for x in (p, q):
            x.grad = torch.tensor([1.0, event])
        if ours.unscale([p]):
            a.step()
        ours.update()
        theirs.unscale_(b)
        theirs.step(b)
        theirs.update()
    return scales, p.detach(), q.detach(), ours.n_skipped


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("config", [SHORT, ScalerConfig(7.0, 3.0, 0.1, 1), ScalerConfig()])
def test_scales_are_those_of_gradscaler(config, seed):
    rng = random.Random(seed)
    events = [rng.choice([1.0, 1.0, 1.0, math.inf, math.nan, -math.inf]) for _ in range(60)]
    scales, p, q, n_skipped = both(events, config)
    assert [ours for ours, _ in scales] == pytest.approx([theirs for _, theirs in scales], rel=1e-6)
    torch.testing.assert_close(p, q, rtol=1e-6, atol=0)  # the same steps were made
    assert n_skipped == sum(not math.isfinite(e) for e in events)


def test_it_never_grows_beyond_float32():
    huge = ScalerConfig(start=2.0**126, patience=1)
    scales, *_ = both([1.0] * 6, huge)
    assert [a for a, _ in scales] == [b for _, b in scales]
    assert scales[-1][0] == 2.0**127


def test_by_hand():
    state = ScalerState(1024.0)
    told = []
    for overflow in (False, False, True, False, False, False, False):
        state = next_scale(state, overflow=overflow, config=SHORT)
        told.append((state.scale, state.good))
    assert told == [
        (1024, 1), (1024, 2), (512, 0), (512, 1), (512, 2), (1024, 0), (1024, 1),
    ]  # fmt: skip


def test_small_gradients_survive_in_float16():
    """A gradient of 1e-8 is zero in float16; scaled by 2^16 it is not."""
    x = torch.tensor([1e-8], dtype=torch.float32)

    def gradient(scale):
        w = nn.Parameter(torch.ones(1, dtype=torch.float16))
        (w * (x * scale).half()).sum().backward()
        return w.grad.float() / scale

    assert gradient(1.0).item() == 0.0
    assert gradient(2.0**16).item() == pytest.approx(1e-8, rel=1e-3)


def test_scale_and_unscale_are_inverse():
    w = nn.Parameter(torch.tensor([3.0]))
    still = nn.Parameter(torch.tensor([3.0]))
    scaler = LossScaler(SHORT)
    scaler.scale((w**2).sum()).backward()
    assert w.grad.item() == 6.0 * 1024
    assert scaler.unscale([w, still]) is True
    assert w.grad.item() == 6.0


def test_an_overflow_anywhere_counts():
    for place in (0, 1):
        ps = [nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))]
        for p in ps:
            p.grad = torch.ones(1)
        ps[place].grad[0] = math.inf
        assert LossScaler().unscale(ps) is False


def test_order_of_calls_is_checked():
    scaler = LossScaler()
    with pytest.raises(ValueError, match="unscale was not called"):
        scaler.update()
    scaler.unscale([])
    with pytest.raises(ValueError, match="called twice"):
        scaler.unscale([])
    scaler.update()
    assert scaler.unscale([]) is True


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"start": 0.0}, "start must be positive and finite, got 0.0"),
        ({"start": math.inf}, "start must be"),
        ({"growth": 1.0}, "growth must be above 1, got 1.0"),
        ({"backoff": 1.0}, "backoff must lie between 0 and 1, got 1.0"),
        ({"backoff": 0.0}, "backoff"),
        ({"patience": 0}, "patience must be at least 1, got 0"),
    ],
)
def test_refusals(how, words):
    with pytest.raises(ValueError, match=words):
        ScalerConfig(**how)
