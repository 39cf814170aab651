"""The studies of lesson 32: one task, equal numbers, and every arm runs and is served alike."""

import dataclasses
import statistics

import pytest
import torch

from minillm.finetune import count_trainable
from minillm.model import Decoder
from minillm.recipes import peft_arms as parts
from minillm.recipes import town
from minillm.recipes.peft_arms import ARMS, adapt, adapted, answers_loss, kept_numbers, served
from minillm.recipes.small import make_small
from minillm.recipes.studies import peft_compared, prefix_rates, prompt_sizes
from minillm.recipes.town import KINDS, N_TEST, NAMES, SHAPE, make_town, mark

TINY = dataclasses.replace(SHAPE, d_model=16, n_layers=1, n_heads=2, steps=2, batch_size=2)
SMALL_BUDGET = 256


@pytest.fixture(scope="module")
def base():
    return make_small(TINY, 3).eval()


@pytest.fixture
def small(monkeypatch, base):
    """Studies on a tiny model that has read nothing, and of six steps."""
    for study in (peft_compared, prefix_rates, prompt_sizes):
        monkeypatch.setattr(study, "speaker", lambda seed, config=None: base)
        short = lambda *a, **k: adapt(*a, **{**k, "steps": 6})  # noqa: E731
        monkeypatch.setattr(study, "adapt", short)
    fit = lambda arm, model, seed, budget=None: adapted(arm, model, seed, budget=SMALL_BUDGET)  # noqa: E731
    monkeypatch.setattr(peft_compared, "adapted", fit)
    monkeypatch.setattr(prefix_rates, "adapted", fit)
    kept = lambda arm, model: kept_numbers(arm, model, budget=SMALL_BUDGET)  # noqa: E731
    monkeypatch.setattr(peft_compared, "kept_numbers", kept)


def test_the_code_renames_every_value_and_nobody_keeps_theirs():
    code = parts.make_code(3)
    for relation in KINDS:
        assert sorted(code[relation]) == list(range(8))
        assert all(code[relation][v] != v for v in range(8))
    plain, secret = make_town(3), parts.coded(make_town(3), code)
    for r, relation in enumerate(KINDS):
        told = [code[relation][v] for v in plain.values[r]]
        assert list(secret.values[r]) == told
    assert parts.make_code(4) != code


def test_the_exam_is_about_others_in_other_words():
    questions, test = parts.lesson_of(5)
    assert len(questions) == parts.N_CODED
    assert {q.person for q in test} == set(range(len(NAMES) - N_TEST, len(NAMES)))
    assert not {q.person for q in questions} & {q.person for q in test}
    assert not {q.template for q in questions} & {q.template for q in test}
    secret = parts.coded(make_town(5), parts.make_code(5))
    for q in (*questions, *test):
        assert q.answer == secret.value(q.relation, q.person)
        assert q.answer != make_town(5).value(q.relation, q.person)


def test_equal_numbers_where_a_method_has_a_size():
    model = make_small(SHAPE, 1)
    kept = {arm: kept_numbers(arm, adapted(arm, model, 1)) for arm in ARMS}
    free = {"full", "ia3", "bitfit"}
    for arm in set(ARMS) - free:
        assert 0.87 * parts.BUDGET < kept[arm] <= parts.BUDGET, arm  # one size more is too much
    assert kept["prompt"] == kept["prefix"] == kept["prefix_mlp"] == 2304
    assert kept["houlsby"] == parts.BUDGET
    assert kept["ia3"] < parts.BUDGET
    assert kept["full"] == count_trainable(model)
    with pytest.raises(ValueError, match=r"arm must be one of full, .*; got 'magic'"):
        adapted("magic", model, 1)


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_learns_is_measured_and_served(arm, small, base, monkeypatch):
    before = {name: p.clone() for name, p in base.state_dict().items()}
    monkeypatch.setattr(peft_compared, "slower", lambda *_: 1.0)
    found = peft_compared.tuned(arm, 1e-2, seed=3)
    assert all(torch.equal(p, before[name]) for name, p in base.state_dict().items())
    assert found["nats"] == pytest.approx(found["in use"], abs=1e-4)
    assert 0 <= found["right"] <= found["form"] <= 1
    assert 0 < found["kept"] <= found["trained"]
    assert found["ms a step"] > 0
    assert found["step bytes"] > 4 * count_trainable(base)
    ranks = [value for name, value in found.items() if name.startswith("rank ")]
    assert bool(ranks) == (arm == "adalora")
    questions = parts.lesson_of(3)[0][:16]
    x, y = next(town.batches(questions, 16, 0))
    model = adapted(arm, base, 3, budget=SMALL_BUDGET)
    start = answers_loss(model, x, y).item()
    adapt(model, questions, 1e-2, 3, steps=8)
    assert answers_loss(model, x, y).item() < start
    plain = type(served(model)) is Decoder and arm in ("full", "lora", "adalora", "ia3")
    kinds = {type(m) for m in served(model).modules()} == {type(m) for m in base.modules()}
    assert plain == kinds


