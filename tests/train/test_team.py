"""What the loop asks of a team: counts, a common will, a common peak, and the marks."""

import dataclasses

import pytest
import torch

from minillm.train import OptimizerConfig, TrainConfig, train
from minillm.train.team import Team

HOW = TrainConfig(steps=6, batch_size=4, context=8, precision="float32")


class Three(Team):
    """As if two more ranks read other rows, and the others had no targets in the first batch."""

    n_readers = 3

    def __init__(self):
        self.asked, self.counted = 0, []

    def totals(self, counts):
        self.counted.append(counts)
        return [counts[0], *(3 * n for n in counts[1:])]

    def agree(self, wish):
        self.asked += 1
        return wish or self.asked == 4

    def peak(self, device, precision):
        return 1e18


def run(model, batches, how=HOW, **more):
    records = []
    state = train(model, batches, how, log=records.append, progress=False, **more)
    return state, records


def test_alone_nothing_changes(new_model, counting):
    a, b = new_model(), new_model()
    plain = run(a, counting(), optimizer=OptimizerConfig())[1]
    asked = run(b, counting(), optimizer=OptimizerConfig(), team=Team())[1]
    assert [r["loss"] for r in plain] == [r["loss"] for r in asked]


def test_tokens_of_all_readers_count_and_one_wish_stops_all(new_model, counting):
    state, records = run(new_model(), counting(), team=Three())
    assert (state.step, state.interrupted) == (4, True)
    assert state.n_tokens == 3 * 4 * 4 * 8
    assert records[0]["tokens_per_second"] > 0
    assert records[0]["utilisation"] < 1e-6  # of a peak that no machine has


def test_batches_weigh_by_the_targets_of_all(new_model, counting):
    how = dataclasses.replace(HOW, steps=1, accumulate=2)
    team, first = Three(), []

    def objective(model, x, y):
        first.append(model(x).float().log_softmax(-1).gather(-1, y[..., None]).neg().mean())
        return first[-1]

    state, _ = run(new_model(), counting(), how, team=team, objective=objective)
    assert team.counted == [[32, 32]]
    a, b = (loss.item() for loss in first)
    assert state.loss == pytest.approx(0.25 * a + 0.75 * b, abs=1e-6)
    assert abs(a - b) > 1e-4  # ... and other weights would be seen
    assert isinstance(first[0], torch.Tensor)
