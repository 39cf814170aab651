"""Words said backwards: what is known of an answer, and that the studies of lesson 35 run."""

import copy

import pytest
import torch

from minillm import align
from minillm.recipes import backwards as b
from minillm.recipes import backwards_ppo
from minillm.recipes.studies import direct_methods as direct
from minillm.recipes.studies import over_optimisation as over
from minillm.recipes.studies import rejection_rounds as rounds
from minillm.recipes.studies import teacher_samples as teacher

LITTLE = {
    b: {"FIRST_STEPS": 30, "FIRST_BATCH": 16, "N_TEST": 8, "N_PAIRS": 16, "REWARD_STEPS": 2,
        "REWARD_BATCH": 4},
    backwards_ppo: {"PPO_BATCH": 4},
    over: {"NS": (1, 2, 4), "N_WORDS": 4, "PLACES": (0, 1, 2), "DPO_BATCH": 4},
    rounds: {"N_WORDS": 4, "BATCH": 4, "PLACES": (0, 1, 2)},
    teacher: {"N_WORDS": 4, "STEPS": 2, "BATCH": 4},
    direct: {"STEPS": 2, "BATCH": 4},
}  # fmt: skip
CACHED = (b.parts, b.first_policy, b.comparisons, b.proxy)


@pytest.fixture(scope="module")
def little():
    """All trainings take two steps, the first one as many as it needs to end its answers."""
    with pytest.MonkeyPatch.context() as patch:
        for module, numbers in LITTLE.items():
            for name, value in numbers.items():
                patch.setattr(module, name, value)
        for made in CACHED:
            made.cache_clear()
        yield
    for made in CACHED:
        made.cache_clear()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("fcba", 1.0),
        ("fcbb", 0.75),
        ("fcbaa", 0.75),
        ("fcb", 0.5),  # one letter is missing, and one is too few
        ("abcf", 0.0),
        ("", -1.0),
        ("x" * 40, -1.0),
    ],
)
def test_what_an_answer_is_worth(text, value):
    assert b.worth("abcf", text) == value
    task = b.task_of("abcf")
    assert task.check(text) == (value == 1)
    assert b.gold([task], [text]).tolist() == [value]


def test_no_word_is_in_both_parts():
    train, test = b.parts()
    assert len(test) == 128
    assert len({t.about for t in (*train, *test)}) == len(train) + len(test) == 6**4


def test_demonstrations_are_often_wrong_and_seldom_far_off():
    dice = b.np.random.default_rng(1)
    tasks = b.parts()[0]
    worths = [b.worth(t.about, b.demonstration(t, dice)) for t in tasks]
    assert 0.1 < sum(w == 1 for w in worths) / len(worths) < 0.4
    assert sum(worths) / len(worths) > 0.4


def test_prompts_give_their_words_back():
    tasks = b.parts()[0][:50]
    assert [backwards_ppo.word_of(ids) for ids in b.prompts_of(tasks)] == [t.about for t in tasks]


def test_the_distance_is_zero_at_first_and_grows(little):
    first = b.first_policy(3)
    assert b.measure(first, first, 1).kl == 0
    moved = copy.deepcopy(first)
    with torch.no_grad():
        for weight in moved.parameters():
            weight.mul_(1.1)
    found = b.measure(moved, first, 1)
    assert found.kl > 0
    assert len(found.texts) == 4 * 8
    tasks = [t for t in b.parts()[1] for _ in range(4)]
    assert found.gold == pytest.approx(float(b.gold(tasks, found.texts).mean()))


def test_comparisons_are_of_different_answers(little):
    found = b.comparisons(3)
    assert 0 < len(found.train) <= 16
    assert all(pair.chosen.ids != pair.rejected.ids for pair in found.train)
    assert 0 <= b.proxy_accuracy(b.proxy(3, "small"), found.test) <= 1


def test_ppo_in_parts_is_ppo_in_one_piece(little):
    def look(model):
        return {"sum": float(sum(w.detach().double().sum() for w in model.parameters()))}

    whole = backwards_ppo.ppo_in_parts(3, b.gold, (2,), look)
    parts = backwards_ppo.ppo_in_parts(3, b.gold, (0, 1, 2), look)
    assert parts[-1] == whole[-1]
    assert parts[0] != parts[-1]


@pytest.mark.parametrize("study", [over, rounds, teacher, direct])
def test_every_arm_runs(little, study):
    for settings in study.JOB.arms.values():
        found = study.run(settings, 3)
        assert all(torch.tensor(value).isfinite().all() for value in found.values())
    assert len(study.JOB.arms) * len(study.JOB.seeds) <= 60


def test_the_first_policy_is_never_changed(little):
    before = copy.deepcopy(b.first_policy(3).state_dict())
    over.by_dpo(3)
    rounds.by_rejection(3, 1, 2, 2)
    direct.learn("ipo", 0.1, 1e-3, 3)
    assert all(torch.equal(v, before[k]) for k, v in b.first_policy(3).state_dict().items())


def test_curves_begin_at_zero(little):
    for settings in over.JOB.arms.values():
        found = over.run(settings, 3)
        n = len(over.NS if settings["by"] == "best_of_n" else over.PLACES)
        assert found["distance"][0] == found["gold"][0] == found["proxy"][0] == 0
        assert len(found["distance"]) == len(found["gold"]) == len(found["proxy"]) == n


def test_breadth_and_depth_are_equal_work():
    arms = [s for s in rounds.JOB.arms.values() if s["by"] == "rejection"]
    assert {s["rounds"] * s["n_samples"] for s in arms} == {40}
    assert {s["rounds"] * s["steps"] for s in arms} == {200}


def test_a_curve_is_read_off_between_its_points():
    assert rounds.at_kl([0, 1, 3], [0.1, 0.3, 0.7], 2) == pytest.approx(0.5)
    assert rounds.at_kl([0, 1, 3], [0.1, 0.3, 0.7], 0.5) == pytest.approx(0.2)
    assert rounds.at_kl([0, 2, 1, 2], [0.0, 0.4, 0.1, 0.9], 2) == 0.4  # the first time
    with pytest.raises(ValueError, match=r"never gets to 5.00: train it longer"):
        rounds.at_kl([0, 1, 3], [0.1, 0.3, 0.7], 5)


def test_every_method_is_tuned_alike():
    assert set(direct.STRENGTHS) == {*align.direct_training.METHODS, "chosen"}
    assert {len(s) for m, s in direct.STRENGTHS.items() if m != "chosen"} == {2}
