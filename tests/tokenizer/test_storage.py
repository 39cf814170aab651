import json
import shutil

import pytest

from minillm.tokenizer import Tokenizer, train_bpe

FILES = ["merges.txt", "tokenizer.json", "vocab.txt"]


@pytest.fixture
def folder(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tok")
    return tmp_path / "tok"


def test_save_and_load(tokenizer, folder, mixed_text):
    again = Tokenizer.load(folder)
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert (again.vocab, again.merges, again.special_tokens, again.pattern) == (
        tokenizer.vocab,
        tokenizer.merges,
        tokenizer.special_tokens,
        tokenizer.pattern,
    )
    stated = json.loads((folder / "tokenizer.json").read_text())["hash"]
    assert again.hash == tokenizer.hash == stated
    assert again.encode(mixed_text, "all") == tokenizer.encode(mixed_text, "all")


def test_the_files_are_text_that_a_person_can_read(tmp_path):
    vocab, merges = train_bpe([" the the the\n\n"], 260, ["<s>"])
    Tokenizer(vocab, merges, ["<s>"]).save(str(tmp_path))
    assert (tmp_path / "merges.txt").read_text() == "t h\nth e\nĠ the\n"
    lines = (tmp_path / "vocab.txt").read_text().splitlines()
    assert lines[32] == "32\tĠ"
    assert lines[256:] == ["256\tth", "257\tthe", "258\tĠthe", "259\t<s>"]
    head = json.loads((tmp_path / "tokenizer.json").read_text())
    assert head["format"] == "minillm-tokenizer-1"
    assert head["special_tokens"] == ["<s>"]
    assert head["n_vocab"] == 260
    assert head["pattern"] == "gpt2"


@pytest.mark.parametrize("name", ["merges.txt", "vocab.txt"])
def test_an_altered_file_is_refused_by_name(folder, name):
    path = folder / name
    path.write_text(path.read_text(encoding="utf-8") + "x y\n", encoding="utf-8")
    with pytest.raises(ValueError, match=rf"{name}' was altered"):
        Tokenizer.load(folder)


@pytest.mark.parametrize(
    ("key", "value"), [("pattern", "none"), ("special_tokens", ["<s>"]), ("n_vocab", 5)]
)
def test_an_altered_header_is_refused(folder, key, value):
    path = folder / "tokenizer.json"
    head = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(head | {key: value}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"tokenizer.json' was altered"):
        Tokenizer.load(folder)


@pytest.mark.parametrize(
    "text", ["", "not json", "[]", "{}", '{"hash": "x", "format": "other"}', '{"hash": "x"}']
)
def test_a_broken_header_is_named(folder, text):
    (folder / "tokenizer.json").write_text(text)
    with pytest.raises(ValueError, match=r"tokenizer.json' cannot be read"):
        Tokenizer.load(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"no {name} in"):
        Tokenizer.load(folder)


def test_a_checkout_with_other_line_ends_is_the_same(folder, tokenizer):
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert Tokenizer.load(folder).hash == tokenizer.hash


def test_saving_twice_replaces(folder, tokenizer, tmp_path):
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    tokenizer.save(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    shutil.rmtree(folder)
    tokenizer.save(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


def test_the_hash_depends_on_all_that_decides_ids():
    vocab, merges = train_bpe(["abcabc bc bc"], 260)
    base = Tokenizer(vocab, merges, ["<s>", "<t>"])
    swapped = dict(vocab)
    swapped[256], swapped[257] = vocab[257], vocab[256]
    others = [
        Tokenizer(vocab, merges, ["<t>", "<s>"]),
        Tokenizer(vocab, merges, ["<s>"]),
        Tokenizer(vocab, merges, ["<s>", "<u>"]),
        Tokenizer(vocab, merges, ["<s>", "<t>"], "cl100k"),
        Tokenizer(vocab, merges[:-1], ["<s>", "<t>"]),
        Tokenizer(swapped, merges, ["<s>", "<t>"]),
    ]
    hashes = {tokenizer.hash for tokenizer in (base, *others)}
    assert len(hashes) == 7
    assert Tokenizer(dict(vocab), list(merges), ("<s>", "<t>")).hash == base.hash
    assert len(base.hash) == 64
