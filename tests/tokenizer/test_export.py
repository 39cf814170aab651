import json

import pytest
import tiktoken
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.tokenizer import Tokenizer, train_bpe
from minillm.tokenizer.export import (
    from_tiktoken_ranks,
    merges_from_ranks,
    to_hf_json,
    to_tiktoken,
    whole_expression,
)

BYTES = {i: bytes([i]) for i in range(256)}
SPECIALS = ["<|endoftext|>", "<|pad|>", "<|end|>"]
ANY = st.text(st.characters(), max_size=60)
TRICKY = st.text(
    "'sSſlLvVerREdDmMtT aé今1² \t\n\r\u00a0\u3000.!\u0558\U000323b0\u0301\u200d👩", max_size=30
)
RICH = st.lists(st.one_of(st.sampled_from([*SPECIALS, "<|end", "|>"]), ANY, TRICKY), max_size=5)


@pytest.fixture(scope="module", params=["gpt2", "cl100k"])
def tokenizer(request, mixed_text):
    vocab, merges = train_bpe([mixed_text], 420, SPECIALS, pattern=request.param)
    return Tokenizer(vocab, merges, SPECIALS, request.param)


@pytest.fixture(scope="module")
def theirs(tokenizer, tmp_path_factory):
    path = tmp_path_factory.mktemp("hf") / "tokenizer.json"
    to_hf_json(tokenizer, path)
    return to_tiktoken(tokenizer), tokenizers.Tokenizer.from_file(str(path))


@settings(max_examples=300)
@given(RICH.map("".join))
def test_tiktoken_gives_the_same_ids_on_any_text(tokenizer, theirs, text):
    encoding, _ = theirs
    assert encoding.encode_ordinary(text) == tokenizer.encode(text)
    ids = tokenizer.encode(text, "all")
    assert encoding.encode(text, allowed_special="all") == ids
    assert encoding.decode(ids) == tokenizer.decode(ids)


@settings(max_examples=300)
@given(RICH.map("".join).filter(lambda t: not any("\ud800" <= c <= "\udfff" for c in t)))
def test_hugging_face_gives_the_same_ids_on_any_text(tokenizer, theirs, text):
    _, hf = theirs
    ids = tokenizer.encode(text, "all")
    hf.encode_special_tokens = False
    assert hf.encode(text).ids == ids
    assert hf.decode(ids, skip_special_tokens=False) == tokenizer.decode(ids) == text
    hf.encode_special_tokens = True
    assert hf.encode(text).ids == tokenizer.encode(text)


def test_the_same_ids_on_a_text_of_many_kinds(tokenizer, theirs, mixed_text):
    encoding, hf = theirs
    hf.encode_special_tokens = False
    text = mixed_text + "<|end|><|end|>" + mixed_text
    ids = tokenizer.encode(text, "all")
    assert len(ids) < len(text.encode()) * 0.7  # merges do happen
    assert encoding.encode(text, allowed_special="all") == ids == hf.encode(text).ids


def test_vocabularies_agree(tokenizer, theirs):
    encoding, hf = theirs
    assert encoding.n_vocab == hf.get_vocab_size() == tokenizer.n_vocab
    assert encoding.name == "minillm"
    for name in SPECIALS:
        i = tokenizer.special_id(name)
        assert encoding.encode_single_token(name) == hf.token_to_id(name) == i
    for i, token in tokenizer.vocab.items():
        assert encoding.decode_single_token_bytes(i) == token


def test_a_long_run_of_one_letter(tokenizer, theirs):
    text = "o" * 300 + " " * 300
    assert theirs[0].encode_ordinary(text) == theirs[1].encode(text).ids == tokenizer.encode(text)


@given(st.text("ab1. ", max_size=20))
def test_an_expression_of_ones_own(text):
    vocab, merges = train_bpe(["ab1. ab1. 11.. ..."], 270, pattern=r"[a-z]+")
    tokenizer = Tokenizer(vocab, merges, pattern=r"[a-z]+")
    assert to_tiktoken(tokenizer).encode_ordinary(text) == tokenizer.encode(text)


def test_whole_expression():
    assert whole_expression("a") == "a|(?s:(?:(?!a).)+)"
    assert whole_expression("gpt2").startswith("'(?:[sdmt]")


# ---------------------------------------------------------------- what cannot be exported


