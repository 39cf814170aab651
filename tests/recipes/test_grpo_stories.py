"""The study of GRPO on stories: the arms begin alike, and one of them learns from no verdict."""

import copy

import pytest
import torch

from minillm.align.grpo import task_rewards
from minillm.recipes.aligning.material import task_prompt
from minillm.recipes.shipped import base
from minillm.recipes.studies import grpo_stories as study

LITTLE = {"N_TASKS": 4, "N_HELD_OUT": 3, "K": 2, "STEPS": 2, "PROMPTS": 2, "GROUP": 3}


@pytest.fixture
def little(monkeypatch):
    model, tokenizer = base("draft")
    model = model.float().requires_grad_(False)
    monkeypatch.setattr(study, "opened", lambda: (model, tokenizer))
    study.tasks.cache_clear()
    for name, value in LITTLE.items():
        monkeypatch.setattr(study, name, value)
    yield model, tokenizer
    study.tasks.cache_clear()


def test_a_run_keeps_curves_and_what_other_worlds_say(little):
    model, _ = little
    before = copy.deepcopy(model.state_dict())
    found = study.run({"arm": "shuffled"}, 1)
    assert found["kl before"] == pytest.approx(0, abs=1e-5)
    for what in ("greedy", "right", "any"):
        assert 0 <= found[f"{what} before"] <= 1
        assert 0 <= found[f"{what} after"] <= 1
    assert found["any before"] >= found["right before"]
    assert all(len(found[f"{what} curve"]) == study.STEPS for what in study.CURVES)
    after = model.state_dict()  # the model where all runs begin is not touched
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_dealt_verdicts_are_as_many_and_say_nothing(little):
    asked = [study.tasks("train", 4)[n % 4] for n in range(64)]
    answers = [task.answer if n % 3 else "no" for n, task in enumerate(asked)]
    true, seen = task_rewards(asked, answers), []
    assert torch.equal(study.judge("checked", 1, seen)(asked, answers), true)
    deal = study.judge("shuffled", 1, seen)
    dealt, again = deal(asked, answers), deal(asked, answers)
    assert dealt.sum() == again.sum() == true.sum()
    assert not torch.equal(dealt, true)
    assert not torch.equal(dealt, again)  # a new deal each step
    assert torch.equal(study.judge("shuffled", 1, seen)(asked, answers), dealt)
    assert not torch.equal(study.judge("shuffled", 2, seen)(asked, answers), dealt)
    assert seen == pytest.approx([float(true.mean())] * 5)


def test_both_arms_draw_the_same_first_answers(little):
    found = {arm: study.trained(arm, 1)[1] for arm in ("checked", "shuffled")}
    for what in study.CURVES:
        assert found["checked"][what][0] == pytest.approx(found["shuffled"][what][0], abs=1e-6)


def test_prompts_are_short_and_no_task_is_in_both_parts(little):
    _, tokenizer = little
    train, test = (study.tasks(part, 4) for part in ("train", "test"))
    lengths = [len(task_prompt(task, tokenizer)) for task in (*train, *test)]
    assert max(lengths) <= study.LONGEST_PROMPT
    assert not {task.about for task in train} & {task.about for task in test}
