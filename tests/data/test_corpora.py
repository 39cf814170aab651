import csv
import subprocess
import sys

import pytest

from minillm.data import corpora, load_corpus
from minillm.data import harvest as harvests
from minillm.data.catalogue import CATALOGUE, catalogue
from minillm.data.corpora import Corpus, read_text


def test_a_corpus_says_source_licence_and_size_in_one_line():
    corpus = Corpus("two", ["a", "é中"], "typed by hand", "CC0-1.0")
    assert corpus.n_bytes == 1 + 2 + 3
    assert len(corpus) == 2
    line = "two: 2 texts, 0.00 MB | source: typed by hand | licence: CC0-1.0"
    assert str(corpus) == line


@pytest.mark.parametrize("kind", harvests.KINDS)
def test_every_kind_of_the_harvest_loads_with_its_licence(kind):
    corpus = load_corpus(kind, progress=False)
    assert corpus.name == kind
    assert len(corpus.texts) == len(corpus.origins) > 50
    assert corpus.licence == catalogue()[kind].licence != ""
    assert "read from this installation" in corpus.source
    assert "\n" not in str(corpus)


def test_doctests_come_as_question_and_answer():
    corpus = load_corpus("doctests", progress=False)
    assert 20_000 < len(corpus) < 40_000  # the design counted 27 800
    assert all(text.startswith(">>> ") for text in corpus.texts)


def test_a_sample_is_fixed_nested_and_in_order():
    whole = load_corpus("reference", progress=False)
    place = {text: i for i, text in enumerate(whole.texts)}
    small = load_corpus("reference", max_bytes=50_000)
    large = load_corpus("reference", max_bytes=150_000)
    assert 0 < small.n_bytes <= 50_000
    assert small.n_bytes < large.n_bytes <= 150_000
    assert set(small.texts) <= set(large.texts) <= set(whole.texts)
    for corpus in (small, large):
        places = [place[text] for text in corpus.texts]
        assert places == sorted(places)
        assert corpus.origins == [whole.origins[i] for i in places]
        assert (corpus.source, corpus.licence) == (whole.source, whole.licence)
    assert load_corpus("reference", max_bytes=50_000) == small
    assert load_corpus("reference", max_bytes=10**9) == whole
    assert small.texts != whole.texts[: len(small)]  # not simply the first in the alphabet


def test_a_sample_stops_before_the_text_that_no_longer_fits(tmp_path):
    for name, text in (("a", "xx"), ("b", "yyyy"), ("c", "zzzzzz")):
        (tmp_path / f"{name}.txt").write_text(text, "utf-8")
    assert load_corpus(tmp_path, max_bytes=12).n_bytes == 12
    assert load_corpus(tmp_path, max_bytes=11).n_bytes < 12


def test_a_single_text_is_cut_between_characters(tmp_path):
    (tmp_path / "a.txt").write_text("中文字", "utf-8")  # three bytes each
    for max_bytes, wanted in ((9, "中文字"), (8, "中文"), (6, "中文"), (5, "中")):
        corpus = load_corpus(tmp_path / "a.txt", max_bytes=max_bytes)
        assert corpus.texts == [wanted]
        assert len(corpus.origins) == 1
    with pytest.raises(ValueError, match="max_bytes must be at least 1, got 0"):
        load_corpus("prose", max_bytes=0)
    assert load_corpus(tmp_path / "a.txt", max_bytes=1).texts == [""]


def test_a_folder_of_ones_own(tmp_path):
    folder = tmp_path / "my texts"
    (folder / "deeper").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / "b.txt").write_bytes(b"\xef\xbb\xbfsecond\r\nline\rend")
    (folder / "a.MD").write_text("first", "utf-8")
    (folder / "deeper" / "c.rst").write_text("third 中", "utf-8")
    (folder / "empty.txt").write_text(" \n", "utf-8")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / ".git" / "x.txt").write_text("hidden", "utf-8")
    corpus = load_corpus(str(folder))
    assert corpus.texts == ["first", "second\nline\nend", "third 中"]
    assert corpus.name == "my texts"
    assert "3 files" in corpus.source
    assert str(folder) in corpus.source
    assert corpus.origins[1] == str(folder / "b.txt")
    one = load_corpus(folder / "b.txt")
    assert one.texts == ["second\nline\nend"]
    assert one.source.endswith("1 file")
    (folder / "data.log").write_text("any ending will do for one file", "utf-8")
    assert load_corpus(folder / "data.log").texts == ["any ending will do for one file"]


