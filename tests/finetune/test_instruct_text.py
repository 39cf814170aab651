"""Prompts and how their answers are read: lists, kinds, instances."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.finetune.instruct_instances import (
    Instance,
    clean_instances,
    has_conflict,
    read_input_first,
    read_output_first,
    why_invalid,
)
from minillm.finetune.instruct_prompts import (
    RELEASED_SPLIT,
    input_first_prompt,
    kind_prompt,
    list_prompt,
    output_first_prompt,
    read_kind,
    split_list,
)
from minillm.finetune.instruct_tasks import InstructTask, seed_tasks

ADD = InstructTask("a", "Add the numbers.", "2, 3", "5", False)
FISH = InstructTask("b", "Name a fish.", "", "trout", False)
ODD = InstructTask("c", "Is the number even or odd?", "7", "odd", True)
SENTENCES = st.text(alphabet="ab .,2", min_size=1).map(lambda s: " ".join(s.split())).filter(bool)


def test_a_list_stands_open():
    assert list_prompt(["Name a  fish:", "Sort\nit."]).split("\n")[1:] == [
        "1. Name a fish",
        "2. Sort it.",
        "3.",
    ]
    assert list_prompt(["Name a fish."], numbering="task").endswith(
        "\nTask 1: Name a fish.\nTask 2:"
    )


@pytest.mark.parametrize("numbering", ["plain", "task"])
def test_a_list_that_goes_on_is_read_back(numbering):
    texts = ["Name a fish.", "Sort 3 numbers. 2. is one.", "Add 1 and 2."]
    whole = list_prompt([*texts, "The end."], numbering=numbering)
    start = list_prompt(texts[:1], numbering=numbering)
    assert whole.startswith(start)
    assert split_list(whole[len(start) :], numbering=numbering)[:3] == [*texts[1:], "The end."]


@settings(max_examples=40, deadline=None)
@given(st.lists(SENTENCES, min_size=1, max_size=5))
def test_round_trip(texts):
    texts = [f"Do {text.rstrip(':')}" for text in texts]
    lines = "\n".join(f"{9 + k}. {text}" for k, text in enumerate(texts))
    assert split_list(lines.removeprefix("9."), numbering="plain") == [t.strip() for t in texts]


def test_the_released_splitter_and_the_paper_do_not_fit():
    """SIN-008: the list of the paper stays one giant instruction."""
    plain = " Name a fish.\n10. Name a bird.\n11. Name a tree."
    paper = " Name a fish.\nTask 10: Name a bird.\nTask 11: Name a tree."
    assert len(re.split(RELEASED_SPLIT, plain)) == 3
    assert len(re.split(RELEASED_SPLIT, paper)) == 1
    assert split_list(plain) == split_list(paper, numbering="task")
    assert len(split_list(paper)) == 1
    assert split_list(" \n ") == []


def test_bad_lists():
    with pytest.raises(ValueError, match="at least one instruction"):
        list_prompt([])
    with pytest.raises(ValueError, match="numbering must be one of"):
        list_prompt(["Name a fish."], numbering="roman")
    with pytest.raises(ValueError, match="numbering must be one of"):
        split_list("x", numbering="roman")


def test_the_kind_is_asked_last():
    prompt = kind_prompt("Name a bird.", [ODD, FISH])
    assert prompt.split("\n\n")[1:] == [
        "Task: Is the number even or odd?\nIs it classification? Yes",
        "Task: Name a fish.\nIs it classification? No",
        "Task: Name a bird.\nIs it classification?",
    ]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (" Yes", True),
        (" yes, it is", True),
        ("NO.", False),
        ("是的", True),
        ("不是", False),
        ("否", False),
        ("", None),
        ("Maybe yes", None),
        ("Nobody knows", None),
        ("yesterday", None),
    ],
)
def test_kinds(text, kind):
    assert read_kind(text) is kind


def test_input_first():
    prompt = input_first_prompt("Name a bird.", [ADD, FISH])
    assert prompt.split("\n\n")[1:] == [
        "Task: Add the numbers.\nExample 1\nInput: 2, 3\nOutput: 5",
        "Task: Name a fish.\nOutput: trout",
        "Task: Name a bird.\n",
    ]
    for task in (ADD, FISH):  # what the prompt shows is read as what it is
        (block,) = (b for b in prompt.split("\n\n") if task.instruction in b)
        assert read_input_first(block.partition("\n")[2]) == [Instance(task.input, task.output)]


def test_output_first():
    prompt = output_first_prompt("Is it a bird or a fish?", [ODD])
    assert prompt.split("\n\n")[1:] == [
        "Task: Is the number even or odd?\nClass label: odd\n7",
        "Task: Is it a bird or a fish?\n",
    ]
    assert read_output_first(prompt.split("\n\n")[1]) == [Instance("7", "odd")]


def test_every_seed_can_be_shown_and_read_back():
    seeds = seed_tasks()
    for task in seeds:
        write, read = (
            (output_first_prompt, read_output_first)
            if task.is_classification
            else (input_first_prompt, read_input_first)
        )
        text = write("X", [task]).partition(f"Task: {task.instruction}\n")[2]
        text = text.removesuffix("\n\nTask: X\n")
        assert read(text) == [Instance(task.input, task.output)]


def test_several_instances():
    text = "Example 1\nInput: 2, 3\nOutput: 5\n\nExample 2.\n4, 4\nOutput 2: 8\nExample\nOutput: 0"
    found = [Instance("2, 3", "5"), Instance("4, 4", "8"), Instance("", "0")]
    assert read_input_first(text) == found
    assert read_input_first(text, finished=False) == found[:-1]
    second = "Output: 5\nInput: 4, 4\nOutput: 8"  # no heading: only the first can be trusted
    assert read_input_first(second) == [Instance("", "5")]
    labels = "Class label: odd\nInput: 7\nClass label: even\n8\nis it\nClass label: odd"
    found = [Instance("7", "odd"), Instance("8\nis it", "even"), Instance("", "odd")]
    assert read_output_first(labels) == found
    assert read_output_first(labels, finished=False) == found[:-1]


def test_markers_inside_a_sentence_are_text():
    text = "Output: As Example 2 says, write Output: 5.\nExamples are good."
    assert read_input_first(text) == [
        Instance("", "As Example 2 says, write Output: 5.\nExamples are good.")
    ]
    assert read_output_first("Class label: a\nThe Class label: b") == [
        Instance("The Class label: b", "a")
    ]


def test_what_is_no_instance():
    assert read_input_first("I do not know.") == read_output_first("Input: 7\nodd") == []
    assert read_input_first("") == read_output_first("") == []
    lost = read_input_first("Example 1\nParis\nExample 2\nInput: a\nOutput: b")
    assert clean_instances(lost) == ([Instance("a", "b")], {"empty": 1})


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        (("a", "b"), None),
        (("", "b"), None),
        (("a", "a"), "echo"),
        (("a", " "), "empty"),
        (("", ""), "empty"),
        (("The list: ", "b"), "colon"),
        (("a", "Answer:"), "colon"),
        (("a", "答："), "colon"),
        (("a: b", "c: d"), None),
    ],
)
def test_invalid(pair, reason):
    assert why_invalid(Instance(*pair)) == reason


def test_a_conflict_drops_the_whole_task():
    """SIN-010, and the order: an empty output contradicts nothing."""
    a, b, other = Instance("7", "odd"), Instance("7", "even"), Instance("8", "even")
    assert clean_instances([a, other, b]) == ([], {"conflict": 3})
    assert clean_instances([a, Instance("7", ""), other]) == ([a, other], {"empty": 1})
    free = [Instance("", "trout"), Instance("", "perch")]
    assert clean_instances(free) == (free, {})
    assert has_conflict([a, b])
    assert not has_conflict([a, a, other])


def test_doubles_keep_their_place():
    items = [Instance(c, c.upper()) for c in "dabcdaa"]
    kept, dropped = clean_instances(items)
    assert [i.input for i in kept] == ["d", "a", "b", "c"]
    assert dropped == {"double": 3}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["", "x", "y"]), st.sampled_from(["", "x", "z:"]))))
def test_nothing_is_lost_without_a_reason(pairs):
    kept, dropped = clean_instances([Instance(*pair) for pair in pairs])
    assert len(kept) + dropped.total() == len(pairs)
    assert not has_conflict(kept)
    assert not any(map(why_invalid, kept))
