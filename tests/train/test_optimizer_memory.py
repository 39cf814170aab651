"""The counted numbers of each optimizer against those that it holds after a step."""

import pytest
import torch
from torch import nn

from minillm.train import AdamW
from minillm.train.adafactor import Adafactor
from minillm.train.adagrad import Adagrad
from minillm.train.adam import Adam
from minillm.train.lion import Lion
from minillm.train.muon import Muon, muon_groups
from minillm.train.optimizer_memory import (
    STATES,
    live_numbers,
    model_state_numbers,
    state_numbers,
)
from minillm.train.rmsprop import RMSprop
from minillm.train.sgd import SGD

MAKERS = {
    "sgd": lambda m: SGD(m.parameters()),
    "momentum": lambda m: SGD(m.parameters(), momentum=0.9),
    "adagrad": lambda m: Adagrad(m.parameters()),
    "rmsprop": lambda m: RMSprop(m.parameters()),
    "adam": lambda m: Adam(m.parameters()),
    "adamw": lambda m: AdamW(m.parameters()),
    "lion": lambda m: Lion(m.parameters()),
    "muon": lambda m: Muon(muon_groups(m, lr=0.02, weight_decay=0.0, adamw_lr=1e-3)),
    "adafactor": lambda m: Adafactor(m.parameters()),
    "adafactor_momentum": lambda m: Adafactor(m.parameters(), beta1=0.9),
    "adafactor_unfactored": lambda m: Adafactor(m.parameters(), factored=False),
    "palm": lambda m: Adafactor(m.parameters(), factored=False, beta1=0.9),
}


class Odd(nn.Module):
    """One parameter of each number of axes, and one that is frozen."""

    def __init__(self):
        super().__init__()
        self.vector = nn.Parameter(torch.ones(5))
        self.matrix = nn.Parameter(torch.ones(4, 6))
        self.experts = nn.Parameter(torch.ones(3, 4, 6))
        self.frozen = nn.Parameter(torch.ones(9, 9), requires_grad=False)


@pytest.mark.parametrize("kind", STATES)
@pytest.mark.parametrize("which", ["decoder", "odd"])
def test_counts_are_exact(kind, which, new_model):
    model = new_model() if which == "decoder" else Odd()
    optimizer = MAKERS[kind](model)
    for p in model.parameters():
        if p.requires_grad:
            p.grad = torch.ones_like(p)
    optimizer.step()
    assert live_numbers(optimizer) == model_state_numbers(kind, model)


def test_torchs_optimizers_hold_as_many(new_model):
    model = new_model()
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    for kind, optimizer in (
        ("adamw", torch.optim.AdamW(model.parameters())),
        ("adafactor", torch.optim.Adafactor(model.parameters())),
        ("momentum", torch.optim.SGD(model.parameters(), momentum=0.9)),
    ):
        optimizer.step()
        assert live_numbers(optimizer) == model_state_numbers(kind, model), kind


def test_by_hand():
    assert state_numbers("adamw", (100, 40)) == 8000
    assert state_numbers("lion", (100, 40)) == 4000
    assert state_numbers("adafactor", (100, 40)) == 140
    assert state_numbers("adafactor_momentum", (100, 40)) == 4140
    assert state_numbers("palm", (100, 40)) == 8000  # PaLM's form saves nothing
    assert state_numbers("muon", (100, 40)) == 4000
    assert state_numbers("muon", (40,)) == 80
    assert state_numbers("adafactor", (40,)) == 40
    assert state_numbers("adafactor", (2, 100, 40)) == 2 * 140
    assert state_numbers("sgd", (100, 40)) == 0


def test_unknown_kind_is_named():
    with pytest.raises(ValueError, match=r"kind must be one of sgd, .* got 'adamax'"):
        state_numbers("adamax", (2,))
