"""A run that is poisoned goes back, skips, and ends well; killed in between, it does the same."""

import dataclasses
import math

import pytest
import torch

from minillm.objectives import causal_loss
from minillm.train import (
    NotFiniteError,
    OptimizerConfig,
    RecoveryConfig,
    TrainConfig,
    checkpointer,
    make_optimizer,
    resume,
    train,
)
from minillm.train.batch_ramp import LinearRamp
from minillm.train.recovery import SpikeError
from minillm.train.rescue import read_batch
from minillm.train.rewind import RewindConfig
from minillm.train.spikes import SpikeConfig

SETTINGS = OptimizerConfig(lr=1e-2)
HOW = TrainConfig(
    steps=60,
    batch_size=4,
    context=8,
    precision="float32",
    warmup_steps=5,
    recovery=RecoveryConfig(
        mark_every=5,
        spikes=SpikeConfig(window=16, least=8),
        rewind=RewindConfig(back=5, skip=12, near=20),
    ),
)


class Poisoned:
    """Batches of the fixture `counting`, of which some are bad: their loss counts ten times."""

    def __init__(self, inner, places):
        self.inner, self.places, self.served = inner, places, []

    def __iter__(self):
        return self

    def __next__(self):
        place = self.inner.n_served
        x, y = next(self.inner)
        self.served.append(place)
        return x, y

    def objective(self, model, x, y):
        return causal_loss(model, x, y) * (10 if self.served[-1] in self.places else 1)

    def skip(self, n):
        self.inner.n_served += n

    def state_dict(self):
        return self.inner.state_dict()

    def load_state_dict(self, state):
        self.inner.load_state_dict(state)


class NoSkip(Poisoned):
    """The same, but batches can only be read."""

    skip = property()  # hasattr is False


def run(model, batches, how=HOW, **more):
    records = []
    known = {"optimizer": SETTINGS, "objective": getattr(batches, "objective", causal_loss)}
    state = train(model, batches, how, log=records.append, progress=False, **known | more)
    return state, records


def rewinds(records):
    return [r["rewind"] for r in records if "rewind" in r]


def flat(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_a_healthy_run_is_left_alone(new_model, counting):
    with_it, without = new_model(), new_model()
    state, records = run(with_it, counting())
    run(without, counting(), dataclasses.replace(HOW, recovery=None))
    assert rewinds(records) == []
    assert torch.equal(flat(with_it), flat(without))
    assert (state.step, state.n_batches) == (60, 60)


@pytest.mark.parametrize("kind", [Poisoned, NoSkip])
def test_a_spike_sends_the_run_back_and_past_the_data(new_model, counting, kind):
    batches = kind(counting(), range(30, 36))
    state, records = run(new_model(), batches)
    (told,) = rewinds(records)
    assert told["since"] == 31
    assert told["step"] == 25  # the youngest mark that is 5 steps older than step 31
    assert told["skipped"] == 12
    assert (state.step, state.n_tokens) == (60, 60 * 32)
    assert state.n_batches == 37 + 35  # 25 + 12 is where the branch goes on
    if kind is Poisoned:
        assert batches.served == [*range(32), *range(37, 72)]
    steps = [r["step"] for r in records if "loss" in r]
    assert steps == [*range(1, 32), *range(26, 61)]


def test_the_branch_is_what_a_run_without_the_bad_batches_gives(new_model, counting):
    """Weights, optimizer and learning rate go back; nothing of the spike is left."""
    healed, clean = new_model(), new_model()
    run(healed, Poisoned(counting(), range(30, 36)))

    class Without(Poisoned):
        def __next__(self):
            if self.inner.n_served == 25:
                self.inner.n_served = 37
            return super().__next__()

    run(clean, Without(counting(), ()), dataclasses.replace(HOW, recovery=None))
    assert torch.equal(flat(healed), flat(clean))


def test_killed_anywhere_the_run_ends_alike(new_model, counting, tmp_path):
    """Killed while the spike is being watched, and after the rewind."""

    class Stop(Exception):
        pass

    undisturbed = new_model()
    run(undisturbed, Poisoned(counting(), range(30, 36)))
    how = dataclasses.replace(HOW, save_every=3)
    for n_records in (31, 36, 50):
        folder, seen = tmp_path / str(n_records), []

        def stop(record, seen=seen, n=n_records):
            seen.append(record)
            if len(seen) == n:
                raise Stop

        first = Poisoned(counting(), range(30, 36))
        with pytest.raises(Stop):
            train(
                new_model(), first, how, optimizer=SETTINGS, objective=first.objective, log=stop,
                folder=folder, save=checkpointer(folder / "last"), progress=False,
            )  # fmt: skip
        model, batches = new_model(seed=5), Poisoned(counting(), range(30, 36))
        optimizer = make_optimizer(model, SETTINGS)
        state = resume(folder / "last", model, optimizer, batches)
        state, _ = run(model, batches, how, optimizer=optimizer, state=state, folder=folder)
        assert torch.equal(flat(model), flat(undisturbed)), n_records
        assert (state.step, state.n_batches) == (60, 72)


def test_the_learning_rate_can_be_lowered_at_a_rewind(new_model, counting):
    rewind = dataclasses.replace(HOW.recovery.rewind, lr_factor=0.5)
    how = dataclasses.replace(HOW, recovery=dataclasses.replace(HOW.recovery, rewind=rewind))
    _, records = run(new_model(), Poisoned(counting(), range(30, 36)), how)
    rates = {}
    for r in records:
        if "lr" in r:
            rates.setdefault(r["step"], []).append(r["lr"])
    assert len(rates[28]) == 2
    assert rates[28][1] == pytest.approx(rates[28][0] / 2, rel=1e-12)


def test_a_loss_that_is_not_finite_is_a_spike(new_model, counting):
    def objective(model, x, y):
        loss = torch.nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten())
        return loss * math.nan if objective.batches.inner.n_served == 31 else loss

    objective.batches = Poisoned(counting(), ())
    state, records = run(new_model(), objective.batches, objective=objective)
    assert [told["since"] for told in rewinds(records)] == [31]
    assert (state.step, math.isfinite(state.loss)) == (60, True)


