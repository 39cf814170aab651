"""Offload gives back what it took, to the bit, and counts the traffic."""

import gc

import pytest
import torch
from torch import nn

from minillm.distributed.offload import (
    OffloadedState,
    map_file,
    offload_seconds,
    offloaded_activations,
)
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.objectives import causal_loss
from minillm.train import AdamW
from minillm.train.live_memory import LiveMemory

CONFIG = DecoderConfig(
    vocab_size=60,
    d_model=16,
    n_layers=2,
    context=12,
    attention=AttentionConfig(n_heads=2),
    feedforward=FeedForwardConfig("swiglu", 32),
)


def model():
    torch.manual_seed(1)
    return Decoder(CONFIG)


IDS = torch.arange(48).view(4, 12) % 60


def test_gradients_are_the_same_to_the_bit_and_files_go(tmp_path):
    plain, moved = model(), model()
    causal_loss(plain, IDS, IDS).backward()
    with offloaded_activations(tmp_path, min_bytes=64, keep=tuple(moved.parameters())) as traffic:
        loss = causal_loss(moved, IDS, IDS)
    assert traffic.stored == traffic.written > 0
    assert traffic.read == 0
    on_disk = sum(f.stat().st_size for f in tmp_path.rglob("*.bin"))
    assert on_disk == traffic.stored
    loss.backward()
    assert traffic.read == traffic.written  # each kept tensor comes back once
    pairs = zip(plain.parameters(), moved.parameters(), strict=True)
    assert all(torch.equal(a.grad, b.grad) for a, b in pairs)
    del loss
    gc.collect()
    assert traffic.stored == 0
    assert traffic.peak == traffic.written
    assert list(tmp_path.rglob("*.bin")) == []


def test_weights_stay_and_what_is_small_too():
    part, x = nn.Linear(64, 64), torch.randn(8, 64, requires_grad=True)
    with offloaded_activations(min_bytes=0, keep=(part.weight, part.bias)) as traffic:
        part(x)
    assert traffic.written == x.nbytes
    with offloaded_activations(min_bytes=x.nbytes + 1, keep=(part.weight,)) as traffic:
        part(x)
    assert traffic.written == 0


def test_memory_is_freed():
    part, x = nn.Sequential(nn.Tanh(), nn.Tanh()), torch.randn(1000, requires_grad=True)
    with LiveMemory() as memory:
        y = part(x)
    assert memory.live == 2 * y.nbytes  # each keeps its output
    del y
    with LiveMemory() as memory, offloaded_activations(min_bytes=0):
        y = part(x)
    assert memory.live == y.nbytes


def test_the_optimizer_goes_on_in_files(tmp_path):
    plain, moved = model(), model()
    optimizers = [AdamW(m.parameters(), lr=1e-2) for m in (plain, moved)]
    for step in range(4):
        for m, optimizer in zip((plain, moved), optimizers, strict=True):
            m.zero_grad()
            causal_loss(m, IDS, IDS).backward()
            optimizer.step()
        if step == 0:
            state = OffloadedState(optimizers[1], tmp_path, min_bytes=1024)
            moment = next(s["m"] for s in optimizers[1].state.values() if s["m"].nbytes >= 1024)
            before = moment.clone()
    assert all(
        torch.equal(a, b) for a, b in zip(plain.parameters(), moved.parameters(), strict=True)
    )
    assert state.n_bytes == sum(f.stat().st_size for f in tmp_path.iterdir())
    assert not torch.equal(moment, before)
    first = sorted(tmp_path.glob("*.m.bin"))[0]
    on_disk = torch.frombuffer(bytearray(first.read_bytes()), dtype=torch.float32)
    assert any(torch.equal(on_disk, s["m"].flatten()) for s in optimizers[1].state.values())
    state.back()
    kept = first.read_bytes()
    optimizers[1].step()
    assert first.read_bytes() == kept  # in memory again


def test_a_mapped_file_is_its_numbers(tmp_path):
    path, shape = tmp_path / "x.bin", torch.Size((2, 3))
    map_file(path, shape, torch.float64).copy_(torch.arange(6.0).view(2, 3))
    assert torch.equal(
        map_file(path, shape, torch.float64), torch.arange(6.0, dtype=torch.float64).view(2, 3)
    )
    with pytest.raises(ValueError, match="has 48 bytes, and 24 were expected"):
        map_file(path, shape, torch.float32)


def test_seconds_of_a_link():
    assert offload_seconds(7e9, 32e9) == pytest.approx(5.25)  # 168 GB over PCIe 4.0 x16
    assert offload_seconds(7e9, 32e9, what="update") == pytest.approx(5.25 / 6)
    assert offload_seconds(14e9, 32e9) == 2 * offload_seconds(7e9, 32e9)


def test_bad_input(tmp_path):
    with pytest.raises(ValueError, match="what must be one of optimizer, update; got 'all'"):
        offload_seconds(1, 1, what="all")
    with pytest.raises(ValueError, match="both must be positive, got n_parameters=0"):
        offload_seconds(0, 1)
    with pytest.raises(ValueError, match="is no folder"), offloaded_activations(tmp_path / "no"):
        pass
    with (
        pytest.raises(ValueError, match="min_bytes must not be negative, got -1"),
        offloaded_activations(min_bytes=-1),
    ):
        pass
    optimizer = AdamW(model().parameters())
    with pytest.raises(ValueError, match="no state yet"):
        OffloadedState(optimizer, tmp_path)
    optimizer.state[next(iter(optimizer.param_groups[0]["params"]))] = {"m": torch.ones(9)}
    with pytest.raises(ValueError, match="is no folder"):
        OffloadedState(optimizer, tmp_path / "no")
