"""The study of PPO on `small`: both arms begin alike, and a run keeps what the lesson draws."""

import copy

import pytest
import torch

from minillm.align import RewardModel
from minillm.recipes.aligning.material import task_prompt
from minillm.recipes.shipped import base
from minillm.recipes.studies import ppo_small as study

LITTLE = {
    "N_TASKS": 4,
    "USUAL": 1,
    "N_HELD_OUT": 3,
    "DRAWS": 1,
    "BATCH": 4,
    "MINIBATCH": 2,
    "STEPS": 2,
}


def clear():
    for cached in (study.tasks, study.judges):
        cached.cache_clear()


@pytest.fixture
def little(monkeypatch):
    model, tokenizer = base("draft")
    model = model.float().requires_grad_(False)
    torch.manual_seed(0)
    reward = RewardModel(copy.deepcopy(model)).eval().requires_grad_(False)
    monkeypatch.setattr(study, "opened", lambda: (model, reward, tokenizer))
    clear()
    for name, value in LITTLE.items():
        monkeypatch.setattr(study, name, value)
    yield model, tokenizer
    clear()


def test_a_run_keeps_curves_and_what_other_worlds_say(little):
    model, _ = little
    before = copy.deepcopy(model.state_dict())
    found = study.run({"climb": "proxy"}, 1)
    assert found["kl_before"] == pytest.approx(0, abs=1e-5)
    assert found["kl_after"] != 0
    for what in ("gold", "proxy", "right", "length", "entropy"):
        assert {f"{what}_before", f"{what}_after"} <= set(found)
    assert 0 < found["distinct_after"] <= 1
    assert sum(n for _, n in found["commonest_after"]) <= study.N_HELD_OUT
    assert all(len(found[f"{what} curve"]) == 2 for what in study.CURVES)
    after = model.state_dict()  # the model where all runs begin is not touched
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_both_arms_begin_alike_and_climb_what_they_are_told(little):
    runs = {climb: study.trained(1, climb=climb, steps=2)[1] for climb in ("proxy", "gold")}
    first = {climb: seen[0] for climb, seen in runs.items()}
    for what in ("proxy", "gold", "entropy", "length"):
        assert first["proxy"][what] == pytest.approx(first["gold"][what], abs=1e-6)
    assert first["proxy"]["score"] == first["proxy"]["proxy"]
    assert first["gold"]["score"] == first["gold"]["gold"]
    assert runs["proxy"][1]["policy_loss"] != runs["gold"][1]["policy_loss"]


def test_prompts_are_short_and_no_task_is_in_both_parts(little):
    _, tokenizer = little
    train, test = (study.tasks(part, 4) for part in ("train", "test"))
    lengths = [len(task_prompt(task, tokenizer)) for task in (*train, *test)]
    assert max(lengths) <= study.LONGEST_PROMPT
    assert not {task.about for task in train} & {task.about for task in test}


def test_what_a_run_has_climbed_to():
    seen = [{"score": 9.0, "kl": 0.0}] * 4 + [{"score": 1.0, "kl": 2.0}] * 8
    assert study.climbed(seen) == pytest.approx(1.0 - 0.1 * 2.0)


def test_a_gain_is_over_the_usual_answers_to_the_same_prompt(little):
    model, _ = little
    asked = study.tasks("train", 4)
    usual = study.draw(model, asked, 2, seed=3)
    judge = study.gold(asked)
    gains, scores = study.gain(judge, usual)(usual), judge(usual).view(2, 4)
    assert torch.allclose(gains.view(2, 4), scores - scores.mean(dim=0))
    assert gains.view(2, 4).mean(dim=0).abs().max() < 1e-6


def test_the_proxy_reads_what_was_drawn_and_no_padding(little):
    model, _ = little
    drawn = study.draw(model, study.tasks("train", 4), 1, seed=3)
    _, reward, _ = study.opened()
    alone = [reward(row[None, :n], torch.tensor([n])) for row, n in spans(drawn)]
    assert torch.allclose(study.proxy(drawn), torch.cat(alone), atol=1e-5)


def spans(drawn):
    return [
        (row, int(p) + int(n))
        for row, p, n in zip(drawn.ids, drawn.prompt_lengths, drawn.lengths, strict=True)
    ]
