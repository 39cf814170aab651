"""LIMA's sums, and each rule of its filter at both of its sides."""

import pytest

from minillm.data.proportions import temperature_shares
from minillm.finetune import lima
from minillm.finetune.lima import AnswerRules, answer_faults

GOOD = "Heat the pan, then add the butter. " * 40  # 1400 characters


def test_the_parts_sum_as_the_paper_says_and_not_as_listed():
    assert sum(lima.TRAINING.values()) == 1000
    assert sum(lima.LISTED.values()) == 1050
    group_a = lima.TRAINING["authors, group A"] + lima.DEVELOPMENT["authors, group A"]
    assert group_a == lima.LISTED["authors, group A"] == 250
    assert sum(lima.TEST.values()) == 300
    assert sum(lima.EXCHANGES.values()) == 179
    assert lima.ALPACA_EXAMPLES / sum(lima.TRAINING.values()) == 52


def test_a_good_answer_has_no_fault():
    assert answer_faults(GOOD, 10) == []


@pytest.mark.parametrize(
    ("answer", "score", "faults"),
    [
        (GOOD, 9, ["score"]),
        ("x" * 1199, 10, ["short"]),
        ("x" * 1200, 10, []),
        ("x" * 4096, 10, []),
        ("x" * 4097, 10, ["long"]),
        (GOOD + "I like it.", 10, ["first person"]),
        (GOOD + "I'm sure.", 10, ["first person"]),
        (GOOD + "My pan is hot.", 10, ["first person"]),
        (GOOD + "In my view", 10, ["first person"]),
        (GOOD + "IBM and mystery, i = 1", 10, []),
        (GOOD + "As mentioned above", 10, ["other answers"]),
        (GOOD + "on Stack Exchange", 10, ["other answers"]),
        ("I: as mentioned", 0, ["score", "short", "first person", "other answers"]),
    ],
)
def test_each_rule(answer, score, faults):
    assert answer_faults(answer, score) == faults


def test_other_rules():
    assert answer_faults("short", 1, AnswerRules(1, 1, 5)) == []
    assert answer_faults("longer", 1, AnswerRules(1, 1, 5)) == ["long"]
    with pytest.raises(ValueError, match="shortest <= longest"):
        AnswerRules(shortest=5, longest=4)


def test_temperature_three_is_flatter():
    """Section 2.1 samples the exchanges with a temperature of 3."""
    sizes = {"large": 1000.0, "small": 1.0}
    assert temperature_shares(sizes, 3)["small"] == pytest.approx(1 / 11)
    assert temperature_shares(sizes, 1)["small"] == pytest.approx(1 / 1001)