def test_the_clock_of_a_pass_compares_two_medians(monkeypatch):
    ticks = iter(range(1_000))
    model = make_small(TINY, 1)
    monkeypatch.setattr(parts.time, "perf_counter", lambda: next(ticks) ** 2)
    # passes take 1, 5, 9 ... ticks in turn; the first two of each are left out
    found = parts.slower(model, model, repeats=6)
    ours, plain = [1 + 8 * i for i in range(6)], [5 + 8 * i for i in range(6)]
    assert found == statistics.median(ours[2:]) / statistics.median(plain[2:])


@pytest.mark.parametrize("start", prefix_rates.STARTS)
def test_the_three_starts_of_a_prefix(start, small):
    model = prefix_rates.prefixed(start, 3)
    other = prefix_rates.prefixed("words", 3)
    assert model.n_prefix == other.n_prefix
    assert {"nats", "right"} == set(prefix_rates.run({"start": start, "lr": 0.01}, 3))


def test_prompt_sizes(small, monkeypatch):
    monkeypatch.setattr(prompt_sizes, "adapted", lambda arm, model, seed, budget: adapted(
        arm, model, seed, budget=SMALL_BUDGET))  # fmt: skip
    monkeypatch.setattr(prompt_sizes, "PILOT", {"prompt_24": {1e-2: 2.0, 3e-2: 1.0}})
    assert prompt_sizes.best_rate("prompt", 24) == 3e-2
    assert prompt_sizes.run({"method": "prompt", "width": 24}, 3)["parameters"] > 0
    with pytest.raises(ValueError, match="no pilot yet"):
        prompt_sizes.best_rate("full", 24)
    for width in prompt_sizes.WIDTHS:
        shape = prompt_sizes.shape(width)
        assert shape.d_model == width
        assert shape.flops <= SHAPE.flops
        assert adapted("prompt", make_small(shape, 1), 1, budget=36 * width).n_prefix == 36


def test_pilots_choose_and_runs_are_few(monkeypatch):
    monkeypatch.setattr(peft_compared, "PILOT", {"lora": {1e-3: 2.0, 1e-2: 1.0, 1e-1: 3.0}})
    assert peft_compared.best_rate("lora") == 1e-2
    with pytest.raises(ValueError, match="no pilot for 'full'"):
        peft_compared.run({"arm": "full"}, 1)
    n_runs = {job.JOB.name: 5 * len(job.JOB.arms) for job in (peft_compared, prefix_rates)}
    assert n_runs == {"peft_compared": 65, "prefix_rates": 60}
    assert len(prompt_sizes.JOB.arms) == 6


def test_full_marks_for_a_model_that_knows_the_code():
    """The exam can be passed: tuned on the exam itself, a model gets it right."""
    _, test = parts.lesson_of(3)
    model = adapt(make_small(dataclasses.replace(TINY, d_model=32), 3), test[:8], 1e-2, 3, steps=80)
    assert mark(model, test[:8]).right > 0.8
