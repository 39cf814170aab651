"""Settings and data that cannot work: each is refused by name, before a step is made."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from minillm.data import BatchSampler
from minillm.objectives import causal_loss
from minillm.train import (
    NotFiniteError,
    OptimizerConfig,
    TrainConfig,
    cosine_schedule,
    train,
    utilisation,
    wsd_schedule,
)
from minillm.train.rescue import NAME, read_batch


def config(**more):
    told = {"steps": 6, "batch_size": 4, "context": 8, "precision": "float32", "log_every": 0}
    return TrainConfig(**{**told, **more})


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"steps": 0}, r"train\.steps must be at least 1, got 0"),
        ({"accumulate": 0}, r"train\.accumulate must be at least 1, got 0"),
        ({"warmup_steps": -1}, r"train\.warmup_steps must not be negative, got -1"),
        ({"warmup_steps": 7}, r"train\.warmup_steps=7 is more than train\.steps=6; set both"),
        ({"clip": 0.0}, r"train\.clip must be positive, got 0\.0; inf does not clip"),
        ({"clip": -1.0}, r"train\.clip must be positive, got -1\.0"),
        ({"clip": math.nan}, r"train\.clip must be positive, got nan"),
        ({"schedule": "wsd", "decay_steps": 7}, r"decay_steps=7 must not .*warmup_steps = 6"),
        ({"schedule": "wsd", "decay_steps": 5, "warmup_steps": 2}, r"steps - warmup_steps = 4"),
        ({"schedule": "wsd", "decay_steps": -1}, r"train\.decay_steps=-1 must not be negative"),
        ({"decay_steps": 2}, r"decay_steps=2 is read by the schedule 'wsd' only"),
        ({"schedule": "sine"}, r"train\.schedule must be one of cosine, .*; got 'sine'"),
    ],
)  # fmt: skip
def test_a_run_that_cannot_be(setting, words):
    with pytest.raises(ValueError, match=words):
        config(**setting)


@pytest.mark.parametrize("lr", [-1e-3, math.nan, math.inf])
def test_a_learning_rate_that_cannot_be(lr):
    with pytest.raises(ValueError, match=f"lr must be finite and not negative, got {lr}"):
        OptimizerConfig(lr=lr)


def test_a_schedule_shorter_than_its_warm_up():
    for schedule, more in ((cosine_schedule, {}), (wsd_schedule, {"decay_steps": 0})):
        with pytest.raises(ValueError, match=r"warmup_steps.*\b9\b|\b9\b.*warmup_steps"):
            schedule(1, max_lr=1.0, min_lr=0.1, warmup_steps=9, total_steps=8, **more)


def test_data_shorter_than_a_window():
    with pytest.raises(ValueError, match=r"need 9 tokens, there are only 8: take a smaller"):
        BatchSampler(np.arange(8), batch_size=4, context=8)


def test_data_shorter_than_a_batch(new_model, counting):
    words = "the batches ran out after step 0: the data are shorter than the run. Give an endless"
    with pytest.raises(ValueError, match=words):
        train(new_model(), [], config(), progress=False)
    with pytest.raises(ValueError, match=words):  # a step that would be half a step
        train(new_model(), [next(counting())], config(accumulate=2), progress=False)


def test_fewer_windows_than_a_batch_begin_anew(new_model):
    """Two windows for a batch of four: no error, each is read twice."""
    batches = BatchSampler(np.arange(17) % 29, batch_size=4, context=8)
    state = train(new_model(), batches, config(steps=2), progress=False)
    assert (state.step, state.n_tokens) == (2, 64)


def test_a_loss_of_nan_keeps_the_batch_and_names_remedies(new_model, counting, tmp_path):
    passes = []

    def objective(model, x, y):
        passes.append((x, y))
        return causal_loss(model, x, y) * (math.nan if len(passes) == 4 else 1.0)

    with pytest.raises(NotFiniteError) as caught:
        train(
            new_model(), counting(), config(accumulate=2), objective=objective, folder=tmp_path,
            progress=False,
        )  # fmt: skip
    told = str(caught.value)
    assert told.startswith("the loss is nan in step 2; the weights are those of step 1.")
    assert "Lower the learning rate, lengthen the warm-up, or clip more" in told
    assert told.endswith(f"the batch is in {tmp_path / NAME}")
    assert set(load_file(tmp_path / NAME)) == {"x0", "y0", "x1", "y1"}
    for kept, seen in zip(read_batch(tmp_path), passes[2:], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(kept, seen, strict=True))


def test_more_than_all_of_the_machine():
    with pytest.raises(ValueError, match=r"a utilisation of 101% cannot be: .* check all three"):
        utilisation(1e9, 1.01e3, 1e12)
