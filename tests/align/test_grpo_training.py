"""GRPO's loop: it learns what the checker wants, stops when it must, and can be killed."""

import math
from dataclasses import replace

import pytest
import torch

from minillm.align import grpo_training as module
from minillm.align.direct_training import reference_of
from minillm.align.drift import DriftError, check_drift
from minillm.align.experience import RewardError
from minillm.align.grpo_training import GRPOConfig, GRPOLossConfig, train_grpo
from minillm.train import OptimizerConfig, checkpointer, make_optimizer, resume

CONFIG = GRPOConfig(steps=4, prompts=2, group_size=4, max_tokens=3, epochs=2, minibatches=2, seed=1)
OPTIMIZER = OptimizerConfig(lr=1e-2)


def learned(toy, config=CONFIG, model=None, ref=None, **kw):
    model = toy.model() if model is None else model
    ref = reference_of(toy.model()) if ref is None else ref
    seen = []
    kw = {"optimizer": OPTIMIZER, "log": seen.append, **kw}
    state = train_grpo(model, ref, toy.tokenizer, toy.tasks, config, **kw)
    return seen, model, state


def test_it_learns_what_the_checker_wants(toy):
    config = GRPOConfig(steps=16, prompts=2, group_size=16, max_tokens=3, seed=0)
    seen, _, state = learned(toy, config, optimizer=OptimizerConfig(lr=5e-3))
    assert [r["step"] for r in seen] == list(range(1, 17))
    assert seen[0]["score"] < 0.6 < 0.7 < sum(r["score"] for r in seen[-3:]) / 3
    assert seen[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert seen[-1]["kl"] > 0.1
    assert 0 < seen[0]["spread"] <= 1
    assert seen[0]["clipped"] == 0  # one update: the ratio is 1
    assert state.step == 16
    assert state.n_tokens > 0


def test_a_higher_price_stays_nearer(toy):
    """With the same answers in the first step, the second is drawn from two policies."""

    def end(kl_coef):
        config = GRPOConfig(
            steps=7, prompts=2, group_size=8, max_tokens=3, loss=GRPOLossConfig(kl_coef=kl_coef)
        )
        return learned(toy, config)[0][-1]["kl"]

    assert end(5.0) < 0.5 * end(0.0)


def test_killed_and_gone_on_with_is_the_undisturbed_run(toy, tmp_path):
    whole, end, _ = learned(toy)
    save, first = checkpointer(tmp_path / "last"), []

    class Kill(Exception):
        pass

    def killed(model, optimizer, state):
        save(model, optimizer, state)
        if state.step == 2:
            raise Kill

    config = replace(CONFIG, save_every=1)
    with pytest.raises(Kill):
        learned(toy, config, save=killed, log=first.append)
    torch.manual_seed(99)  # whatever happens in between
    again = toy.model()
    moving = make_optimizer(again, OPTIMIZER)
    state = resume(tmp_path / "last", again, moving, ())
    rest, model, _ = learned(toy, model=again, optimizer=moving, state=state)
    assert first + rest == whole
    mine, theirs = model.state_dict(), end.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_minibatches_hold_whole_groups(toy, monkeypatch):
    seen = []
    real = module.grpo_loss

    def watched(here, old, advantages, mask, **kw):
        seen.append(advantages.reshape(-1, 4).sum(dim=1))
        return real(here, old, advantages, mask, **kw)

    monkeypatch.setattr(module, "grpo_loss", watched)
    learned(toy, replace(CONFIG, steps=1, epochs=3))
    assert len(seen) == 6
    assert all(sums.abs().max() < 1e-5 and len(sums) == 1 for sums in seen)


def test_answers_are_judged_task_by_task(toy):
    seen = []

    def score(tasks, texts):
        seen.append([task.about for task in tasks])
        return torch.zeros(len(texts))

    learned(toy, replace(CONFIG, steps=1), score=score)
    (asked,) = seen
    assert asked in (["1"] * 4 + ["2"] * 4, ["2"] * 4 + ["1"] * 4)


def test_every_task_comes_once_in_an_epoch():
    found = [n for step in range(5) for n in module._chosen(5, 2, 3, step)]
    assert sorted(found[:5]) == sorted(found[5:]) == [0, 1, 2, 3, 4]
    assert found[:5] != found[5:]
    assert module._chosen(5, 2, 3, 1) == found[2:4]
    assert [n for step in range(5) for n in module._chosen(5, 2, 4, step)] != found


def test_a_score_that_is_no_number_stops_it_before_anything_moves(toy):
    def score(tasks, texts):
        return torch.tensor([1.0] * (len(texts) - 1) + [math.nan])

    model = toy.model()
    with pytest.raises(RewardError, match="step 1: the score of answer 7 is nan"):
        learned(toy, model=model, score=score)
    pairs = zip(model.parameters(), toy.model().parameters(), strict=True)
    assert all(torch.equal(p, q) for p, q in pairs)


def test_a_policy_that_runs_away_stops_it(toy):
    config = GRPOConfig(
        steps=30, prompts=2, group_size=8, max_tokens=3, max_kl=0.5,
        loss=GRPOLossConfig(kl_coef=0.0),
    )  # fmt: skip
    with pytest.raises(DriftError, match=r"after step \d+ the policy is .* max_kl is 0.5") as told:
        learned(toy, config, optimizer=OptimizerConfig(lr=5e-2))
    assert told.value.kl > 0.5
    assert told.value.step >= 1
    with pytest.raises(DriftError, match="nan"):
        check_drift(3, math.nan, math.inf)
    check_drift(3, 1e9, math.inf)


def test_without_a_reference(toy):
    config = GRPOConfig(
        steps=1, prompts=2, group_size=4, max_tokens=3, loss=GRPOLossConfig(kl_coef=0.0)
    )
    seen = []
    train_grpo(toy.model(), None, toy.tokenizer, toy.tasks, config, log=seen.append)
    assert seen[0]["kl"] == 0
    with pytest.raises(ValueError, match=r"kl_coef=0\.04 and max_kl=inf need a reference"):
        train_grpo(toy.model(), None, toy.tokenizer, toy.tasks, CONFIG)


@pytest.mark.parametrize(
    ("kw", "words"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"prompts": 0}, "prompts must be at least 1"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"max_tokens": 0}, "max_tokens must be at least 1"),
        ({"minibatches": 0}, "minibatches must be at least 1"),
        ({"group_size": 1}, "group_size must be at least 2, got 1"),
        ({"prompts": 3, "minibatches": 2}, "minibatches=2 must divide prompts=3"),
    ],
)
def test_bad_settings(kw, words):
    with pytest.raises(ValueError, match=words):
        GRPOConfig(**kw)


def test_too_few_tasks(toy):
    with pytest.raises(ValueError, match="2 tasks are fewer than prompts=8"):
        learned(toy, GRPOConfig(steps=1))
