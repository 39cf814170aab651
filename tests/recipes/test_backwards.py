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
    b: {"LETTERS": "abc", "N_TEST": 8, "N_PAIRS": 16, "FIRST_STEPS": 40, "FIRST_BATCH": 16,
        "SIZES": {"small": (16, 1), "middle": (16, 2), "large": (32, 1)}, "REWARD_STEPS": 2,
        "REWARD_BATCH": 4},
    backwards_ppo: {"PPO_BATCH": 4},
    over: {"NS": (1, 2, 4), "N_WORDS": 4, "PLACES": (0, 1, 2)},
    rounds: {"N_WORDS": 4, "BATCH": 4, "PLACES": (0, 1, 2)},
    teacher: {"N_WORDS": 4, "STEPS": 2, "BATCH": 4},
    direct: {"STEPS": 2, "BATCH": 4},
}  # fmt: skip
STUDIES = (over, rounds, teacher, direct)
CACHED = (b.parts, b.first_policy, b.comparisons, b.proxy, over.answers_of)


def two_steps(seed, score, places, look, **how):
    return backwards_ppo.ppo_in_parts(seed, score, [min(n, 2) for n in places], look, **how)


@pytest.fixture(scope="module")
def little():
    """Words of three letters, models of one layer; all trainings take two steps, the first one as
    many as it needs to end its answers."""
    with pytest.MonkeyPatch.context() as patch:
        for module, numbers in LITTLE.items():
            for name, value in numbers.items():
                patch.setattr(module, name, value)
        patch.setattr(rounds, "ppo_in_parts", two_steps)
        for made in CACHED:
            made.cache_clear()
        yield
    for made in CACHED:
        made.cache_clear()


@pytest.fixture(scope="module")
def ran(little):
    """What every arm of every study has found; rejection takes two steps a round too."""
    return {
        study: {
            arm: study.run({**told, **({"steps": 2} if "steps" in told else {})}, 3)
            for arm, told in study.JOB.arms.items()
        }
        for study in STUDIES
    }


def sides_of(pair):
    """The word that a pair is about, and both answers; a newline follows their end."""
    word = backwards_ppo.word_of(pair.chosen.ids)
    one, two = (
        bytes(i for i in side.ids if i < 256).decode().partition("assistant\n")[2][:-1]
        for side in (pair.chosen, pair.rejected)
    )
    return word, one, two


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


def test_the_distance_is_that_of_the_answers_alone(little):
    """Written out in numpy, place by place; the prompt and what follows the end do not count."""
    first, seed = b.first_policy(3), 5
    moved = copy.deepcopy(first)
    with torch.no_grad():
        for weight in moved.parameters():
            weight.mul_(1.1)
    prompts = b.prompts_of(b.parts()[1])
    stop = (b.END_ID, b.START_ID)
    drawn = align.rollout(moved, prompts, b.MAX_TOKENS, pad_id=b.PAD_ID, stop_ids=stop, seed=seed)
    total = 0.0
    with torch.no_grad():
        for prompt, answer in zip(drawn.prompts(), drawn.answers(), strict=True):
            ids = torch.tensor([prompt + answer])
            ours, theirs = (m(ids)[0].double().log_softmax(-1).numpy() for m in (moved, first))
            for place in range(len(prompt) - 1, len(prompt) + len(answer) - 1):
                p, q = ours[place], theirs[place]
                total += float((b.np.exp(p) * (p - q)).sum())
    found = b.measure(moved, first, seed, n_samples=1)
    assert found.kl == pytest.approx(total / len(prompts), rel=1e-4)
    assert found.length == pytest.approx(b.np.mean([len(text) for text in found.texts]))


def test_comparisons_are_of_different_answers(little):
    found = b.comparisons(3)
    assert 0 < len(found.train) <= 16
    assert all(pair.chosen.ids != pair.rejected.ids for pair in found.train)
    assert 0 <= b.proxy_accuracy(b.proxy(3, "small"), found.test) <= 1
    for part, pairs in zip(b.parts(), (found.train, found.test), strict=True):
        assert {sides_of(pair)[0] for pair in pairs} <= {task.about for task in part}


def test_annotators_without_noise_prefer_what_is_worth_more(little, monkeypatch):
    monkeypatch.setattr(b, "NOISE", 0.0)
    sides = [sides_of(pair) for pair in b.comparisons.__wrapped__(3).train]
    worths = [(b.worth(word, one), b.worth(word, two)) for word, one, two in sides]
    assert all(one >= two for one, two in worths)
    assert any(one > two for one, two in worths)
    noisy = [sides_of(pair) for pair in b.comparisons(3).train]
    assert {word for word, *_ in noisy} == {word for word, *_ in sides}


