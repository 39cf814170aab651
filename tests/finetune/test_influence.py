"""Influence against training again; gradients against true steps; sketches against the whole."""

import copy

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import pearsonr

from minillm.finetune.chat import shift
from minillm.finetune.convex import Logistic
from minillm.finetune.influence import (
    changes_by_retraining,
    example_gradients,
    gradient_scores,
    influence_of_removal,
)
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.objectives import fast_cross_entropy

CONFIG = DecoderConfig(
    vocab_size=32,
    d_model=16,
    n_layers=1,
    context=10,
    attention=AttentionConfig(2, 2),
    feedforward=FeedForwardConfig("swiglu", 16),
    init_std=0.2,
)


def problem(n=40, d=3, seed=0, l2=0.05):
    dice = np.random.default_rng(seed)
    x = np.concatenate([dice.normal(size=(n, d)), np.ones((n, 1))], axis=1)
    truth = np.array([2.0, -1.0, 0.5, 0.3])[: d + 1]  # the same for every seed
    s = np.where(x @ truth + dice.normal(size=n) > 0, 1, -1)
    return Logistic(x, s, l2)


def model(seed=0):
    torch.manual_seed(seed)
    return Decoder(CONFIG).double()


def rows(n=4, seed=0):
    dice = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        length, prompt = int(dice.integers(5, 10)), 3
        ids = dice.integers(0, 32, length).tolist()
        made.append((ids, [t >= prompt for t in range(length)]))
    return made


# --- the ground


def test_newton_finds_what_scipy_finds():
    for seed in range(3):
        p = problem(seed=seed)
        w = np.random.default_rng(seed).uniform(0, 3, len(p.s))

        def height(theta, p=p, w=w):
            return np.mean(w * np.logaddexp(0, -p.s * (p.x @ theta))) + p.l2 / 2 * theta @ theta

        found = minimize(height, np.zeros(4), method="BFGS", options={"gtol": 1e-9})
        np.testing.assert_allclose(p.fit(w), found.x, atol=1e-5)


def test_gradients_and_hessian_are_the_slopes_of_the_losses():
    p, theta, e = problem(), np.array([0.5, -1.0, 0.3, 0.2]), 1e-6
    w = np.linspace(0, 2, len(p.s))
    for j in range(4):
        step = e * np.eye(4)[j]
        slope = (p.losses(theta + step) - p.losses(theta - step)) / (2 * e)
        np.testing.assert_allclose(p.gradients(theta)[:, j], slope, atol=1e-8)
        g = [w @ p.gradients(theta + s) / len(p.s) + p.l2 * (theta + s) for s in (step, -step)]
        np.testing.assert_allclose(p.hessian(theta, w)[j], (g[0] - g[1]) / (2 * e), atol=1e-7)
    np.testing.assert_array_equal(p.hessian(theta), p.hessian(theta, np.ones(len(p.s))))


def test_nothing_overflows_far_away():
    p = problem()
    for far in (np.full(4, 1e4), np.full(4, -1e4)):
        for value in (p.losses(far), p.gradients(far), p.hessian(far)):
            assert np.isfinite(value).all()


def test_weight_zero_is_leaving_out():
    p = problem(n=20)
    w = np.ones(20)
    w[4] = 0
    rest = np.delete(np.arange(20), 4)
    alone = Logistic(p.x[rest], p.s[rest], p.l2 * 20 / 19)  # the mean is now over 19
    np.testing.assert_allclose(p.fit(w), alone.fit(), atol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((np.ones((3, 2)), np.ones(2), 0.1), "are not .N, D. and .N,."),
        ((np.ones(3), np.ones(3), 0.1), "are not .N, D. and .N,."),
        ((np.ones((3, 2)), np.array([0, 1, 1]), 0.1), r"\+1 or -1"),
        ((np.ones((3, 2)), np.ones(3), 0.0), "l2 must be positive"),
    ],
)
def test_the_problem_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        Logistic(*arguments)
    with pytest.raises(ValueError, match="not negative"):
        problem(n=5).fit(np.array([1, 1, 1, 1, -1.0]))
    with pytest.raises(ValueError, match=r"must be \(5,\)"):
        problem(n=5).fit(np.ones(4))


# --- influence


def test_influence_is_the_slope_of_the_loss_by_a_weight():
    """At weight 1 exactly, by finite differences of trainings."""
    p, target, e = problem(), problem(n=10, seed=9), 1e-4
    theta = p.fit()
    g_target = target.gradients(theta).mean(axis=0)
    predicted = influence_of_removal(p.hessian(theta), p.gradients(theta), g_target)
    for i in (0, 7, 31):
        losses = []
        for sign in (1, -1):
            w = np.ones(len(p.s))
            w[i] += sign * e
            losses.append(target.losses(p.fit(w)).mean())
        assert (losses[1] - losses[0]) / (2 * e) == pytest.approx(predicted[i], rel=1e-4)


def test_influence_predicts_training_without_the_example():
    p, target = problem(n=80), problem(n=30, seed=9)
    theta = p.fit()
    predicted = influence_of_removal(
        p.hessian(theta), p.gradients(theta), target.gradients(theta).mean(axis=0)
    )
    true = changes_by_retraining(p, target)
    assert pearsonr(predicted, true)[0] > 0.98
    assert np.abs(predicted - true).max() < 0.4 * np.abs(true).max()  # one Hessian for all
    assert (true > 0).any()
    assert (true < 0).any()  # some help and some harm


