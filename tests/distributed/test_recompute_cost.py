"""Memory and FLOPs of recomputation: predicted from the config, against a step that is counted."""

from dataclasses import replace

import pytest
import torch

from minillm.distributed.dry_run import dry_run
from minillm.distributed.recompute import POLICIES, recomputing
from minillm.distributed.recompute_cost import (
    block_numbers,
    hardware_flops,
    recompute_flops,
    recompute_ledger,
    recomputed_blocks,
    step_peak,
    time_share,
)
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig, NormConfig
from minillm.model.config import flops_per_token
from minillm.model.position import PositionConfig
from minillm.model.presets import PRESETS
from minillm.model.routing import ExpertsConfig
from minillm.objectives import causal_loss
from minillm.train.ledger import CountedFlops
from minillm.train.memory import memory_ledger

SMALL = DecoderConfig(
    vocab_size=500,
    d_model=64,
    n_layers=4,
    context=64,
    attention=AttentionConfig(n_heads=4),
    feedforward=FeedForwardConfig("swiglu", 160),
)
SHAPES = {
    "llama": SMALL,
    "gpt2": replace(
        SMALL, feedforward=FeedForwardConfig("gelu", 256), norm=NormConfig("layernorm")
    ),
    "readable": replace(SMALL, attention=AttentionConfig(n_heads=4, implementation="readable")),
    "one_key": replace(SMALL, attention=AttentionConfig(n_heads=4, n_kv_heads=1)),
    "untied": replace(SMALL, tie_embeddings=False),
    "learned": replace(SMALL, position=PositionConfig("learned")),
    "alibi": replace(SMALL, position=PositionConfig("alibi")),
    "window": replace(SMALL, attention=AttentionConfig(n_heads=4, window=16)),
}


def measured(config, policy, every=1, batch_size=8, context=64):
    return dry_run(
        config, batch_size, context, around=lambda m: recomputing(m, policy, every=every)
    )


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("policy", ["none", "block"])
def test_the_ledger_is_within_ten_percent_of_live_tensors(name, policy):
    config = replace(SHAPES[name], n_layers=2)
    found, ledger = measured(config, policy), recompute_ledger(config, 8, 64, policy=policy)
    assert ledger.activations + ledger.loss == pytest.approx(found.kept, rel=0.02)
    assert ledger.parameters == found.parameters
    assert ledger.gradients == pytest.approx(found.gradients, rel=0.01)  # RoPE's table is there too
    assert ledger.optimizer == found.optimizer
    peak = step_peak(config, 8, 64, policy=policy)
    assert max(peak.backward, peak.end) == pytest.approx(found.peak, rel=0.1)
    assert peak.update == pytest.approx(found.update_peak, rel=0.1)


@pytest.mark.parametrize(("policy", "every"), [("attention", 1), ("feedforward", 1), ("block", 3)])
@pytest.mark.parametrize("name", ["llama", "alibi", "window"])
def test_parts_of_blocks_and_some_of_the_blocks(name, policy, every):
    config, how = SHAPES[name], {"policy": policy, "every": every}
    found, ledger = measured(config, policy, every), recompute_ledger(config, 8, 64, **how)
    assert ledger.activations + ledger.loss == pytest.approx(found.kept, rel=0.02)
    peak = step_peak(config, 8, 64, **how)
    assert max(peak.backward, peak.end) == pytest.approx(found.peak, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in PRESETS if n != "mixtral_8x7b"])
@pytest.mark.parametrize("policy", POLICIES)
def test_every_dense_preset_is_within_ten_percent(name, policy):
    config = PRESETS[name]()
    found, ledger = (
        measured(config, policy, 1, 1, 256),
        recompute_ledger(config, 1, 256, policy=policy),
    )
    assert ledger.activations + ledger.loss == pytest.approx(found.kept, rel=0.1)
    peak = step_peak(config, 1, 256, policy=policy)
    assert max(peak.backward, peak.end) == pytest.approx(found.peak, rel=0.1)
    assert peak.update == pytest.approx(found.update_peak, rel=0.1)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", ["llama", "gpt2", "readable", "one_key"])
