"""Batches from a broken file, the two clocks that count them, and the remedies from outside."""

import math

import pytest
import torch
from torch.nn import functional as F

from minillm.data import BatchSampler
from minillm.model import Decoder
from minillm.objectives import causal_loss
from minillm.recipes import spike_parts as parts
from minillm.recipes.runs import decoder

HEADS, H = 2, 8


def sampler() -> BatchSampler:
    return BatchSampler(torch.arange(2000).numpy() % 250, 2, 8, seed=1)


def model_of(n_layers: int) -> Decoder:
    torch.manual_seed(0)
    return Decoder(decoder(20, d_model=HEADS * H, n_layers=n_layers, n_heads=HEADS, context=8))


def broken_batches(kind: str, seed: int) -> list[torch.Tensor]:
    batches = parts.PoisonedBatches(sampler(), 1, 3, kind, seed=seed)
    return [next(batches)[0] for _ in range(5)][1:4]


def test_only_the_named_batches_are_broken():
    healthy = [next(s)[0] for s in [sampler()] for _ in range(8)]
    batches = parts.PoisonedBatches(sampler(), 3, 2, "constant", seed=0)
    assert iter(batches) is batches
    for place, wanted in enumerate(healthy):
        x, y = next(batches)
        if place in (3, 4):
            assert (x == 0).all()
            assert (y == 0).all()
        else:
            torch.testing.assert_close(x, wanted)
    assert (batches.place, batches.n_read) == (8, 8)


def test_what_is_skipped_is_not_read():
    healthy = [next(s)[0] for s in [sampler()] for _ in range(8)]
    batches = parts.PoisonedBatches(sampler(), 3, 2, "noise", seed=0)
    next(batches)
    batches.skip(4)
    torch.testing.assert_close(next(batches)[0], healthy[5])
    assert (batches.place, batches.n_read) == (6, 2)


def test_the_broken_ones_have_their_place_in_the_file_not_in_the_reading():
    batches = parts.PoisonedBatches(sampler(), 3, 2, "constant", seed=0)
    batches.skip(3)
    assert [bool((next(batches)[0] == 0).all()) for _ in range(3)] == [True, True, False]
    assert (batches.place, batches.n_read) == (6, 3)


def test_noise_is_new_in_each_batch_and_the_same_in_each_run():
    first = broken_batches("noise", seed=1)
    torch.manual_seed(123)  # the noise has a generator of its own
    torch.testing.assert_close(torch.stack(first), torch.stack(broken_batches("noise", seed=1)))
    others = [*first, *broken_batches("noise", seed=2)]
    for i, one in enumerate(others):
        assert not any(torch.equal(one, other) for other in others[:i])


def test_kinds_of_broken_files():
    x = torch.arange(16).view(2, 8)
    same, y = parts.broken(x, x + 1, "shifted", 0)
    assert same is x
    assert (y == x + 2).all()
    assert parts.broken(x[:1], torch.tensor([[254, 255]]), "shifted", 0)[1].tolist() == [[255, 0]]
    x1, y1 = parts.broken(x, x + 1, "noise", 7)
    torch.testing.assert_close(x1[:, 1:], y1[:, :-1])  # targets are one token ahead
    assert x1.shape == y1.shape == x.shape
    assert not torch.equal(x1, parts.broken(x, x + 1, "noise", 8)[0])
    with pytest.raises(ValueError, match="'noise', 'constant' or 'shifted', got 'wet'"):
        parts.broken(x, x, "wet", 0)


def test_noise_has_all_256_bytes_about_equally_often():
    x = torch.zeros(64, 400, dtype=torch.long)
    counts = parts.broken(x, x, "noise", 3)[0].flatten().bincount()
    assert len(counts) == 256
    chi_square = ((counts - 100.0) ** 2 / 100).sum()  # 255 expected, 23 its spread
    assert chi_square < 400


@pytest.mark.parametrize("which", ["q", "k"])
@pytest.mark.parametrize("block", [0, 1])
def test_queries_and_keys_of_all_heads_have_length_root_h(block, which):
    model = model_of(n_layers=2)
    before = model(torch.tensor([[1, 2, 3]]))
    parts.norm_queries_and_keys(model)
    x = torch.randn(1, 5, HEADS * H) * torch.tensor([10, 30, 100, 300, 1000]).view(1, 5, 1)
    out = getattr(model.blocks[block].attention, which)(x).view(1, 5, HEADS, H)
    wanted = torch.full((1, 5, HEADS), math.sqrt(H))
    torch.testing.assert_close(out.norm(dim=-1), wanted, rtol=1e-3, atol=0)
    assert not torch.allclose(model(torch.tensor([[1, 2, 3]])), before)


def test_normed_scores_are_at_most_root_h_and_can_come_near():
    model = model_of(n_layers=1)
    attention = model.blocks[0].attention
    x = 100 * torch.randn(1, 5, HEADS * H)
    plain = (attention.q(x) * attention.k(x)).view(1, 5, HEADS, H).sum(-1) / math.sqrt(H)
    parts.norm_queries_and_keys(model)
    attention.k.weight.data.copy_(attention.q.weight)  # the same direction: the largest score
    q, k = (part(x).view(1, 5, HEADS, H) for part in (attention.q, attention.k))
    scores = (q * k).sum(-1) / math.sqrt(H)
    torch.testing.assert_close(scores, torch.full_like(scores, math.sqrt(H)))
    assert plain.abs().max() > math.sqrt(H)  # ... and without the norm they go beyond


def test_z_loss_is_the_loss_and_the_square_of_log_z():
    model = model_of(n_layers=1)
    x, y = torch.randint(20, (2, 2, 6))
    log_z = torch.log(torch.exp(model(x)).sum(-1))
    wanted = causal_loss(model, x, y) + 0.5 * (log_z**2).mean()
    torch.testing.assert_close(parts.z_loss(model, x, y, weight=0.5), wanted)
    palms = causal_loss(model, x, y) + 1e-4 * (log_z**2).mean()
    torch.testing.assert_close(parts.z_loss(model, x, y), palms, rtol=0, atol=1e-6)
    assert 1e-4 * (log_z**2).mean() > 1e-4  # ... and that tolerance would see another weight


def test_the_gradient_of_the_z_loss_pulls_all_logits_of_a_token_together():
    class Fixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.logits = torch.nn.Parameter(3 + torch.randn(1, 4, 5, dtype=torch.float64))

        def forward(self, x):
            return self.logits

    model, y = Fixed(), torch.tensor([[0, 1, 2, 3]])
    parts.z_loss(model, y, y, weight=0.5).backward()
    logits = model.logits.detach()
    p, log_z = logits.softmax(-1), logits.logsumexp(-1, keepdim=True)
    wanted = (p - F.one_hot(y, 5) + 0.5 * 2 * log_z * p) / 4  # by hand, d log Z / d logit = p
    torch.testing.assert_close(model.logits.grad, wanted)
