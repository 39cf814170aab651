"""Files of preferences: every line is accounted for, a bad one is told with number and reason."""

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minillm.align.pair_files import read_pair_folder, read_pairs, write_pairs
from minillm.align.preferences import REASONS, Pair
from minillm.finetune.chat import ChatTemplate, tokenize_chat
from minillm.tokenizer import Tokenizer, course_tokenizer

TOKENIZER = course_tokenizer()
ASK = {"role": "user", "content": "Who?"}
SAID = {"role": "assistant", "content": "Mia."}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


def line(prompt=(ASK,), chosen="Mia.", rejected="No idea.", **more):
    row = {"prompt": list(prompt), "chosen": chosen, "rejected": rejected, **more}
    return json.dumps({k: v for k, v in row.items() if v != "left out"}, ensure_ascii=False)


def read(folder, *lines, **settings):
    path = folder / "pairs.jsonl"
    raw = [text if isinstance(text, bytes) else text.encode("utf-8") for text in lines]
    path.write_bytes(b"".join(text + b"\n" for text in raw))
    return read_pairs(path, TOKENIZER, **settings)


GOOD = line(rating=2, source="by hand")
BAD = [
    (b"{\xff}", "utf8", "byte 2"),
    ("{", "json", "Expecting"),
    ("[" * 100_000, "json", ""),
    ("[]", "row", '"rejected"'),
    (line(prompt="Who?"), "prompt", "got 'W"),
    (json.dumps({"chosen": "a", "rejected": "b"}), "prompt", "got None"),
    (line(prompt=[]), "prompt", "at least one"),
    (line(prompt=[ASK, SAID]), "prompt", "the assistant speaks last"),
    (line(prompt=[{"role": "system", "content": "Be kind."}]), "prompt", "the system speaks last"),
    (line(prompt=[{"role": "human", "content": "Hi"}]), "prompt", "unknown role 'human'"),
    (line(chosen="left out"), "missing", "there is no chosen"),
    (line(rejected=None), "missing", "there is no rejected"),
    (line(chosen=None, rejected=None), "missing", "no chosen and no rejected"),
    (line(chosen=3), "content", "chosen must be text, got 3"),
    (line(rejected="\ud800").encode("utf-8", "surrogatepass"), "utf8", "byte"),
    (line(rejected="X").replace("X", "\\ud800"), "content", "rejected holds half a character"),
    (line(chosen=" ", rejected="\n"), "both_empty", "drop the row"),
    (line(chosen=""), "empty", "chosen is blank"),
    (line(rejected=" "), "empty", "rejected is blank"),
    (line(rejected="Mia."), "equal", "both are 'Mia.'"),
    (line(rating=4), "rating", "got 4"),
    (line(rating=True), "rating", "got True"),
    (line(rating="better"), "rating", "got 'better'"),
    (line(rating=1.5), "rating", "got 1.5"),
    (line(rating=[2]), "rating", "got [2]"),
    (line(margin=-1), "margin", "got -1"),
    (line(margin=10**400), "margin", "got 1000"),
    (line(margin=math.nan), "margin", "got nan"),
    (line(margin="1"), "margin", "got '1'"),
    (line(chosen="a<|im_end|>"), "special", "chosen: <|im_end|>"),
    (line(rejected="<|pad|>b"), "special", "rejected: <|pad|>"),
    (line(prompt=[{"role": "user", "content": "<|pad|>"}]), "special", "prompt message 0"),
    (line(rejected="so " * 99), "long", "with rejected, at most 60"),
]


def test_every_reason_is_told_with_its_line(tmp_path):
    found = read(tmp_path, GOOD, *(raw for raw, _, _ in BAD), GOOD, longest=60)
    assert [row.line for row in found.rows] == [1, len(BAD) + 2]
    assert [row.line for row in found.bad] == list(range(2, len(BAD) + 2))
    for row, (_, reason, words) in zip(found.bad, BAD, strict=True):
        assert (row.reason, words in row.detail) == (reason, True), row
    assert found.counts.keys() == REASONS.keys()  # none is missing from this test
    assert sum(found.counts.values()) == len(BAD)
    told = str(found).splitlines()
    assert told[0] == f"pairs.jsonl: 2 of {len(BAD) + 2} lines are preferences, {len(BAD)} are not"
    assert told[1] == "  line 2: the line is not UTF-8 (byte 2 of the line)"


