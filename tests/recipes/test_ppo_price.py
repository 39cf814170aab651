"""The study of PPO's price: all prices begin alike, and a run measures what it says."""

import copy

import pytest
import torch

from minillm.recipes import sums
from minillm.recipes.studies import ppo_price as study

LITTLE = sums.SumsConfig(
    d_model=16, n_layers=1, base_steps=6, tuned_steps=3, n_shown=20, n_pairs=80
)
SMALL = {"STEPS": 4, "BATCH": 8, "MINIBATCH": 4, "EPOCHS": 2, "EVERY": 2, "DRAWS": 1}


@pytest.fixture(scope="module")
def made():
    return sums.make_models(3, LITTLE)


@pytest.fixture
def small(monkeypatch, made):
    for name, value in SMALL.items():
        monkeypatch.setattr(study, name, value)
    few = sums.Models(made.base, made.tuned, made.weights, made.train, made.test[:20])
    monkeypatch.setattr(study, "models", lambda seed: few)
    return few


def test_a_run_measures_three_policies_and_keeps_the_curves(small):
    before = copy.deepcopy(small.tuned.state_dict())
    found = study.run({"kl_coef": 0.1}, 1)
    for name in ("base", "tuned", "ppo"):
        for what in ("gold", "proxy", "right", "length", "entropy", "kl"):
            assert f"{what}_{name}" in found
        assert [text[:6] for text in found[f"says_{name}"]] == [
            sums.decode(prompt) for prompt in small.test[: study.N_SHOWN]
        ]
    assert found["weights"] == pytest.approx(small.weights.tolist(), abs=1e-5)
    assert found["kl_tuned"] == 0.0
    assert found["kl_ppo"] != 0.0
    steps = found["gold_ppo"] - found["gold_tuned"], found["gold_tuned"] - found["gold_base"]
    assert found["smaller_step"] == min(steps)
    assert len(found["gold curve"]) == 2
    after = small.tuned.state_dict()  # the shared models are not touched
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_prices_begin_alike_and_part(small):
    seen = {c: study.trained(small, 1, kl_coef=c, steps=3)[1] for c in (0.0, 5.0)}
    same = ("score", "gold", "kl", "entropy", "length")
    assert [seen[0.0][0][k] for k in same] == [seen[5.0][0][k] for k in same]
    assert seen[0.0][0]["kl"] == pytest.approx(0, abs=1e-5)
    assert seen[0.0][-1]["policy_loss"] != seen[5.0][-1]["policy_loss"]


def test_a_reward_of_ones_own_is_climbed(small):
    def ends(drawn):
        return torch.tensor([float(a[0] == sums.POLITE) for a in drawn.answers()])

    _, seen = study.trained(small, 1, kl_coef=0.0, lr=1e-2, steps=30, reward=ends)
    first, last = (sum(s["score"] for s in part) / 5 for part in (seen[:5], seen[-5:]))
    assert last > first + 0.3


def test_what_the_pilot_compares():
    seen = [{"score": float(i), "kl": 2.0} for i in range(20)]
    assert study.climbed(seen, 0.1) == pytest.approx(14.5 - 0.2)


def test_the_rate_is_the_best_of_the_pilot_and_inside_its_grid():
    if study.PILOT:
        assert study.PILOT[study.LR] == max(study.PILOT.values())
    assert min(study.RATES) < study.LR < max(study.RATES)
    assert {s["kl_coef"] for s in study.JOB.arms.values()} == {0.0, 0.03, 0.1, 0.5}
    assert "price_0.1" in study.JOB.arms
