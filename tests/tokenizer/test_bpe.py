"""The definition by hand, and what both trainers promise."""

from collections import Counter

import pytest

from minillm.tokenizer import bpe_fast, encode_word_readable, train_bpe, train_bpe_readable
from minillm.tokenizer.bpe import count_pairs, preference, replace_pair
from minillm.tokenizer.pretokenize import pretokens
from minillm.tokenizer.printable import GPT2_BYTE_ORDER, from_printable, to_printable
from minillm.tokenizer.source import count_pretokens

TRAINERS = [train_bpe_readable, train_bpe]


# ---------------------------------------------------------------- by hand


def test_count_pairs_counts_overlaps():
    assert count_pairs({(97, 97, 97): 2, (97, 98): 1, (99,): 5}) == {(97, 97): 4, (97, 98): 1}


@pytest.mark.parametrize(
    ("word", "want"),
    [
        ((1, 1, 1), (9, 1)),  # from the left, never overlapping
        ((1, 1, 1, 1), (9, 9)),
        ((2, 1, 1), (2, 9)),
        ((1, 2, 1), (1, 2, 1)),
        ((1,), (1,)),
        ((), ()),
    ],
)
def test_replace_pair(word, want):
    assert replace_pair(word, (1, 1), 9) == want


@pytest.mark.parametrize("train", TRAINERS)
@pytest.mark.parametrize(
    ("ties", "want"),
    [
        ("greatest", [(b"a", b"a"), (b"aa", b"a"), (b"aaa", b"b")]),
        ("smallest_id", [(b"a", b"a"), (b"a", b"b"), (b"aa", b"ab")]),
        ("gpt2_id", [(b"a", b"a"), (b"a", b"b"), (b"aa", b"ab")]),
    ],
)
def test_the_worked_example_of_gage(train, ties, want):
    vocab, merges = train(["aaabdaaabac"], 260, ["<s>"], ties)
    assert merges == want
    assert vocab == {
        **{i: bytes([i]) for i in range(256)},
        **{256 + i: a + b for i, (a, b) in enumerate(want)},
        259: b"<s>",
    }


@pytest.mark.parametrize("train", TRAINERS)
def test_sennrich_low_lower_newest_widest(train):
    """The example of the paper's algorithm 1, as CS336 tells it: ties to the greatest pair."""
    text = "low low low low low lower lower widest widest widest" + " newest" * 6
    _, merges = train([text.replace(" ", "\n")], 256 + 6, ties="greatest")
    assert [a + b for a, b in merges] == [b"st", b"est", b"ow", b"low", b"west", b"ne"]


@pytest.mark.parametrize("train", TRAINERS)
def test_greatest_compares_byte_strings_not_ids(train):
    # A later token may be a smaller byte string: here "ab" (id 256) stands against "b" (id 98).
    _, merges = train(["ab.ab.ab.abz.bz"], 259, ties="greatest", pattern=r"\w+")
    assert merges[0] == (b"a", b"b")
    assert merges[1] == (b"b", b"z")  # both occur once; as strings b > ab
    _, by_id = train(["ab.ab.ab.abz.bz"], 259, ties="smallest_id", pattern=r"\w+")
    assert by_id[1] == (b"b", b"z")
    # ... and a prefix is smaller than what it begins
    assert max([(b"a", b"z"), (b"ab", b"a")]) == (b"ab", b"a")
    _, merges = train(["ab!ab!ab!az!aba"], 258, ties="greatest", pattern=r"\w+")
    assert merges == [(b"a", b"b"), (b"ab", b"a")]


def test_gpt2_id_puts_the_space_behind_the_letters():
    vocab = {i: bytes([i]) for i in range(256)}
    pairs = [(ord(" "), ord("a")), (ord("z"), ord("a"))]
    assert max(pairs, key=preference("smallest_id", vocab)) == pairs[0]
    assert max(pairs, key=preference("gpt2_id", vocab)) == pairs[1]
    assert sorted(GPT2_BYTE_ORDER) == list(range(256))
    assert GPT2_BYTE_ORDER[220] == ord(" ")  # Ġ is id 220 in GPT-2


