"""`clean` on a folder: what stays, what goes and why, bad input, resume, and the report."""

import gzip
import json
import random
import re

import pytest

from minillm.data.storyworld import make_corpus
from minillm.data.warc import make_response, write_warc
from minillm.recipes.cleaning import CleanConfig, clean_folder, folder
from minillm.recipes.cleaning.reader import Document, kind_of, read_documents
from minillm.recipes.cleaning.report import summary
from minillm.recipes.cleaning.steps import examine

STORIES = make_corpus(3, 12, "en")
ALL = CleanConfig(rules=(), near=0.0, redact=False)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def rows(out):
    found = []
    for path in sorted((out / "clean").rglob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            found += [json.loads(line) for line in file]
    return found


def clean(source, out, config=ALL):
    return clean_folder(source, out, config, progress=False)


@pytest.fixture
def source(tmp_path):
    write(tmp_path / "in" / "a.txt", STORIES[0])
    lines = [json.dumps({"text": text}) for text in STORIES[1:8]]
    write(tmp_path / "in" / "sub" / "b.jsonl", "\n".join(lines) + "\n")
    write(tmp_path / "in" / "c.jsonl.gz", gzip.compress("\n".join(lines[:2]).encode()))
    return tmp_path / "in"


def test_every_document_is_kept_once_and_knows_where_it_stood(source, tmp_path):
    report = clean(source, tmp_path / "out")
    found = rows(tmp_path / "out")
    assert [row["id"] for row in found] == [
        "a.txt", "c.jsonl.gz#1", "c.jsonl.gz#2", *(f"sub/b.jsonl#{i}" for i in range(3, 8)),
    ]  # fmt: skip
    assert [row["text"] for row in found] == STORIES[:8]
    assert report["removed"] == {"duplicate, exact": 2}
    assert report["n_documents"] == 10
    assert report["n_kept"] == 8
    assert report["bytes_kept"] == sum(len(text.encode()) for text in STORIES[:8])


def test_near_duplicates_go_only_when_they_are_asked_for(source, tmp_path):
    words = STORIES[0].split()
    write(source / "d.txt", " ".join([*words[:-1], "indeed", words[-1]]))
    assert clean(source, tmp_path / "exact")["n_kept"] == 9
    near = clean(source, tmp_path / "near", CleanConfig(rules=(), near=0.7, redact=False))
    assert near["n_kept"] == 8
    assert near["removed"]["duplicate, near"] == 1
    assert near["samples"]["duplicate, near"][0]["of"] == "a.txt"
    assert "d.txt" not in {row["id"] for row in rows(tmp_path / "near")}


def test_the_rules_are_those_of_the_lessons(tmp_path):
    from minillm.data.filters import gopher_reason

    short = "Too short."
    assert gopher_reason(short) is not None
    outcome = examine(short, CleanConfig(rules=("gopher",)))
    assert (outcome.text, outcome.step) == (None, "gopher")
    assert outcome.reason == gopher_reason(short)
    assert examine(short, CleanConfig(rules=())).text == short
    assert examine(" \n ", CleanConfig()).step == "empty"


def test_personal_data_is_replaced_and_masked_in_samples_too(source, tmp_path):
    write(source / "e.txt", "Write to ann.lee@example.com today. " + STORIES[9])
    write(source / "f.txt", "ann.lee@example.com")
    redacted = clean(source, tmp_path / "out", CleanConfig(rules=("gopher",), near=0.0))
    assert redacted["masked"]["email"] >= 1
    whole = json.dumps(redacted) + (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "ann.lee" not in whole + json.dumps(rows(tmp_path / "out"))
    raw = clean(source, tmp_path / "raw", CleanConfig(rules=("gopher",), near=0.0, redact=False))
    assert "ann.lee" not in json.dumps(raw["samples"])  # ... even when the corpus keeps it
    assert "ann.lee@example.com" in json.dumps(rows(tmp_path / "raw"))


def test_only_the_wanted_language_stays(tmp_path):
    write(tmp_path / "in" / "en.txt", STORIES[0])
    write(tmp_path / "in" / "zh.txt", make_corpus(3, 1, "zh")[0])
    config = CleanConfig(rules=(), near=0.0, languages=("zh",))
    assert clean(tmp_path / "in", tmp_path / "out", config)["removed"] == {"language: en": 1}
    with pytest.raises(ValueError, match="language 'xx' is not known; there are"):
        examine("some text", CleanConfig(languages=("xx",)))


def test_a_document_with_a_test_item_goes(source, tmp_path):
    item = " ".join(STORIES[2].split()[5:25])
    write(tmp_path / "exam.txt", f"What is the capital of Nowhere?\n{item}\n")
    config = CleanConfig(rules=(), near=0.0, redact=False, test_set=str(tmp_path / "exam.txt"))
    report = clean(source, tmp_path / "out", config)
    assert report["removed"]["test set: item 2"] == 2  # it stands in two of the files
    assert STORIES[2] not in {row["text"] for row in rows(tmp_path / "out")}
    with pytest.raises(ValueError, match="no file of test items"):
        examine("a text", CleanConfig(rules=(), test_set=str(tmp_path / "nothing.txt")))


BAD = [
    ("latin.txt", "Zürich".encode("latin-1"), "not UTF-8", "byte 0xfc at position 1"),
    ("nul.md", b"a\x00b", "NUL bytes", "holds NUL bytes"),
    ("long.txt", b"x" * 50_001, "too long", "longer than 50,000 bytes"),
    ("line.jsonl", b'{"text": "' + b"x" * 3_000_000 + b'"}\n', "too long", "line.jsonl#1"),
    ("row.jsonl", b"[1, 2]\n", "not JSON", "row.jsonl#1 has no string"),
    ("row2.jsonl", b'{"text": \n', "not JSON", "row2.jsonl#1 is no JSON object"),
    ("deep.jsonl", b"[" * 40_000 + b"\n", "not JSON", "deep.jsonl#1"),
    ("zero.jsonl", b'{"text": "a\\u0000b"}\n', "NUL bytes", "zero.jsonl#1"),
    (
        "cut.jsonl.gz",
        gzip.compress(random.Random(0).randbytes(20_000), mtime=0)[:-4000],
        "cut short",
        "fetch it again",
    ),
    ("no.jsonl.gz", b"this is not gzip", "cut short", "no.jsonl.gz"),
]


@pytest.mark.parametrize(("name", "raw", "kind", "words"), BAD, ids=[b[0] for b in BAD])
def test_bad_input_is_named_counted_and_the_rest_goes_on(source, tmp_path, name, raw, kind, words):
    write(source / name, raw)
    config = CleanConfig(rules=(), near=0.0, redact=False, max_document_bytes=50_000)
    report = clean(source, tmp_path / "out", config)
    assert report["n_kept"] == 8
    problems = [p for p in report["problems"] if p["kind"] == kind]
    assert problems, report["problems"]
    assert words in problems[0]["message"]
    assert name in problems[0]["message"]
    assert name in summary(report)


def test_what_comes_before_a_cut_is_kept(tmp_path):
    lines = "".join(json.dumps({"text": text}) + "\n" for text in STORIES)
    packed = gzip.compress(lines.encode())
    write(tmp_path / "in" / "cut.jsonl.gz", packed[: len(packed) * 3 // 4])
    report = clean(tmp_path / "in", tmp_path / "out")
    assert 3 <= report["n_kept"] < 12
    assert [p["kind"] for p in report["problems"]] == ["cut short"]


def test_the_pages_of_an_archive(tmp_path):
    body = "".join(f"<p>{text}</p>" for text in STORIES[:2])
    records = [make_response("http://example.com/1", f"<html><body>{body}</body></html>")]
    records += [make_response("http://example.com/2", f"<body><p>{STORIES[2]}</p></body>")]
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "crawl.warc.gz"
    write_warc(records, path)
    assert clean(tmp_path / "in", tmp_path / "out")["n_kept"] == 2
    found = rows(tmp_path / "out")
    assert [row["id"] for row in found] == ["crawl.warc.gz#1", "crawl.warc.gz#2"]
    assert " ".join(found[1]["text"].split()) == " ".join(STORIES[2].split())
    path.write_bytes(path.read_bytes()[:-40])
    report = clean(tmp_path / "in", tmp_path / "out")
    assert report["n_kept"] == 1
    assert [p["kind"] for p in report["problems"]] == ["cut short"]
    assert "crawl.warc.gz" in report["problems"][0]["message"]


def test_nested_tags_a_hundred_thousand_deep(tmp_path):
    page = "<html><body>" + "<div>" * 100_000 + "deep text of the page" + "</div>" * 100_000
    write(tmp_path / "in" / "deep.html", page)
    write(tmp_path / "in" / "a.txt", STORIES[0])
    report = clean(tmp_path / "in", tmp_path / "out")
    assert report["n_documents"] + len(report["problems"]) == 2
    assert STORIES[0] in {row["text"] for row in rows(tmp_path / "out")}


def test_a_long_line_costs_no_memory(tmp_path):
    import tracemalloc

    path = tmp_path / "long.jsonl"
    with path.open("wb") as file:
        file.write(b'{"text": "')
        for _ in range(200):  # MB
            file.write(b"x" * 1_000_000)
        file.write(b'"}\n' + json.dumps({"text": "after it"}).encode() + b"\n")
    tracemalloc.start()
    found = list(read_documents(path, "long.jsonl", 1_000_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [type(x).__name__ for x in found] == ["Problem", "Document"]
    assert found[1] == Document("long.jsonl#2", "after it")
    assert peak < 8_000_000


def test_a_stopped_run_goes_on_and_reads_no_file_twice(source, tmp_path, monkeypatch):
    calls = []

    def read(path, name, max_bytes):
        calls.append(name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return read_documents(path, name, max_bytes)

    monkeypatch.setattr(folder, "read_documents", read)
    with pytest.raises(KeyboardInterrupt):
        clean(source, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.part"))
    clean(source, tmp_path / "out")
    assert calls == ["a.txt", "c.jsonl.gz", "sub/b.jsonl", "sub/b.jsonl"]
    fresh = clean(source, tmp_path / "fresh")
    stopped = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert stopped == fresh
    assert rows(tmp_path / "out") == rows(tmp_path / "fresh")


def test_a_changed_file_is_read_again_and_a_lost_one_forgotten(source, tmp_path):
    clean(source, tmp_path / "out")
    write(source / "a.txt", STORIES[10])
    (source / "sub" / "b.jsonl").unlink()
    clean(source, tmp_path / "out")
    texts = [row["text"] for row in rows(tmp_path / "out")]
    assert texts == [STORIES[10], STORIES[1], STORIES[2]]
    assert len(list((tmp_path / "out" / "parts").glob("*.gz"))) == 2


def test_the_report_shows_what_was_removed(source, tmp_path):
    write(source / "g.txt", "<script>alert(1)</script> short")
    write(source / "h.pdf", "not read")
    config = CleanConfig(rules=("gopher",), near=0.0)
    report = clean(source, tmp_path / "out", config)
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert len(re.findall(r'<img alt="[^"]{20,}"\s+src="data:image/png;base64,', page)) == 2
    assert not re.search(r"(src|href)=\"?(http|file|/)", page)
    assert report["ignored"] == {".pdf": 1}
    assert "1 .pdf" in page
    for why, n in report["removed"].items():
        assert why.replace("'", "&#39;") in page
        assert f"{n:>9,}  {why}" in summary(report)


def test_mistakes_are_named(source, tmp_path):
    with pytest.raises(ValueError, match="no folder"):
        clean(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no file to read: put files ending in"):
        clean(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(ValueError, match=r"written into .* itself"):
        clean(source, source / "out")
    clean(source, tmp_path / "out")
    with pytest.raises(ValueError, match="written with other settings"):
        clean(source, tmp_path / "out", CleanConfig())
    with pytest.raises(ValueError, match="no rules 'gofer'"):
        CleanConfig(rules=("gofer",))
    with pytest.raises(ValueError, match="near must lie between 0 and 1"):
        CleanConfig(near=1.5)
    with pytest.raises(ValueError, match="ngram must be at least 1"):
        CleanConfig(ngram=0)


def test_kinds_of_files(tmp_path):
    names = {"a.TXT": ".txt", "b.jsonl.gz": ".jsonl", "c.warc.gz": ".warc", "d.gz": "", "e.py": ""}
    assert {name: kind_of(tmp_path / name) for name in names} == names
