"""Exact duplicates at every level, and line by line through files."""

import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.data.exact import (
    LEVELS,
    content_hash,
    cut_out,
    dedup_lines,
    dedup_texts,
    equal_files,
    pieces,
)


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    paths = []
    for name, content in files.items():
        path = folder / f"{name}.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        paths.append(path)
    return paths


def test_pieces_by_hand():
    text = 'He left. "Why?" she said.\nPi is 3.14!\n\n他走了。为什么？ End'
    assert pieces(text, "sentence") == [
        "He left. ", '"Why?" ', "she said.\n", "Pi is 3.14!\n\n", "他走了。", "为什么？ ", "End",
    ]  # fmt: skip
    assert pieces(text, "line") == [
        'He left. "Why?" she said.\n', "Pi is 3.14!\n", "\n", "他走了。为什么？ End",
    ]  # fmt: skip
    assert pieces(text, "paragraph") == [
        'He left. "Why?" she said.\nPi is 3.14!\n\n', "他走了。为什么？ End",
    ]  # fmt: skip
    assert pieces(text, "document") == [text]
    assert [pieces("", level) for level in LEVELS] == [[]] * 4


@given(st.text('ab.!。"\n \t', max_size=40), st.sampled_from(LEVELS))
@settings(max_examples=300, deadline=None)
def test_pieces_join_to_the_text(text, level):
    found = pieces(text, level)
    assert "".join(found) == text
    assert "" not in found


PLANTED = {  # repeats at one level only
    "sentence": ["It rains. I sleep. Nobody knows why.", "We sing. It rains. She asks."],
    "line": ["menu, home\nsome text here\n", "other text\nmenu, home\n"],
    "paragraph": ["one, a\none, b\n\ntwo, a\n", "three, a\n\none, a\none, b\n"],
    "document": ["the whole of it", "something else", "the whole of it"],
}


@pytest.mark.parametrize("level", ["sentence", "line", "document"])
def test_each_level_removes_its_own(level):
    texts = PLANTED[level]
    done = dedup_texts(texts, level)
    assert len(done.removed) == 1
    i, start, end = done.removed[0]
    assert i == len(texts) - 1
    wanted = {"sentence": "It rains. ", "line": "menu, home\n", "document": texts[-1]}[level]
    assert texts[i][start:end] == wanted
    assert done.texts == [*texts[:-1], texts[-1].replace(wanted, "")]


def test_paragraph_level():
    done = dedup_texts(PLANTED["paragraph"], "paragraph")
    assert done.texts == [PLANTED["paragraph"][0], "three, a\n\n"]


def test_coarser_levels_leave_finer_repeats_alone():
    assert dedup_texts(PLANTED["sentence"], "line").removed == []
    assert dedup_texts(PLANTED["line"], "paragraph").removed == []
    assert dedup_texts(PLANTED["paragraph"], "document").removed == []


def test_keep():
    texts = ["a b\nc\n", "c\nd\na b"]
    assert dedup_texts(texts, "line").texts == ["a b\nc\n", "d\n"]
    assert dedup_texts(texts, "line", "none").texts == ["", "d\n"]
    assert dedup_texts(["x", "y", "x", "x"]).texts == ["x", "y", "", ""]
    assert dedup_texts(["x", "y", "x", "x"], keep="none").texts == ["", "y", "", ""]


def test_corpus_level():
    """What stands in another corpus is removed even where it stands first."""
    done = dedup_texts(["seen before", "new", "new"], known=["x", "seen before"])
    assert done.texts == ["", "new", ""]
    assert dedup_texts(["b\nc"], "line", "none", known=["a\nb\n"]).texts == ["c"]


def test_normalise_and_min_words():
    texts = ["The End!\n", "the  end\n"]
    assert dedup_texts(texts, "line").removed == []
    assert dedup_texts(texts, "line", normalise=True).texts == ["The End!\n", ""]
    assert dedup_texts(["the end\n", "the end\n"], "line", min_words=3).removed == []
    assert len(dedup_texts(["the end\n", "the end\n"], "line", min_words=2).removed) == 1
    assert dedup_texts(["a\n\n\n", "\n\n"], "line").removed == []
    assert len(dedup_texts(["a\n\n\n", "\n\n"], "line", min_words=0).removed) == 3


def test_content_hash():
    assert content_hash("a").hex() == "27c35e6e9373877f29e562464e46497e"  # hashlib, b2sum -l 128
    assert content_hash("Café!", normalise=True) == content_hash("cafe")
    assert content_hash("Café!") != content_hash("cafe")


def test_cut_out():
    assert cut_out(["abcdef", "x"], [(0, 1, 3), (0, 2, 4), (1, 0, 1), (0, 5, 6)]) == ["ae", ""]
    assert cut_out(["ab"], []) == ["ab"]
    assert cut_out(["abcd"], [(0, 0, 4), (0, 1, 2)]) == [""]


@given(st.lists(st.text("abc\n", max_size=12), max_size=5), st.sampled_from(["first", "none"]))
@settings(max_examples=60, deadline=None)
def test_lines_equal_a_slow_reference(texts, keep):
    lines = [line for text in texts for line in pieces(text, "line")]
    bare = [line.strip() for line in lines]
    left = []
    for i, line in enumerate(lines):
        again = bare[i] in bare[:i] if keep == "first" else bare.count(bare[i]) > 1
        if not (again and bare[i]):
            left.append(line)
    assert "".join(dedup_texts(texts, "line", keep).texts) == "".join(left)


