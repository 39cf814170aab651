import pytest

from minillm.tokenizer import Tokenizer, course_tokenizer
from minillm.tokenizer.metrics import (
    WORD,
    HanPieces,
    bytes_per_token,
    fertility,
    han_pieces,
    most_fertility,
    premium,
    split_share,
    tokens_per_character,
    unused_share,
    words_of,
)

BYTES = {i: bytes([i]) for i in range(256)}
PLAIN = Tokenizer(BYTES, [])
AB = Tokenizer(BYTES | {256: b"ab", 257: b" ab"}, [(b"a", b"b"), (b" ", b"ab")])


def test_tokens_per_character():
    assert tokens_per_character(PLAIN, "abcd") == 1.0
    assert tokens_per_character(PLAIN, "今天") == 3.0
    assert tokens_per_character(AB, "abc") == pytest.approx(2 / 3)
    assert tokens_per_character(PLAIN, ["a", "今今今"]) == pytest.approx(10 / 4)  # of totals


def test_bytes_per_token():
    assert bytes_per_token(PLAIN, "今天") == 1.0
    assert bytes_per_token(AB, ["ab", "ab ab"]) == pytest.approx(7 / 3)


def test_fertility():
    assert fertility(AB, "ab") == 1.0  # " ab" is one token
    assert fertility(AB, "ab ab, x!") == pytest.approx((1 + 1 + 2) / 3)
    assert fertility(PLAIN, "今天") == 3.0  # each Han character is a word, without a space
    assert fertility(PLAIN, "a") == 2.0
    assert fertility(PLAIN, ["abc", "é"]) == pytest.approx((4 + 3) / 2)


def test_words():
    assert WORD.findall("e\u0301té, 12x 今天a ไท、") == [
        "e\u0301té",
        "12x",
        "今",
        "天",
        "a",
        "ไ",
        "ท",
    ]


@pytest.mark.parametrize(
    ("metric", "what"),
    [(tokens_per_character, "characters"), (bytes_per_token, "tokens"), (fertility, "words")],
)
def test_nothing_cannot_be_measured(metric, what):
    with pytest.raises(ValueError, match=f"the texts hold no {what}"):
        metric(PLAIN, "")


def test_words_as_they_are_encoded():
    assert words_of("to be, 今天 2x") == [" to", " be", "今", "天", " 2x"]
    assert words_of("한 국어") == [" 한", " 국어"]  # Korean writes spaces, one syllable or several
    assert words_of("កម្ពុជា") == ["ក", "ម្", "ពុ", "ជា"]  # a letter with its marks is one
    assert words_of("...") == []


def test_fertility_counts_words_alone():
    joined = Tokenizer(BYTES | {256: b"ab", 257: b"ab ab"}, [(b"a", b"b")], pattern="none")
    assert fertility(joined, "ab ab") == 2.0  # " ab" is a space and ab
    texts = ["ab, x", "今天"]
    counted = [len(AB.encode(w)) for text in texts for w in words_of(text)]
    assert fertility(AB, texts) == sum(counted) / len(counted)


def test_fertility_lies_between_one_and_the_bytes():
    course = course_tokenizer()
    for text in ("the lost key", "女孩丢了钥匙", "ключ потерян", "def f(x): return x", "กุญแจ"):
        assert 1 <= fertility(course, text) <= most_fertility(text)
        assert fertility(PLAIN, text) == most_fertility(text)
    assert most_fertility("今天") == 3.0
    assert most_fertility("to be") == 3.0
    assert fertility(course, "the lost key") < most_fertility("the lost key")


def test_split_share():
    assert split_share(AB, "ab ab x") == pytest.approx(1 / 3)
    assert split_share(PLAIN, "ab 今") == 1.0
    assert split_share(AB, "ab") == 0.0


def test_premium():
    assert premium(PLAIN, "今天", "to") == 3.0
    assert premium(AB, "ab ab ab", ["ab", "ab"]) == pytest.approx(3 / 2)
    assert premium(AB, "ab", "ab") == 1.0
    with pytest.raises(ValueError, match="hold no tokens"):
        premium(PLAIN, "a", "")


def test_unused_share():
    assert unused_share(AB, "ab ab") == 0.0
    assert unused_share(AB, "ab") == 0.5  # " ab" never occurs
    assert unused_share(AB, "xyz") == 1.0
    named = Tokenizer(BYTES | {256: b"ab"}, [(b"a", b"b")], ["<|end|>"])
    assert unused_share(named, "ab") == 0.0  # a special token is not learned
    with pytest.raises(ValueError, match="no learned entries"):
        unused_share(PLAIN, "a")


def test_han_pieces():
    entries = [
        b"a",
        "今".encode(),
        "今天".encode(),
        " 天".encode(),
        "今".encode()[:2],
        "あ".encode(),
    ]
    found = han_pieces(entries)
    assert found.single == {"今"}
    assert found.longer == {"今天", " 天"}
    course = han_pieces(course_tokenizer().ordinary)
    assert len(course.single) > 300
    assert han_pieces(BYTES.values()) == HanPieces(frozenset(), frozenset())


def test_anything_that_encodes_can_be_measured():
    from minillm.tokenizer.export import to_tiktoken

    theirs, text = to_tiktoken(AB), "ab ab 今天"
    assert fertility(theirs, text) == fertility(AB, text)
    assert tokens_per_character(theirs, text) == tokens_per_character(AB, text)


@pytest.mark.parametrize("metric", [split_share, lambda _, text: most_fertility(text)])
def test_no_word_no_measure(metric):
    with pytest.raises(ValueError, match="hold no words"):
        metric(PLAIN, "...")
