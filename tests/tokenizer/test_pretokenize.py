import sys

import pytest
import regex
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from minillm.tokenizer import pretokenize as pre
from minillm.tokenizer import unicode16
from minillm.tokenizer.pretokenize import (
    pretokens,
    repair,
    repaired_chunks,
    safe_pieces,
    split_at_specials,
)

BYTES = {bytes([i]): i for i in range(256)}
EVERY = [chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000]
# text that is rich in what the expressions look at
TRICKY = st.text(
    st.one_of(
        st.sampled_from("aZé今1२²½ \t\n\r\u00a0\u3000'.,ſsSlLvVeErRdDmMtT"),
        st.sampled_from("\u0301\u200d👩🎉\u0558\U000323b0\U00011de0"),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=40,
)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("", []),
        ("I'm 12  years", ["I", "'m", " 12", " ", " years"]),
        ("they'll've", ["they", "'ll", "'ve"]),
        ("it'S", ["it", "'", "S"]),  # GPT-2's contractions are lower case only
        ("dog. dog!", ["dog", ".", " dog", "!"]),
        ("a   b", ["a", "  ", " b"]),  # the last space goes with the word
        ("a   ", ["a", "   "]),
        ("a \n\n b", ["a", " \n\n", " b"]),
        ("x\r\ny", ["x", "\r", "\n", "y"]),  # the last space character before a word stands apart
        ("abc123", ["abc", "123"]),
        (" 3.14", [" 3", ".", "14"]),
        ("今天，好", ["今天", "，", "好"]),
        ("e\u0301a", ["e", "\u0301", "a"]),  # a combining mark is not a letter
        ("👩‍👧!", ["👩‍👧!"]),
        ("x²½", ["x", "²½"]),
        ("\u00a0a", ["\u00a0", "a"]),  # a no-break space does not join the word
    ],
)
def test_gpt2_by_hand(text, want):
    assert pretokens(text) == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("it'S HE'LL", ["it", "'S", " HE", "'LL"]),
        ("12345", ["123", "45"]),
        ("(abc", ["(abc"]),
        (" 12", [" ", "12"]),
        ("a!\r\n\nb", ["a", "!\r\n\n", "b"]),
        ("a  \n  b", ["a", "  \n", " ", " b"]),
        ("a  ", ["a", "  "]),
        ("中文，好", ["中文", "，好"]),
    ],
)
def test_cl100k_by_hand(text, want):
    assert pretokens(text, "cl100k") == want


def test_none_keeps_the_text_whole():
    assert pretokens("a b\nc", "none") == ["a b\nc"]
    assert pretokens("", "none") == []


def test_an_expression_of_ones_own_loses_nothing():
    assert pretokens("ab12cd3", r"(\d)(\d)?") == ["ab", "12", "cd", "3"]
    assert pretokens("ab", "x*") == ["ab"]  # an empty match is no cut


def test_a_bad_pattern_is_named():
    with pytest.raises(ValueError, match=r"'\(' is neither a name \(gpt2, cl100k, bloom, "):
        pretokens("a", "(")


@pytest.mark.parametrize("letter", ["L", "N"])
def test_letters_and_numbers_are_tiktokens_at_every_code_point(letter):
    text = "\n".join(EVERY)
    theirs = tiktoken.Encoding(
        "x", pat_str=rf"\p{{{letter}}}", mergeable_ranks=BYTES, special_tokens={}
    ).encode_ordinary(text)
    ours = regex.findall(unicode16.frozen(rf"\p{{{letter}}}"), text)
    assert "".join(ours).encode() == bytes(theirs)
    assert len(regex.findall(rf"\p{{{letter}}}", text)) != len(ours)  # it makes a difference


def test_spaces_are_tiktokens_at_every_code_point():
    text = "x".join(EVERY)
    encoding = tiktoken.Encoding("x", pat_str=r"\s", mergeable_ranks=BYTES, special_tokens={})
    assert bytes(encoding.encode_ordinary(text)) == "".join(regex.findall(r"\s", text)).encode()


