"""Weights learned by group DRO: the update by hand, the objective, and a game with a known end."""

import itertools
import math
import random

import numpy as np
import pytest
import torch
from torch import nn

from minillm.objectives import causal_loss
from minillm.recipes.group_dro import DomainBatches, GroupDRO, learn_weights, update_weights

T = 4


def test_an_update_by_hand():
    # 1/2 e^0 : 1/2 e^(ln 3) = 1 : 3
    even = np.array([0.5, 0.5])
    moved = update_weights(even, [0, math.log(3)], smoothing=0)
    assert moved == pytest.approx([0.25, 0.75])
    assert update_weights(even, [0, math.log(3)], smoothing=0.1) == pytest.approx(
        [0.9 * 0.25 + 0.05, 0.9 * 0.75 + 0.05]
    )
    assert update_weights(moved, [0, math.log(3)], smoothing=0) == pytest.approx([0.1, 0.9])
    assert update_weights(even, [0, 2 * math.log(3)], step_size=0.5, smoothing=0) == pytest.approx(
        [0.25, 0.75]
    )


def test_random_updates_equal_the_formula_and_stay_in_their_bounds():
    draw = random.Random(1)
    for _ in range(2_000):
        k = draw.randint(1, 6)
        weights = np.array([draw.random() + 1e-3 for _ in range(k)])
        weights /= weights.sum()
        excess = np.array([draw.uniform(-3, 3) for _ in range(k)])
        eta, c = draw.choice([0, 0.1, 1, 3]), draw.choice([0, 1e-3, 0.2, 1])
        moved = update_weights(weights, excess, step_size=eta, smoothing=c)
        raised = weights * np.exp(eta * excess)
        assert np.allclose(moved, (1 - c) * raised / raised.sum() + c / k, rtol=1e-12, atol=0)
        assert math.isclose(moved.sum(), 1, rel_tol=1e-12)
        assert moved.min() >= c / k * (1 - 1e-12)
    large = update_weights(np.array([0.5, 0.5]), np.array([2_000.0, 0.0]))
    assert large == pytest.approx([0.9995, 0.0005])  # and no overflow


@pytest.mark.parametrize(
    ("weights", "excess", "settings", "words"),
    [
        ([0.5, 0.5], [1], {}, "need a finite excess"),
        ([0.5, 0.5], [1, math.nan], {}, "need a finite excess"),
        ([[1.0]], [[1.0]], {}, "need a finite excess"),
        ([1.0], [1.0], {"step_size": -1}, "step_size must be 0 or more"),
        ([1.0], [1.0], {"smoothing": 1.5}, "got 1.0 and 1.5"),
    ],
)
def test_updates_without_meaning_are_refused(weights, excess, settings, words):
    with pytest.raises(ValueError, match=words):
        update_weights(weights, excess, **settings)


def tokens(value, n=60):
    return np.full(n * T + 1, value)


def test_rows_of_a_batch_belong_to_their_domains():
    batches = DomainBatches({"a": tokens(1), "b": tokens(2), "c": tokens(3)}, 6, T, seed=1)
    x, y = next(iter(batches))
    assert x.tolist() == y.tolist() == [[1] * T] * 2 + [[2] * T] * 2 + [[3] * T] * 2
    for bad, n in ((4, "4"), (7, "7")):
        with pytest.raises(ValueError, match=f"batch_size {n} must be a multiple of the 3"):
            DomainBatches({"a": tokens(1), "b": tokens(2), "c": tokens(3)}, bad, T)
    with pytest.raises(ValueError, match="the 0 domains"):
        DomainBatches({}, 4, T)


def test_domain_batches_resume():
    domains = {"a": np.arange(201), "b": np.arange(500, 601)}
    whole = [x for x, _ in itertools.islice(DomainBatches(domains, 4, T, seed=2), 40)]
    first = DomainBatches(domains, 4, T, seed=2)
    for _ in range(11):
        next(first)
    second = DomainBatches(domains, 4, T, seed=2)
    second.load_state_dict(first.state_dict())
    assert all(torch.equal(next(second)[0], x) for x in whole[11:])


