"""The replay of a spike: going back is exact, and each cell is filled by the right weights."""

import numpy as np
import pytest
import torch

from minillm.recipes.small import stream
from minillm.recipes.studies import spike_replay as study


@pytest.fixture
def short(monkeypatch):
    rng = np.random.default_rng(0)
    text = "".join(rng.choice(["ab", "ba"], 4000))
    monkeypatch.setattr(study, "texts", lambda: (stream([text]), None))


class FakeRun:
    """A run whose weights are the number of batches read; some batches spike on young weights."""

    def __init__(self, settings, seed):
        self.settings, self.step = settings, 0
        self.read = []

    def advance(self, batch):
        self.read.append((self.step, batch))
        self.step += 1
        bad = batch in (300, 301) and self.step > self.settings["immune before"]
        return ("spike", 301, 9.0) if bad else ("calm", self.step, 1.0)

    def snapshot(self):
        return {"step": self.step}

    def restore(self, kept):
        self.step = kept["step"]


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(study, "Run", FakeRun)
    monkeypatch.setattr(study, "batches_of", lambda settings, seed: list(range(1000)))


def test_batches_are_broken_only_in_the_broken_arm(short):
    fine, broken = study.batches_of({}, 1), study.batches_of({"broken": True}, 1)
    for place, ((_, y), (_, z)) in enumerate(zip(fine, broken, strict=True)):
        bad = study.BROKEN_AT <= place < study.BROKEN_AT + study.POISON_FOR
        assert torch.equal(y, z) != bad


def test_going_back_repeats_every_step_to_the_bit(short):
    batches = study.batches_of({}, 1)[:4]
    run = study.Run({"lr": 0.01}, 1)
    run.advance(batches[0])
    kept = run.snapshot()

    def weights_after(some):
        run.restore(kept)
        assert run.step == 1
        for batch in some:
            run.advance(batch)
        losses = run.monitor.state_dict()["losses"]
        return losses, torch.cat([p.detach().flatten() for p in run.model.parameters()])

    losses, weights = weights_after(batches[1:])
    again, same = weights_after(batches[1:])  # the snapshot is not used up
    assert again == losses
    assert torch.equal(same, weights)
    others, different = weights_after(batches[:3])
    assert others != losses  # ... and other batches would be seen
    assert not torch.equal(different, weights)


def test_the_rate_is_constant_after_the_warm_up(short):
    run = study.Run({"lr": 0.5}, 1)
    batch = study.batches_of({}, 1)[0]
    run.advance(batch)
    assert run.optimizer.param_groups[0]["lr"] == pytest.approx(0.5 / study.WARMUP)
    run.step = 5 * study.WARMUP
    run.advance(batch)
    assert run.optimizer.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(("immune", "older"), [(0, 1.0), (275, 0.0), (245, 0.5)])
def test_the_four_cells(fake, immune, older):
    """Older weights stand at steps 260 and 230 and read the bad batch at 270 and 240."""
    found = study.measure({"immune before": immune}, 1)
    assert found["found"] == 1
    assert found["since"] == 301
    assert found["same"] == 1
    assert found["older weights"] == older
    assert found["other batches"] == found["neither"] == 0
    assert found["same units"] == 9
    assert found["neither units"] == 1


def test_a_run_without_a_spike_counts_with_nothing(fake):
    found = study.measure({"immune before": 10_000}, 1)
    assert found["found"] == 0
    assert found["since"] == study.STEPS
    assert found["same"] == found["older weights"] == 0


def test_a_replay_holds_the_spike_and_fits_into_what_is_kept():
    assert study.LENGTH >= study.NEAR + study.EVERY  # the verdict comes one step after the spike
    oldest = study.FIRST - study.NEAR - study.EVERY - max(study.FURTHER)
    assert oldest >= study.WARMUP
    assert max(study.FURTHER) % study.EVERY == 0
