"""The broken files, the two clocks, and what is boiled down of a run; no training in here."""

import math

import pytest
import torch

from minillm.data import BatchSampler
from minillm.model import Decoder
from minillm.objectives import causal_loss
from minillm.recipes import spike_parts as parts
from minillm.recipes.runs import decoder
from minillm.recipes.studies import spike_remedies as study


def sampler() -> BatchSampler:
    return BatchSampler(torch.arange(2000).numpy() % 250, 2, 8, seed=1)


def test_only_the_named_batches_are_broken():
    healthy = [next(s)[0] for s in [sampler()] for _ in range(8)]
    batches = parts.PoisonedBatches(sampler(), 3, 2, "constant", seed=0)
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


def test_kinds_of_broken_files():
    x = torch.arange(16).view(2, 8)
    same, y = parts.broken(x, x + 1, "shifted", 0)
    assert same is x
    assert (y == x + 2).all()
    assert (parts.broken(x, x + 255, "shifted", 0)[1] < 256).all()
    x1, y1 = parts.broken(x, x + 1, "noise", 7)
    x2, _ = parts.broken(x, x + 1, "noise", 8)
    torch.testing.assert_close(x1[:, 1:], y1[:, :-1])  # targets are one token ahead
    assert x1.shape == y1.shape == x.shape
    assert not torch.equal(x1, x2)
    with pytest.raises(ValueError, match="'noise', 'constant' or 'shifted', got 'wet'"):
        parts.broken(x, x, "wet", 0)


def test_normed_queries_and_keys_have_length_root_h():
    torch.manual_seed(0)
    model = Decoder(decoder(20, d_model=16, n_layers=2, n_heads=2, context=8))
    before = model(torch.tensor([[1, 2, 3]]))
    parts.norm_queries_and_keys(model)
    out = model.blocks[1].attention.q(100 * torch.randn(1, 5, 16)).view(1, 5, 2, 8)
    torch.testing.assert_close(out.norm(dim=-1), torch.full((1, 5, 2), math.sqrt(8)))
    assert not torch.allclose(model(torch.tensor([[1, 2, 3]])), before)


def test_z_loss_is_the_loss_and_the_square_of_log_z():
    torch.manual_seed(0)
    model = Decoder(decoder(20, d_model=16, n_layers=1, n_heads=2, context=8))
    x = torch.randint(20, (2, 6))
    log_z = torch.log(torch.exp(model(x)).sum(-1))
    wanted = causal_loss(model, x, x) + 0.5 * (log_z**2).mean()
    torch.testing.assert_close(parts.z_loss(model, x, x, weight=0.5), wanted)


def looks(*pairs):
    return [{"evaluate": {"passes": p, "test": loss}} for p, loss in pairs]


def test_measure_reads_jump_and_way_back():
    at = study.POISON_AT
    records = looks((at - 5, 3.1), (at, 3.0), (at + 5, 4.0), (at + 10, 3.2), (at + 20, 2.9))
    found = study.measure(records)
    assert found["jump"] == pytest.approx(1 / math.log(2))
    assert found["passes to recover"] == 20
    assert found["recovered"] == 1
    assert found["before"] == pytest.approx(3.0 / math.log(2))
    assert found["final"] == pytest.approx(2.9 / math.log(2))
    assert found["rewinds"] == found["gave up"] == 0


def test_measure_of_a_run_that_never_comes_back():
    at = study.POISON_AT
    records = [*looks((at, 3.0), (at + 5, 4.0)), {"step": 1, "rewind": {}}, {"gave up": "why"}]
    found = study.measure(records, steps=300)
    assert found["passes to recover"] == 300
    assert found["recovered"] == 0
    assert found["rewinds"] == found["gave up"] == 1


def test_every_arm_changes_one_thing():
    assert all(len(change) <= 2 for change in study.ARMS.values())
    assert study.recovery_of({}) is None
    skip = study.recovery_of({"recovery": "skip"})
    assert skip.mark_every == 1
    assert skip.spikes.patience == 1
    assert skip.rewind.back == 0
    assert study.recovery_of(study.ARMS["rewind_lower"]).rewind.lr_factor == 0.5
