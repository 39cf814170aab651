"""Everything bad at once: each is named and counted, and the good documents come out whole."""

import gzip
import json
import random
import tracemalloc

import pytest

from minillm.data.storyworld import make_corpus
from minillm.recipes.cleaning import CleanConfig, clean_folder
from minillm.recipes.cleaning.reader import read_documents
from minillm.recipes.cleaning.report import summary

STORIES = make_corpus(4, 6, "en")
ALL = CleanConfig(rules=(), near=0.0, redact=False)
DEEP = 100_000
LINES = ("line.txt", "line.jsonl", "line.html", "line.txt.gz")


def nested(tag):
    return (
        f"<html><body><p>{STORIES[1]}</p>" + f"<{tag}>" * DEEP + "the bottom" + f"</{tag}>" * DEEP
    )


def bad_files():
    """Name -> (bytes, kind of the problem, a part of the message)."""
    lines = "".join(json.dumps({"text": text}) + "\n" for text in STORIES[2:4])
    noise = json.dumps({"text": random.Random(0).randbytes(90_000).hex()}) + "\n"
    cut = gzip.compress((lines + noise).encode(), mtime=0)[:-9_000]
    return {
        "latin.txt": (STORIES[0].encode() + b"\xe9", "not UTF-8", "byte 0xe9 at position"),
        "utf16.md": (STORIES[0].encode("utf-16"), "NUL bytes", "text in UTF-16; convert it"),
        "nul.html": (b"<p>a\x00b</p>", "NUL bytes", "holds NUL bytes"),
        "line.txt": (b"x" * 2_000_001, "too long", "longer than 2,000,000 bytes: split it"),
        "cut.jsonl.gz": (cut, "cut short", "what came before is kept; fetch it again"),
        "empty.txt.gz": (gzip.compress(b"words", mtime=0)[:-12], "cut short", "fetch it again"),
    }


def filled(folder, files):
    folder.mkdir(parents=True)
    for name, raw in files.items():
        (folder / name).write_bytes(raw)
    return folder


def kept(out):
    """id -> text of the corpus that was written."""
    found = {}
    for path in sorted((out / "clean").rglob("*.jsonl.gz")):
        rows = gzip.decompress(path.read_bytes()).decode().splitlines()
        found |= {row["id"]: row["text"] for row in map(json.loads, rows)}
    return found


def test_all_of_it_in_one_folder(tmp_path):
    bad = bad_files()
    files = {name: raw for name, (raw, _, _) in bad.items()}
    files |= {"deep.html": nested("div").encode(), "good.txt": STORIES[0].encode()}
    source = filled(tmp_path / "in", files)
    (source / "empty folder").mkdir()
    config = CleanConfig(rules=(), near=0.0, redact=False, max_document_bytes=2_000_000)
    report = clean_folder(source, tmp_path / "out", config, progress=False)
    said = {p["message"].split()[0].split("#")[0]: p for p in report["problems"]}
    assert said.keys() == bad.keys()
    for name, (_, kind, words) in bad.items():
        assert said[name]["kind"] == kind
        assert words in said[name]["message"]
        assert name in summary(report)
    found = kept(tmp_path / "out")
    assert found.keys() == {"good.txt", "deep.html", "cut.jsonl.gz#1", "cut.jsonl.gz#2"}
    assert found["good.txt"] == STORIES[0]
    assert [found[f"cut.jsonl.gz#{i}"] for i in (1, 2)] == STORIES[2:4]
    assert report["n_kept"] == report["n_documents"] == 4


@pytest.mark.parametrize("tag", ["b", "a href=x"])
def test_tags_a_hundred_thousand_deep_lose_no_text(tmp_path, tag):
    source = filled(tmp_path / "in", {"deep.html": nested(tag).encode()})
    (page,) = read_documents(source / "deep.html", "deep.html", 10_000_000)
    assert " ".join(page.text.split()).startswith(" ".join(STORIES[1].split()))


def with_long_line(folder, name, n_megabytes):
    """A folder with a good file and one whose first line is very long."""
    source = filled(folder, {"good.txt": STORIES[0].encode()})
    with (source / name).open("wb") as raw:
        file = gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1) if ".gz" in name else raw
        file.write(b'{"text": "')
        for _ in range(n_megabytes):
            file.write(b"x" * 1_000_000)
        file.write(b'"}\n' + json.dumps({"text": STORIES[1]}).encode())
        file.flush() if file is raw else file.close()
    return source


@pytest.mark.parametrize("name", LINES)
def test_a_line_over_the_limit_costs_no_more_memory_than_the_limit(tmp_path, name):
    source = with_long_line(tmp_path / "in", name, 12)
    tracemalloc.start()
    problem, *rest = read_documents(source / name, name, 1_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6_000_000
    assert problem.kind == "too long"
    assert problem.message.startswith(name)
    assert [page.text for page in rest] == STORIES[1:2] * (name == "line.jsonl")


@pytest.mark.slow
@pytest.mark.parametrize("name", LINES)
def test_a_line_of_two_hundred_megabytes(tmp_path, name):
    source = with_long_line(tmp_path / "in", name, 200)
    report = clean_folder(source, tmp_path / "out", ALL, progress=False)
    (problem,) = report["problems"]
    assert problem["kind"] == "too long"
    assert problem["message"].startswith(name)
    wanted = STORIES[: 2 if name == "line.jsonl" else 1]
    assert sorted(kept(tmp_path / "out").values()) == sorted(wanted)


def test_an_empty_folder_and_empty_files(tmp_path):
    nothing = filled(tmp_path / "nothing", {})
    with pytest.raises(ValueError, match=r"nothing.* holds no file to read: put files ending in"):
        clean_folder(nothing, tmp_path / "out", ALL, progress=False)
    source = filled(
        tmp_path / "in", {"a.txt": b"", "b.jsonl": b"\n\n", "c.html": b"", "d.md": b"d"}
    )
    report = clean_folder(source, tmp_path / "out", ALL, progress=False)
    assert report["problems"] == []
    assert "d" in kept(tmp_path / "out").values()