def test_flops_are_exact(name, policy):
    config = replace(SHAPES[name], context=16)
    model = Decoder(config)
    ids = torch.zeros(2, 16, dtype=torch.long)
    with recomputing(model, policy, every=2), CountedFlops() as counted:
        causal_loss(model, ids, ids).backward()
    assert counted.total == 2 * 16 * hardware_flops(config, policy=policy, every=2)


def test_a_third_more_time_is_the_limit_of_wide_models_without_a_head():
    shares = {name: time_share(PRESETS[name]()) for name in ("gpt2_124m", "llama_7b", "llama_65b")}
    assert all(0 < share < 1 / 3 for share in shares.values())
    assert list(shares.values()) == sorted(shares.values())  # the output matrix weighs ever less
    assert shares["llama_65b"] == pytest.approx(1 / 3, abs=0.003)
    own = flops_per_token(SMALL) - 6 * SMALL.vocab_size * SMALL.d_model
    assert 3 * recompute_flops(SMALL) == own  # exactly a forward pass of all but the head


def test_policies_add_up():
    each = {policy: recompute_flops(SMALL, policy=policy) for policy in POLICIES}
    assert each["attention"] + each["feedforward"] == each["block"]
    assert each["none"] == 0
    assert recompute_flops(SMALL, every=2) == each["block"] // 2
    assert [recomputed_blocks(SMALL, "block", e) for e in (1, 2, 3, 4, 9)] == [4, 2, 2, 1, 1]


def test_what_grows_with_what():
    block = recompute_ledger(SMALL, 8, 64)
    assert recompute_ledger(SMALL, 16, 64).activations == 2 * block.activations
    deep = recompute_ledger(replace(SMALL, n_layers=5), 8, 64)
    assert deep.activations - block.activations == 8 * 64 * 64 * 4  # one input, (B, T, D)
    plain = memory_ledger(SMALL, 8, 64).activations
    five = memory_ledger(replace(SMALL, n_layers=5), 8, 64).activations
    assert five - plain == 8 * 64 * 4 * block_numbers(SMALL, 64)
    assert 2 * recompute_ledger(SMALL, 8, 64, bytes_per_number=2).activations == block.activations


@pytest.mark.parametrize("tied", [True, False])
def test_a_tied_table_is_three_gradients_for_a_moment(tied):
    config = replace(SMALL, vocab_size=5000, n_layers=2, tie_embeddings=tied)
    peak, found = step_peak(config, 1, 8), measured(config, "block", 1, 1, 8)
    assert peak.end == pytest.approx(found.peak if tied else found.gradients, rel=0.02)


@pytest.mark.parametrize("tied", [True, False])
def test_a_head_of_unit_rows_takes_four_tables_to_go_back(tied):
    norm = NormConfig(head=True)
    config = replace(SMALL, vocab_size=5000, n_layers=2, tie_embeddings=tied, norm=norm)
    peak, found = step_peak(config, 1, 8), measured(config, "block", 1, 1, 8)
    assert peak.backward == pytest.approx(found.peak, rel=0.02)
    assert peak.end < 0.8 * peak.backward


def test_the_peak_of_later_steps_has_the_optimizer_too():
    peak = step_peak(SMALL, 1, 8)
    assert peak.steady >= peak.first
    assert step_peak(SMALL, 64, 64).steady == step_peak(SMALL, 64, 64).backward + peak.state


def test_bad_input():
    with pytest.raises(ValueError, match=r"policy must be one of none.*got 'all'"):
        recompute_ledger(SMALL, 1, policy="all")
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        recompute_flops(SMALL, every=0)
    experts = FeedForwardConfig("swiglu", 16, experts=ExpertsConfig(4, top_k=2))
    with pytest.raises(ValueError, match="experts are not recomputed"):
        recompute_ledger(replace(SMALL, feedforward=experts), 1)
