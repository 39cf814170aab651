"""What all hand-made optimizers share: which parameters move, closures, states, refusals."""

import copy
import math

import pytest
import torch
from torch import nn

from minillm.train import TrainConfig, TrainState, load_checkpoint, save_checkpoint, train
from minillm.train.adafactor import Adafactor
from minillm.train.adagrad import Adagrad
from minillm.train.adam import Adam
from minillm.train.by_hand import ByHand, check_memory, check_not_negative, check_positive
from minillm.train.lion import Lion
from minillm.train.muon import Muon, muon_groups
from minillm.train.rmsprop import RMSprop
from minillm.train.sgd import SGD


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.LayerNorm(7), nn.Linear(7, 3)).double()


def muon(model, lr=1e-2):
    return Muon(muon_groups(model, lr=lr, weight_decay=0.1, adamw_lr=lr))


MAKERS = {
    "sgd": lambda m: SGD(m.parameters(), 1e-2),
    "momentum": lambda m: SGD(m.parameters(), 1e-2, 0.9, nesterov=True, weight_decay=0.1),
    "adagrad": lambda m: Adagrad(m.parameters()),
    "rmsprop": lambda m: RMSprop(m.parameters()),
    "adam": lambda m: Adam(m.parameters(), l2=0.1),
    "adafactor": lambda m: Adafactor(m.parameters()),
    "palm": lambda m: Adafactor(m.parameters(), factored=False, beta1=0.9),
    "lion": lambda m: Lion(m.parameters(), weight_decay=0.1),
    "muon": muon,
}
EACH = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def run(model, optimizer, steps, seed=1):
    g = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for p in model.parameters():
            p.grad = torch.randn(p.shape, generator=g, dtype=p.dtype)
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@EACH
def test_parameters_without_gradient_stay(make):
    model = net()
    optimizer = make(model)
    frozen = model[0].weight.detach().clone()
    before = model[3].bias.detach().clone()
    model[3].bias.grad = torch.ones(3, dtype=torch.float64)
    optimizer.step()
    assert torch.equal(model[0].weight, frozen)
    assert bool((model[3].bias != before).all())
    assert list(optimizer.state) == [model[3].bias]
    assert optimizer.state[model[3].bias]["step"] == 1


@EACH
def test_goes_on_from_a_saved_state(make):
    one, two = net(), net()
    first, second = make(one), make(two)
    run(one, first, 5)
    two.load_state_dict(one.state_dict())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert torch.equal(run(one, first, 5, seed=2), run(two, second, 5, seed=2))
    fresh = net()
    fresh.load_state_dict(one.state_dict())  # without the state it would be another run
    if make is not MAKERS["sgd"]:
        assert not torch.equal(run(one, first, 3, seed=3), run(fresh, make(fresh), 3, seed=3))


@EACH
def test_the_loop_trains_with_it_and_goes_on_from_a_checkpoint(make, new_model, counting, tmp_path):
    """Six steps at once, and three and three with a checkpoint on the disk between: equal bits."""
    config = {"batch_size": 4, "context": 8, "precision": "float32", "warmup_steps": 2}

    def part(model, optimizer, batches, stop, state=None):
        losses = []
        whole = TrainConfig(steps=6, **config)

        def log(record):
            losses.append(record["loss"])
            if record["step"] == stop:
                raise KeyboardInterrupt

        try:
            state = train(
                model, batches, whole, optimizer=optimizer, state=state, log=log, progress=False
            )
        except KeyboardInterrupt:
            state = TrainState(step=stop, precision="float32")
        return losses, state

    model = new_model()
    whole, _ = part(model, make(model), counting(), stop=99)
    first = new_model()
    optimizer, batches = make(first), counting()
    begin, state = part(first, optimizer, batches, stop=3)
    save_checkpoint(tmp_path / "mark", first, optimizer)
    second = new_model(seed=5)
    other = make(second)
    load_checkpoint(tmp_path / "mark", second, other)
    end, _ = part(second, other, batches, stop=99, state=state)
    assert begin + end == whole


@EACH
def test_gradients_are_not_changed(make):
    model = net()
    optimizer = make(model)
    for p in model.parameters():
        p.grad = torch.randn(p.shape, dtype=p.dtype)
    before = [p.grad.clone() for p in model.parameters()]
    optimizer.step()
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), before, strict=True))


@EACH
def test_goes_down_a_bowl(make):
    model = net()
    optimizer = make(model)
    losses = []
    for _ in range(30):
        loss = sum((p**2).sum() for p in model.parameters())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@EACH
def test_lr_zero_moves_nothing(make):
    model = net()
    optimizer = make(model)
    for group in optimizer.param_groups:
        group["lr"] = 0.0  # as a schedule does
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert torch.equal(run(model, optimizer, 2), before)


def test_closure_is_called_with_gradients_on():
    p = nn.Parameter(torch.tensor([1.0]))
    optimizer = SGD([p], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (p**2).sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 1.0
    assert p.item() == pytest.approx(0.8)
    assert optimizer.step() is None


def test_sparse_gradients_are_refused():
    table = nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(ValueError, match="Adam needs dense gradients"):
        Adam(table.parameters()).step()


def test_each_group_is_checked():
    with pytest.raises(ValueError, match="lr must be finite and not negative, got -1"):
        SGD([{"params": [torch.zeros(1)], "lr": -1.0}])


def test_the_base_class_moves_nothing():
    with pytest.raises(NotImplementedError):
        ByHand([torch.zeros(1)], {})


def test_checks():
    check_not_negative(a=0.0, b=3.0)
    check_positive(a=1e-30)
    check_memory(a=0.0, b=0.999)
    for bad in (-1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="b must be finite and not negative"):
            check_not_negative(a=1.0, b=bad)
        with pytest.raises(ValueError, match="b must be positive"):
            check_positive(a=1.0, b=bad)
    with pytest.raises(ValueError, match="a must be positive and finite, got 0"):
        check_positive(a=0.0)
    for bad in (1.0, -0.1, math.nan):
        with pytest.raises(ValueError, match=r"beta must lie in \[0, 1\)"):
            check_memory(beta=bad)
