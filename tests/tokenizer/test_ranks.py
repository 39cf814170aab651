"""Reading .tiktoken files: ids as tiktoken gives them, and clear words for a broken file."""

import base64

import pytest
import tiktoken

from minillm.data.storyworld import make_corpus
from minillm.tokenizer import Tokenizer, train_bpe
from minillm.tokenizer.export import whole_expression
from minillm.tokenizer.ranks import PATTERN_OF, open_ranks, read_ranks, write_ranks

TRICKY = "I'M sure it's 12345 ok!!\n\n  DON'T HTTPServer, 今天 naïve\tx//\n/ ABCdef"


@pytest.fixture(scope="module")
def trained() -> Tokenizer:
    return Tokenizer(*train_bpe(make_corpus(0, 40, "en"), 500))


def test_by_hand(tmp_path):
    path = tmp_path / "x.tiktoken"
    path.write_text("IQ== 0\nIg== 1\n\n4LiB 2\n")
    assert read_ranks(path) == {b"!": 0, b'"': 1, "ก".encode(): 2}


def test_written_and_read_again(trained, tmp_path):
    write_ranks(trained, tmp_path / "gpt2.tiktoken")
    again = open_ranks(tmp_path / "gpt2.tiktoken")
    assert again.merges == trained.merges
    assert again.vocab == trained.vocab
    text = make_corpus(1, 3, "en")[0]
    assert again.encode(text) == trained.encode(text)


@pytest.mark.parametrize("name", sorted(PATTERN_OF))
def test_cuts_as_tiktoken_does(name, tmp_path):
    learned = Tokenizer(*train_bpe([TRICKY] * 3, 330, pattern=PATTERN_OF[name]))
    write_ranks(learned, tmp_path / f"{name}.tiktoken")
    ours = open_ranks(tmp_path / f"{name}.tiktoken")
    theirs = tiktoken.Encoding(
        name,
        pat_str=whole_expression(PATTERN_OF[name]),
        mergeable_ranks=read_ranks(tmp_path / f"{name}.tiktoken"),
        special_tokens={},
    )
    for text in (TRICKY, "a  b\n\nc", "9" * 7):
        assert ours.encode(text) == theirs.encode(text)


def test_the_patterns_differ():
    cuts = {name: Tokenizer({i: bytes([i]) for i in range(256)}, [], [], pattern)._split.expression
            for name, pattern in PATTERN_OF.items()}  # fmt: skip
    assert cuts["gpt2"] == cuts["r50k_base"]
    assert len(set(cuts.values())) == 4


def test_qwen_cuts_digits_one_by_one(tmp_path):
    learned = Tokenizer(*train_bpe(["1234 1234"], 300, pattern=PATTERN_OF["qwen"]))
    assert [len(token) for token in learned.ordinary if token.strip(b"0123456789") == b""] == [
        1
    ] * 10


def test_another_name_needs_a_pattern(trained, tmp_path):
    write_ranks(trained, tmp_path / "mine.tiktoken")
    with pytest.raises(ValueError, match=r"how does 'mine' cut texts\? Give pattern="):
        open_ranks(tmp_path / "mine.tiktoken")
    assert open_ranks(tmp_path / "mine.tiktoken", "gpt2").merges == trained.merges


@pytest.mark.parametrize("line", ["IQ==", "IQ== one", "I 0", "IQ== 0 0", "!!!! 0"])
def test_a_broken_line(line, tmp_path):
    path = tmp_path / "x.tiktoken"
    path.write_text(f"Ig== 1\n{line}\n")
    with pytest.raises(ValueError, match=r"x\.tiktoken, line 2: wanted base64"):
        read_ranks(path)


def test_a_token_twice(tmp_path):
    path = tmp_path / "x.tiktoken"
    path.write_text("IQ== 0\nIQ== 1\n")
    with pytest.raises(ValueError, match=r"line 2: token b'!' comes twice"):
        read_ranks(path)


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_ranks(tmp_path / "none.tiktoken")


def test_a_token_that_no_merge_gives(tmp_path):
    lines = [f"{base64.b64encode(bytes([i])).decode()} {i}" for i in range(256)]
    path = tmp_path / "gpt2.tiktoken"
    path.write_text("\n".join([*lines, f"{base64.b64encode(b'abc').decode()} 256"]))
    with pytest.raises(ValueError, match="not the merge of two earlier tokens"):
        open_ranks(path)
