import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.tokenizer import Tokenizer, course_tokenizer, train_bpe
from minillm.tokenizer.registry import claim_token, free_tokens, pad_vocab, reserved_tokens


def test_bloom():
    assert pad_vocab(250_680, 128, 4) == 250_880 == 490 * 128 * 4
    assert pad_vocab(250_680) == 250_752  # 128 alone would be content with less
    assert pad_vocab(32_000) == 32_000
    assert pad_vocab(1) == 128


@given(st.integers(1, 10**6), st.integers(1, 1024), st.integers(1, 16))
def test_the_smallest_that_divides(n, multiple, devices):
    rows = pad_vocab(n, multiple, devices)
    assert rows >= n
    assert rows % devices == 0
    assert (rows // devices) % multiple == 0
    assert rows - n < multiple * devices


@pytest.mark.parametrize("arguments", [(0,), (5, 0), (5, 8, 0), (-3,)])
def test_pad_errors(arguments):
    with pytest.raises(ValueError, match="must be at least 1"):
        pad_vocab(*arguments)


def test_names():
    assert reserved_tokens(2, 3) == ("<|reserved_3|>", "<|reserved_4|>")
    assert reserved_tokens(0) == ()
    with pytest.raises(ValueError, match="must not be negative, got -1 and 0"):
        reserved_tokens(-1)


def test_claiming_changes_one_name_and_nothing_else(mixed_text):
    names = ["<|end|>", *reserved_tokens(2)]
    before = Tokenizer(*train_bpe([mixed_text], 320, names), names)
    after, place = claim_token(before, "<|image|>")
    assert place == before.special_id("<|reserved_0|>") == after.special_id("<|image|>")
    assert after.n_vocab == before.n_vocab
    assert free_tokens(before) == names[1:]
    assert free_tokens(after) == names[2:]
    assert after.encode(mixed_text) == before.encode(mixed_text)
    text = "a<|image|>b<|end|>"
    assert place in after.encode(text, allowed_special="all")
    assert place not in after.encode(text)  # typed by a user it is text, as ever
    assert after.decode(after.encode(text, allowed_special="all")) == text
    assert after.hash != before.hash
    assert before.special_tokens == names
    with pytest.raises(ValueError, match=r"no special token '<\|reserved_0\|>'"):
        after.special_id("<|reserved_0|>")


def test_claiming_all_and_one_more():
    names = list(reserved_tokens(2))
    tokenizer = Tokenizer(*train_bpe(["ab"], 259, names), names)
    tokenizer, first = claim_token(tokenizer, "x<")
    tokenizer, second = claim_token(tokenizer, "y<")
    assert (first, second) == (257, 258)
    with pytest.raises(ValueError, match="no reserved token is left for 'z<'"):
        claim_token(tokenizer, "z<")


def test_the_tenth_comes_after_the_second():
    names = [*reserved_tokens(3, first=8)]  # 8, 9 and 10: by name, 10 would be the first
    tokenizer = Tokenizer(*train_bpe(["ab"], 260, names), names)
    assert free_tokens(tokenizer) == names
    assert claim_token(tokenizer, "x")[1] == tokenizer.special_id("<|reserved_8|>")


@pytest.mark.parametrize("name", ["", "<|pad|>", "<|reserved_99|>"])
def test_names_that_cannot_be_claimed(name):
    with pytest.raises(ValueError, match="cannot be claimed"):
        claim_token(course_tokenizer(), name)


def test_the_course_keeps_seven():
    assert len(free_tokens(course_tokenizer())) == 7
    assert course_tokenizer().n_vocab == pad_vocab(course_tokenizer().n_vocab)
