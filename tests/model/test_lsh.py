"""Hash buckets: the hash by hand, like vectors meet, the share of pairs, and what is lost."""

import math

import pytest
import torch

from minillm.model import attention
from minillm.model.lsh import bucket_attention, hash_buckets, same_bucket


def qkv(B=1, N=2, K=2, T=64, S=64, H=16, seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    shapes = ((B, N, T, H), (B, K, S, H), (B, K, S, H))
    return [torch.randn(*s, generator=g, dtype=torch.float64).to(dtype) for s in shapes]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_four_buckets_by_hand():
    axes = torch.eye(2)[None]  # one round: the axes x and y
    points = torch.tensor([[3.0, 1.0], [1.0, 3.0], [-3.0, 1.0], [1.0, -3.0], [30.0, 10.0]])
    assert hash_buckets(points, axes).tolist() == [[0, 1, 2, 3, 0]]  # x, y, -x, -y


def test_length_does_not_matter_and_opposites_part():
    x = torch.randn(50, 8, generator=seeded())
    axes = torch.randn(3, 8, 4, generator=seeded(1))
    buckets = hash_buckets(x, axes)
    assert buckets.shape == (3, 50)
    assert (buckets >= 0).all()
    assert (buckets < 8).all()
    assert torch.equal(hash_buckets(7 * x, axes), buckets)
    assert ((hash_buckets(-x, axes) - buckets) % 8 == 4).all()


def test_like_vectors_meet_more_often():
    x = torch.randn(1, 1, 4000, 16, generator=seeded())
    axes = torch.randn(1, 16, 8, generator=seeded(1))
    shares = []
    for noise in (0.0, 0.1, 0.5, 2.0, 100.0):
        near = x + noise * torch.randn(x.shape, generator=seeded(2))
        meets = hash_buckets(x, axes) == hash_buckets(near, axes)
        shares.append(meets.double().mean().item())
    assert shares[0] == 1.0
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == pytest.approx(1 / 16, abs=0.02)  # unlike vectors: by chance


@pytest.mark.parametrize(("n_buckets", "rounds"), [(2, 1), (8, 1), (16, 1), (16, 4)])
def test_share_of_pairs_of_random_vectors(n_buckets, rounds):
    q, k, _ = qkv(N=8, K=8, T=256, S=256)
    square = torch.randn(rounds, 16, 16, generator=seeded(), dtype=torch.float64)
    axes = torch.linalg.qr(square).Q[:, :, : n_buckets // 2]  # of equal length: fair buckets
    share = same_bucket(q, k, axes).double().mean().item()
    if rounds == 1:
        assert share == pytest.approx(1 / n_buckets, rel=0.05)
    else:  # less than if each pair were thrown anew: those that are alike meet again and again
        assert 0.8 < share / (1 - (1 - 1 / n_buckets) ** rounds) < 1
    lengths = 1 + torch.arange(n_buckets // 2) / n_buckets  # longer axes draw more vectors
    uneven = same_bucket(q, k, axes * lengths).double().mean().item()
    assert n_buckets == 2 or uneven > share * 1.02


def test_is_attention_over_the_pairs_that_meet():
    q, k, v = qkv(K=1, T=10, S=12)
    out, met = bucket_attention(q, k, v, n_buckets=4, causal=True, generator=seeded(5))
    axes = torch.randn(1, 16, 2, generator=seeded(5), dtype=torch.float64)
    of_q, of_k = hash_buckets(q, axes)[0], hash_buckets(k, axes)[0]
    for n in range(2):
        for t in range(10):
            keys = [s for s in range(t + 3) if of_q[0, n, t] == of_k[0, 0, s]]
            assert met[0, n, t, : t + 3].nonzero().flatten().tolist() == keys
            if keys:
                scores = k[0, 0, keys] @ q[0, n, t] / math.sqrt(16)
                wanted = scores.softmax(dim=0) @ v[0, 0, keys]
            else:
                wanted = torch.zeros(16, dtype=torch.float64)
            torch.testing.assert_close(out[0, n, t], wanted, rtol=0, atol=1e-12)


def test_rounds_only_add_pairs_and_all_of_them_give_exact_attention():
    q, k, v = qkv(T=20, S=20, H=4)
    axes = torch.randn(6, 4, 2, generator=seeded(), dtype=torch.float64)
    fewer, more = same_bucket(q, k, axes[:2]), same_bucket(q, k, axes)
    assert (more | fewer).equal(more)
    assert more.sum() > fewer.sum()
    out, met = bucket_attention(q, k, v, n_buckets=2, rounds=60, generator=seeded())
    assert met.all()
    torch.testing.assert_close(out, attention(q, k, v), rtol=0, atol=1e-12)


def test_it_is_not_exact():
    q, k, v = qkv()
    out, _ = bucket_attention(q, k, v, n_buckets=16, generator=seeded())
    exact = attention(q, k, v)
    assert (out - exact).norm() > 0.5 * exact.norm()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_buckets": 3}, "even and at least 2, got 3"),
        ({"n_buckets": 0}, "even and at least 2, got 0"),
        ({"n_buckets": 4, "rounds": 0}, "rounds must be at least 1, got 0"),
    ],
)
def test_wrong_settings(settings, words):
    with pytest.raises(ValueError, match=words):
        bucket_attention(*qkv(), **settings)


def test_wrong_rotations():
    with pytest.raises(ValueError, match=r"rotations must be \(rounds, 8, n_buckets / 2\)"):
        hash_buckets(torch.ones(3, 8), torch.ones(8, 4))
    with pytest.raises(ValueError, match="got \\(1, 7, 4\\)"):
        hash_buckets(torch.ones(3, 8), torch.ones(1, 7, 4))
