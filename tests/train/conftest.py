"""A tiny model and an endless, resumable source of batches for the tests of the loop."""

import pytest
import torch

from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig


class Counting:
    """Batches of numbers that count up modulo 29, at random; its position is one number."""

    def __init__(self, batch_size=4, context=8, dropped=0.0):
        self.batch_size, self.context, self.dropped, self.n_served = batch_size, context, dropped, 0

    def __iter__(self):
        return self

    def __next__(self):
        g = torch.Generator().manual_seed(1000 + self.n_served)
        self.n_served += 1
        start = torch.randint(0, 29, (self.batch_size, 1), generator=g)
        rows = (start + torch.arange(self.context + 1)) % 29
        x, y = rows[:, :-1], rows[:, 1:].clone()
        y[torch.rand(y.shape, generator=g) < self.dropped] = -100
        return x, y

    def state_dict(self):
        return {"n_served": self.n_served}

    def load_state_dict(self, state):
        self.n_served = state["n_served"]


def make_model(dtype=torch.float32, seed=0, d_model=16):
    torch.manual_seed(seed)
    config = DecoderConfig(
        vocab_size=29,
        d_model=d_model,
        n_layers=2,
        context=16,
        attention=AttentionConfig(n_heads=2),
        feedforward=FeedForwardConfig(kind="swiglu", width=24),
    )
    return Decoder(config, dtype=dtype)


@pytest.fixture
def new_model():
    return make_model


@pytest.fixture
def counting():
    return Counting