def test_ids_must_ascend():
    vocab = BYTES | {256: b"abc", 257: b"ab"}
    tokenizer = Tokenizer(vocab, [(b"a", b"b"), (b"ab", b"c")])
    for export in (to_tiktoken, lambda t: to_hf_json(t, "unused.json")):
        with pytest.raises(ValueError, match="do not ascend"):
            export(tokenizer)


def test_merges_that_ids_alone_do_not_tell():
    """bc comes first, so abc can never arise from ab + c; tiktoken would find a + bc."""
    merges = [(b"b", b"c"), (b"a", b"b"), (b"ab", b"c")]
    tokenizer = Tokenizer(BYTES | {256: b"bc", 257: b"ab", 258: b"abc"}, merges)
    assert tokenizer.encode("abc") == [97, 256]
    with pytest.raises(ValueError, match="merges by id alone"):
        to_tiktoken(tokenizer)


def test_special_tokens_that_a_tokenizer_json_cannot_say(tmp_path):
    vocab, merges = train_bpe(["END END"], 300)
    with pytest.raises(ValueError, match="'END' has the name of an ordinary token"):
        to_hf_json(Tokenizer(vocab, merges, ["END"]), tmp_path / "x.json")
    holes = BYTES | {300: b"<s>"}
    with pytest.raises(ValueError, match=r"must follow the 256 others; got {'<s>': 300}"):
        to_hf_json(Tokenizer(holes, [], ["<s>"]), tmp_path / "x.json")


def test_overlapping_special_tokens(tmp_path):
    """tiktoken looks for special tokens in no fixed order, so the longest is not promised."""
    tokenizer = Tokenizer(BYTES, [], ["<s>", "<s>x", "<s><s>"])
    with pytest.raises(ValueError, match="'<s>' begins '<s>x'"):
        to_tiktoken(tokenizer)
    to_hf_json(tokenizer, tmp_path / "x.json")
    hf = tokenizers.Tokenizer.from_file(str(tmp_path / "x.json"))
    for text in ("<s>", "<s>x", "<s><s>x", "<s><s><s>x"):
        assert hf.encode(text).ids == tokenizer.encode(text, "all")


# ---------------------------------------------------------------- and back


def test_merges_come_back_from_ranks(tokenizer):
    ranks = {token: i for i, token in tokenizer.vocab.items() if i < 256 + len(tokenizer.merges)}
    assert merges_from_ranks(ranks) == tokenizer.merges
    specials = {name: tokenizer.special_id(name) for name in SPECIALS}
    again = from_tiktoken_ranks(ranks, specials, tokenizer.pattern)
    assert again.hash == tokenizer.hash


def test_merges_by_hand():
    ranks = {token: i for i, token in BYTES.items()} | {b"bc": 256, b"abc": 257}
    assert merges_from_ranks(ranks) == [(b"b", b"c"), (b"a", b"bc")]
    with pytest.raises(ValueError, match=r"token b'abcd' \(id 256\) is not the merge of two"):
        merges_from_ranks({token: i for i, token in BYTES.items()} | {b"abcd": 256})


def test_bytes_in_another_order_as_in_gpt2():
    """GPT-2 numbers the bytes otherwise; nothing here depends on id = byte."""
    order = list(range(255, -1, -1))
    ranks = {bytes([b]): i for i, b in enumerate(order)} | {b"ab": 256, b"abc": 257}
    tokenizer = from_tiktoken_ranks(ranks, {"<|endoftext|>": 258})
    encoding = tiktoken.Encoding(
        "x",
        pat_str=whole_expression("gpt2"),
        mergeable_ranks=ranks,
        special_tokens={"<|endoftext|>": 258},
    )
    text = "abc cab é<|endoftext|>"
    ids = tokenizer.encode(text, "all")
    assert ids == encoding.encode(text, allowed_special="all")
    assert ids[0] == 257
    assert tokenizer.decode(ids) == text
    assert to_tiktoken(tokenizer).encode(text, allowed_special="all") == ids


def test_the_json_is_plain(tokenizer, tmp_path):
    path = tmp_path / "tokenizer.json"
    to_hf_json(tokenizer, str(path))
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["model"]["type"] == "BPE"
    assert content["model"]["merges"][0] == [*map(str, content["model"]["merges"][0])]
    assert [t["content"] for t in content["added_tokens"]] == SPECIALS
    assert all(t["special"] and not t["normalized"] for t in content["added_tokens"])
