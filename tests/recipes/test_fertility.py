"""Counting tokens by language: by hand, from a folder, and the committed records."""

import json
import os
from pathlib import Path

import pytest

from minillm.data.storyworld import make_corpus
from minillm.recipes.fertility import (
    LANGUAGES,
    Vocabulary,
    count,
    describe,
    main,
    parallel_names,
    texts_of,
    vocabularies,
)
from minillm.recipes.records import RESULTS
from minillm.tokenizer import Tokenizer, course_tokenizer, train_bpe
from minillm.tokenizer.export import to_hf_json
from minillm.tokenizer.metrics import fertility, tokens_per_character
from minillm.tokenizer.ranks import write_ranks

BOOKS = Path(os.environ.get("MINILLM_SHARED", Path(__file__).parents[3] / "shared" / "data"))
RECORDS = ("udhr",)


@pytest.fixture(scope="module")
def trained() -> Tokenizer:
    return Tokenizer(*train_bpe(make_corpus(0, 30, "zh"), 500))


def test_count_by_hand(trained):
    plain = Tokenizer({i: bytes([i]) for i in range(256)}, [])
    found = {"bytes": Vocabulary(plain, list(plain.ordinary))}
    rows = count({"zh": "今天, ok", "en": "to be"}, found)
    assert rows["zh"] == {
        "characters": 6,
        "bytes": 10,
        "words": 3,
        "word_bytes": 9,
        "han": 2,
        "tokens": {"bytes": 10},
        "word_tokens": {"bytes": 9},
    }
    assert rows["en"]["word_tokens"] == {"bytes": 6}


def test_count_agrees_with_the_metrics(trained):
    text = make_corpus(1, 2, "zh")[0]
    row = count({"zh": text}, {"t": Vocabulary(trained, [])})["zh"]
    assert row["tokens"]["t"] / row["characters"] == tokens_per_character(trained, text)
    assert row["word_tokens"]["t"] / row["words"] == fertility(trained, text)


def test_describe():
    entries = [b"a", "今".encode(), "今天".encode()]
    plain = Tokenizer({i: bytes([i]) for i in range(256)}, [])
    assert describe({"x": Vocabulary(plain, entries)}, "今天今!") == {
        "x": {"entries": 3, "han_single": 1, "han_longer": 1, "covered": 2}
    }


def test_names_are_parallel():
    names = parallel_names()
    assert list(names) == list(LANGUAGES)
    assert len(LANGUAGES) >= 20
    lines = {code: text.split("\n") for code, text in names.items()}
    assert len({len(found) for found in lines.values()}) == 1
    at = lines["en"].index("Japan")
    assert (lines["zh"][at], lines["de"][at], lines["ja"][at]) == ("日本", "Japan", "日本")
    with pytest.raises(ValueError, match="no names in 'xx'"):
        parallel_names(["en", "xx"])


def test_vocabularies_of_a_folder(trained, tmp_path):
    write_ranks(trained, tmp_path / "gpt2.tiktoken")
    write_ranks(trained, tmp_path / "unknown.tiktoken")
    to_hf_json(trained, tmp_path / "theirs.json")
    (tmp_path / "notes.txt").write_text("nothing")
    found = vocabularies(tmp_path)
    assert list(found) == ["bytes", "course", "gpt2", "theirs"]
    text = "女孩丢了钥匙, the end"
    assert found["gpt2"].encoder.encode(text) == trained.encode(text)
    assert found["theirs"].encoder.encode(text) == trained.encode(text)
    assert set(found["theirs"].entries) == set(trained.ordinary)
    assert list(vocabularies()) == ["bytes", "course"]


def test_texts_of_a_folder(tmp_path):
    (tmp_path / "eng.txt").write_text("free")
    assert texts_of(tmp_path) == {"eng": "free"}
    (tmp_path / "zul.txt").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"zul\.txt is not UTF-8"):
        texts_of(tmp_path)
    with pytest.raises(ValueError, match=r"holds no CODE\.txt"):
        texts_of(tmp_path / "none")


def test_the_command(tmp_path, capsys):
    (tmp_path / "eng.txt").write_text("All human beings are born free")
    (tmp_path / "cmn_hans.txt").write_text("人人生而自由")
    arguments = ["mine", "--texts", str(tmp_path), "--results", str(tmp_path / "out")]
    assert main(arguments) == 0
    path = tmp_path / "out" / "fertility" / "mine.json"
    assert capsys.readouterr().out.strip() == str(path)
    note = json.loads(path.read_text("utf-8"))
    assert note["languages"]["cmn_hans"]["han"] == 6
    assert note["vocabularies"]["bytes"] == {
        "entries": 256,
        "han_single": 0,
        "han_longer": 0,
        "covered": 0,
    }
    with pytest.raises(SystemExit):
        main([*arguments, "--chinese", "yue"])


@pytest.mark.parametrize("name", RECORDS)
def test_the_records_hold_together(name):
    note = json.loads((RESULTS / "fertility" / f"{name}.json").read_text("utf-8"))
    assert len(note["languages"]) >= 20
    for row in note["languages"].values():
        assert row["tokens"]["bytes"] == row["bytes"] >= row["characters"]
        assert row["word_tokens"]["bytes"] == row["word_bytes"]
        for used in row["word_tokens"].values():
            assert row["words"] <= used
    for row in note["vocabularies"].values():
        assert row["han_single"] + row["han_longer"] <= row["entries"]
    here = describe(
        {"course": Vocabulary(course_tokenizer(), list(course_tokenizer().ordinary))}, ""
    )
    recorded = note["vocabularies"]["course"]
    assert {k: recorded[k] for k in ("entries", "han_single", "han_longer")} == {
        k: here["course"][k] for k in ("entries", "han_single", "han_longer")
    }


@pytest.mark.slow
def test_the_record_of_the_declaration_comes_again(tmp_path):
    folder = BOOKS / "udhr"
    if not folder.is_dir():
        pytest.skip("the Declaration in 45 languages is not beside this checkout")
    assert main(["udhr", "--texts", str(folder), "--results", str(tmp_path)]) == 0
    note = json.loads((tmp_path / "fertility" / "udhr.json").read_text("utf-8"))
    committed = json.loads((RESULTS / "fertility" / "udhr.json").read_text("utf-8"))
    for code, row in note["languages"].items():
        for part in ("characters", "bytes", "words", "word_bytes", "han"):
            assert row[part] == committed["languages"][code][part]
        for part in ("tokens", "word_tokens"):
            for name in ("bytes", "course"):
                assert row[part][name] == committed["languages"][code][part][name]