def test_talks_begin_with_the_prompt(little):
    task = b.parts()[0][0]
    (prompt,) = b.prompts_of([task])
    x, _ = next(b.talks_of([task], [task.answer], 0, 1))
    n = len(prompt)
    assert x[0, :n].tolist() == prompt
    assert bytes(x[0, n : n + b.LENGTH].tolist()).decode() == task.answer


def test_ppo_in_parts_is_ppo_in_one_piece(little):
    def look(model):
        return {"sum": float(sum(w.detach().double().sum() for w in model.parameters()))}

    whole = backwards_ppo.ppo_in_parts(3, b.gold, (2,), look)
    parts = backwards_ppo.ppo_in_parts(3, b.gold, (0, 1, 2), look)
    assert parts[-1] == whole[-1]
    assert parts[0] != parts[-1]
    priced = backwards_ppo.ppo_in_parts(3, b.gold, (2,), look, kl_coef=5.0)
    assert priced != whole


@pytest.mark.parametrize("study", STUDIES)
def test_every_arm_runs(ran, study):
    for found in ran[study].values():
        assert all(torch.tensor(value).isfinite().all() for value in found.values())
    assert len(study.JOB.arms) * len(study.JOB.seeds) <= 60


def test_the_first_policy_is_never_changed(little):
    first = [b.first_policy(3), b.first_policy(3, "large")]  # the cache holds them apart
    before = [copy.deepcopy(model.state_dict()) for model in first]
    b.proxy.__wrapped__(3, "large")
    over.by_ppo("large", 3)
    rounds.by_rejection(3, 1, 4, 2, 2)
    rounds.by_both(3)
    direct.learn("ipo", 0.1, 1e-3, 3)
    for model, old in zip(first, before, strict=True):
        assert all(torch.equal(v, old[k]) for k, v in model.state_dict().items())


def test_curves_begin_at_zero(ran):
    for arm, found in ran[over].items():
        n = len(over.NS if over.JOB.arms[arm]["by"] == "best_of_n" else over.PLACES)
        assert found["distance"][0] == found["gold"][0] == found["proxy"][0] == 0
        assert len(found["distance"]) == len(found["gold"]) == len(found["proxy"]) == n


def test_the_drop_is_read_at_the_point_that_the_others_choose():
    assert over.drop_by_others([[0.0, 0.0, 0.0]] * 3) == [0, 0, 0]
    assert over.drop_by_others([[0, 1, 2], [0, 2, 3]]) == [0, 0]  # both still rise
    # the others of the first and third have their mean highest at 1, those of the second at 2
    runs = [[0, 1, 5, 2], [0, 6, 1, 3], [0, 4, 3, 2]]
    assert over.drop_by_others(runs) == [1 - 2, 1 - 3, 4 - 2]
    for wrong in ([[0, 1]], [[0, 1], [0, 1, 2]]):
        with pytest.raises(ValueError, match=r"two runs or more of equal length, got lengths \[2"):
            over.drop_by_others(wrong)


def test_breadth_and_depth_are_equal_work():
    arms = [s for s in rounds.JOB.arms.values() if s["by"] == "rejection"]
    assert {s["rounds"] * s["n_samples"] / s["split"] for s in arms} == {40}
    assert {s["rounds"] * s["steps"] for s in arms} == {20}


def test_a_curve_is_read_off_between_its_points():
    assert rounds.at_kl([0, 1, 3], [0.1, 0.3, 0.7], 2) == pytest.approx(0.5)
    assert rounds.at_kl([0, 1, 3], [0.1, 0.3, 0.7], 0.5) == pytest.approx(0.2)
    assert rounds.at_kl([0, 2, 1, 2], [0.0, 0.4, 0.1, 0.9], 2) == 0.4  # the first time
    with pytest.raises(ValueError, match=r"never gets to 5.00: train it longer"):
        rounds.at_kl([0, 1, 3], [0.1, 0.3, 0.7], 5)


def test_every_method_is_tuned_alike():
    assert set(direct.STRENGTHS) == {*align.direct_training.METHODS, "chosen"}
    assert {len(s) for m, s in direct.STRENGTHS.items() if m != "chosen"} == {2}
