"""Dealing out batches, and cutting a step anew for other ranks; one process is enough for these."""

import signal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minillm.data.loader import BatchSampler
from minillm.distributed.exact import SharedBatches, StopAgreed
from minillm.distributed.fsdp import ShardingConfig, make_mesh, shard_decoder
from minillm.distributed.materialise import materialise
from minillm.distributed.ranks import StopSignal, joined
from minillm.distributed.trainer import fit_to_ranks, train_sharded
from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    PositionConfig,
)
from minillm.train import RecoveryConfig, TrainConfig
from minillm.train.batch_ramp import LinearRamp

TOKENS = torch.arange(2000).numpy() % 97


@pytest.fixture(scope="module")
def ranks():
    with joined() as found:
        yield found


def sampler(batch_size=12):
    return BatchSampler(TOKENS, batch_size, 8, seed=3)


def model(**changes):
    settings = {
        "vocab_size": 29,
        "d_model": 16,
        "n_layers": 1,
        "context": 8,
        "attention": AttentionConfig(n_heads=2),
        "feedforward": FeedForwardConfig(kind="swiglu", width=24),
    }
    return DecoderConfig(**(settings | changes))


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 6])
def test_the_order_of_the_data_is_the_samplers(ranks, parts):
    whole = [next(sampler()) for _ in range(1)]
    dealt = [next(SharedBatches(sampler(), part, parts)) for part in range(parts)]
    for i in (0, 1):
        torch.testing.assert_close(torch.cat([pair[i] for pair in dealt]), whole[0][i])


def test_the_position_moves_to_other_ranks(ranks):
    first = SharedBatches(sampler(), 1, 2)
    next(first), next(first)
    second = SharedBatches(sampler(), 0, 1)
    second.load_state_dict(first.state_dict())
    mine, whole = next(first)[0], next(second)[0]
    torch.testing.assert_close(mine, whole[6:])
    assert first.state_dict() == second.state_dict()


def test_batches_without_a_position_have_none(ranks):
    shared = SharedBatches(iter([next(sampler())]), 0, 1)
    shared.load_state_dict({"n": 1})
    assert shared.state_dict() == {}


def test_a_stop_comes_before_a_batch_is_drawn(ranks):
    source = sampler()
    shared = SharedBatches(source, 0, 1, stop=lambda: True)
    with pytest.raises(StopAgreed):
        next(shared)
    assert source.n_served == 0


def test_sigterm_saves_and_stops(ranks, tmp_path):
    """Slurm and Kubernetes send SIGTERM some time before they kill."""
    config = TrainConfig(steps=9, batch_size=4, context=8, accumulate=2, precision="float32")
    arguments = {"ranks": ranks, "progress": False}
    whole = []
    source = BatchSampler(TOKENS % 29, 4, 8, seed=3)
    train_sharded(model(), source, config, make_log=lambda _: whole.append, **arguments)
    arguments["out"] = tmp_path

    class Signalled(BatchSampler):
        def __next__(self):
            if self.n_served == 7 * 4:  # in the middle of step 4, which is finished
                signal.raise_signal(signal.SIGTERM)
            return super().__next__()

    def log(record):
        pass

    source = Signalled(TOKENS % 29, 4, 8, seed=3)
    _, state = train_sharded(model(), source, config, make_log=lambda _: log, **arguments)
    assert (state.step, state.interrupted) == (4, True)
    seen = []
    source = BatchSampler(TOKENS % 29, 4, 8, seed=3)
    _, state = train_sharded(model(), source, config, make_log=lambda _: seen.append, **arguments)
    assert [r["step"] for r in seen] == [5, 6, 7, 8, 9]
    assert not state.interrupted
    assert [r["loss"] for r in seen] == [r["loss"] for r in whole[4:]]  # no batch is left out
    assert state.n_tokens == 9 * 2 * 4 * 8


def test_the_signal_is_given_back():
    before = signal.getsignal(signal.SIGTERM)
    with StopSignal() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested
    assert signal.getsignal(signal.SIGTERM) is before