def test_a_folder_without_text_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"holds no text: put files ending in \.txt, ") as caught:
        load_corpus(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_file_that_is_not_utf8_is_named_with_the_byte(tmp_path):
    (tmp_path / "old.txt").write_bytes("één\ncafé".encode() + b"\ncaf\xe9")
    with pytest.raises(ValueError, match=r"byte 0xe9 at position 15 \(line 3\)") as caught:
        load_corpus(tmp_path)
    assert str(tmp_path / "old.txt") in str(caught.value)
    assert "iconv" in str(caught.value)
    (tmp_path / "old.txt").write_bytes(b"\xff\xfea\0")
    with pytest.raises(ValueError, match=r"byte 0xff at position 0 \(line 1\)"):
        read_text(tmp_path / "old.txt")


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(ValueError, match="called 'prosa'; did you mean 'prose'") as caught:
        load_corpus("prosa")
    words = str(caught.value)
    for name in (*harvests.KINDS, "stories-zh", "tinystories", "gutenberg-alice"):
        assert name in words
    with pytest.raises(ValueError, match="called 'no/such/folder'"):
        load_corpus("no/such/folder")


@pytest.fixture
def few_stories(home, monkeypatch):
    from minillm.data import storyworld

    calls = []

    def make_corpus(seed, n_stories, language):
        calls.append((seed, n_stories, language))
        return [f"{language} {i} é中\n\nend" for i in range(n_stories)]

    monkeypatch.setattr(storyworld, "make_corpus", make_corpus)
    monkeypatch.setattr(corpora, "N_STORIES", 3)
    return calls


def test_stories_are_told_once_and_called_synthetic(few_stories, capsys):
    english = load_corpus("stories-en")
    assert english.texts == [f"en {i} é中\n\nend" for i in range(3)]
    assert "synthetic" in english.source
    assert "telling 3 stories (en)" in capsys.readouterr().out
    both = load_corpus("stories", progress=False)
    assert [text[:4] for text in both.texts] == ["en 0", "zh 0", "en 1", "zh 1", "en 2", "zh 2"]
    assert load_corpus("stories-zh").texts == both.texts[1::2]
    assert few_stories == [(0, 3, "en"), (0, 3, "zh")]
    assert capsys.readouterr().out == ""


def test_harmed_stories_are_told_again(few_stories, home):
    load_corpus("stories-en", progress=False)
    (path,) = home.rglob("en-3.jsonl.gz")
    path.write_bytes(path.read_bytes()[:-5])
    assert len(load_corpus("stories-en", progress=False)) == 3
    assert len(few_stories) == 2
    assert [p.name for p in path.parent.iterdir()] == ["en-3.jsonl.gz"]


def test_the_command_prepares_all_and_says_so(few_stories, monkeypatch, capsys, home):
    monkeypatch.setattr(harvests, "harvest", lambda kind, progress: [(f"{kind}::x", "[]")])
    monkeypatch.setattr(harvests, "shipped_manifest", lambda: ({"a": 1}, ""))
    monkeypatch.setattr(harvests, "manifest", lambda: {"a": 1})
    assert corpora.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"corpora are kept in {home}"
    names = [line.split(":")[0] for line in lines if " | licence: " in line]
    assert names == [*harvests.KINDS, "stories-en", "stories-zh", "stories"]
    assert "the harvest equals the shipped manifest" in lines
    assert lines[-1].startswith("ready in ")
    monkeypatch.setattr(harvests, "manifest", lambda: {"a": 2})
    corpora.main([])
    assert "differs from the shipped manifest" in capsys.readouterr().out
    monkeypatch.setattr(harvests, "shipped_manifest", lambda: (None, "other versions"))
    corpora.main([])
    assert "not compared with a shipped manifest: other versions" in capsys.readouterr().out


def test_the_list_and_the_manifest_by_command(monkeypatch, capsys, tmp_path):
    corpora.main(["--list"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(catalogue())
    assert all(" | licence: " in line for line in lines)
    monkeypatch.setattr(harvests, "MANIFESTS", tmp_path)
    monkeypatch.setattr(harvests, "manifest", lambda: {"a": 1})
    corpora.main(["--write-manifest"])
    (path,) = tmp_path.iterdir()
    assert path == harvests.manifest_path()
    assert path.read_text("utf-8") == '{\n "a": 1\n}\n'
    assert str(path) in capsys.readouterr().out


def test_running_it_as_a_module_does_not_warn():
    command = [sys.executable, "-W", "error", "-m", "minillm.data.corpora", "--list"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stderr == ""
    assert "gutenberg-alice" in run.stdout


def test_the_catalogue_is_complete():
    entries = catalogue()
    assert list(entries)[: len(harvests.KINDS)] != []
    assert set(harvests.KINDS) | set(corpora.STORIES) <= set(entries)
    for name, entry in entries.items():
        assert entry.name == name
        assert entry.title
        assert entry.licence
        assert entry.kind in ("harvest", "synthetic", "public")
        assert (entry.kind == "public") == bool(entry.url) == bool(entry.form)
        assert entry.kind != "synthetic" or "synthetic" in entry.title
        if entry.kind == "public":
            assert entry.url.startswith("https://")
            assert entry.licence_url.startswith("https://")
            assert entry.sha256 or "first download records the checksum" in entry.note
    with CATALOGUE.open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(entries)


def test_a_missing_catalogue_is_explained(monkeypatch, tmp_path):
    from minillm.data import catalogue as module

    monkeypatch.setattr(module, "CATALOGUE", tmp_path / "corpora.csv")
    module.catalogue.cache_clear()
    with pytest.raises(FileNotFoundError, match="clone of its repository"):
        module.catalogue()
    module.catalogue.cache_clear()
