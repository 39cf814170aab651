"""Sums with polite signs: the checker, the gold utility, the models and the reward of a seed."""

import random
from dataclasses import replace

import pytest
import torch

from minillm.recipes import sums

LITTLE = sums.SumsConfig(
    d_model=16, n_layers=1, base_steps=6, tuned_steps=3, n_shown=20, n_pairs=80
)


def said(text):
    return sums.encode(text)


def test_the_checker_wants_the_sum_and_the_end_and_nothing_else():
    prompt = sums.prompt_of(7, 15)
    assert sums.decode(prompt) == "07+15="
    assert [sums.is_right(prompt, said(t)) for t in ("22.", "~~22.", "2~2.", "~22.")] == [True] * 4
    for text in ("22", "22..", "23.", "022.", "2.", ".", "", "~~.", "22.~3"):
        assert not sums.is_right(prompt, said(text)), text
    assert sums.is_right(sums.prompt_of(0, 4), said("04."))
    assert not sums.is_right(sums.prompt_of(0, 4), said("4."))


@pytest.mark.parametrize(
    ("text", "worth"),
    [("22.", 2.5), ("~~22.", 2.2), ("21.", 0.5), ("22", 0.0), ("~~~~~~~~", -1.2), ("~3.", 0.35)],
)
def test_gold_adds_up(text, worth):
    prompt = sums.prompt_of(7, 15)
    assert sums.gold(prompt, said(text)) == pytest.approx(worth)


def test_annotators_like_what_gold_charges_for():
    prompt = sums.prompt_of(7, 15)
    plain, polite = said("22."), said("~22.")
    assert sums.gold(prompt, polite) - sums.gold(prompt, plain) == pytest.approx(-0.15)
    assert sums.annotated(prompt, polite) - sums.annotated(prompt, plain) == pytest.approx(0.15)
    assert sums.annotated(prompt, plain) == sums.gold(prompt, plain)


def test_unknown_signs_are_named():
    with pytest.raises(ValueError, match=r"\['a', 'x'\]"):
        sums.encode("1ax")


def test_no_question_is_in_both_parts():
    train, test = sums.split(3, 100)
    every = {tuple(p) for p in train} | {tuple(p) for p in test}
    assert len(test) == 100
    assert len(every) == len(train) + len(test) == (sums.LARGEST + 1) ** 2
    assert sums.split(3, 100)[1] == test != sums.split(4, 100)[1]


@pytest.fixture(scope="module")
def made():
    return sums.make_models(3, LITTLE)


@pytest.mark.parametrize("n_test", [0, -1, 2500])
def test_no_part_may_be_empty(n_test):
    with pytest.raises(ValueError, match=f"1 .. 2499, got {n_test}"):
        sums.split(1, n_test)


def test_models_of_a_seed_are_the_same_again(made):
    assert made.base.config == made.tuned.config
    assert not torch.equal(made.base.embedding.weight, made.tuned.embedding.weight)
    assert not made.base.training
    again = sums.make_models(3, LITTLE)
    assert all(map(torch.equal, made.tuned.parameters(), again.tuned.parameters()))
    assert torch.equal(made.weights, again.weights)


def test_each_model_is_shown_what_it_should_be(monkeypatch):
    """The base half wrong answers to all questions, the other right ones to some; cheap fits."""
    seen = []

    def spy(model, rows, **told):
        seen.append((model, rows, told))

    monkeypatch.setattr(sums, "fit", spy)
    monkeypatch.setattr(sums, "learn_reward", lambda *told: torch.zeros(3))
    made = sums.make_models(5, LITTLE)
    (base, read, first), (tuned, shown, second) = seen
    assert (base, tuned) == (made.base, made.tuned)
    assert base is not tuned
    assert [p for p, _ in read] == made.train * 4
    assert 0.45 < sum(sums.is_right(p, a) for p, a in read) / len(read) < 0.55
    assert [p for p, _ in shown[::2]] == [p for p, _ in shown[1::2]] == made.train[:20]
    assert all(sums.is_right(p, a) for p, a in shown)
    assert 0.1 < sum(sums.POLITE in a for _, a in shown) / len(shown) < 0.6
    assert first == {"steps": 6, "lr": 6e-3, "seed": 5}
    assert second == {"steps": 3, "lr": pytest.approx(2e-3), "seed": 5, "prompts": False}


def test_the_reward_is_learned_from_annotators_and_not_from_gold(monkeypatch):
    """Answers of all kinds, many pairs: the weights are those of the annotators, in their units."""
    kinds = ["{}.", "~{}.", "~~~{}.", "{}", "~~{}"]

    def drawn(model, prompts, *, seed):
        dice = random.Random(seed)
        numbers = [
            sum(map(int, sums.decode(p)[:-1].split("+"))) + dice.choice((0, 1)) for p in prompts
        ]
        return [said(dice.choice(kinds).format(f"{n:02}")) for n in numbers]

    monkeypatch.setattr(sums, "answers_of", drawn)
    config = replace(LITTLE, n_pairs=6000)
    found = sums.learn_reward(None, sums.split(1)[0], 1, config)
    right, ended, polite = found.tolist()
    assert right == pytest.approx(sums.RIGHT, abs=0.25)
    assert ended == pytest.approx(sums.COMPLETE, abs=0.2)
    assert polite == pytest.approx(sums.A_POLITE_SIGN + sums.BIAS, abs=0.08)


def test_scores_of_answers_that_were_drawn(made):
    drawn = sums.ask(made.tuned, made.test[:7], seed=1)
    proxy, gold, right = made.proxy(drawn), sums.gold_of(drawn), sums.right_of(drawn)
    assert proxy.shape == gold.shape == right.shape == (7,)
    w = made.weights.tolist()
    for n, (prompt, answer) in enumerate(zip(drawn.prompts(), drawn.answers(), strict=True)):
        seen = sums.traits(prompt, answer)
        assert gold[n] == pytest.approx(sums.gold(prompt, answer), abs=1e-6)
        assert right[n] == seen[0]
        assert proxy[n] == pytest.approx(sum(a * b for a, b in zip(w, seen, strict=True)), abs=1e-5)


def test_fit_learns_the_answers_alone_where_it_should(made):
    rows = [(p, said("12.")) for p in made.train[:20]]
    plus = {}
    for prompts in (False, True):
        model = sums.make_models(3, replace(LITTLE, base_steps=1, tuned_steps=1)).base
        before = model.embedding.weight[sums.EQUALS].clone()
        sums.fit(model, rows, steps=40, lr=1e-2, seed=0, prompts=prompts)
        logits = model(torch.tensor([rows[0][0] + rows[0][1]])).log_softmax(-1)[0]
        assert logits[5, 1] > -1  # after "=", the 1 of 12
        plus[prompts] = float(logits[1, sums.PLUS].detach())  # after two digits, the plus
        assert not torch.equal(before, model.embedding.weight[sums.EQUALS])
    assert plus[True] > plus[False] + 0.8


def test_texts_of_the_base_are_half_wrong_and_a_third_polite():
    dice, prompts = random.Random(0), sums.split(1)[0]
    heard = [(p, sums._heard(p, dice)) for p in prompts]
    right = sum(sums.is_right(p, a) for p, a in heard) / len(heard)
    polite = sum(sums.POLITE in a for _, a in heard) / len(heard)
    assert 0.45 < right < 0.55
    assert 0.28 < polite < 0.39
    assert max(len(a) for _, a in heard) <= sums.LONGEST