def test_a_spike_that_comes_again_gives_up(new_model, counting):
    for rewind, said in (
        (RewindConfig(back=1, skip=2, widen=1.0), "step 31 has come back after 3 rewinds"),
        (RewindConfig(back=40, skip=2), "no checkpoint is as old as step -9, 40 steps before"),
    ):
        how = dataclasses.replace(HOW, recovery=dataclasses.replace(HOW.recovery, rewind=rewind))
        with pytest.raises(SpikeError, match=said):
            run(new_model(), Poisoned(counting(), range(30, 10_000)), how)


def test_marks_are_forgotten_when_no_rewind_needs_them(new_model, counting, tmp_path):
    how = dataclasses.replace(HOW, steps=100)
    run(new_model(), counting(), how, folder=tmp_path)
    kept = sorted(p.name for p in (tmp_path / "marks").iterdir())
    assert kept == [f"step-{s:08}" for s in range(55, 100, 5)]  # 95 - 20 - 20 and younger


def test_the_batch_of_a_nan_is_kept(new_model, counting, tmp_path):
    def objective(model, x, y):
        return model(x).sum() * math.nan

    how = dataclasses.replace(HOW, recovery=None, accumulate=2)
    with pytest.raises(NotFiniteError, match=r"loss is nan in step 1.*bad_batch") as caught:
        run(new_model(), counting(), how, objective=objective, folder=tmp_path)
    source = counting()
    for (x, y), (x2, y2), (x3, y3) in zip(
        read_batch(tmp_path), caught.value.batch, [next(source), next(source)], strict=True
    ):
        for one, other in ((x, x2), (y, y2), (x, x3), (y, y3)):
            assert torch.equal(one, other)
    with pytest.raises(NotFiniteError, match=r"error.batch holds the batch"):
        run(new_model(), counting(), how, objective=objective)


def test_the_ramp_replaces_accumulate(new_model, counting):
    how = dataclasses.replace(HOW, recovery=None, steps=6, ramp=LinearRamp(32, 128, 160))
    batches = counting()
    state, _ = run(new_model(), batches, how)
    # seen 0, 32, 96, 192: wanted 32, 51, 90, 128 tokens, in passes of 32
    assert [how.passes(n) for n in (0, 32, 96, 192)] == [1, 2, 3, 4]
    assert state.n_tokens == 32 * (1 + 2 + 3 + 4 + 4 + 4) == 32 * batches.n_served


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"mark_every": 0}, "mark_every must be at least 1, got 0"),
    ],
)
def test_bad_recovery_settings(settings, said):
    with pytest.raises(ValueError, match=said):
        RecoveryConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"schedule": "exp"}, "train.schedule must be one of cosine.*'exp'"),
        ({"decay_steps": 3}, "decay_steps=3 is read by the schedule 'wsd' only"),
        ({"schedule": "wsd", "decay_steps": 56}, "decay_steps=56 must not be.*= 55"),
        ({"schedule": "wsd", "decay_steps": -1}, "decay_steps=-1 must not be negative"),
    ],
)
def test_bad_schedules(settings, said):
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(HOW, **settings)


@pytest.mark.parametrize(
    ("settings", "rates"),
    [
        ({}, {5: 1.0, 60: 0.1}),
        ({"schedule": "linear"}, {5: 1.0, 60: 0.1}),
        ({"schedule": "constant"}, {2: 0.4, 5: 1.0, 60: 1.0}),
        ({"schedule": "wsd", "decay_steps": 20}, {5: 1.0, 40: 1.0, 60: 0.1}),
        ({"schedule": "inverse_sqrt"}, {5: 1.0, 20: 0.5, 45: 1 / 3}),
        ({"schedule": "inverse_sqrt", "warmup_steps": 0}, {1: 1.0, 4: 0.5}),
    ],
)
def test_schedules(settings, rates):
    how = dataclasses.replace(HOW, **settings)
    for step, rate in rates.items():
        assert how.lr_at(step, 1.0) == pytest.approx(rate, rel=1e-12)
