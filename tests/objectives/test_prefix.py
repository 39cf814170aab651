"""Prefix language modelling: by hand, against a causal model, what a decoder sees."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch.nn import functional as F

from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.objectives import causal_loss, span_corruption
from minillm.objectives.prefix import (
    PrefixRow,
    prefix_lm,
    prefix_loss,
    read_then_write,
    split_prefix,
    stack_prefixes,
)


def small(seed=0):
    torch.manual_seed(seed)
    return Decoder(
        DecoderConfig(
            40, 16, 2, 16, AttentionConfig(2), FeedForwardConfig("swiglu", 16), init_std=0.3
        ),
        dtype=torch.float64,
    )


def test_by_hand():
    row = split_prefix([1, 2, 3, 4, 5], 3)
    assert row.tokens.tolist() == [1, 2, 3, 4]
    assert row.targets.tolist() == [-100, -100, 4, 5]
    assert row.tokens.dtype == row.targets.dtype == np.int64
    assert row.mask().tolist() == [[1, 1, 1, 0]] * 3 + [[1, 1, 1, 1]]


def test_a_prefix_of_one_is_a_causal_model():
    model, ids = small(), torch.arange(1, 9)
    row = split_prefix(ids.numpy(), 1)
    batch = stack_prefixes([row], 7, pad_id=0)
    assert torch.equal(row.mask(), torch.ones(7, 7, dtype=torch.bool).tril())
    with torch.no_grad():
        expected = causal_loss(model, ids[None, :-1], ids[None, 1:])
        torch.testing.assert_close(prefix_loss(model, batch), expected)
        longer = stack_prefixes([split_prefix(ids.numpy(), 4)], 7, pad_id=0)
        assert abs(prefix_loss(model, longer) - expected) > 1e-3  # ... and the test can see it


def test_the_loss_is_the_mean_over_what_is_asked():
    model = small()
    rows = [split_prefix(range(1, 9), 5), split_prefix([9, 8, 7], 1), PrefixRow(*_all_seen())]
    batch = stack_prefixes(rows, 8, pad_id=0)
    with torch.no_grad():
        logits = model(batch.tokens, mask=batch.mask, causal=False)
        expected = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())
        torch.testing.assert_close(prefix_loss(model, batch), expected)


def _all_seen():
    return np.array([3, 30, 5]), np.array([-100, 4, -100]), 3


def test_nothing_asked_is_a_loss_of_zero_with_a_gradient():
    batch = stack_prefixes([PrefixRow(np.array([1, 2]), np.array([-100, -100]), 2)], 2, pad_id=0)
    model = small()
    loss = prefix_loss(model, batch)
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def test_what_a_decoder_sees():
    model = small()
    rows = [split_prefix(range(1, 8), 4), split_prefix([9, 8, 7, 6], 2)]
    batch = stack_prefixes(rows, 6, pad_id=0)
    seen = torch.zeros(2, 6, 6, dtype=torch.bool)
    with torch.no_grad():
        before = model(batch.tokens, mask=batch.mask, causal=False)
        for s in range(6):
            changed = batch.tokens.clone()
            changed[:, s] = (changed[:, s] + 7) % 40
            after = model(changed, mask=batch.mask, causal=False)
            seen[:, :, s] = (after - before).abs().amax(dim=-1) > 1e-9
    for row, found in zip(rows, seen, strict=True):
        n = len(row.tokens)
        assert torch.equal(found[:n, :n], row.mask())
        assert not found[:n, n:].any()  # nobody sees the padding


def test_all_cuts_are_equally_likely():
    rng = np.random.default_rng(0)
    found = [prefix_lm(range(6), rng).n_context for _ in range(1000)]
    assert sorted(set(found)) == [1, 2, 3, 4, 5]
    assert chisquare(np.bincount(found)[1:]).pvalue > 1e-4
    row = prefix_lm(range(6), rng)
    assert (row.targets >= 0).sum() == 6 - row.n_context


@given(st.integers(1, 9), st.integers(1, 9))
def test_read_then_write(n_read, n_written):
    read, written = np.arange(n_read) + 10, np.arange(n_written) + 50
    row = read_then_write(read, written)
    assert row.tokens.tolist() == [*read, *written[:-1]]
    assert row.targets[row.targets >= 0].tolist() == written.tolist()
    assert (row.targets[: n_read - 1] == -100).all()
    assert row.n_context == n_read


def test_span_corruption_by_one_decoder():
    x, y = span_corruption(range(30), np.random.default_rng(0), sentinels=[90, 91, 92], end_id=99)
    row = read_then_write(x, y)
    assert np.append(row.tokens, 99).tolist() == [*x, *y]
    assert row.targets[len(x) - 1] == 90  # the last token read says the first sentinel


def test_stack():
    rows = [split_prefix([1, 2, 3], 1), split_prefix([4, 5], 1)]
    batch = stack_prefixes(rows, 3, pad_id=9)
    assert batch.tokens.tolist() == [[1, 2, 9], [4, 9, 9]]
    assert batch.targets.tolist() == [[2, 3, -100], [5, -100, -100]]
    assert batch.mask.shape == (2, 1, 3, 3)
    for few, T in [(rows, 1), ([], 1)]:
        with pytest.raises(ValueError, match=f"1 to T=1 tokens, got {len(few)} rows"):
            stack_prefixes(few, T, pad_id=9)


@pytest.mark.parametrize("n", [0, 3, -1])
def test_prefix_refused(n):
    with pytest.raises(ValueError, match=rf"n_prefix must lie in 1 to L - 1 = 2, got {n}"):
        split_prefix([1, 2, 3], n)


def test_texts_refused():
    with pytest.raises(ValueError, match="at least 2 tokens, got 1"):
        prefix_lm([1], np.random.default_rng(0))
    with pytest.raises(ValueError, match="integers"):
        read_then_write([1.5], [2])
    with pytest.raises(ValueError, match="L >= 1"):
        read_then_write([1], [])
