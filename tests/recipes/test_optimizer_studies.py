"""The studies of lesson 20a: what is equal between arms, and how a value is made of a run."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from minillm.recipes.studies import beta2_spike as spike
from minillm.recipes.studies import broken_runs as broken
from minillm.recipes.studies import decay_or_l2 as decay
from minillm.recipes.studies import rate_sensitivity as rates
from minillm.train import AdamW, NotFiniteError


def test_sensitivity_is_the_mean_excess_over_the_best():
    assert rates.sensitivity({0.1: 3.0, 0.2: 2.0, 0.4: 8.0}) == pytest.approx((1 + 0 + 6) / 3)
    assert rates.sensitivity({0.1: 3.0, 0.2: 3.0}) == 0


@pytest.mark.parametrize("kind", rates.KINDS)
def test_seven_rates_around_the_centre(kind):
    found = rates.rates(kind)
    assert len(found) == 7
    assert found[3] == rates.CENTRES[kind]
    assert all(b == 2 * a for a, b in itertools.pairwise(found))


def test_texts_are_apart_and_the_short_text_is_the_start_of_the_long_one():
    tokens, test = rates.texts()
    short, same = rates.texts(decay.TRAIN_BYTES)
    assert (len(tokens), len(short)) == (rates.TRAIN_BYTES, decay.TRAIN_BYTES)
    assert np.array_equal(short, tokens[: len(short)])
    assert test == same
    read = bytes(t for t in tokens.tolist() if t < 256)
    assert not any(text.encode() in read for text in test if len(text) > 200)


def test_a_run_that_ends_in_nan_counts_as_a_guess(monkeypatch):
    def broken(*args, **kwargs):
        raise NotFiniteError("the loss is nan")

    monkeypatch.setattr(rates, "train_with", broken)
    assert rates.bits_at("sgd", 1.0, 1) == rates.GUESS == 8.0


def test_only_the_cold_arm_has_no_warm_up(monkeypatch):
    told = {}

    def note(optimizer, *args, warmup_steps):
        told[type(optimizer).__name__, optimizer.defaults["lr"]] = warmup_steps

    monkeypatch.setattr(rates, "train_with", note)
    monkeypatch.setattr(rates, "bits_on", lambda model, texts: 9.0)
    for lr, kind in enumerate(rates.KINDS, start=1):
        assert rates.bits_at(kind, float(lr), 1) == rates.GUESS  # and not 9
    assert [*told.values()] == [rates.WARMUP] * 5 + [0]
    names = [name for name, _ in told]
    assert names == ["SGD", "SGD", "Adagrad", "RMSprop", "AdamW", "AdamW"]


def test_the_loss_of_one_call_is_multiplied():
    class Flat(nn.Module):
        def forward(self, x):
            return torch.zeros(*x.shape, 5)

    x = torch.zeros(2, 3, dtype=torch.long)
    loss = spike.Spiked(2)
    found = [loss(Flat(), x, x).item() / math.log(5) for _ in range(3)]
    assert found == pytest.approx([1, spike.SIZE, 1])
    never = spike.Spiked(0)
    assert never(Flat(), x, x).item() == pytest.approx(math.log(5))


def test_the_first_update_has_length_one():
    params = [nn.Parameter(torch.ones(7)), nn.Parameter(torch.ones(2, 3))]
    optimizer = AdamW(params, 0.1, weight_decay=0.0)
    for p in params:
        p.grad = torch.randn_like(p)
    before = [p.detach().clone() for p in params]
    optimizer.step()
    assert spike.update_length(optimizer) == pytest.approx(1, rel=1e-6)
    params[0].grad, params[1].grad = torch.zeros(7), torch.ones(2, 3)
    before = torch.cat([p.detach().flatten().clone() for p in params])
    optimizer.step()
    after = torch.cat([p.detach().flatten() for p in params])
    moved = ((after - before) / 0.1).square().mean().sqrt().item()
    assert spike.update_length(optimizer) == pytest.approx(moved, rel=1e-4)


def test_steps_to_recover_by_hand(monkeypatch):
    monkeypatch.setattr(spike, "SPIKE_STEP", 1)
    monkeypatch.setattr(spike, "WINDOW", 2)
    calm = [1.0] * 7
    #             spike  k=1  k=2  k=3  k=4
    assert spike.steps_to_recover([9, 0.1, 0.5, 0.9, 1.0, 1.0, 1.0], calm) == 2
    assert spike.steps_to_recover([9, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], calm) == 0
    assert spike.steps_to_recover([9, 0.1, 1.0, 1.0, 0.2, 1.0, 1.0], calm) == 4
    assert spike.steps_to_recover([9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], calm) == 6


def test_twins_part_after_the_spike(monkeypatch):
    for name, value in (("STEPS", 6), ("SPIKE_STEP", 4), ("WARMUP", 2)):
        monkeypatch.setattr(spike, name, value)
    one, lengths, _ = spike.train_twin(0.95, math.inf, 1, spike_step=4)
    other, calm, _ = spike.train_twin(0.95, math.inf, 1, spike_step=0)
    assert one[:3] == other[:3]
    assert lengths[:3] == calm[:3]
    assert one[3] == pytest.approx(other[3], rel=1e-6)
    assert lengths[3] != calm[3]
    assert one[4] != other[4]


def test_quarters_sort_weights_by_their_squared_gradients():
    p = nn.Parameter(torch.arange(1.0, 10.0).view(3, 3))
    gain = nn.Parameter(torch.full((4,), 100.0))
    optimizer = AdamW([p, gain], 0.0, weight_decay=0.0)
    p.grad = torch.arange(9.0, 0.0, -1.0).view(3, 3)  # the largest weights, the smallest gradients
    p.grad[0, 0] = 0.0  # left out
    gain.grad = torch.ones(4)
    optimizer.step()
    found = decay.quarters(optimizer)
    wanted = [math.sqrt((a * a + b * b) / 2) for a, b in ((9, 8), (7, 6), (5, 4), (3, 2))]
    assert found == pytest.approx(wanted)


def test_the_two_ways_of_decay(monkeypatch):
    monkeypatch.setattr(decay, "STEPS", 2)
    monkeypatch.setattr(decay, "WARMUP", 1)
    _, adamw, losses = decay.train_way("adamw", 0.3, 1)
    _, adam, _ = decay.train_way("adam", 0.3, 1)
    assert len(losses) == 2
    assert [g["weight_decay"] for g in adamw.param_groups] == [0.3, 0.0]
    assert [g["l2"] for g in adam.param_groups] == [0.3, 0.0]
    for group in (*adamw.param_groups, *adam.param_groups):
        assert (group["max_lr"], group["betas"]) == (decay.LR, (0.9, 0.95))


def test_arms_are_what_the_pilot_chose():
    arms = decay.JOB.arms
    assert arms["none"] == {"kind": "adamw", "strength": 0.0}
    for kind, (best, strong) in decay.STRENGTHS.items():
        assert arms[f"{kind}_best"] == {"kind": kind, "strength": best}
        assert arms[f"{kind}_strong"] == {"kind": kind, "strength": strong}


class Ones(nn.Module):
    """Logits that only tell which mask and which ids were asked for."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def forward(self, x, mask=None, causal=True):
        self.asked.append((x, mask, causal))
        return torch.zeros(*x.shape, 9)