def test_good_rows_keep_all_they_say(tmp_path):
    rows = [line(), line(rating=0), line(rating=3, margin=0.5), line(margin=2), line(prompt=[
        {"role": "system", "content": "Be kind."}, ASK, SAID, ASK])]  # fmt: skip
    found = read(tmp_path, *rows).strict()
    assert [(pair.rating, pair.margin) for pair in found.pairs] == [
        (None, None), (0, None), (3, 0.5), (None, 2), (None, None)]  # fmt: skip
    assert found.pairs[0] == Pair((ASK,), "Mia.", "No idea.")
    assert len(found.pairs[-1].prompt) == 4
    assert read(tmp_path, GOOD).pairs[0].rating == 2


def test_lines_are_those_of_a_file_of_json(tmp_path):
    """More of this in tests/finetune/test_json_lines.py."""
    path = tmp_path / "pairs.jsonl"
    odd = line(chosen="a\u2028b\x85c")  # no ends of lines in JSON
    path.write_bytes(b"\xef\xbb\xbf" + f"{GOOD}\r\n\n  \n{{\n{odd}".encode())
    found = read_pairs(path, TOKENIZER)
    assert (found.n_lines, found.n_blank) == (5, 2)
    assert [row.line for row in found.rows] == [1, 5]
    assert [row.line for row in found.bad] == [4]
    assert found.pairs[1].chosen == "a\u2028b\x85c"
    assert "2 of 5 lines are preferences, 1 are not, 2 are blank" in str(found)
    with pytest.raises(ValueError, match=r"has 1 bad rows; mend them(.|\n)*line 4: the line"):
        found.strict()
    with pytest.raises(ValueError, match=r"pairs\.jsonl holds no preference"):
        read(tmp_path).strict()


@pytest.mark.parametrize("side", ["chosen", "rejected"])
def test_the_limit_is_the_longest_that_is_allowed(tmp_path, side):
    text = line(**{side: "so " * 9})
    talk = [ASK, {"role": "assistant", "content": "so " * 9}]
    n = len(tokenize_chat(talk, TOKENIZER)[0])
    assert not read(tmp_path, text, longest=n).bad
    (row,) = read(tmp_path, text, longest=n - 1).bad
    assert row.detail == f"{n} tokens with {side}, at most {n - 1} are allowed"


def test_text_of_special_tokens_can_be_allowed(tmp_path):
    text = line(chosen="It is <|im_end|>.")
    assert read(tmp_path, text).bad[0].reason == "special"
    assert not read(tmp_path, text, allow_special_text=True).bad


def test_written_pairs_are_read_again(tmp_path):
    pairs = [
        Pair((ASK,), "Mia.", "谁知道。", 3),
        Pair((ASK, SAID, ASK), "a\nb", "b", margin=0.25),
        Pair((ASK,), "a", "b"),
    ]
    path = tmp_path / "pairs.jsonl"
    assert write_pairs(path, pairs) == 3
    assert read_pairs(path, TOKENIZER).strict().pairs == pairs
    assert "谁" in path.read_text(encoding="utf-8")  # readable


@given(
    st.sampled_from(["prompt", "chosen", "rejected", "rating", "margin", "role", "content"]), VALUES
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_value_brings_the_reader_down(tmp_path_factory, key, value):
    row = json.loads(GOOD)
    (row if key in row or key == "margin" else row["prompt"][0])[key] = value
    found = read(tmp_path_factory.mktemp("any"), json.dumps(row), json.dumps(value))
    assert len(found.rows) + len(found.bad) == found.n_lines == 2


def test_bad_settings_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_pairs(tmp_path / "none.jsonl", TOKENIZER)
    with pytest.raises(ValueError, match="longest must be at least 1, got 0"):
        read(tmp_path, GOOD, longest=0)
    with pytest.raises(ValueError, match="im_middle"):
        read(tmp_path, GOOD, template=ChatTemplate(end="<|im_middle|>"))
    bare = Tokenizer({i: bytes([i]) for i in range(256)}, [])
    with pytest.raises(ValueError, match="im_start"):
        read_pairs(tmp_path / "pairs.jsonl", bare)


def test_a_folder_is_read_in_the_order_of_names(tmp_path):
    (tmp_path / "b.jsonl").write_text(GOOD + "\n{\n", encoding="utf-8")
    (tmp_path / "a.jsonl").write_text(line(chosen="Bo.") + "\n", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("no preference", encoding="utf-8")
    found = read_pair_folder(tmp_path, TOKENIZER, longest=60)
    assert [file.path.name for file in found] == ["a.jsonl", "b.jsonl"]
    assert [len(file.bad) for file in found] == [0, 1]
    with pytest.raises(FileNotFoundError, match=r"no \*\.jsonl in .*empty"):
        read_pair_folder(tmp_path / "empty", TOKENIZER)