def test_retraining_is_training_on_the_rest():
    p, target = problem(n=12), problem(n=6, seed=9)
    changes = changes_by_retraining(p, target)
    rest = np.arange(1, 12)
    without = Logistic(p.x[rest], p.s[rest], p.l2 * 12 / 11).fit()
    expected = target.losses(without).mean() - target.losses(p.fit()).mean()
    assert changes[0] == pytest.approx(expected, abs=1e-9)
    assert changes.shape == (12,)


def test_a_wrong_label_is_harmful():
    p = problem(n=60)
    s = p.s.copy()
    theta = p.fit()
    wrong = np.argsort(-np.abs(p.x @ theta))[:3]  # clear cases, turned round
    s[wrong] = -np.sign(p.x @ theta)[wrong].astype(int)
    bad, target = Logistic(p.x, s, p.l2), problem(n=200)
    theta = bad.fit()
    told = influence_of_removal(
        bad.hessian(theta), bad.gradients(theta), target.gradients(theta).mean(axis=0)
    )
    assert set(wrong) <= set(np.argsort(told)[:6])
    assert (told[wrong] < 0).all()


def test_influence_refuses():
    for shapes in (((3, 3), (5, 2), (2,)), ((2, 2), (5, 3), (2,)), ((2, 2), (2,), (2,))):
        with pytest.raises(ValueError, match=r"are not \(D, D\)"):
            influence_of_removal(*(np.ones(shape) for shape in shapes))


# --- gradients of a language model


def loss_of(net, row):
    x, y = shift(*row)
    return fast_cross_entropy(net(torch.tensor([x])), torch.tensor([y]))


def test_the_dot_product_is_the_gain_of_a_small_step():
    net, e = model(), 1e-4
    train, target = rows(3), rows(2, seed=8)
    g = example_gradients(net, train, sketch=None)
    t = example_gradients(net, target, sketch=None)
    assert g.shape == (3, sum(p.numel() for p in net.parameters()))
    scores = gradient_scores(g, t, "dot")
    for i, row in enumerate(train):
        stepped = copy.deepcopy(net)
        loss_of(stepped, row).backward()
        with torch.no_grad():
            for p in stepped.parameters():
                p -= e * p.grad
        gain = sum(loss_of(net, r) - loss_of(stepped, r) for r in target).item() / len(target)
        assert gain / e == pytest.approx(scores[i], rel=0.02, abs=1e-3)


def test_scores_by_hand():
    g = np.array([[2.0, 0.0], [0.0, 5.0], [-1.0, 0.0], [0.0, 0.0]])
    t = np.array([[4.0, 0.0], [0.0, 1.0]])
    assert gradient_scores(g, t, "dot").tolist() == [4.0, 2.5, -2.0, 0.0]
    assert gradient_scores(g, t).tolist() == [0.5, 0.5, -0.5, 0.0]
    with pytest.raises(ValueError, match="kind must be"):
        gradient_scores(g, t, "sine")
    for bad in (np.ones((2, 3)), np.ones((0, 2)), np.ones(2)):
        with pytest.raises(ValueError, match=r"are not \(N, D\) and \(M, D\)"):
            gradient_scores(g, bad)


def test_sketches_keep_dot_products_on_average():
    net, some = model(), rows(4)
    whole = example_gradients(net, some, sketch=None).astype(np.float64)
    exact = whole @ whole.T
    errors = []
    for seed in range(12):
        short = example_gradients(net, some, sketch=256, seed=seed).astype(np.float64)
        assert short.shape == (4, 256)
        errors.append(short @ short.T - exact)
    lengths = np.linalg.norm(whole, axis=1)
    errors = np.array(errors) / np.outer(lengths, lengths)
    assert np.abs(errors.mean(axis=0)).max() < 0.12  # no bias: 4 spreads of a mean of 12
    assert 0.02 < errors.std() < 0.15  # about 1 / sqrt(256)
    drawn = {example_gradients(net, some[:1], sketch=1, seed=s).item() for s in range(6)}
    assert len(drawn) == 6  # one place for all, and yet no two alike: signs are drawn, too
    a, b = (example_gradients(net, some[:1], sketch=256, seed=3) for _ in range(2))
    np.testing.assert_array_equal(a, b)


def test_gradients_of_named_parameters_and_only_of_answers():
    net = model().train()
    name = "blocks.0.feedforward.down.weight"
    g = example_gradients(net, rows(2), parameters=[name], sketch=None)
    assert g.shape == (2, 16 * 16)
    assert net.training
    (ids, mask) = rows(1)[0]
    loss_of(net, (ids, mask)).backward()
    mine = dict(net.named_parameters())[name].grad.reshape(-1)
    np.testing.assert_allclose(g[0], mine.numpy(), rtol=1e-5, atol=1e-7)
    for p in net.parameters():
        p.requires_grad_(p is net.embedding.weight)
    assert example_gradients(net, rows(1), sketch=None).shape[1] == net.embedding.weight.numel()
    with pytest.raises(ValueError, match="no parameter 'x'"):
        example_gradients(net, rows(1), parameters=["x"])
    with pytest.raises(ValueError, match="no example"):
        example_gradients(net, [])
    with pytest.raises(ValueError, match="no learned token"):
        example_gradients(net, [(ids, [False] * len(ids))])