def test_each_bug_is_the_one_that_it_is_named_after(monkeypatch):
    x, y = torch.arange(6).view(1, 6), torch.arange(1, 7).view(1, 6)
    model = Ones()
    broken.one_too_far(model, x, y)
    _, mask, causal = model.asked[0]
    assert not causal
    assert mask[0].tolist() == [True, True, False, False, False, False]
    assert mask[4:].all()
    told = []
    monkeypatch.setattr(broken, "causal_loss", lambda model, x, y: told.append((x, y)))
    broken.not_shifted(model, x, y)
    broken.shifted_twice(model, x, y)
    assert torch.equal(*told[0])
    assert torch.equal(told[1][1], told[1][0] + 2)


def test_without_shuffling_the_same_few_batches_come_again():
    batches = iter(broken.Again(3))
    first = [next(batches) for _ in range(7)]
    assert first[0][0].shape == (rates.SMALL.batch_size, rates.SMALL.context)
    assert torch.equal(first[0][0], first[3][0])
    assert torch.equal(first[0][0], first[6][0])
    assert not torch.equal(first[0][0], first[1][0])
    for x, y in first:
        assert torch.equal(x[:, 1:], y[:, :-1])
    row = torch.cat([x.flatten() for x, _ in first[:3]])
    assert np.array_equal(row.numpy(), rates.texts()[0][: len(row)])


def test_a_broken_run_that_ends_early_is_filled_up(monkeypatch):
    def stops(optimizer, model, tokens, seed, *, log, **how):
        log({"loss": 5.0})
        log({"loss": 50.0})
        raise NotFiniteError("the loss is nan")

    monkeypatch.setattr(broken, "train_with", stops)
    losses, bits = broken.train_broken(broken.ARMS["rate_too_large"], 1)
    assert len(losses) == rates.SMALL.steps
    assert losses[:3] == [5.0, broken.WORST, broken.WORST]
    assert bits == math.inf
    found = broken.run(broken.ARMS["rate_too_large"], 1)
    assert found["bits"] == 20
    assert list(found)[:-1] == [f"loss {step}" for step in broken.CHECKS]


def test_arms_differ_from_the_healthy_one_in_one_setting():
    for arm, settings in broken.ARMS.items():
        changed = [k for k, v in settings.items() if v != broken.HEALTHY[k]]
        assert len(changed) == (arm != "healthy")


def test_centres_are_the_best_of_the_pilot():
    for kind, bits in rates.PILOT.items():
        assert rates.CENTRES[kind] == min(bits, key=lambda lr: bits[lr])