class Plain:
    """Batches that can only be read."""

    served, skipped = 0, 0

    def __iter__(self):
        return self

    def __next__(self):
        self.served += 1
        return next(sampler())


class CanSkip(Plain):
    def skip(self, n):
        self.skipped += n


@pytest.mark.parametrize("kind", [Plain, CanSkip])
def test_batches_are_left_out_and_counted(ranks, kind):
    """A stop is asked for between two steps, also after a rewind has left batches out."""
    asked = []
    source = kind()
    shared = SharedBatches(source, 0, 1, between_steps=lambda n: asked.append(n) or False)
    next(shared)
    shared.skip(3)
    next(shared)
    assert asked == [0, 4]
    assert source.served + source.skipped == 5


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 8), st.integers(1, 9))
def test_a_step_cut_anew_reads_the_same_rows(batch_size, accumulate, n_readers, rows):
    config = TrainConfig(batch_size=batch_size * n_readers, accumulate=accumulate)
    found = fit_to_ranks(config, n_readers, rows)
    assert found.batch_size * found.accumulate == config.batch_size * config.accumulate
    assert found.batch_size % n_readers == 0
    assert found.batch_size // n_readers <= rows


def test_a_ramp_keeps_its_passes():
    ramp = LinearRamp(96, 384, 1000)
    found = fit_to_ranks(TrainConfig(batch_size=24, accumulate=5, ramp=ramp), 2, 5)
    assert (found.batch_size, found.accumulate) == (8, 5)


def test_as_many_rows_as_fit_go_at_once():
    found = fit_to_ranks(TrainConfig(batch_size=24), 2, 5)
    assert (found.batch_size, found.accumulate) == (8, 3)  # 4 rows a rank: 5 do not divide 12


CONFIGS = {
    "learned positions, LayerNorm-free, tied": model(position=PositionConfig("learned")),
    "untied": model(tie_embeddings=False),
    "biases": model(attention=AttentionConfig(n_heads=2, bias=True)),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_materialised_weights_are_the_ordinary_start(ranks, config):
    torch.manual_seed(7)
    plain = Decoder(config)
    mesh = make_mesh(ShardingConfig(), 1)
    ours = shard_decoder(config, ShardingConfig(), mesh, seed=7)
    names = [name for name, _ in plain.named_parameters()]
    assert names == [name for name, _ in ours.named_parameters()]
    for a, b in zip(plain.parameters(), ours.parameters(), strict=True):
        assert torch.equal(a, b.full_tensor())
    other = shard_decoder(config, ShardingConfig(), mesh, seed=8)
    assert not torch.equal(plain.embedding.weight, other.embedding.weight.full_tensor())


def run(ranks, **changes):
    settings = {"steps": 2, "batch_size": 4, "context": 8, **changes}
    return train_sharded(model(), sampler(), TrainConfig(**settings), ranks=ranks, progress=False)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda r: SharedBatches([], 2, 2), "part must lie in 0 to 1, got 2"),
        (lambda r: next(SharedBatches(sampler(), 0, 5)), "12 sequences cannot be dealt out to 5"),
        (lambda r: fit_to_ranks(TrainConfig(batch_size=9), 2, 1), "9 sequences .* to 2 ranks"),
        (lambda r: fit_to_ranks(TrainConfig(batch_size=9), 3, 0), "rows must be at least 1"),
        (lambda r: ShardingConfig(tensor=0), "sharding.tensor must be at least 1, got 0"),
        (lambda r: ShardingConfig(weights="int8"), "sharding.weights must be one of .*'int8'"),
        (lambda r: ShardingConfig(replicas=2).shards(3), "3 ranks cannot be 2 replicas"),
        (lambda r: ShardingConfig(tensor=4).shards(2), "2 ranks cannot be"),
        (lambda r: materialise(Decoder(model()), model(), seed=0, device="cpu"), "meta device"),
        (
            lambda r: run(r, recovery=RecoveryConfig()),
            "train.recovery keeps its marks in the folder",
        ),
        (lambda r: run(r, ledger=True), "train.ledger counts a bare Decoder"),
    ],
)
def test_bad_input(ranks, action, words):
    with pytest.raises(ValueError, match=words):
        action(ranks)