@pytest.mark.parametrize("train", TRAINERS)
def test_a_text_that_runs_out_gives_fewer_merges(train):
    vocab, merges = train(["abab"], 1000, ["<s>"])
    assert len(merges) == 2
    assert len(vocab) == 256 + 2 + 1
    assert vocab[258] == b"<s>"
    assert train([], 300) == train([""], 300) == ({i: bytes([i]) for i in range(256)}, [])


@pytest.mark.parametrize("train", TRAINERS)
def test_the_smallest_vocabulary_has_no_merges(train):
    assert train(["abab"], 257, ["<s>"])[1] == []
    assert len(train(["abab"], 257, ["<s>"])[0]) == 257


def test_encode_word_by_hand():
    ranks = {(b"a", b"b"): 0, (b"ab", b"c"): 1, (b"b", b"c"): 2}
    assert encode_word_readable(b"abcb", ranks) == [b"abc", b"b"]
    assert encode_word_readable(b"bc", ranks) == [b"bc"]
    assert encode_word_readable(b"aab", ranks) == [b"a", b"ab"]
    assert encode_word_readable(b"", ranks) == []
    assert encode_word_readable(b"\xff", ranks) == [b"\xff"]
    # The earliest merge goes first, wherever it stands: bc would win from the left.
    assert encode_word_readable(b"bcab", {(b"a", b"b"): 0, (b"c", b"a"): 1}) == [
        b"b",
        b"c",
        b"ab",
    ]


# ---------------------------------------------------------------- special tokens


@pytest.mark.parametrize("train", TRAINERS)
def test_nothing_merges_across_a_special_token(train):
    """By counts: "a" and "b" are neighbours only across S, so they must not be merged."""
    _, merges = train(["xaSby" * 5], 270, ["S"])
    assert set(merges) == {(b"x", b"a"), (b"b", b"y"), (b"by", b"xa")}
    _, across = train(["xaSby" * 5], 270)  # ... which happens where S is not special
    assert any(b"aSb" in a + b for a, b in across)


def test_counts_stop_at_special_tokens():
    counts = count_pretokens(["a b<s>b a<s>"], ["<s>"], "gpt2")
    assert counts == {b"a": 1, b" b": 1, b"b": 1, b" a": 1}


def test_the_longest_special_token_is_cut_out():
    assert count_pretokens(["a<s><s>b"], ["<s>", "<s><s>"], "gpt2") == {b"a": 1, b"b": 1}
    _, merges = train_bpe(["q<s>x" * 9], 300, ["<s>", "<s>x"])
    assert merges == []


# ---------------------------------------------------------------- sources


@pytest.mark.parametrize("train", TRAINERS)
def test_a_file_gives_the_merges_of_its_text(train, tmp_path, mixed_text):
    path = tmp_path / "text.txt"
    path.write_bytes(mixed_text.encode())
    want = train([mixed_text], 300, ["<s>"])
    assert train(path, 300, ["<s>"]) == train(str(path), 300, ["<s>"]) == want


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", r"\w+"])
def test_reading_in_chunks_changes_nothing(tmp_path, mixed_text, monkeypatch, pattern):
    text = (mixed_text + "<s>" + "a" * 50 + "  \n <s><s>") * 4
    path = tmp_path / "text.txt"
    path.write_bytes(text.encode())
    whole: Counter = Counter()
    for part in text.replace("<s><s>", "<s>").split("<s>"):
        whole.update(pretokens(part, pattern))
    for size in (1, 7, 1000):
        monkeypatch.setattr("minillm.tokenizer.source.CHUNK_CHARACTERS", size)
        monkeypatch.setattr("minillm.tokenizer.pretokenize.MIN_PENDING", size)
        counts = count_pretokens(path, ["<s>", "<s><s>"], pattern)
        assert counts == {word.encode(): n for word, n in whole.items()}


