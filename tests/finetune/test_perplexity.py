"""Answer losses against one row at a time; correlations against scipy; agreement by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, pearsonr, rankdata, spearmanr

from minillm.finetune.perplexity import AnswerLosses, agreement, answer_losses, correlation, ranks
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig

CONFIG = DecoderConfig(
    vocab_size=32,
    d_model=16,
    n_layers=1,
    context=10,
    attention=AttentionConfig(2, 2),
    feedforward=FeedForwardConfig("swiglu", 16),
    init_std=0.2,
)
ROWS = [
    ([1, 2, 3, 4, 5], [False, False, False, True, True]),
    ([9, 8, 7], [False, True, False]),
    ([3, 1, 4, 1, 5, 9, 2, 6], [False] * 5 + [True] * 3),
]


def model():
    torch.manual_seed(0)
    return Decoder(CONFIG)


def test_losses_are_those_of_the_learned_tokens():
    net = model().train()
    found = answer_losses(net, ROWS, batch_size=2)
    assert net.training
    assert found.n_tokens.tolist() == [2, 1, 3]
    for nats, (ids, mask) in zip(found.nats, ROWS, strict=True):
        with torch.no_grad():
            p = net.eval()(torch.tensor([ids]))[0].softmax(dim=-1)  # (T, V)
        told = [-math.log(p[t - 1, ids[t]]) for t in range(len(ids)) if mask[t]]
        assert nats == pytest.approx(sum(told) / len(told), rel=1e-5)
    np.testing.assert_allclose(found.nats, answer_losses(net, ROWS, batch_size=1).nats, rtol=1e-5)
    np.testing.assert_allclose(found.perplexity, np.exp(found.nats))


def test_the_mean_is_over_tokens():
    assert AnswerLosses(np.array([1.0, 4.0]), np.array([3, 1])).mean() == pytest.approx(7 / 4)


def test_losses_refuse():
    net = model()
    with pytest.raises(ValueError, match="no example"):
        answer_losses(net, [])
    with pytest.raises(ValueError, match="example 1 has no learned token"):
        answer_losses(net, [ROWS[0], ([1, 2], [True, False])])  # nothing predicts the first
    long = (list(range(12)), [True] * 12)
    with pytest.raises(ValueError, match="has 11 tokens, the context is 10"):
        answer_losses(net, [long])


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=3, max_size=15),
)
def test_correlations_equal_scipy(pairs):
    a, b = (np.array(x, dtype=float) for x in zip(*pairs, strict=True))
    np.testing.assert_array_equal(ranks(a), rankdata(a))
    if len(set(a)) == 1 or len(set(b)) == 1:
        with pytest.raises(ValueError, match="constant"):
            correlation(a, b)
        return
    assert correlation(a, b) == pytest.approx(pearsonr(a, b)[0], abs=1e-9)
    assert correlation(ranks(a), ranks(b)) == pytest.approx(spearmanr(a, b)[0], abs=1e-9)


def test_agreement_equals_kendall_where_nothing_is_equal():
    dice = np.random.default_rng(0)
    a, b = dice.normal(size=12), dice.normal(size=12)
    found = agreement(a, b)
    assert 2 * found.misleading - 1 == pytest.approx(kendalltau(a, b)[0])
    assert found.spearman == pytest.approx(spearmanr(a, b)[0])
    assert found.pearson == pytest.approx(pearsonr(a, b)[0])


def test_agreement_by_hand():
    loss = [2.0, 1.0, 1.5, 1.8]  # falls, then rises ...
    right = [0.1, 0.5, 0.6, 0.7]  # ... while the answers still get better
    found = agreement(loss, right)
    assert (found.by_loss, found.by_quality) == (1, 3)
    assert found.given_up == pytest.approx(0.2)
    # pairs: (0,1) (0,2) (0,3) guide well; (1,2) (1,3) (2,3) mislead
    assert found.misleading == pytest.approx(0.5)
    perfect = agreement([3, 2, 1], [0.1, 0.2, 0.3])
    assert (perfect.pearson, perfect.spearman, perfect.misleading) == (-1, -1, 0)
    assert perfect.given_up == 0
    ties = agreement([3, 2, 1], [0.1, 0.1, 0.3])  # the pair (0, 1) decides nothing
    assert ties.misleading == 0


def test_agreement_refuses():
    with pytest.raises(ValueError, match="3 or more"):
        agreement([1, 2], [1, 2])
    with pytest.raises(ValueError, match="one length"):
        agreement([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="constant"):
        agreement([1, 2, 3], [1, 1, 1])
