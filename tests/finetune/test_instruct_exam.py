"""The exam: right answers only, every skill, and no wording in both parts."""

from collections import Counter

import pytest

from minillm.finetune.instruct_exam import of_part, toy_exam
from minillm.finetune.instruct_tasks import InstructTask
from minillm.finetune.instruct_toy import SKILLS


def test_an_exam():
    tasks = toy_exam(40)
    assert Counter(task.kind for task in tasks) == {skill.name: 5 for skill in SKILLS}
    for task in tasks:
        assert task.check(task.answer)
        assert task.check(f" {task.answer}\n")
        assert not task.check(task.answer + "x")
        assert not task.check("")
        assert task.messages[0]["content"].startswith(f"{task.about}\n\n")
    again = toy_exam(8)
    assert [task.messages for task in again] == [task.messages for task in tasks[:8]]
    assert toy_exam(8, seed=1) != again


def test_no_wording_is_in_both_parts():
    train = {task.about for task in toy_exam(200, part="train")}
    test = {task.about for task in toy_exam(200, part="test")}
    assert train
    assert test
    assert not train & test
    tasks = [InstructTask(str(n), text, "", "x", False) for n, text in enumerate(train | test)]
    assert {task.instruction for task in of_part(tasks, "train")} == train
    assert {task.instruction for task in of_part(tasks, "test")} == test


def test_bad_exams():
    with pytest.raises(ValueError, match="n_tasks must be at least 1"):
        toy_exam(0)
    with pytest.raises(ValueError, match="part must be one of"):
        toy_exam(1, part="dev")
    with pytest.raises(ValueError, match="part must be one of"):
        of_part([], "dev")
