import pytest

from minillm.tokenizer import Tokenizer
from minillm.tokenizer.metrics import WORD, bytes_per_token, fertility, tokens_per_character

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
