"""Files of one JSON object a line: every line is a row, bad or blank, and none is lost."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.finetune.chat import CHATML, ChatTemplate
from minillm.finetune.json_lines import BadLine, LineFile, check_reading, read_lines, refuse_names
from minillm.finetune.roles import ChatError
from minillm.tokenizer import Tokenizer, course_tokenizer

TOKENIZER = course_tokenizer()
MEANINGS = {"utf8": "no UTF-8", "json": "no JSON", "odd": "the number is odd"}


class BadNumber(BadLine):
    meanings = MEANINGS


class Numbers(LineFile[tuple[int, int], BadNumber]):
    meanings = MEANINGS
    noun = "number"


def even(number, value):
    if value % 2:
        raise ChatError("odd", f"got {value}")
    return number, value


def read(folder, raw):
    path = folder / "numbers.jsonl"
    path.write_bytes(raw)
    return Numbers(path, *read_lines(path, even, BadNumber))


def test_each_line_is_a_row_or_bad_or_blank(tmp_path):
    found = read(tmp_path, b"2\n3\n\n \t\n{\n4\n\xff\n5\n")
    assert (found.n_lines, found.n_blank) == (8, 2)
    assert found.rows == ((1, 2), (6, 4))
    assert [(row.line, row.reason) for row in found.bad] == [
        (2, "odd"), (5, "json"), (7, "utf8"), (8, "odd")]  # fmt: skip
    assert list(found.counts.items()) == [("utf8", 1), ("json", 1), ("odd", 2)]
    assert str(found).splitlines()[:2] == [
        "numbers.jsonl: 2 of 8 lines are numbers, 4 are not, 2 are blank",
        "  line 2: the number is odd (got 3)",
    ]
    assert str(read(tmp_path, b"2\n")) == "numbers.jsonl: 1 of 1 lines are numbers, 0 are not"


def test_what_is_no_json_is_told(tmp_path):
    found = read(tmp_path, b"{\xff}\n{\n" + b"[" * 100_000)
    assert [row.reason for row in found.bad] == ["utf8", "json", "json"]
    assert str(found.bad[0]) == "line 1: no UTF-8 (byte 2 of the line)"
    assert found.bad[1].detail.startswith("Expecting property name")


def test_ends_of_lines_and_the_mark_at_the_beginning(tmp_path):
    found = read(tmp_path, b"\xef\xbb\xbf2\r\n4").strict()
    assert (found.rows, found.n_lines, found.n_blank) == (((1, 2), (2, 4)), 2, 0)
    assert read(tmp_path, b"2\n\xef\xbb\xbf4\n").bad[0].line == 2  # at the beginning alone
    path = tmp_path / "texts.jsonl"  # a carriage return within a line is a blank of JSON
    path.write_bytes('["a\u2028b",\r"c\x85d"]\n'.encode())  # others are ordinary characters
    assert read_lines(path, lambda n, value: value, BadLine)[2] == (["a\u2028b", "c\x85d"],)


def test_an_empty_file_has_no_line(tmp_path):
    assert read(tmp_path, b"") == Numbers(tmp_path / "numbers.jsonl", 0, 0, (), ())
    assert read(tmp_path, b"\n").n_blank == read(tmp_path, b"\n").n_lines == 1


def test_strict_tells_the_first_bad_rows(tmp_path):
    found = read(tmp_path, b"2\n3\n5\n7\n")
    with pytest.raises(ValueError, match=r"has 3 bad rows; mend them(.|\n)*line 2(.|\n)*line 4"):
        found.strict()
    with pytest.raises(ValueError, match=r"line 2: the number is odd.*\n  and 2 more$"):
        found.strict(longest=1)
    with pytest.raises(ValueError, match=r"numbers\.jsonl holds no number; each line must be one"):
        read(tmp_path, b"").strict()
    good = read(tmp_path, b"2\n")
    assert good.strict() is good


def test_other_errors_of_a_row_are_not_hidden(tmp_path):
    with pytest.raises(TypeError):
        read(tmp_path, b'2\n"three"\n')
    with pytest.raises(FileNotFoundError):
        read_lines(tmp_path / "none.jsonl", even, BadNumber)


@given(st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([b"2", b"3", b"", b" "]))))
@settings(max_examples=60, deadline=None)
def test_every_line_is_accounted_for(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("lines") / "any.jsonl"
    raw = b"\n".join(lines)
    path.write_bytes(raw)
    n_lines, n_blank, rows, bad = read_lines(path, lambda n, value: n, BadNumber)
    assert n_lines == raw.count(b"\n") + (not raw.endswith(b"\n") and bool(raw))
    numbers = [*rows, *(row.line for row in bad)]
    assert len(set(numbers)) == len(numbers) == n_lines - n_blank
    assert set(numbers) <= set(range(1, n_lines + 1))


def test_names_in_a_text_are_told_with_the_place():
    refuse_names({"a": "<end", "b": "end>"}, ["<end>"])
    with pytest.raises(ChatError, match=r"^b: <2>$") as told:
        refuse_names({"a": "x", "b": "<1 <2>", "c": "<1>"}, ["<1>", "<2>"])
    assert told.value.kind == "special"


def test_settings_that_spoil_every_row_are_refused():
    check_reading(TOKENIZER, CHATML, None)
    check_reading(TOKENIZER, CHATML, 1)
    with pytest.raises(ValueError, match="longest must be at least 1, got 0"):
        check_reading(TOKENIZER, CHATML, 0)
    with pytest.raises(ValueError, match="im_middle"):
        check_reading(TOKENIZER, ChatTemplate(end="<|im_middle|>"), None)
    bare = Tokenizer({i: bytes([i]) for i in range(256)}, [])
    with pytest.raises(ValueError, match=r"no special token '<\|im_start\|>'"):
        check_reading(bare, CHATML, None)