class Unigram(nn.Module):
    """Logits that do not look at the text: one number an id."""

    def __init__(self, values):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(values, dtype=torch.float64))

    def forward(self, ids):
        return self.logits.expand(*ids.shape, -1)


def test_the_objective_by_hand():
    model = Unigram([0.0, 0.0, 0.0, 0.0])  # ln 4 everywhere
    sure_of_2 = Unigram([0.0, 0.0, 9.0, 0.0])
    x, y = next(DomainBatches({"a": tokens(1), "b": tokens(2)}, 2, T))
    objective = GroupDRO(2, sure_of_2, smoothing=0)
    loss = objective(model, x, y)
    excess_b = math.log(4) - (math.log(3 + math.exp(9)) - 9)  # domain a's is cut off at 0
    b = math.exp(excess_b) / (1 + math.exp(excess_b))
    assert objective.weights == pytest.approx([1 - b, b])
    assert loss.item() == pytest.approx(math.log(4))  # both lose ln 4, whatever the weights
    assert objective.history[0] is objective.weights
    assert sure_of_2.logits.grad is None
    loss.backward()
    towards = model.logits.grad  # p - y, weighted
    assert towards.tolist() == pytest.approx([0.25, 0.25 - (1 - b), 0.25 - b, 0.25])


def test_excess_is_cut_off_token_by_token():
    """A token on which the proxy is better does not pay for one on which it is worse."""
    model, reference = Unigram([0.0, 2.0, 0.0]), Unigram([0.0, 0.0, 2.0])
    mixed = np.array([1, 2] * 40)
    x, y = next(DomainBatches({"a": mixed, "b": tokens(0)}, 2, T))
    objective = GroupDRO(2, reference, smoothing=0)
    objective(model, x, y)
    # in a half of the tokens lose 2 nats more than in the reference, in b nothing differs
    assert objective.weights[0] == pytest.approx(math.e / (1 + math.e))


def test_without_a_reference_the_loss_itself_counts():
    model = Unigram([0.0, 0.0, 3.0])
    x, y = next(DomainBatches({"a": tokens(1), "b": tokens(2)}, 2, T))
    objective = GroupDRO(2, None, smoothing=0)
    objective(model, x, y)
    assert objective.weights[0] == pytest.approx(math.exp(3) / (1 + math.exp(3)))


def make_train_fn(calls, steps=60, lr=0.5):
    def train_fn(batches, objective):
        model = Unigram([0.0] * 4)
        calls.append(objective)
        descend = torch.optim.SGD(model.parameters(), lr=lr)
        for x, y in itertools.islice(batches, steps):
            descend.zero_grad()
            objective(model, x, y).backward()
            descend.step()
        return model

    return train_fn


def domains():
    """b can be learned, a is noise over all ids: it loses ln 4 for ever."""
    rng = np.random.default_rng(0)
    return {"a": rng.integers(0, 4, 2_001), "b": tokens(2, 500)}


def test_the_reference_keeps_the_weights_from_running_after_noise():
    calls = []
    learned = learn_weights(domains(), make_train_fn(calls), batch_size=8, context=T, seed=1)
    assert calls[0] is causal_loss
    assert isinstance(calls[1], GroupDRO)
    assert learned.history.shape == (60, 2)
    assert sum(learned.weights.values()) == pytest.approx(1)
    assert list(learned.weights.values()) == pytest.approx(learned.history.mean(axis=0))
    assert not learned.reference.training
    assert not learned.reference.logits.requires_grad
    plain = learn_weights(
        domains(), make_train_fn([]), batch_size=8, context=T, seed=1, with_reference=False
    )
    assert plain.reference is None
    assert plain.weights["a"] > 0.9  # after the domain that nobody can learn
    assert learned.weights["a"] < plain.weights["a"] - 0.2
    again = learn_weights(domains(), make_train_fn([]), batch_size=8, context=T, seed=1)
    assert again.weights == learned.weights


def test_a_train_fn_that_never_asks_is_refused():
    with pytest.raises(ValueError, match="never called its objective"):
        learn_weights(domains(), lambda b, o: Unigram([0.0] * 4), batch_size=8, context=T)