def test_dedup_lines_keeps_the_first(tmp_path):
    files = write(tmp_path / "in", one="a\nb\na\n", two="b\r\nc", three="c\n")
    report = dedup_lines(files, tmp_path / "out")
    read = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    assert read == {"one.txt": b"a\nb\n", "two.txt": b"c", "three.txt": b""}
    assert (report.n_files, report.n_units, report.n_removed) == (3, 6, 3)
    assert "3 of 6 lines removed (50.0%)" in str(report)


def test_dedup_lines_keeps_none(tmp_path):
    files = write(tmp_path / "in", one="a\nb\na\nd\n", two="b\r\nc")
    report = dedup_lines(files, tmp_path / "out", keep="none")
    assert (tmp_path / "out" / "one.txt").read_text() == "d\n"
    assert (tmp_path / "out" / "two.txt").read_text() == "c"
    assert report.n_removed == 4
    assert [p.read_bytes() for p in files] == [b"a\nb\na\nd\n", b"b\r\nc"]


def test_dedup_lines_blank_and_normalise(tmp_path):
    files = write(tmp_path / "in", one="A!\n\n\na\n")
    dedup_lines(files, tmp_path / "blank")
    assert (tmp_path / "blank" / "one.txt").read_text() == "A!\n\na\n"
    dedup_lines(files, tmp_path / "kept", keep_blank=True)
    assert (tmp_path / "kept" / "one.txt").read_text() == "A!\n\n\na\n"
    dedup_lines(files, tmp_path / "norm", normalise=True)
    assert (tmp_path / "norm" / "one.txt").read_text() == "A!\n\n"


def test_bad_files_are_skipped_and_named(tmp_path):
    folder = tmp_path / "in"
    write(folder, a="x\n", b=b"x\n\xff\n", c=b"x\x00\n", d="x\ny\n")
    report = dedup_lines(folder, tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.txt", "d.txt"]
    assert (tmp_path / "out" / "d.txt").read_text() == "y\n"
    said = "\n".join(report.skipped.values())
    assert "b.txt is not UTF-8: byte 0xff at position 2" in said
    assert "c.txt holds a NUL byte at position 1" in said
    assert "2 files skipped" in str(report)
    assert str(report).count("skipped:") == 2
    assert (report.n_files, report.n_units) == (2, 3)


def test_errors_of_files(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match=f"folder {empty} is empty"):
        dedup_lines(empty, tmp_path / "out")
    with pytest.raises(ValueError, match="list of files is empty"):
        dedup_lines([], tmp_path / "out")
    with pytest.raises(ValueError, match=r"no file .*nowhere"):
        dedup_lines([tmp_path / "nowhere.txt"], tmp_path / "out")
    (bad,) = write(tmp_path / "bad", b=b"\xff")
    with pytest.raises(ValueError, match=r"none of 1 files is text: .*b\.txt is not UTF-8"):
        dedup_lines([bad], tmp_path / "out")
    one, two = write(tmp_path / "x", a="1")[0], write(tmp_path / "y", a="2")[0]
    with pytest.raises(ValueError, match="have the same name"):
        dedup_lines([one, two], tmp_path / "out")
    with pytest.raises(ValueError, match=r"holds .* itself"):
        dedup_lines([one], tmp_path / "x")
    assert one.read_text() == "1"
    with pytest.raises(ValueError, match="is a file; name a folder"):
        dedup_lines([one], two)
    with pytest.raises(ValueError, match="keep must be 'first' or 'none', got 'last'"):
        dedup_lines([one], tmp_path / "out", "last")


def test_errors_of_texts():
    with pytest.raises(ValueError, match="got 'word'"):
        pieces("a", "word")
    with pytest.raises(ValueError, match="got 'word'"):
        dedup_texts(["a"], "word")
    with pytest.raises(ValueError, match="got 'all'"):
        dedup_texts(["a"], keep="all")
    with pytest.raises(ValueError, match="min_words"):
        dedup_texts(["a"], min_words=-1)


def test_a_file_of_one_long_line(tmp_path):
    line = "long " * 400_000  # 2 MB
    files = write(tmp_path / "in", a=line, b="short\n" + line)
    assert dedup_lines(files, tmp_path / "out").n_removed == 1
    assert (tmp_path / "out" / "b.txt").read_text() == "short\n"


@pytest.mark.slow
def test_a_line_of_200_megabytes(tmp_path):
    line = b"long line of text, " * (200_000_000 // 19)
    files = write(tmp_path / "in", a=line, b="short\n")
    start = time.process_time()
    assert dedup_lines(files, tmp_path / "out").n_removed == 0
    print(f"\n200 MB in one line: {time.process_time() - start:.1f} s of CPU")
    assert (tmp_path / "out" / "a.txt").stat().st_size == len(line)


def test_equal_files(tmp_path):
    a, b, c, d = write(tmp_path / "in", a="same", b="diff", c="same", d=b"\xff\x00")
    assert equal_files(tmp_path / "in") == [[a, c]]
    assert equal_files([c, b, a]) == [[c, a]]
    assert equal_files([a, d]) == []


def test_hidden_files_are_left_out(tmp_path):
    write(tmp_path / "in", a="x")
    (tmp_path / "in" / ".hidden").write_text("x")
    assert dedup_lines(tmp_path / "in", tmp_path / "out").n_files == 1
    assert os.listdir(tmp_path / "out") == ["a.txt"]
