"""The study of lesson 25a: its texts, its curve, and a short run."""

import numpy as np
import pytest

from minillm.recipes.small import MAX_FLOPS
from minillm.recipes.studies import kaplan_laws as study


def test_the_curve_is_the_mean_between_edges():
    losses = list(np.arange(1.0, study.STEPS + 1))
    found = study.curve(losses)
    assert study.EDGES[0] == 1
    assert study.EDGES[-1] == study.STEPS
    assert found[0] == 1
    a, b = study.EDGES[-2:]
    assert found[-1] == pytest.approx((a + 1 + b) / 2)
    assert len(found) == len(study.EDGES)


def test_held_out_texts_are_not_trained_on():
    tokens, test = study.texts()
    row = bytes(int(t) for t in tokens if t < 256)
    assert set(test) == {"prose", "code", "stories"}
    for kind, found in test.items():
        assert sum(len(text.encode()) for text in found) + 4 >= study.TEST_BYTES, kind
        assert all(text.encode() not in row for text in found if len(text) > 200), kind
    assert len(tokens) > study.STEPS * study.BATCH * study.CONTEXT  # one pass


def test_all_sizes_read_the_same_batches_and_stay_affordable():
    for arm, settings in study.JOB.arms.items():
        assert settings["lr"] == min(
            study.PILOT[settings["width"]], key=study.PILOT[settings["width"]].get
        ), arm
    widest = study.make(max(study.WIDTHS), 1)
    n = sum(p.numel() for p in widest.parameters())
    assert 6 * n * study.STEPS * study.BATCH * study.CONTEXT < 1.1 * MAX_FLOPS


def test_a_short_run_learns():
    _, losses, bits = study.train_text(8, "constant", 0.02, 1, steps=30)
    assert len(losses) == 30
    assert losses[-1] < losses[0] - 0.5
    assert len(bits["prose"]) == 1
    assert bits["prose"][0] < 8
