"""Files of talks: every line is accounted for, and a bad one is told with its number and reason."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minillm.data.storyworld import make_story
from minillm.data.storyworld.dialogue import dialogue
from minillm.finetune.chat import ChatTemplate, tokenize_chat
from minillm.finetune.rows import REASONS, read_rows, write_rows
from minillm.tokenizer import Tokenizer, course_tokenizer

TOKENIZER = course_tokenizer()
ASK = {"role": "user", "content": "Who?"}
ANSWER = {"role": "assistant", "content": "Mia."}
GOOD = json.dumps({"messages": [ASK, ANSWER], "source": "by hand"})
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


def line(*messages):
    return json.dumps({"messages": list(messages)}, ensure_ascii=False)


def read(folder, *lines, **settings):
    path = folder / "talks.jsonl"
    raw = [text if isinstance(text, bytes) else text.encode("utf-8") for text in lines]
    path.write_bytes(b"".join(text + b"\n" for text in raw))
    return read_rows(path, TOKENIZER, **settings)


BAD = {
    b"{\xff}": ("utf8", "byte 2"),
    "{": ("json", "Expecting"),
    "[" * 100_000: ("json", ""),
    "[]": ("messages", '{"messages": [...]}'),
    '{"messages": "Hi"}': ("messages", '{"messages": [...]}'),
    '{"messages": []}': ("messages", "at least one"),
    '{"messages": [3]}': ("messages", "message 0 must be an object"),
    line({"role": "user", "text": "Hi"}): ("keys", "['role', 'text']"),
    line({"role": "human", "content": "Hi"}, ANSWER): ("role", "unknown role 'human'"),
    line({"role": "user", "content": 3}, ANSWER): ("content", "must be text, got 3"),
    '{"messages": [{"role": "user", "content": "\\ud800"}]}': ("content", "half a character"),
    line(ASK, {"role": "assistant", "content": " "}): ("empty", "message 1"),
    line(ANSWER, ASK): ("order", "message 0"),
    line(ASK): ("unanswered", "1 messages"),
    line({"role": "user", "content": "a<|im_end|>b"}, ANSWER): ("special", "by user: <|im_end|>"),
    line(ASK, {"role": "assistant", "content": "<|pad|>"}): ("special", "message 1, by assistant"),
    line(ASK, {"role": "assistant", "content": "so " * 99}): ("long", "tokens, at most 60"),
}


def test_every_reason_is_told_with_its_line(tmp_path):
    found = read(tmp_path, GOOD, *BAD, GOOD, longest=60)
    assert [row.line for row in found.rows] == [1, len(BAD) + 2]
    assert [row.line for row in found.bad] == list(range(2, len(BAD) + 2))
    assert [row.reason for row in found.bad] == [reason for reason, _ in BAD.values()]
    for row, (_, words) in zip(found.bad, BAD.values(), strict=True):
        assert words in row.detail
    assert found.counts.keys() == REASONS.keys()  # none is missing from this test
    assert sum(found.counts.values()) == len(BAD)
    told = str(found).splitlines()
    assert told[0] == f"talks.jsonl: 2 of {len(BAD) + 2} lines are talks, {len(BAD)} are not"
    assert told[1] == "  line 2: the line is not UTF-8 (byte 2 of the line)"


def test_rows_keep_their_messages(tmp_path):
    (row,) = read(tmp_path, GOOD).strict().rows
    assert list(row.messages) == [ASK, ANSWER]


def test_lines_are_those_of_a_file_of_json(tmp_path):
    """More of this in test_json_lines.py."""
    path = tmp_path / "talks.jsonl"
    odd = line(ASK, {"role": "assistant", "content": "a\u2028b\x85c"})  # no ends of lines in JSON
    path.write_bytes(b"\xef\xbb\xbf" + f"{GOOD}\r\n\n  \n{{\n{odd}".encode())
    found = read_rows(path, TOKENIZER)
    assert (found.n_lines, found.n_blank) == (5, 2)
    assert [row.line for row in found.rows] == [1, 5]
    assert [row.line for row in found.bad] == [4]
    assert found.rows[1].messages[1]["content"] == "a\u2028b\x85c"
    assert "2 of 5 lines are talks, 1 are not, 2 are blank" in str(found)
    with pytest.raises(ValueError, match=r"has 1 bad rows; mend them(.|\n)*line 4: the line"):
        found.strict()
    with pytest.raises(ValueError, match=r"talks\.jsonl holds no talk"):
        read(tmp_path).strict()


def test_the_limit_is_the_longest_that_is_allowed(tmp_path):
    n = len(tokenize_chat([ASK, ANSWER], TOKENIZER)[0])
    assert not read(tmp_path, GOOD, longest=n).bad
    (row,) = read(tmp_path, GOOD, longest=n - 1).bad
    assert row.detail == f"{n} tokens, at most {n - 1} are allowed"


def test_text_of_special_tokens_can_be_allowed(tmp_path):
    text = line({"role": "user", "content": "What is <|im_end|>?"}, ANSWER)
    assert read(tmp_path, text).bad[0].reason == "special"
    assert not read(tmp_path, text, allow_special_text=True).bad
    broken = line({"role": "user", "content": "What is <|im_end?"}, ANSWER)
    assert not read(tmp_path, broken).bad


def test_the_roles_are_those_of_the_template(tmp_path):
    seen = line(ASK, ANSWER, {"role": "observation", "content": "1"}, ANSWER)
    assert read(tmp_path, seen).bad[0].reason == "role"
    roles = ("user", "assistant", "observation")
    assert not read(tmp_path, seen, template=ChatTemplate(roles=roles)).bad


def test_written_rows_are_read_again(tmp_path):
    talks = [dialogue(make_story(seed), ("en", "zh")[seed % 2]) for seed in range(6)]
    path = tmp_path / "talks.jsonl"
    assert write_rows(path, talks) == 6
    found = read_rows(path, TOKENIZER).strict()
    assert [list(row.messages) for row in found.rows] == talks
    with pytest.raises(ValueError, match="follows nobody"):
        write_rows(path, [[ASK, ANSWER], [ANSWER]])
    assert read_rows(path, TOKENIZER).n_lines == 6  # nothing was written


@given(st.sampled_from(["messages", "role", "content", "said"]), VALUES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_value_brings_the_reader_down(tmp_path_factory, key, value):
    row = json.loads(GOOD)
    (row if key == "messages" else row["messages"][0])[key] = value
    found = read(tmp_path_factory.mktemp("any"), json.dumps(row), json.dumps(value))
    assert len(found.rows) + len(found.bad) == found.n_lines == 2


def test_bad_settings_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_rows(tmp_path / "none.jsonl", TOKENIZER)
    with pytest.raises(ValueError, match="longest must be at least 1, got 0"):
        read(tmp_path, GOOD, longest=0)
    bare = Tokenizer({i: bytes([i]) for i in range(256)}, [])
    with pytest.raises(ValueError, match=r"no special token '<\|im_start\|>'"):
        read_rows(tmp_path / "talks.jsonl", bare)
