"""Each kind of optimizer by name: built right, trains in the loop, and goes on after a stop."""

import pytest
import torch

from minillm.train import (
    AdamW,
    OptimizerConfig,
    TrainConfig,
    checkpointer,
    make_optimizer,
    resume,
    train,
)
from minillm.train.adafactor import Adafactor
from minillm.train.adam import Adam
from minillm.train.lion import Lion
from minillm.train.muon import Muon
from minillm.train.optimizer_memory import live_numbers, model_state_numbers
from minillm.train.optimizers import KINDS
from minillm.train.sgd import SGD

MADE = {
    "adamw": (AdamW, "adamw", 1e-2),
    "sgd": (SGD, "momentum", 0.3),
    "adam": (Adam, "adam", 1e-2),
    "adafactor": (Adafactor, "adafactor", 0.1),
    "palm": (Adafactor, "palm", 0.1),
    "lion": (Lion, "lion", 1e-3),
    "muon": (Muon, "muon", 2e-2),
}


def settings(kind):
    return OptimizerConfig(lr=MADE[kind][2], kind=kind)


def test_every_kind_is_here():
    assert tuple(MADE) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_trains_keeps_its_state_and_goes_on(new_model, counting, tmp_path, kind):
    how = TrainConfig(steps=40, batch_size=4, context=8, precision="float32", save_every=20)
    seen, model = [], new_model()
    optimizer = make_optimizer(model, settings(kind))
    assert type(optimizer) is MADE[kind][0]
    save = checkpointer(tmp_path / "c")

    def keep_the_first(*run):
        if run[2].step == 20:
            save(*run)

    train(
        model, counting(), how, optimizer=optimizer, log=seen.append, save=keep_the_first,
        progress=False,
    )  # fmt: skip
    losses = [r["loss"] for r in seen]
    assert losses[-1] < losses[0] - 0.2
    assert live_numbers(optimizer) == model_state_numbers(MADE[kind][1], model)
    other, batches, again = new_model(seed=7), counting(), []
    optimizer = make_optimizer(other, settings(kind))
    state = resume(tmp_path / "c", other, optimizer, batches)
    train(other, batches, how, optimizer=optimizer, state=state, log=again.append, progress=False)
    assert [r["loss"] for r in again] == losses[20:]


def test_gains_do_not_decay(new_model):
    for kind in KINDS:
        for group in make_optimizer(new_model(), settings(kind)).param_groups:
            name = "l2" if kind == "adam" else "weight_decay"
            wanted = 0.1 if group["params"][0].ndim == 2 else 0.0
            assert group[name] == wanted, kind


def test_muon_leaves_tables_and_gains_to_adamw(new_model):
    model = new_model()
    groups = make_optimizer(model, settings("muon")).param_groups
    by_adamw = {id(p) for g in groups if not g["orthogonal"] for p in g["params"]}
    for name, p in model.named_parameters():
        assert (id(p) in by_adamw) == (p.ndim < 2 or "embedding" in name), name
    assert {g["lr"] for g in groups if not g["orthogonal"]} == {2e-2 / 10}
    own = OptimizerConfig(kind="muon", lr=2e-2, adamw_lr=3e-3)
    rates = {g["lr"] for g in make_optimizer(model, own).param_groups}
    assert rates == {2e-2, 3e-3}


def test_palm_keeps_a_mean_and_every_square(new_model):
    (group, _) = make_optimizer(new_model(), settings("palm")).param_groups
    assert (group["factored"], group["beta1"], group["relative"]) == (False, 0.9, False)
    (group, _) = make_optimizer(new_model(), settings("adafactor")).param_groups
    assert (group["factored"], group["beta1"]) == (True, 0.0)


def test_sgd_and_muon_have_the_momentum_that_was_asked_for(new_model):
    for kind in ("sgd", "muon"):
        made = make_optimizer(new_model(), OptimizerConfig(kind=kind, momentum=0.7))
        assert made.param_groups[0]["momentum"] == 0.7


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"kind": "adamax"}, "optimizer.kind must be one of adamw.*'adamax'"),
        ({"momentum": 1.0}, "momentum must lie in"),
        ({"adamw_lr": -1.0}, "adamw_lr must be finite and not negative, got -1.0"),
        ({"lr": -1e-3}, "lr must be finite and not negative, got -0.001"),
        ({"betas": (0.9, 1.0)}, "betas must be two numbers"),
        ({"eps": 0.0}, "eps must be positive"),
    ],
)
def test_bad_settings(bad, said):
    with pytest.raises(ValueError, match=said):
        OptimizerConfig(**bad)


def test_nothing_to_train():
    model = torch.nn.Linear(2, 2).requires_grad_(False)
    with pytest.raises(ValueError, match="nothing to train"):
        make_optimizer(model, OptimizerConfig())
