"""Rejection sampling: who is drawn, who is kept, and what the report says of the others."""

import math
from collections import Counter

import pytest
import torch

from minillm.align.grpo import task_rewards
from minillm.align.rejection import (
    Kept,
    Sample,
    keep_best,
    kept_talk,
    sample_answers,
    scores_of,
)


def said(*texts):
    """Answers; one that ends in ... was cut off."""
    return [Sample(t.removesuffix("..."), not t.endswith("...")) for t in texts]


def test_each_prompt_gets_its_answers(toy):
    model = toy.model()
    found = sample_answers(model, toy.tokenizer, toy.tasks, 64, max_tokens=4)
    assert [len(answers) for answers in found] == [64, 64]
    for answers in found:
        counts = Counter(s.text for s in answers if s.ended)
        assert all(4 < counts[letter] < 42 for letter in "abc")  # 21 and 4 standard deviations
    again = sample_answers(model, toy.tokenizer, toy.tasks, 64, max_tokens=4)
    assert again == found
    assert sample_answers(model, toy.tokenizer, toy.tasks, 64, max_tokens=4, seed=1) != found
    cut = sample_answers(model, toy.tokenizer, toy.tasks, 8, max_tokens=1)
    assert not any(s.ended and s.text for answers in cut for s in answers)


def test_prompts_far_apart_do_not_change_each_other(toy):
    model, one = toy.model(), toy.tasks[0]
    settings = {"max_tokens": 3, "at_once": 8}
    alone = sample_answers(model, toy.tokenizer, [one], 8, **settings)
    both = sample_answers(model, toy.tokenizer, [one, one], 8, **settings)
    assert both[0] == alone[0]
    assert both[1] != both[0]  # another seed for each group of rows


def test_the_best_that_may_be_kept_is_kept():
    samples = [
        said("good", "better", "best..."),
        said("a", "b", "c"),
        said("   ", "x...", ""),
    ]
    scores = torch.tensor([[1.0, 2.0, 3.0], [5.0, 5.0, 4.0], [9.0, 8.0, 7.0]])
    kept, report = keep_best(samples, scores)
    assert kept == [Kept(0, "better", 2.0), Kept(1, "a", 5.0)]  # the earlier of equals
    assert (report.n_answers, report.n_unended, report.n_blank, report.n_without) == (9, 2, 2, 1)
    assert report.mean == pytest.approx(44 / 9)
    assert report.best == pytest.approx((3 + 5 + 9) / 3)
    assert report.kept == pytest.approx(3.5)


def test_several_are_kept_and_all_are_different():
    samples = [said("a", "b", "a", "c")]
    scores = torch.tensor([[3.0, 1.0, 3.0, 2.0]])
    kept, _ = keep_best(samples, scores, keep=2)
    assert [(k.text, k.score) for k in kept] == [("a", 3.0), ("c", 2.0)]
    kept, report = keep_best(samples, scores, keep=4, least=2)
    assert [k.text for k in kept] == ["a", "c"]
    kept, report = keep_best(samples, scores, least=3.5)
    assert kept == []
    assert report.kept is None
    assert report.n_without == 1


def test_scores_come_back_prompt_by_prompt(toy):
    samples = [said("b", "a"), said("b", "b")]
    assert scores_of(task_rewards, toy.tasks, samples).tolist() == [[1, 0], [1, 1]]
    seen = []

    def score(tasks, texts):
        seen.append(([t.about for t in tasks], list(texts)))
        return torch.arange(4.0)

    assert scores_of(score, toy.tasks, samples).tolist() == [[0, 1], [2, 3]]
    assert seen == [(["1", "1", "2", "2"], ["b", "a", "b", "b"])]


def test_a_talk_of_a_prompt_and_an_answer(toy):
    assert kept_talk(toy.tasks[0], "b") == [
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": "b"},
    ]


ONE = [said("a", "b")]


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda toy: sample_answers(toy.model(), toy.tokenizer, [], 2), "need a task"),
        (lambda toy: sample_answers(toy.model(), toy.tokenizer, toy.tasks, 0), "2, 0 and 64"),
        (lambda toy: keep_best([], torch.zeros(0, 0)), "P prompts of K answers"),
        (lambda toy: keep_best([*ONE, said("a")], torch.zeros(2, 2)), "P prompts of K answers"),
        (lambda toy: keep_best(ONE, torch.zeros(1, 3)), r"1 prompts and \(1, 3\)"),
        (lambda toy: keep_best(ONE, torch.zeros(1, 2), keep=3), "keep must lie in 1 to 2, got 3"),
        (
            lambda toy: keep_best(ONE, torch.tensor([[1.0, math.nan]])),
            "answer 1 to prompt 0 is nan",
        ),
        (
            lambda toy: scores_of(lambda t, a: torch.zeros(3), toy.tasks[:1], ONE),
            r"must give \(2,\), one number an answer; got \(3,\)",
        ),
        (
            lambda toy: scores_of(lambda t, a: torch.tensor([0, -math.inf]), toy.tasks[:1], ONE),
            "answer 1 to prompt 0 is -inf",
        ),
    ],
)
def test_bad_input(toy, action, words):
    with pytest.raises(ValueError, match=words):
        action(toy)
