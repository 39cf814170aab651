"""The studies of lesson 32: one task, equal numbers, and every arm runs and is served alike."""

import dataclasses
import statistics

import pytest
import torch

from minillm.finetune import count_trainable
from minillm.model import Decoder
from minillm.recipes import code_task as task
from minillm.recipes import peft_arms as parts
from minillm.recipes.code_task import KINDS, N_TAUGHT, NAMES, SHAPE, Question, mark, register
from minillm.recipes.peft_arms import ARMS, adapt, adapted, answers_loss, kept_numbers, served
from minillm.recipes.small import make_small
from minillm.recipes.studies import peft_compared, prefix_rates, prompt_sizes

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


def test_the_register_gives_every_value_to_equally_many_people():
    questions = register(3)
    assert len(questions) == len(NAMES) * len(KINDS) == 352
    for relation in range(len(KINDS)):
        values = [q.value for q in questions if q.relation == relation]
        assert all(values.count(v) == 11 for v in range(8))
    assert register(3) == questions
    assert register(4) != questions


def test_the_code_renames_every_value_and_nobody_keeps_theirs():
    code = task.make_code(3)
    for relation in range(len(KINDS)):
        assert sorted(code[relation]) == list(range(8))
        assert all(code[relation][v] != v for v in range(8))
    for plain, secret in zip(register(3), task.coded(register(3), code), strict=True):
        assert (plain.person, plain.relation) == (secret.person, secret.relation)
        assert secret.value == code[plain.relation][plain.value]
    assert task.make_code(4) != code


def test_the_exam_is_about_others():
    questions, test = task.lesson_of(5)
    assert (len(questions), len(test)) == (N_TAUGHT * 4, (len(NAMES) - N_TAUGHT) * 4)
    assert not {q.person for q in questions} & {q.person for q in test}
    truth = {(q.person, q.relation): q.value for q in register(5)}
    for q in (*questions, *test):
        assert q.value == task.make_code(5)[q.relation][truth[q.person, q.relation]]


def test_a_row_asks_for_the_value_and_the_stop():
    x, y = task.rows([Question(person=2, relation=1, value=0)])
    words = list(task.WORDS)
    assert [words[i] for i in x[0]] == ["<end>", NAMES[2], "trade", "<ask>", "baker"]
    assert y[0, :3].tolist() == [-100] * 3
    assert [words[i] for i in y[0, 3:]] == ["baker", "<stop>"]
    assert task.SHAPE.vocab_size == len(words) == len(set(words))


def test_an_epoch_asks_every_question_once():
    questions = register(1)[:6]
    served = task.batches(questions, 4, seed=2)
    first = torch.cat([next(served)[0] for _ in range(3)])  # 12 rows: two epochs
    rows = [tuple(row) for row in first.tolist()]
    wanted = {tuple(q.ids()[:-1]) for q in questions}
    assert set(rows[:6]) == set(rows[6:]) == wanted
    assert rows[:6] != rows[6:]


def test_marks_of_a_model_whose_answers_are_known():
    class Says(torch.nn.Module):
        """Answers everybody with one word, surely, and then stops with chance 1 / V."""

        def forward(self, x):
            logits = torch.zeros(*x.shape, len(task.WORDS))
            logits[:, 3, task.WORDS["Rome"]] = 100.0
            return logits

    home = [q for q in register(1) if q.relation == 0]
    marks = mark(Says(), home)
    assert (marks.right, marks.form) == (pytest.approx(1 / 8), 1.0)
    wrong = 7 / 8 * 100  # nats at the value; ln V at the stop
    assert marks.nats == pytest.approx((wrong + torch.tensor(len(task.WORDS)).log().item()) / 2)
    pets = [q for q in register(1) if q.relation == 3]
    assert (mark(Says(), pets).right, mark(Says(), pets).form) == (0.0, 0.0)
    with pytest.raises(ValueError, match="an exam needs a question"):
        mark(Says(), [])


def test_the_speaker_learns_what_it_is_told():
    short = dataclasses.replace(SHAPE, steps=30)
    model = task.speaker(3, short)
    assert mark(model, register(3)).nats < mark(make_small(short, 3), register(3)).nats - 1
    assert task.speaker(3, short) is model


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
    questions = task.lesson_of(3)[0][:16]
    x, y = next(task.batches(questions, 16, 0))
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
    monkeypatch.setattr(parts.time, "process_time", lambda: next(ticks) ** 2)
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
    assert len(prompt_sizes.JOB.arms) == 4


def test_a_pilot_goes_on_while_the_best_rate_is_at_an_end():
    loss = {lr: abs(place - 1) for place, lr in enumerate(parts.LADDER)}
    asked = []
    found = parts.tried(lambda lr: asked.append(lr) or loss[lr], (1e-2, 3e-2))
    assert asked == [1e-2, 3e-2, 3e-3, 1e-3, 3e-4, 1e-4]  # 3e-4 is best, and 1e-4 is worse
    assert list(found) == sorted(asked)
    assert set(parts.tried(lambda lr: -lr, (1e-1,))) == {3e-2, 1e-1, 3e-1, 1.0}
    assert len(parts.tried(lambda lr: loss[lr], (1e-4, 3e-4, 1e-3))) == 3


def test_full_marks_for_a_model_that_knows_the_code():
    """The exam can be passed: tuned on the exam itself, a model gets it right."""
    _, test = task.lesson_of(3)
    model = adapt(make_small(dataclasses.replace(TINY, d_model=32), 3), test[:8], 1e-2, 3, steps=80)
    assert mark(model, test[:8]).right > 0.8
