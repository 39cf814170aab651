"""Wrong answers: how many, of which kind, and which ones again at a larger share."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.finetune.corrupt import corrupt_answers

COLOURS = ["red", "blue", "green", "red", "red", "blue"]
NUMBERS = ["1", "2", "3", "4"]


@settings(max_examples=60, deadline=None)
@given(share=st.floats(0, 1), seed=st.integers(0, 50))
def test_so_many_are_wrong_and_of_the_right_kind(share, seed):
    answers = COLOURS + NUMBERS
    kinds = ["colour"] * 6 + ["number"] * 4
    found = corrupt_answers(answers, share, seed=seed, kinds=kinds)
    assert sum(found.wrong) == round(share * 10)
    assert found.share == sum(found.wrong) / 10
    for now, before, kind, wrong in zip(found.answers, answers, kinds, found.wrong, strict=True):
        assert (now != before) == wrong
        assert now in (COLOURS if kind == "colour" else NUMBERS)


@pytest.mark.parametrize("seed", range(5))
def test_a_larger_share_adds_and_changes_nothing(seed):
    answers = [str(i % 7) for i in range(50)]
    shares = [corrupt_answers(answers, s, seed=seed) for s in (0.0, 0.2, 0.4, 1.0)]
    assert shares[0].answers == tuple(answers)
    for few, many in pairwise(shares):
        for a, b, was_wrong in zip(few.answers, many.answers, few.wrong, strict=True):
            assert not was_wrong or a == b
    other = corrupt_answers(answers, 0.4, seed=seed + 100)
    assert other.wrong != shares[2].wrong
    assert shares[2] == corrupt_answers(answers, 0.4, seed=seed)


def test_every_other_answer_can_come():
    answers = ["a", "b", "c", "d"]
    seen = {corrupt_answers(answers, 1.0, seed=s).answers[0] for s in range(60)}
    assert seen == {"b", "c", "d"}


def test_what_has_no_other_is_left_alone():
    found = corrupt_answers(["yes", "x", "y"], 2 / 3, seed=0, kinds=["q", "r", "r"])
    assert found.answers == ("yes", "y", "x")
    with pytest.raises(ValueError, match="only 2 have another"):
        corrupt_answers(["yes", "x", "y"], 1.0, seed=0, kinds=["q", "r", "r"])


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_refuses(share):
    with pytest.raises(ValueError, match="share"):
        corrupt_answers(NUMBERS, share, seed=0)
    with pytest.raises(ValueError, match="got 0 and"):
        corrupt_answers([], 0.5, seed=0)
    with pytest.raises(ValueError, match="1 kinds for 4"):
        corrupt_answers(NUMBERS, 0.5, seed=0, kinds=["a"])
