"""The small models of the studies: repeatable, measured by hand, better with training."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from minillm.objectives import causal_loss
from minillm.recipes.small import (
    BYTE_END,
    SmallConfig,
    bits_on,
    encode_bytes,
    make_small,
    stream,
    train_small,
)

TINY = SmallConfig(d_model=16, n_layers=1, n_heads=2, context=16, steps=12, batch_size=4)
TEXTS = ["abcabcabcabc " * 8, "xyz 词 " * 12]


def test_a_stream_has_an_end_around_every_text():
    assert stream(["ab", "词"]).tolist() == [256, 97, 98, 256, 0xE8, 0xAF, 0x8D, 256]
    assert stream([]).tolist() == [256]
    assert stream(["ab"], encode=lambda t: [7] * len(t), end=9).tolist() == [9, 7, 7, 9]


def test_the_same_seed_gives_the_same_model_and_another_seed_another():
    tokens = stream(TEXTS)
    a, b, c = (train_small(tokens, seed, config=TINY) for seed in (1, 1, 2))
    assert bits_on(a, TEXTS) == bits_on(b, TEXTS)
    assert bits_on(a, TEXTS) != bits_on(c, TEXTS)


def test_training_helps_and_losses_are_handed_out():
    losses = []
    longer = dataclasses.replace(TINY, steps=60)
    model = train_small(stream(TEXTS), 1, config=longer, losses=losses)
    assert len(losses) == 60
    assert losses[0] == pytest.approx(math.log(384), abs=0.6)  # padded to a multiple of 128
    assert bits_on(model, TEXTS) < 0.7 * bits_on(make_small(TINY, 1), TEXTS)


def test_ready_batches_and_a_given_model_are_used():
    model = make_small(TINY, 3)
    x = torch.full((2, 16), 97)
    batches = iter([(x, x)] * 12)
    assert train_small(batches, 0, config=TINY, model=model) is model
    assert bits_on(model, ["aaaaaaaa"]) < 0.99 * bits_on(make_small(TINY, 3), ["aaaaaaaa"])
    with pytest.raises(ValueError, match=r"cost .*at most 1.5e\+11 are allowed: take fewer steps"):
        train_small(batches, 0, config=SmallConfig(steps=500))
    with pytest.raises(ValueError, match="need 17 tokens"):
        train_small(np.zeros(5, np.int64), 0, config=TINY)


def test_another_objective_is_used_and_the_usual_one_is_the_default():
    tokens, seen = stream(TEXTS), []

    def noted(model, x, y):
        seen.append(x.shape)
        return causal_loss(model, x, y)

    a = train_small(tokens, 1, config=TINY)
    b = train_small(tokens, 1, config=TINY, objective=noted)
    assert seen == [(4, 16)] * 12
    assert bits_on(a, TEXTS) == bits_on(b, TEXTS)
    idle = train_small(tokens, 1, config=TINY, objective=lambda m, x, y: 0 * causal_loss(m, x, y))
    assert bits_on(idle, TEXTS) != bits_on(a, TEXTS)


def test_the_cost_is_six_operations_a_weight_and_token():
    model = make_small(TINY, 0)  # tied: the output matrix is counted once, and so is it here
    weights = sum(p.numel() for p in model.parameters() if p.dim() == 2)
    assert TINY.flops == 6 * weights * 12 * 4 * 16
    assert SmallConfig().flops < 1.5e11


def test_bits_are_those_of_a_loop_over_single_pieces():
    model = make_small(TINY, 0).eval()
    nats = 0.0
    for text in TEXTS:
        ids = [BYTE_END, *encode_bytes(text), BYTE_END]
        for start in range(0, len(ids) - 1, 16):
            piece = torch.tensor(ids[start : start + 17])
            logp = model(piece[None, :-1])[0].log_softmax(-1)
            nats -= logp.gather(1, piece[1:, None]).sum().item()
    by_hand = nats / math.log(2) / sum(len(t.encode()) for t in TEXTS)
    assert bits_on(model, TEXTS, batch_size=3) == pytest.approx(by_hand, rel=1e-5)
    assert bits_on(model, TEXTS, batch_size=64) == pytest.approx(by_hand, rel=1e-5)
    assert not model.training
    with pytest.raises(ValueError, match="at least 1"):
        bits_on(model, [""])
