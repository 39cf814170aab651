"""The clock of a step: phases without a gap, by a clock that is moved by hand."""

import pytest
import torch
from torch import nn

from minillm.distributed.fsdp import ShardingConfig, make_mesh, shard_decoder
from minillm.distributed.ranks import joined
from minillm.distributed.step_clock import PHASES, StepClock
from minillm.model import AttentionConfig, DecoderConfig, FeedForwardConfig
from minillm.train import OptimizerConfig, make_optimizer


class Hand:
    """A clock whose hand is moved."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def hand():
    return Hand()


def moving(hand, seconds):
    def action(value):
        hand.seconds += seconds
        return value

    return action


def test_phases_add_up_to_the_wall_time(hand):
    clock = StepClock(hand)
    hand.seconds += 1
    clock.begin("data")
    hand.seconds += 2
    clock.begin("forward")
    hand.seconds += 4
    clock.begin("data")
    hand.seconds += 8
    assert clock.take() == {"data": 10.0, "forward": 4.0, "rest": 1.0}
    hand.seconds += 16  # the phase goes on, and is counted anew
    assert clock.take() == {"data": 16.0}


def test_a_function_is_a_phase_and_another_follows(hand):
    clock = StepClock(hand)
    forward = clock.during("forward", moving(hand, 3), after="backward")
    assert forward("kept") == "kept"
    hand.seconds += 5
    clock.begin("rest")
    assert clock.take() == {"forward": 3.0, "backward": 5.0, "rest": 0.0}


def test_a_function_that_fails_ends_its_phase(hand):
    clock = StepClock(hand)
    with pytest.raises(ZeroDivisionError):
        clock.during("save", lambda: 1 / 0)()
    hand.seconds += 7
    assert clock.take()["rest"] == 7.0


def test_talk_is_a_part_of_its_phase(hand):
    clock = StepClock(hand)
    clock.begin("forward")
    with clock.talking():
        hand.seconds += 3
    hand.seconds += 1
    assert clock.take() == {"forward": 4.0, "rest": 0.0, "talk": 3.0}


def test_an_optimizer_is_followed(hand):
    clock = StepClock(hand)
    weight = nn.Parameter(torch.ones(2))
    layer = nn.Module()
    layer.weight = weight
    optimizer = make_optimizer(layer, OptimizerConfig())
    clock.follow(layer, optimizer)
    weight.grad = torch.ones(2)
    optimizer.register_step_pre_hook(lambda *_: moving(hand, 2)(None))
    optimizer.step()
    hand.seconds += 1
    assert clock.take() == {"update": 2.0, "rest": 1.0}


def test_a_sharded_model_computes_the_same_when_followed():
    config = DecoderConfig(
        vocab_size=29,
        d_model=16,
        n_layers=2,
        context=8,
        attention=AttentionConfig(n_heads=2),
        feedforward=FeedForwardConfig(kind="swiglu", width=24),
    )
    losses, clock = [], StepClock()
    with joined() as ranks:
        mesh = make_mesh(ShardingConfig(), ranks.size)
        for follow in (False, True):
            model = shard_decoder(config, ShardingConfig(), mesh, seed=3)
            optimizer = make_optimizer(model, OptimizerConfig(lr=1e-2))
            if follow:
                clock.follow(model, optimizer)
            ids = torch.arange(18).view(2, 9)
            for _ in range(2):
                loss = model.loss(ids[:, :-1], ids[:, 1:])
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                losses.append(loss.item())
    assert losses[:2] == losses[2:]
    found = clock.take()
    assert found["update"] > 0
    assert "talk" not in found  # one rank talks to nobody; two do, in test_fsdp


def test_bad_input(hand):
    with pytest.raises(ValueError, match=r"phase must be one of data, .*; got 'lunch'"):
        StepClock(hand).begin("lunch")
    assert len(set(PHASES)) == len(PHASES)
