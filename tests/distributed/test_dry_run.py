"""A dry run counts what a real run counts."""

from dataclasses import replace

import pytest
import torch

from minillm.distributed.dry_run import dry_run, measure_step
from minillm.distributed.recompute import recomputing
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.model.presets import mixtral_8x7b

SMALL = DecoderConfig(
    vocab_size=300,
    d_model=32,
    n_layers=2,
    context=16,
    attention=AttentionConfig(n_heads=2),
    feedforward=FeedForwardConfig("swiglu", 64),
)


@pytest.mark.parametrize("policy", ["none", "block"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_fake_tensors_count_like_real_ones(policy, tied, precision):
    config = replace(SMALL, tie_embeddings=tied)
    with recomputing(Decoder(config), "none"):  # the same code path
        pass
    model = Decoder(config)
    with recomputing(model, policy):
        real = measure_step(model, torch.randint(0, 300, (4, 16)), precision=precision)
    dry = dry_run(config, 4, 16, precision=precision, around=lambda m: recomputing(m, policy))
    for what, count in vars(real).items():
        assert vars(dry)[what] == pytest.approx(count, rel=0.02), what
    assert (dry.parameters, dry.optimizer) == (real.parameters, real.optimizer)


def test_a_model_far_larger_than_this_machine():
    big = replace(
        SMALL, d_model=16384, attention=AttentionConfig(n_heads=128),
        feedforward=FeedForwardConfig("swiglu", 65536), n_layers=1,
    )  # fmt: skip
    found = dry_run(big, 1, 8)
    assert found.parameters > 16e9  # bytes
    assert found.optimizer == 2 * found.parameters


def test_half_the_bytes_in_sixteen_bits():
    wide, narrow = dry_run(SMALL, 4), dry_run(SMALL, 4, dtype=torch.bfloat16)
    assert 2 * narrow.parameters == wide.parameters
    assert 0.4 < narrow.kept / wide.kept < 0.7


def test_bad_input():
    with pytest.raises(ValueError, match="experts choose by value"):
        dry_run(mixtral_8x7b(), 1)
    with pytest.raises(ValueError, match="got batch_size=0, context=16"):
        dry_run(SMALL, 0)
