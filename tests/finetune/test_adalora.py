"""AdaLoRA: the update, the worth of a triplet by a plain loop, the budget, and the cutting."""

import pytest
import torch
from torch.nn import functional as F

from minillm.finetune import (
    RankAllocator,
    RankSchedule,
    SVDLinear,
    add_adalora,
    count_trainable,
    count_trained,
    orthogonality,
    quantise_model,
)
from minillm.inference import generate
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.model.layers import Linear
from minillm.train import AdamW

CONFIG = DecoderConfig(
    vocab_size=40,
    d_model=16,
    n_layers=2,
    context=16,
    attention=AttentionConfig(4, 2),
    feedforward=FeedForwardConfig("swiglu", 24),
    init_std=0.3,
)
IDS = torch.randint(0, 40, (4, 9), generator=torch.Generator().manual_seed(0))


def decoder():
    torch.manual_seed(1)
    return Decoder(CONFIG, dtype=torch.float64)


def layer(rank=3, alpha=6.0, seed=2):
    torch.manual_seed(seed)
    part = SVDLinear(Linear(5, 4, dtype=torch.float64), rank, alpha)
    torch.nn.init.normal_(part.values)
    return part


def train(model, schedule, steps, lr=0.02):
    allocator = RankAllocator(model, schedule)
    optimizer = AdamW([p for p in model.parameters() if p.requires_grad], lr=lr)
    detach = allocator.attach(optimizer)
    ranks, losses = [], []
    for _ in range(steps):
        loss = F.cross_entropy(model(IDS[:, :-1]).flatten(0, 1), IDS[:, 1:].flatten())
        (loss + 0.1 * orthogonality(model)).backward()
        optimizer.step()
        optimizer.zero_grad()
        ranks.append(sum(allocator.ranks().values()))
        losses.append(loss.item())
    return allocator, optimizer, detach, ranks, losses


def test_the_update_by_hand():
    part = layer()
    x = torch.randn(2, 7, 5, dtype=torch.float64)
    delta = 2.0 * part.left @ torch.diag(part.values) @ part.right
    torch.testing.assert_close(part(x), x @ (part.base.weight + delta).T)
    torch.testing.assert_close(part.delta(), delta)
    expected = part(x)
    merged = part.merged()
    assert type(merged) is Linear
    torch.testing.assert_close(merged(x), expected)


def test_it_starts_as_the_base():
    model = decoder()
    before = model(IDS)
    assert add_adalora(model, ("q", "v", "down"), rank=3) is model
    assert torch.equal(model(IDS), before)
    n = count_trained("adalora", CONFIG, 3, targets=("q", "v", "down"))
    assert count_trainable(model) == n == 2 * 3 * (32 + 24 + 40 + 3)
    assert torch.equal(generate(model, IDS, 3), generate(decoder(), IDS, 3))


def test_the_penalty_is_zero_for_singular_vectors_and_counts_both_sides():
    part = layer()
    u, _, vh = torch.linalg.svd(torch.randn(4, 5, dtype=torch.float64), full_matrices=False)
    with torch.no_grad():
        part.left.copy_(u[:, :3])
        part.right.copy_(vh[:3])
    assert part.penalty() < 1e-20
    with torch.no_grad():
        part.left.mul_(2.0)  # P^T P = 4 I
    torch.testing.assert_close(part.penalty().item(), 3 * 9.0)
    with torch.no_grad():
        part.right[0] = part.right[1]
    torch.testing.assert_close(part.penalty().item(), 3 * 9.0 + 2.0)
    model = torch.nn.Sequential(layer(seed=3), layer(seed=4))
    both = model[0].penalty() + model[1].penalty()
    torch.testing.assert_close(orthogonality(model), both)
    orthogonality(model).backward()
    assert model[0].left.grad.any()


def test_the_worth_of_a_triplet_by_a_plain_loop():
    part = layer()
    b1, b2 = 0.8, 0.6
    means = {n: torch.zeros_like(getattr(part, n)) for n in ("left", "values", "right")}
    spreads = {n: torch.zeros_like(m) for n, m in means.items()}
    for step in range(3):
        torch.manual_seed(step)
        part.zero_grad()
        x = (1.0, 0.1, 3.0)[step] * torch.randn(6, 5, dtype=torch.float64)  # up and down
        part(x).square().sum().backward()
        part.observe(b1, b2)
        for n in means:
            param = getattr(part, n)
            now = (param * param.grad).abs().detach()
            means[n] = b1 * means[n] + (1 - b1) * now
            spreads[n] = b2 * spreads[n] + (1 - b2) * (now - means[n]).abs()
        with torch.no_grad():
            part.left += 0.1
    score = {n: means[n] * spreads[n] for n in means}
    for i in range(3):
        worth = score["values"][i]
        worth = worth + sum(score["left"][j, i] for j in range(4)) / 4
        worth = worth + sum(score["right"][i, j] for j in range(5)) / 5
        torch.testing.assert_close(part.scores()[i], worth)


