"""A loss predicted from small runs: on laws that are known, and against scipy."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from minillm.recipes import base_prediction
from minillm.recipes.base_prediction import (
    NOISE,
    Rungs,
    non_negative_fit,
    predict_loss,
    read_prediction,
    read_rungs,
    run_hash,
    write_prediction,
)
from minillm.recipes.records import Results
from minillm.recipes.runs import find_run

SIZES = np.array([0.5e6, 0.5e6, 0.5e6, 1.5e6, 1.5e6, 3.1e6])
TOKENS = np.array([0.5e6, 1e6, 2e6, 0.5e6, 1e6, 0.5e6])


def law(n, d, e=1.0, a=0.5, b=1.2, alpha=0.4, beta=0.35):
    return e + a * (n / 5e5) ** -alpha + b * (d / 5e5) ** -beta


def rungs_of(loss):
    return Rungs(tuple(SIZES), tuple(TOKENS), tuple(loss))


def test_a_law_without_noise_is_within_the_interval():
    for alpha, beta in ((0.3, 0.3), (0.4, 0.35), (0.6, 0.5)):
        told = rungs_of(law(SIZES, TOKENS, alpha=alpha, beta=beta))
        found = predict_loss(told, 3.1e6, 49e6)
        truth = law(3.1e6, 49e6, alpha=alpha, beta=beta)
        assert found.contains(truth)
        assert found.n == 6
        assert found.level == 0.9


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    dice, held = np.random.default_rng(0), 0
    for _ in range(30):
        alpha, beta = dice.uniform(0.25, 0.6, 2)
        loss = law(SIZES, TOKENS, alpha=alpha, beta=beta) + NOISE * dice.standard_normal(6)
        held += predict_loss(
            rungs_of(loss), 3.1e6, 49e6, exponents=np.linspace(0.15, 0.75, 9)
        ).contains(law(3.1e6, 49e6, alpha=alpha, beta=beta))
    assert held >= 24


def test_it_is_surer_nearby_and_with_less_noise():
    told = rungs_of(law(SIZES, TOKENS))
    far, near = (predict_loss(told, 3.1e6, d) for d in (49e6, 1e6))
    assert near.high - near.low < far.high - far.low
    sure = predict_loss(told, 3.1e6, 49e6, noise=0.003)
    assert sure.high - sure.low < far.high - far.low


def test_exponents_that_do_not_fit_have_no_say():
    for beta in (0.2, 0.7):
        told = rungs_of(law(SIZES, TOKENS, alpha=0.5, beta=beta))
        found = predict_loss(told, 3.1e6, 49e6, noise=0.0005)
        assert abs(found.value - law(3.1e6, 49e6, alpha=0.5, beta=beta)) < 0.03


def test_where_the_law_does_not_fit_the_interval_says_so():
    bent = law(SIZES, TOKENS) + np.array([0, 0, 0, 0.3, 0, 0.5])  # larger and worse
    honest = predict_loss(rungs_of(law(SIZES, TOKENS)), 3.1e6, 49e6)
    unsure = predict_loss(rungs_of(bent), 3.1e6, 49e6)
    assert unsure.high - unsure.low > 1.5 * (honest.high - honest.low)


def test_more_text_or_a_larger_model_is_expected_to_be_better():
    told = rungs_of(law(SIZES, TOKENS))
    here = predict_loss(told, 1.5e6, 4e6).value
    assert predict_loss(told, 1.5e6, 8e6).value < here
    assert predict_loss(told, 3e6, 4e6).value < here


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_the_non_negative_fit_is_scipys(seed):
    dice = np.random.default_rng(seed)
    x, y = dice.standard_normal((6, 3)), dice.standard_normal(6)
    found, error = non_negative_fit(x, y)
    wanted, norm = nnls(x, y)
    assert found == pytest.approx(wanted, abs=1e-8)
    assert error == pytest.approx(norm**2, abs=1e-8)


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        (((1, 2, 3), (1, 2, 3), (1, 2, 3)), "at least 4 rungs"),
        (((1, 1, 1, 1), (1, 2, 3, 4), (4, 3, 2, 1)), "at least two sizes"),
        (((1, 2, 3, 4), (5, 5, 5, 5), (4, 3, 2, 1)), "two numbers of tokens"),
        (((1, 2, 3, 4), (1, 2, 3, -4), (4, 3, 2, 1)), "must be positive"),
        (((1, 2, 3, 4), (1, 2, 3), (4, 3, 2, 1)), "three numbers each"),
    ],
)
def test_rungs_that_cannot_be_fitted_are_refused(columns, problem):
    with pytest.raises(ValueError, match=problem):
        Rungs(*columns)


@pytest.mark.parametrize("wrong", [{"parameters": 0}, {"tokens": -1}, {"noise": 0}])
def test_a_run_that_cannot_be_is_refused(wrong):
    asked = {"parameters": 1e6, "tokens": 1e6} | wrong
    with pytest.raises(ValueError, match="must be positive"):
        predict_loss(rungs_of(law(SIZES, TOKENS)), **asked)


def test_the_rungs_that_are_recorded_are_read(monkeypatch):
    run = {"parameters": 5e5, "tokens": 1e6, "loss": 3.0}
    told = {f"arm{i}": {1: run | {"parameters": 5e5 * i, "tokens": 1e6 * i}} for i in range(1, 5)}
    study = Results("base_ladder", {**told, "missing": {}})
    long = Results("base_ladder_long", {"arm": {1: run | {"tokens": 9e6}}})
    studies = {"base_ladder": study, "base_ladder_long": long}
    monkeypatch.setattr(base_prediction, "read_results", studies.__getitem__)
    assert read_rungs().tokens == (1e6, 2e6, 3e6, 4e6, 9e6)

    def short_only(name):
        if name != "base_ladder":
            raise ValueError("nothing is recorded")
        return study

    monkeypatch.setattr(base_prediction, "read_results", short_only)
    rungs = read_rungs()
    assert rungs.parameters == (5e5, 1e6, 1.5e6, 2e6)
    assert rungs.tokens == (1e6, 2e6, 3e6, 4e6)
    study = Results("base_ladder", {"arm1": {1: run}})
    with pytest.raises(ValueError, match="need at least 4 rungs with three numbers each, got 1"):
        read_rungs()


@pytest.fixture
def written(tmp_path, monkeypatch):
    monkeypatch.setattr(base_prediction, "read_rungs", lambda: rungs_of(law(SIZES, TOKENS)))
    return write_prediction("small", tmp_path)


def test_what_is_written_is_read_again(written, tmp_path):
    note = read_prediction("small", tmp_path)
    assert note["low"] < note["predicted"] < note["high"]
    assert note["run_hash"] == run_hash(find_run("small"))
    train = find_run("small").train
    assert note["tokens"] == train.steps * train.batch_size * train.context
    assert len(note["rungs"]) == 6


def test_a_prediction_is_not_changed_afterwards(written, tmp_path):
    note = json.loads(written.read_text())
    written.write_text(json.dumps(note | {"run_hash": "0" * 16}))
    with pytest.raises(ValueError, match="a prediction is not changed"):
        write_prediction("small", tmp_path)
    with pytest.raises(ValueError, match="about other settings"):
        read_prediction("small", tmp_path)


def test_without_a_file_it_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"python -m minillm.recipes predict medium"):
        read_prediction("medium", tmp_path)
