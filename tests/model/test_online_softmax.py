"""Running averages: any cut, any order, nothing seen, scores that would overflow."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.model.online_softmax import Running, finished, merged, nothing_seen, online_softmax

CLOSE = {"rtol": 0, "atol": 1e-13}


def scores_and_values(T=3, S=12, H=2, seed=0, scale=1.0):
    g = torch.Generator().manual_seed(seed)
    scores = scale * torch.randn(2, T, S, generator=g, dtype=torch.float64)
    return scores, torch.randn(2, S, H, generator=g, dtype=torch.float64)


def at_once(scores, values):
    return scores.softmax(dim=-1) @ values, scores.logsumexp(dim=-1)


def in_blocks(scores, values, pieces):
    seen = nothing_seen(scores, values.shape[-1])
    for piece in pieces:
        seen = online_softmax(seen, scores[..., piece], values[..., piece, :])
    return seen


def test_two_keys_by_hand():
    scores = torch.tensor([[0.0, math.log(3)]], dtype=torch.float64)
    values = torch.tensor([[4.0], [8.0]], dtype=torch.float64)
    first = online_softmax(nothing_seen(scores, 1), scores[:, :1], values[:1])
    assert [x.item() for x in first] == [4.0, 1.0, 0.0]  # summed, total, top
    both = online_softmax(first, scores[:, 1:], values[1:])
    summed, total, top = (x.item() for x in both)
    assert top == math.log(3)
    assert total == pytest.approx(1 + 1 / 3, rel=1e-15)  # the first key is shrunk to a third
    assert summed == pytest.approx(8 + 4 / 3, rel=1e-15)
    out, logsumexp = finished(both)
    assert out.item() == pytest.approx(7.0, rel=1e-15)  # (1 * 4 + 3 * 8) / 4
    assert logsumexp.item() == pytest.approx(math.log(4), rel=1e-15)


@settings(max_examples=40, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 12), max_size=6),
    order=st.randoms(use_true_random=False),
    scale=st.sampled_from([0.1, 1.0, 30.0]),
)
def test_any_cut_in_any_order(cuts, order, scale):
    scores, values = scores_and_values(scale=scale)
    edges = [0, *sorted(cuts), 12]
    pieces = [slice(a, b) for a, b in itertools.pairwise(edges)]
    order.shuffle(pieces)
    wanted = at_once(scores, values)
    one_by_one = in_blocks(scores, values, pieces)
    half = len(pieces) // 2
    pair = merged(*(in_blocks(scores, values, p) for p in (pieces[:half], pieces[half:])))
    for seen in (one_by_one, pair):
        for got, right in zip(finished(seen), wanted, strict=True):
            torch.testing.assert_close(got, right, **CLOSE)
        torch.testing.assert_close(seen.top[..., 0], scores.amax(dim=-1), rtol=0, atol=0)


@pytest.mark.parametrize("shift", [1e4, -1e4, 1e300])
def test_scores_that_would_overflow(shift):
    scores, values = scores_and_values()
    pieces = [slice(0, 5), slice(5, 12)]
    out, logsumexp = finished(in_blocks(scores + shift, values, pieces))
    wanted = at_once(scores + shift, values)
    torch.testing.assert_close(out, wanted[0], **CLOSE)
    torch.testing.assert_close(logsumexp, wanted[1], rtol=1e-15, atol=0)
    assert (scores + abs(shift)).exp().isinf().all()  # the plain sum would be lost


def test_a_later_block_may_be_far_larger_or_far_smaller():
    values = torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64)
    for scores, wanted in (([-1e4, 0.0, 1e4], 4.0), ([1e4, 0.0, -1e4], 1.0)):
        row = torch.tensor([scores], dtype=torch.float64)
        out, _ = finished(in_blocks(row, values, [slice(i, i + 1) for i in range(3)]))
        assert out.item() == wanted


def test_hidden_keys_and_queries_that_see_nothing():
    scores, values = scores_and_values()
    scores[:, 0] = -torch.inf  # the first query sees nothing
    scores[:, 1, :5] = -torch.inf  # the second nothing in the first block
    scores[:, 2, 5:] = -torch.inf  # the third nothing in the second
    for pieces in ([slice(0, 5), slice(5, 12)], [slice(5, 12), slice(0, 5)], []):
        out, logsumexp = finished(in_blocks(scores, values, pieces))
        assert not out[:, 0].any()
        assert (logsumexp[:, 0] == -torch.inf).all()
        if pieces:
            wanted = at_once(scores[:, 1:], values)
            torch.testing.assert_close(out[:, 1:], wanted[0], **CLOSE)
            torch.testing.assert_close(logsumexp[:, 1:], wanted[1], **CLOSE)


def test_merging_with_nothing_changes_nothing():
    scores, values = scores_and_values()
    seen, nothing = in_blocks(scores, values, [slice(0, 12)]), nothing_seen(scores, 2)
    for pair in (merged(seen, nothing), merged(nothing, seen)):
        for got, right in zip(pair, seen, strict=True):
            assert torch.equal(got, right)
    assert all(not x.isnan().any() for x in merged(nothing, nothing))


def test_gradients_pass_through_blocks_and_merging():
    scores, values = (x.requires_grad_(True) for x in scores_and_values(T=2, S=5))

    def by_blocks(scores, values):
        parts = [in_blocks(scores, values, [piece]) for piece in (slice(0, 2), slice(2, 5))]
        return finished(merged(*parts))

    assert torch.autograd.gradcheck(by_blocks, (scores, values))


def test_what_is_kept_does_not_grow_with_the_keys():
    scores, values = scores_and_values(S=500)
    seen = in_blocks(scores, values, [slice(i, i + 50) for i in range(0, 500, 50)])
    assert isinstance(seen, Running)
    assert [tuple(x.shape) for x in seen] == [(2, 3, 2), (2, 3, 1), (2, 3, 1)]
