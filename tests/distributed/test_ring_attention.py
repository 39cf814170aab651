"""Attention around a ring against attention on one rank."""

import pytest
import torch

from minillm.distributed.ring_attention import causal_work, ring_attention, straight, zigzag
from minillm.distributed.threads import run_threads
from minillm.model import attention


def on_a_rank(group, whole, w, places, causal):
    at = places[group.rank]
    q, k, v = (t[:, :, at].clone().requires_grad_() for t in whole)
    mark = group.mark()
    out = ring_attention(q, k, v, at, group, causal=causal)
    sent = group.traffic.since(mark).n_bytes
    (out * w[:, :, at]).sum().backward()
    return [out.detach(), q.grad, k.grad, v.grad], sent


@pytest.mark.parametrize("share", [straight, zigzag])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_equals_attention(n, causal, share):
    torch.manual_seed(0)
    whole = [2 * torch.randn(2, 3, 12, 4, dtype=torch.float64) for _ in range(3)]
    w = torch.randn(2, 3, 12, 4, dtype=torch.float64)
    inputs = [t.clone().requires_grad_() for t in whole]
    want = attention(*inputs, causal=causal)
    wanted = [want.detach(), *torch.autograd.grad((want * w).sum(), inputs)]
    places = share(12, n)
    for at, (found, sent) in zip(
        places, run_threads(n, on_a_rank, whole, w, places, causal), strict=True
    ):
        for x, y in zip(found, wanted, strict=True):
            torch.testing.assert_close(x, y[:, :, at], rtol=0, atol=1e-9)
        T = 12 // n
        assert sent == (n - 1) * (2 * 2 * 3 * T * 4 * 8 + T * 8)  # keys, values, positions


def test_large_scores_do_not_overflow():
    whole = [torch.full((1, 1, 4, 2), 40.0) for _ in range(3)]
    for found, _ in run_threads(2, on_a_rank, whole, torch.ones(1, 1, 4, 2), straight(4, 2), True):
        assert all(torch.isfinite(t).all() for t in found)


def test_who_has_which_positions():
    assert [t.tolist() for t in straight(6, 3)] == [[0, 1], [2, 3], [4, 5]]
    assert [t.tolist() for t in zigzag(12, 3)] == [[0, 1, 10, 11], [2, 3, 8, 9], [4, 5, 6, 7]]


@pytest.mark.parametrize(("T", "n"), [(24, 2), (24, 3), (64, 4)])
def test_the_zigzag_shares_out_the_work(T, n):
    cut, zig = causal_work(straight(T, n)), causal_work(zigzag(T, n))
    for work in (cut, zig):
        assert sum(map(sum, work)) == T * (T + 1) // 2
    assert max(map(sum, zig)) == min(map(sum, zig))  # equal over the ranks
    assert all(len(set(rounds)) == 1 for rounds in zip(*zig, strict=True))  # and in each round
    assert max(map(sum, cut)) > 1.4 * min(map(sum, cut))


def test_errors():
    with pytest.raises(ValueError, match="10 positions cannot be cut into 4 equal pieces"):
        zigzag(10, 2)
    with pytest.raises(ValueError, match="5 positions cannot be cut into 2 equal pieces"):
        straight(5, 2)

    def shapes(group):
        ring_attention(*[torch.zeros(1, 1, 2, 2)] * 3, torch.arange(3), group)

    with pytest.raises(ValueError, match=r"positions \(T,\), got .* \(3,\)"):
        run_threads(2, shapes)
