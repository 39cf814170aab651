import pytest

from minillm.tokenizer import course_tokenizer
from minillm.tokenizer.course import (
    MAX_TOKEN_BYTES,
    N_ENTRIES,
    SHARES,
    SPECIAL_TOKENS,
    distinct_clauses,
    take,
    train_course_tokenizer,
)
from minillm.tokenizer.export import to_tiktoken
from minillm.tokenizer.metrics import tokens_per_character


def test_shares_are_a_whole():
    assert sum(SHARES.values()) == pytest.approx(1)
    assert len(SPECIAL_TOKENS) == len(set(SPECIAL_TOKENS)) == 16
    assert N_ENTRIES == 6144 == 48 * 128


def test_distinct_clauses():
    texts = ["He ran, and fell. He ran, too.", "天亮了。天黑了。天亮了。"]
    assert distinct_clauses(texts) == [
        "He ran,",
        " and fell.",
        " He ran,",
        " too.",
        "天亮了。",
        "天黑了。",
    ]
    assert distinct_clauses([""]) == []


def test_take():
    assert take(["abc", "def", "g"], 5) == ["abc", "de"]
    assert take(["abc", "def"], 6) == ["abc", "def"]
    assert take(["abc", "def"], 3) == ["abc"]
    assert take(["今天"], 4) == ["今"]  # no half characters
    with pytest.raises(ValueError, match="7 bytes of text are wanted, there are 6"):
        take(["abc", "def"], 7)


def test_a_small_course_tokenizer(mixed_text):
    sources = {name: [mixed_text * 20] for name in SHARES}
    sources["stories-zh"] = [f"第{i}天，小明去了{i}次公园。" for i in range(400)]
    sources["stories-en"] = [f"On day {i} he went to the park {i} times." for i in range(400)]
    tokenizer = train_course_tokenizer(sources, n_bytes=6000, n_entries=480)
    assert tokenizer.n_vocab == 480
    assert [tokenizer.special_id(name) for name in SPECIAL_TOKENS] == list(range(464, 480))
    assert max(map(len, tokenizer.vocab.values())) <= MAX_TOKEN_BYTES
    with pytest.raises(ValueError, match="no texts for 'code'"):
        train_course_tokenizer({n: t for n, t in sources.items() if n != "code"}, n_bytes=6000)


def test_the_shipped_tokenizer(mixed_text):
    tokenizer = course_tokenizer()
    assert tokenizer.n_vocab == N_ENTRIES
    assert tokenizer.special_tokens == list(SPECIAL_TOKENS)
    assert tokenizer.special_id("<|endoftext|>") == N_ENTRIES - 16
    assert tokenizer.special_id("<|reserved_6|>") == N_ENTRIES - 1
    assert [tokenizer.vocab[i] for i in range(256)] == [bytes([i]) for i in range(256)]
    for i, (a, b) in enumerate(tokenizer.merges):
        assert tokenizer.vocab[256 + i] == a + b
        assert len(a + b) <= MAX_TOKEN_BYTES
    assert tokenizer.decode(tokenizer.encode(mixed_text)) == mixed_text
    text = mixed_text + "<|im_start|>user\n你好<|im_end|>"
    ids = tokenizer.encode(text, "all")
    assert to_tiktoken(tokenizer).encode(text, allowed_special="all") == ids
    assert tokens_per_character(tokenizer, "The old woman went to the market.") < 0.35
    assert tokens_per_character(tokenizer, "小明走到花园里，和小宝一起玩。") < 0.8
