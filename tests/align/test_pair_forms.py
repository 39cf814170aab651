"""Rows of HH-RLHF and of trl: by hand, through a file, and against trl's own functions."""

import json
import warnings

import pytest

from minillm.align.pair_files import read_pairs
from minillm.align.pair_forms import from_hh, from_trl
from minillm.finetune.roles import ChatError
from minillm.tokenizer import course_tokenizer

ASK, SAID = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}
MORE, NO = {"role": "user", "content": "Who?"}, {"role": "assistant", "content": "No."}
BEFORE = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Who?\n\nAssistant: "


def test_hh_by_hand():
    row = {"chosen": BEFORE + "Mia: a girl.\nYes.", "rejected": BEFORE + "No.", "rating": 1}
    assert from_hh(row) == {
        "prompt": [ASK, SAID, MORE],
        "chosen": "Mia: a girl.\nYes.",
        "rejected": "No.",
        "rating": 1,
    }
    twice = {side: f"\n\nHuman: Hi\n\nHuman: Who?\n\nAssistant: {side}" for side in row}
    found = from_hh({side: twice[side] for side in ("chosen", "rejected")})
    assert found["prompt"] == [{"role": "user", "content": "Hi\nWho?"}]
    assert (found["chosen"], found["rejected"]) == ("chosen", "rejected")


@pytest.mark.parametrize(
    ("row", "kind", "words"),
    [
        ({"chosen": BEFORE + "a"}, "missing", "no rejected"),
        ({"chosen": 3, "rejected": BEFORE}, "content", "chosen must be a transcript"),
        ({"chosen": "Hi", "rejected": BEFORE}, "prompt", "chosen must begin"),
        ({"chosen": "x" + BEFORE, "rejected": BEFORE}, "prompt", "chosen must begin"),
        ({"chosen": BEFORE + "a\n\nHuman: b", "rejected": BEFORE}, "prompt", "does not end"),
        (
            {"chosen": BEFORE + "a", "rejected": BEFORE.replace("Who", "Where") + "b"},
            "prompt",
            "differ before",
        ),
    ],
)
def test_bad_rows_of_hh(row, kind, words):
    with pytest.raises(ChatError, match=words) as told:
        from_hh(row)
    assert told.value.kind == kind


WANTED = {"prompt": [ASK], "chosen": "Hello.", "rejected": "No."}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": [ASK], "chosen": [SAID], "rejected": [NO]},
        {"chosen": [ASK, SAID], "rejected": [ASK, NO]},
        {"prompt": "Hi", "chosen": "Hello.", "rejected": "No."},
        {"prompt": "Hi", "chosen": [SAID], "rejected": [NO]},
        WANTED,
    ],
)
def test_the_forms_of_trl(row):
    assert from_trl(row) == WANTED
    assert from_trl({**row, "margin": 2.0}) == {**WANTED, "margin": 2.0}


def test_trl_finds_the_same_prompt():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from trl import extract_prompt
    row = {"chosen": [ASK, SAID, MORE, SAID], "rejected": [ASK, SAID, MORE, NO]}
    theirs, found = extract_prompt(dict(row)), from_trl(row)
    assert theirs["prompt"] == found["prompt"]
    assert theirs["chosen"] == [{"role": "assistant", "content": found["chosen"]}]
    assert theirs["rejected"] == [{"role": "assistant", "content": found["rejected"]}]


@pytest.mark.parametrize(
    ("row", "kind", "words"),
    [
        ({"chosen": [ASK, SAID], "rejected": "No."}, "content", "rejected must be messages"),
        ({"chosen": [], "rejected": [NO]}, "content", "chosen must be messages"),
        ({"chosen": [3], "rejected": [NO]}, "content", "chosen holds something"),
        ({"chosen": [ASK], "rejected": [ASK]}, "prompt", "does not end with the assistant"),
        ({"chosen": [ASK, SAID], "rejected": [MORE, NO]}, "prompt", "differ before"),
    ],
)
def test_bad_rows_of_trl(row, kind, words):
    with pytest.raises(ChatError, match=words) as told:
        from_trl(row)
    assert told.value.kind == kind


def test_a_file_of_another_form_tells_its_bad_lines(tmp_path):
    rows = [
        {"chosen": BEFORE + "Mia.", "rejected": BEFORE + "No."},
        {"chosen": BEFORE + "Mia."},
        {"chosen": BEFORE + "Mia.", "rejected": BEFORE + "Mia."},
        {"chosen": "Mia.", "rejected": "No."},
    ]
    path = tmp_path / "hh.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = read_pairs(path, course_tokenizer(), form=from_hh)
    assert [row.line for row in found.rows] == [1]
    assert [(bad.line, bad.reason) for bad in found.bad] == [
        (2, "missing"),
        (3, "equal"),
        (4, "prompt"),
    ]
    path.write_text(json.dumps({"prompt": "Hi", "chosen": "a"}) + "\n", encoding="utf-8")
    (bad,) = read_pairs(path, course_tokenizer(), form=from_trl).bad
    assert (bad.reason, bad.detail) == ("missing", "there is no rejected")
