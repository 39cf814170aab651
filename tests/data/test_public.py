import dataclasses
import hashlib

import pytest

from minillm.data import load_corpus, public
from minillm.data.catalogue import catalogue
from minillm.data.fetch import Download
from minillm.data.public import load_public

BOOK = (
    "\ufeffThe Project Gutenberg eBook\r\n\r\n*** START OF THE PROJECT GUTENBERG EBOOK ALICE ***"
    "\r\n\r\n\r\nDown the rabbit hole.\r\nEnd.\r\n\r\n*** END OF THE PROJECT GUTENBERG EBOOK ALICE"
    " ***\r\nlicence"
).encode()


@pytest.fixture
def served(home, monkeypatch):
    """Stands in for the network: `served["body"]` is what every address answers with."""
    served = {"body": BOOK, "calls": []}

    def download(url, path, sha256=None, size=None, *, name=None, progress=True):
        got = hashlib.sha256(served["body"]).hexdigest()
        served["calls"].append((url, sha256, size, name))
        if sha256 not in (None, got):
            raise ValueError(f"sha256 is {got}, wanted {sha256}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(served["body"])
        return Download(path, got, len(served["body"]), len(served["body"]))

    monkeypatch.setattr(public, "download", download)
    return served


def test_a_book_is_read_without_its_frame(served, capsys):
    corpus = load_corpus("gutenberg-alice")
    assert corpus.texts == ["Down the rabbit hole.\nEnd."]
    sha = hashlib.sha256(BOOK).hexdigest()
    url = catalogue()["gutenberg-alice"].url
    assert served["calls"] == [(url, None, None, "gutenberg-alice")]
    assert corpus.source == f"{url} (sha256 {sha[:12]}...)"
    assert "public domain" in corpus.licence
    assert f"first download, sha256 {sha} recorded in" in capsys.readouterr().out


def test_the_second_time_nothing_is_fetched(served, capsys):
    first = load_corpus("gutenberg-alice")
    capsys.readouterr()
    assert load_corpus("gutenberg-alice") == first
    assert len(served["calls"]) == 1
    assert capsys.readouterr().out == ""


def test_the_recorded_hash_is_demanded_of_the_next_download(served, home):
    load_corpus("gutenberg-alice")
    (path,) = home.rglob("pg11.txt")
    path.unlink()
    served["body"] = b"another file"
    with pytest.raises(ValueError, match="wanted " + hashlib.sha256(BOOK).hexdigest()):
        load_corpus("gutenberg-alice")
    served["body"] = BOOK
    assert len(load_corpus("gutenberg-alice")) == 1


@pytest.mark.parametrize("harm", [lambda raw: raw[:-1], lambda raw: b"x" + raw[1:]])
def test_a_file_that_was_altered_on_disk_is_refused(served, home, harm):
    load_corpus("gutenberg-alice")
    (path,) = home.rglob("pg11.txt")
    path.write_bytes(harm(BOOK))
    with pytest.raises(ValueError, match=r"no longer the file that was fetched.*delete it"):
        load_corpus("gutenberg-alice")


def test_a_file_whose_record_was_lost_is_checked_and_recorded_again(served, home):
    load_corpus("gutenberg-alice")
    (record,) = home.rglob("*.sha256")
    record.unlink()
    load_corpus("gutenberg-alice")
    assert record.read_text("utf-8").split() == [
        hashlib.sha256(BOOK).hexdigest(),
        str(len(BOOK)),
    ]


def test_a_hash_of_the_catalogue_is_demanded_and_not_announced(served, capsys):
    sha = hashlib.sha256(BOOK).hexdigest()
    entry = dataclasses.replace(catalogue()["gutenberg-alice"], sha256=sha, n_bytes=len(BOOK))
    load_public(entry)
    assert served["calls"][0][1:3] == (sha, len(BOOK))
    assert capsys.readouterr().out == ""


def test_stories_between_marks(served):
    served["body"] = "One day.\n<|endoftext|>\n\nTwo 中.\n<|endoftext|>\n \n".encode()
    assert load_corpus("tinystories-valid", progress=False).texts == ["One day.", "Two 中."]


def test_a_book_without_marks_is_taken_whole(served):
    served["body"] = b"Just text.\r\n"
    assert load_corpus("gutenberg-pride").texts == ["Just text."]


def test_parquet_without_its_reader_says_what_to_install(served, monkeypatch):
    import pandas as pd

    def read_parquet(path, columns):
        raise ImportError("no pyarrow")

    monkeypatch.setattr(pd, "read_parquet", read_parquet)
    with pytest.raises(ImportError, match="pip install pyarrow"):
        load_corpus("fineweb-sample")
    monkeypatch.setattr(pd, "read_parquet", lambda path, columns: pd.DataFrame({"text": ["a"]}))
    assert load_corpus("fineweb-sample").texts == ["a"]


def test_without_a_network_one_sentence_names_the_corpus(home, monkeypatch):
    entry = catalogue()["gutenberg-alice"]
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(ConnectionError) as caught:
        load_public(dataclasses.replace(entry, url="http://127.0.0.1:9/pg11.txt"), progress=False)
    assert str(caught.value).startswith("gutenberg-alice cannot be fetched because 127.0.0.1:9")
    assert not list(home.rglob("*.sha256"))