def test_the_budget():
    s = RankSchedule(initial=40, target=16, total=100, warmup=10, final=30, every=5)
    assert [s.budget(t) for t in (1, 10, 71, 100)] == [40, 40, 16, 16]
    assert s.budget(40) == int(16 + 24 * 0.5**3)
    falling = [s.budget(t) for t in range(1, 101)]
    assert falling == sorted(falling, reverse=True)
    assert s.budget(70) == 16
    assert [t for t in range(1, 30) if s.cuts(t)] == [15, 20, 25]
    odd = RankSchedule(initial=4, target=2, total=10, warmup=1, final=3, every=4)
    assert [t for t in range(1, 11) if odd.cuts(t)] == [4, 7, 8, 9, 10]  # the target holds from 7
    assert all(s.cuts(t) for t in range(71, 101))


def test_the_least_worth_are_cut_across_matrices():
    model = torch.nn.ModuleDict({"one": layer(seed=5), "two": layer(seed=6)})
    allocator = RankAllocator(model, RankSchedule(6, 2, 10))
    with torch.no_grad():
        for name, worth in (("one", [5.0, 1.0, 4.0]), ("two", [2.0, 6.0, 3.0])):
            model[name].values_sensitivity.copy_(torch.tensor(worth))
            model[name].values_uncertainty.fill_(1.0)
    before = {name: part.values.clone() for name, part in model.items()}
    allocator.cut(3)
    assert allocator.ranks() == {"one": 2, "two": 1}
    assert model["one"].values[1] == 0
    assert model["two"].values[0] == 0
    assert model["two"].values[2] == 0
    assert torch.equal(model["one"].values[[0, 2]], before["one"][[0, 2]])
    assert torch.equal(model["two"].values[1], before["two"][1])


def test_a_training_keeps_to_the_budget_and_learns():
    model = add_adalora(decoder(), ("q", "v"), rank=4)
    schedule = RankSchedule(initial=16, target=6, total=24, warmup=4, final=8)
    allocator, optimizer, detach, ranks, losses = train(model, schedule, 24)
    assert ranks == [schedule.budget(t) for t in range(1, 25)]
    assert ranks[-1] == 6
    assert allocator.step == 24
    assert losses[-1] < losses[0] - 0.2
    detach()
    optimizer.step()
    assert allocator.step == 24


def test_what_was_cut_can_come_back():
    part = layer()
    allocator = RankAllocator(torch.nn.ModuleDict({"one": part}), RankSchedule(3, 1, 10))
    part.values_sensitivity[:] = torch.tensor([3.0, 2.0, 1.0])
    part.values_uncertainty.fill_(1.0)
    allocator.cut(2)
    assert part.values[2] == 0
    part(torch.randn(6, 5, dtype=torch.float64)).square().sum().backward()
    assert part.values.grad[2] != 0  # P and Q are still there
    with torch.no_grad():
        part.values[2] = 0.5
    part.values_sensitivity[2] = 9.0
    allocator.cut(2)
    assert part.values[2] == 0.5
    assert part.values[1] == 0


def test_sensitivities_are_in_the_state_and_nothing_is_observed_at_the_end():
    model = add_adalora(decoder(), ("q",), rank=2)
    schedule = RankSchedule(initial=4, target=2, total=8, warmup=1, final=4)
    train(model, schedule, 8)
    other = add_adalora(decoder(), ("q",), rank=2)
    other.load_state_dict(model.state_dict())
    mine, theirs = model.blocks[1].attention.q, other.blocks[1].attention.q
    assert torch.equal(mine.scores(), theirs.scores())
    assert mine.scores().any()
    short = add_adalora(decoder(), ("q",), rank=2)
    train(short, schedule, 3)  # observed before step total - final = 4 only
    assert torch.equal(short.blocks[1].attention.q.scores(), mine.scores())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": 0}, "target must lie in 1 to initial=4, got 0"),
        ({"target": 5}, "target must lie in 1 to initial=4, got 5"),
        ({"warmup": 6, "final": 4}, "must leave steps of the total=10"),
        ({"warmup": -1}, "warmup=-1"),
        ({"every": 0}, "every must be at least 1, got 0"),
    ],
)
def test_wrong_schedules_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        RankSchedule(**{"initial": 4, "target": 2, "total": 10, **settings})


def test_what_else_is_refused():
    with pytest.raises(ValueError, match="rank must lie in 1 to 4, got 5"):
        SVDLinear(Linear(5, 4), 5, 1.0)
    with pytest.raises(ValueError, match="no linear layer ends in 'query'"):
        add_adalora(decoder(), ("query",), rank=2)
    with pytest.raises(ValueError, match="updates Linear layers, got SVDLinear"):
        add_adalora(add_adalora(decoder(), rank=2), rank=2)
    with pytest.raises(ValueError, match="updates Linear layers, got NF4Linear"):
        add_adalora(quantise_model(decoder()), rank=2)
    with pytest.raises(ValueError, match="has no SVDLinear"):
        orthogonality(decoder())
    with pytest.raises(ValueError, match="the model has 8 triplets, the schedule begins 9"):
        RankAllocator(add_adalora(decoder(), rank=2), RankSchedule(9, 2, 10))
    with pytest.raises(ValueError, match="no gradient to observe"):
        layer().observe(0.5, 0.5)