def test_texts_are_apart():
    assert count_pretokens(["ab", "cd"], (), "gpt2") == {b"ab": 1, b"cd": 1}
    assert count_pretokens((t for t in ["ab", "ab"]), (), "gpt2") == {b"ab": 2}


def test_surrogates_in_training_text_are_repaired():
    assert count_pretokens(["\ud83d\ude00", "\ud83d"], (), "gpt2") == {
        "😀".encode(): 1,
        "\ufffd".encode(): 1,
    }


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("train", TRAINERS)
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"vocab_size": 257, "special_tokens": ["a", "b"]}, "at least 258 .* got 257"),
        ({"vocab_size": 0}, "at least 256"),
        ({"vocab_size": 300, "special_tokens": ["<s>", "<s>"]}, "'<s>' is given twice"),
        ({"vocab_size": 300, "special_tokens": [""]}, "must not be empty"),
        (
            {"vocab_size": 300, "ties": "x"},
            "one of greatest, smallest_id, gpt2_id; got 'x'",
        ),
        ({"vocab_size": 300, "max_token_bytes": 1}, "at least 2, got 1"),
        ({"vocab_size": 300, "pattern": "("}, "neither a name"),
    ],
)
def test_arguments_that_cannot_be(train, arguments, words):
    with pytest.raises(ValueError, match=words):
        train(["text"], **arguments)


def test_one_str_is_not_a_list_of_special_tokens():
    with pytest.raises(TypeError, match=r"write \['<s>'\]"):
        train_bpe(["text"], 300, "<s>")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file 'some text'; .* write \[text\]"):
        train_bpe("some text", 300)
    with pytest.raises(ValueError, match="is a folder"):
        train_bpe(tmp_path, 300)
    path = tmp_path / "latin.txt"
    path.write_bytes("café".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin.txt' is not UTF-8"):
        train_bpe(path, 300)


# ---------------------------------------------------------------- what else training promises


def test_a_token_never_crosses_a_pretoken(mixed_text):
    vocab, _ = train_bpe([mixed_text], 480)
    assert not any(b" " in token[1:].strip() for token in vocab.values())
    whole, _ = train_bpe([mixed_text], 480, pattern="none")
    assert any(b" " in token[1:].strip() for token in whole.values())  # ... without it, it does


def test_ctrl_c_stops_the_training(mixed_text, monkeypatch):
    class Impatient:
        def __init__(self, **_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def update(self, n):
            raise KeyboardInterrupt

    monkeypatch.setattr(bpe_fast, "tqdm", Impatient)
    with pytest.raises(KeyboardInterrupt):
        train_bpe([mixed_text], 400)


def test_progress_is_shown_only_when_asked_or_late(mixed_text, capsys, monkeypatch):
    train_bpe([mixed_text], 300)
    assert capsys.readouterr().err == ""
    train_bpe([mixed_text], 300, progress=True)
    assert capsys.readouterr().err == ""  # too short for a bar
    monkeypatch.setattr(bpe_fast, "SHOW_PROGRESS_AFTER", 0)
    train_bpe([mixed_text], 300, progress=True)
    assert "44/44" in capsys.readouterr().err
    train_bpe([mixed_text], 300, progress=False)
    assert capsys.readouterr().err == ""


def test_printable_bytes():
    assert to_printable(b" the\n") == "ĠtheĊ"
    assert to_printable("é".encode()) == "Ã©"
    every = bytes(range(256))
    assert from_printable(to_printable(every)) == every
    assert len(set(to_printable(every))) == 256
    assert to_printable(every).isprintable()
    assert " " not in to_printable(every)
    with pytest.raises(ValueError, match="' ' in 'a b' stands for no byte"):
        from_printable("a b")
