"""The studies of lesson 29: what differs between the arms, and that each kind of run runs."""

import re

import pytest
import torch

from minillm.finetune.instruct_answers import instance_request
from minillm.finetune.instruct_exam import toy_exam
from minillm.finetune.instruct_generate import one_by_one
from minillm.finetune.instruct_prompts import HEADS
from minillm.finetune.instruct_toy import is_right
from minillm.finetune.tasks import part_of
from minillm.model import Decoder
from minillm.recipes import decoder
from minillm.recipes.studies import self_instruct_control as control
from minillm.recipes.studies import self_instruct_gain as study
from minillm.tokenizer import course_tokenizer


@pytest.fixture
def small(monkeypatch):
    """Runs of a few steps on a base model that knows nothing."""
    config = decoder(6_144, d_model=16, n_layers=1, n_heads=2, context=512)

    def base(name):
        torch.manual_seed(0)
        return Decoder(config).eval(), course_tokenizer()

    monkeypatch.setattr(study, "base", base)
    few = {"STEPS": 2, "BATCH": 4, "TEACH_STEPS": 2, "N_TEXTS": 8, "N_EXAM": 8, "N_TEACHER": 2}
    for name, value in few.items():
        monkeypatch.setattr(study, name, value)
    monkeypatch.setattr(study, "ROUNDS", {"raw": 1, "own": 1, "toy": 3})
    monkeypatch.setattr(study, "PEOPLE", study.PEOPLE[:3])
    forget = (study.generated.cache_clear, study.generator.cache_clear)
    for clear in forget:
        clear()
    yield
    for clear in forget:
        clear()


def test_runs_and_exams():
    assert len(study.JOB.arms) * len(study.JOB.seeds) == 25
    assert len(study.SEEDS) == 113
    assert len(study.PEOPLE) == 28
    assert not {t.instruction for t in study.SEEDS} & {t.instruction for t in study.PEOPLE}
    asked = study.as_exam(study.PEOPLE[0])
    assert asked.check(study.PEOPLE[0].output)
    assert not asked.check(study.PEOPLE[0].output + " not")


def test_what_the_arms_read(small):
    assert study.tasks_of("base", 5) == []
    assert study.tasks_of("seeds", 5) == study.SEEDS
    toy = study.tasks_of("toy", 5)
    assert toy[:113] == study.SEEDS
    right = [is_right(t.instruction, t.input, t.output) for t in toy[113:]]
    assert len(right) > 20
    assert 0 < right.count(False) < len(right) / 3
    assert None not in right
    assert {part_of(task.instruction) for task in toy[113:]} == {"train"}


def test_all_tasks_fit(small):
    tokenizer = course_tokenizer()
    assert len(study.encoded(study.SEEDS, tokenizer)) == len(study.SEEDS)
    tasks = study.tasks_of("toy", 5)
    assert len(study.encoded(tasks, tokenizer)) == len(tasks)


def test_the_prompts_teach_the_form_from_seeds_only():
    texts = study.prompts_written_out(40, 3)
    assert texts != study.prompts_written_out(40, 4)
    assert texts[:5] == study.prompts_written_out(5, 3)
    heads = [text.partition("\n")[0] for text in texts]
    assert set(heads) == set(HEADS.values())
    for text in texts:
        for task in study.PEOPLE:
            assert task.instruction not in text
    lists = [text for text in texts if text.startswith(HEADS["instructions"])]
    assert all(re.findall(r"(?m)^(\d+)\. ", text)[-1] == "16" for text in lists)
    kinds = [text for text in texts if text.startswith(HEADS["kind"])]
    assert all(re.search(r"classification\? (Yes|No)\n$", text) for text in kinds)


def test_the_teacher_is_examined_in_its_own_prompt(small, monkeypatch):
    seen = []

    def complete(prompt):
        seen.append(prompt)
        return " 7\nExample 2"

    monkeypatch.setattr(study, "generator", lambda kind, seed: one_by_one(complete))
    share = study.teacher("own", 3)
    tasks = toy_exam(2, part="train", seed=3)
    assert share == sum(task.check("7") for task in tasks) / 2
    instruction = tasks[0].messages[0]["content"].partition("\n\n")[0]
    config = study.settings_of("own", 3)
    assert seen[0].startswith(instance_request(instruction, False, study.SEEDS, config).prompt)
    assert seen[0].endswith("\nOutput:")


@pytest.mark.parametrize("arm", ["base", "own", "toy"])
def test_a_run(small, arm):
    found = study.run({"arm": arm}, 5)
    both = {f"{name}{exam}" for name in ("right", "ended", "nats") for exam in ("", " people")}
    assert both <= set(found)
    assert all(isinstance(found[name], float) for name in both)
    if arm == "base":
        assert found["tasks"] == 0
        assert 0 <= found["raw asks"] <= 1
    else:
        assert found["tasks"] == 113 + found["generated"]
    assert ("teacher" in found) == (arm == "own")
    if arm == "toy":
        assert found["known right"] + found["known wrong"] == 1
        assert max(found["novelty"]) <= 0.7
        assert found["sizes"][-1] == [15, len(found["novelty"])]
        assert len(found["samples"]) == len(found["lines"]) == study.N_SAMPLES


def test_tuning_moves_a_copy_of_the_base(small):
    before = study.base("small")[0].state_dict()
    same, _ = study.tuned([], 1)
    moved, _ = study.tuned(study.SEEDS, 1)
    assert all(torch.equal(v, before[k]) for k, v in same.state_dict().items())
    assert any(not torch.equal(v, before[k]) for k, v in moved.state_dict().items())


def test_the_controls(small, monkeypatch):
    assert control.FEWER == 36
    assert len(control.JOB.arms) * len(control.JOB.seeds) == 10
    wrong, seeds = control.shuffled(5), {t.id: t for t in study.SEEDS}
    assert len({t.id for t in wrong}) == control.N_MORE
    assert wrong != control.shuffled(6)
    assert {t.output for t in wrong} == {seeds[t.id].output for t in wrong}
    assert sum(t.output == seeds[t.id].output for t in wrong) <= 2  # two seeds may answer alike
    monkeypatch.setattr(control, "base", study.base)
    found = control.run({"arm": "shuffled", "steps": 2}, 5)
    assert found["tasks"] == 113 + control.N_MORE
    assert control.run({"arm": "fewer", "steps": 2}, 5)["tasks"] == 113