def test_a_letter_newer_than_unicode_16_is_no_letter():
    assert pretokens("a\u0558b") == ["a", "\u0558", "b"]
    assert pretokens("1\U00011de0") == ["1", "\U00011de0"]
    assert not unicode16.has_later("a今\u0557\U000323af")
    assert all(map(unicode16.has_later, "\u0558\u058b\u058c\U000323b0\U00033479\U00011de0"))


@given(TRICKY, st.sampled_from(["gpt2", "cl100k", "none"]))
def test_joined_pretokens_are_the_text(text, pattern):
    words = pretokens(text, pattern)
    assert "".join(words) == text
    assert all(words)


# ---------------------------------------------------------------- surrogates


def test_surrogates_are_repaired():
    assert repair("a\ud83d\ude00b") == "a😀b"  # a pair is its character
    assert repair("a\ud83db") == "a\ufffdb"
    assert repair("\ude00\ud83d") == "\ufffd\ufffd"
    whole = "plain é 今"
    assert repair(whole) is whole


@given(st.text(st.characters(), max_size=20))
def test_repair_is_what_tiktoken_does(text):
    repaired = repair(text)
    repaired.encode("utf-8")
    theirs = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert repaired == theirs


@given(st.text(st.sampled_from("a\ud83d\ude00"), max_size=8), st.data())
def test_a_pair_across_chunks_is_still_a_pair(text, data):
    cut = data.draw(st.integers(0, len(text)))
    assert "".join(repaired_chunks([text[:cut], text[cut:]])) == repair(text)
    assert "".join(repaired_chunks(text)) == repair(text)


# ---------------------------------------------------------------- special tokens and streams


def test_split_at_specials():
    assert list(split_at_specials("a<s>b", ["<s>"])) == [("a", "<s>"), ("b", "")]
    assert list(split_at_specials("", ["<s>"])) == [("", "")]
    assert list(split_at_specials("<s>", [])) == [("<s>", "")]
    assert list(split_at_specials("<s><s>", ["<s>", "<s><s>"])) == [("", "<s><s>"), ("", "")]
    assert list(split_at_specials("a.b", ["."])) == [("a", "."), ("b", "")]  # not an expression


def words_and_specials(pieces, pattern):
    out = []
    for text, special in pieces:
        out += pretokens(text, pattern)
        out += [(special,)] if special else []
    return out


@given(
    st.lists(st.one_of(TRICKY, st.sampled_from(["<s>", "<s>x", "<", "s>", "<s><"])), max_size=8),
    st.sampled_from(["gpt2", "cl100k", r"\w+"]),
    st.integers(1, 30),
    st.integers(1, 12),
)
def test_a_stream_gives_the_pretokens_of_the_whole(parts, pattern, enough, size):
    text, specials = "".join(parts), ["<s>", "<s>x", "<s><s>"]
    chunks = [text[i : i + size] for i in range(0, len(text), size)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pre, "MIN_PENDING", enough)
        pieces = list(safe_pieces(chunks, specials, pattern))
    whole = list(split_at_specials(text, specials))
    assert words_and_specials(pieces, pattern) == words_and_specials(whole, pattern)


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k"])
def test_a_stream_holds_little(pattern, mixed_text):
    """It hands on text as it goes: what is held back never exceeds the stated limit."""
    given_out, taken = 0, 0

    def chunks():
        nonlocal taken
        for _ in range(400):
            taken += len(mixed_text)
            yield mixed_text
            assert taken - given_out <= 2 * pre.MIN_PENDING

    for piece, special in safe_pieces(chunks(), ["<s>"], pattern):
        given_out += len(piece) + len(special)
    assert given_out == taken > 20 * pre.MIN_PENDING


def test_a_stream_without_boundaries_is_not_scanned_again_and_again(monkeypatch):
    looked = []
    original = pre._for_text
    monkeypatch.setattr(pre, "_for_text", lambda *a: looked.append(1) or original(*a))
    assert [p for p, _ in safe_pieces(["a"] * 100_000)] == ["a" * 100_000]
    assert len(looked) < 10  # doubling, not once a chunk
