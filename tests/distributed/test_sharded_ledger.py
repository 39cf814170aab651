"""Memory of a rank: the paper's table, brute force, and thinner decoders that are really built."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minillm.distributed.sharded_ledger import (
    FLOAT32,
    MIXED,
    SHARDINGS,
    Formats,
    largest_layer_bytes,
    rank_config,
    rank_ledger,
    rank_parameters,
    rank_state,
)
from minillm.distributed.zero import state_bytes
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig, NormConfig
from minillm.model.config import count_padding, count_parameters
from minillm.model.position import PositionConfig
from minillm.model.presets import PRESETS
from minillm.train.memory import memory_ledger

SMALL = DecoderConfig(
    vocab_size=512,
    d_model=32,
    n_layers=4,
    context=16,
    attention=AttentionConfig(n_heads=4),
    feedforward=FeedForwardConfig("swiglu", 64),
)


def test_the_table_of_the_paper():
    total = [sum(rank_state(7_500_000_000, 64, s)) / 1e9 for s in SHARDINGS]
    assert total == pytest.approx([120, 31.4, 16.6, 1.9], abs=0.05)  # figure 1


def test_as_zero_itself_predicts():
    for stage, sharding in enumerate(SHARDINGS):
        wanted = state_bytes(stage, 7e9, 64, weight=2, gradient=2, state=12)
        assert sum(rank_state(7_000_000_000, 64, sharding)) == pytest.approx(wanted)


def test_one_card_saves_nothing():  # PAR-005: 30 billion weights on one card
    assert {sum(rank_state(30_000_000_000, 1, s)) for s in SHARDINGS} == {480_000_000_000}
    shared = [sum(rank_state(30_000_000_000, 24, s)) / 1e9 for s in ("zero2", "zero3")]
    assert shared == pytest.approx([77.5, 20.0])


@given(n=st.integers(1, 10**6), ranks=st.integers(1, 300))
def test_pieces_cover_all_and_differ_by_nothing(n, ranks):
    pieces = rank_state(n, ranks, "zero3", Formats(1, 1, 1, 1))
    assert len(set(pieces)) == 1
    assert n <= pieces[0] * ranks < n + ranks
    by_stage = [sum(rank_state(n, ranks, s)) for s in SHARDINGS]
    assert by_stage == sorted(by_stage, reverse=True)
    assert by_stage[0] == 16 * n == MIXED.total * n
    assert sum(rank_state(n, ranks, "ddp", FLOAT32)) == 16 * n


def sliced(model, n_ranks):
    """Numbers of a rank when each matrix of heads, inner width and vocabulary is really cut."""
    total, done = 0, set()
    for name, p in model.named_parameters():
        if id(p) in done:
            continue
        done.add(id(p))
        cut = p.ndim == 2 and "norm" not in name and "position" not in name
        total += p.numel() // n_ranks if cut else p.numel()
    return total


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("n", [1, 2, 4])
def test_tensor_parallel_against_matrices_that_are_cut(n, tied):
    config = replace(SMALL, tie_embeddings=tied)
    assert rank_parameters(config, tensor=n) == sliced(Decoder(config, device="meta"), n)


@pytest.mark.parametrize("norm", ["rmsnorm", "layernorm"])
@pytest.mark.parametrize("position", ["rope", "learned"])
@pytest.mark.parametrize("n", [1, 2, 4])
def test_stages_add_up_to_the_model(n, norm, position):
    config = replace(
        SMALL,
        norm=NormConfig(norm),
        position=PositionConfig(position),
        tie_embeddings=False,
    )
    stages = [rank_parameters(config, pipeline=n, stage=i) for i in range(n)]
    assert sum(stages) == count_parameters(config) + count_padding(config)
    tied = replace(config, tie_embeddings=True)
    table = 512 * 32
    again = sum(rank_parameters(tied, pipeline=n, stage=i) for i in range(n))
    assert again == count_parameters(tied) + count_padding(tied) + (table if n > 1 else 0)


def test_stages_of_a_model_that_is_really_cut():
    model = Decoder(replace(SMALL, tie_embeddings=False), device="meta")
    blocks = [sum(p.numel() for p in block.parameters()) for block in model.blocks]
    first = sum(blocks[:2]) + model.embedding.weight.numel()
    last = sum(blocks[2:]) + model.head.weight.numel() + 32
    found = [rank_parameters(model.config, pipeline=2, stage=i) for i in (0, 1)]
    assert found == [first, last]


def test_one_rank_is_the_plain_ledger():
    found = rank_ledger(SMALL, 2, formats=FLOAT32)
    plain = memory_ledger(SMALL, 2)
    assert (found.parameters, found.gradients, found.optimizer, found.loss) == (
        plain.parameters,
        plain.gradients,
        plain.optimizer,
        plain.loss,
    )
    assert found.activations == plain.activations - 2 * 16 * 32 * 4  # what the fused loss drops


def test_a_pipeline_keeps_the_activations_of_as_many_batches_as_it_has_stages():
    one, four = (rank_ledger(SMALL, 64, pipeline=p) for p in (1, 4))
    final_norm = 64 * 16 * (2 * 32 + 1) * 2
    assert four.activations == one.activations - final_norm  # 4 batches x a quarter of the layers
    assert four.loss == 0  # the first stage is the fullest
    few = rank_ledger(SMALL, 1, pipeline=2, policy="block")
    assert few.loss > 0  # the last one is
    assert few.activations == 1 * 16 * 2 * (2 * 32 + 2 * 32 + 1)  # two inputs, and the norm


def test_norms_of_the_embedding_belong_to_the_first_stage():
    both = replace(SMALL, norm=NormConfig("layernorm", embedding=True))
    plain = replace(SMALL, norm=NormConfig("layernorm"))
    extra = [rank_ledger(c, 64, pipeline=4).activations for c in (both, plain)]
    assert extra[0] - extra[1] == 4 * 64 * 16 * (32 + 2) * 2


def test_tensor_parallel_copies_norms_and_cuts_the_rest():
    plain, cut = rank_ledger(SMALL, 2), rank_ledger(SMALL, 2, tensor=4)
    assert plain.activations / 4 < cut.activations < plain.activations
    assert cut.parameters < plain.parameters / 3


def test_bloom_fits_as_it_was_trained_and_not_without_the_cuts():
    config = PRESETS["bloom_176b"]()
    how = {"data": 8, "tensor": 4, "pipeline": 10, "policy": "block"}
    assert rank_ledger(config, 2, 2048, sharding="zero1", **how).total < 80e9
    assert rank_ledger(config, 2, 2048, sharding="ddp", **how).total > 80e9
    assert rank_ledger(config, 1, 2048, data=384, sharding="zero2").total > 80e9


def test_what_zero3_gathers_for_a_layer():
    config = PRESETS["llama_7b"]()
    assert (
        largest_layer_bytes(config)
        == 2 * (count_parameters(config) - 2 * 32000 * 4096 - 65 * 4096) // 32
    )
    table = replace(SMALL, vocab_size=100_096)
    assert largest_layer_bytes(table) == 2 * 100_096 * 32


def test_a_thinner_decoder_can_be_built():
    thin = rank_config(SMALL, tensor=2, pipeline=2)
    assert count_parameters(thin) < count_parameters(SMALL) / 3
    assert thin.head_width == SMALL.head_width
    Decoder(thin)(torch.zeros(1, 4, dtype=torch.long))
    assert math.ceil(SMALL.vocab_size / 2) == thin.vocab_size


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: rank_state(1, 1, "zero4"), "sharding must be one of ddp.*got 'zero4'"),
        (lambda: rank_state(0, 1, "ddp"), "got n_parameters=0, n_ranks=1"),
        (lambda: rank_config(SMALL, tensor=0), "got tensor=0, pipeline=1"),
        (lambda: rank_config(SMALL, tensor=3), "3 ranks cannot share n_heads=4"),
        (lambda: rank_config(SMALL, pipeline=3), "3 ranks cannot share n_layers=4"),
        (lambda: rank_parameters(SMALL, pipeline=2, stage=2), "stage must lie in 0 to 1, got 2"),
        (lambda: rank_config(PRESETS["mixtral_8x7b"]()), "expert parallelism"),
        (lambda: Formats(weight=0), "formats.weight is too small: 0"),
    ],
)
def test_bad_input(work, said):
    with pytest.raises(ValueError, match=said):
        work()
