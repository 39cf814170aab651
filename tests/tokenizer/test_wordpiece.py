import math
import random
import unicodedata
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Theirs
from tokenizers import decoders, models, pre_tokenizers, trainers

from minillm.tokenizer.wordpiece import WordPiece, bert_words, train_wordpiece

HUG = ["hug"] * 10 + ["pug"] * 5 + ["pun"] * 12 + ["bun"] * 4 + ["hugs"] * 5
LETTERS = "abcé今2"


def naive(texts, n_merges, score):
    """The definition: count all anew at each step."""
    words = [[w[0], *("##" + c for c in w[1:])] for t in texts for w in bert_words(t)]
    merges = []
    for _ in range(n_merges):
        pieces = Counter(p for w in words for p in w)
        pairs = Counter(pair for w in words for pair in pairwise(w))
        total = pieces.total()
        pair = max(pairs, key=lambda p: score(pairs[p], pieces[p[0]], pieces[p[1]], total))
        best = score(pairs[pair], pieces[pair[0]], pieces[pair[1]], total)
        ties = [
            p for p in pairs if score(pairs[p], pieces[p[0]], pieces[p[1]], total) > best - 1e-9
        ]
        if len(ties) > 1:
            break  # where the score does not decide, nothing can be compared
        new = pair[0] + pair[1].removeprefix("##")
        merges.append(new)
        for word in words:
            for i in range(len(word) - 1, 0, -1):
                if i < len(word) and (word[i - 1], word[i]) == pair:
                    word[i - 1 : i + 1] = [new]
    return merges


def log_likelihood(pieces):
    total = pieces.total()
    return sum(n * math.log(n / total) for n in pieces.values())


def test_scores_by_hand():
    # h 15, ##u 36, ##g 20, p 17, ##n 16, b 4, ##s 5;  (h u) 15 (u g) 20 (p u) 17 (u n) 16 (g s) 5
    first = {
        score: train_wordpiece(HUG, 13, score=score, min_count=1)[12]
        for score in ("frequency", "ratio", "likelihood")
    }
    assert first["frequency"] == "##ug"  # 20 times
    assert first["ratio"] == "##gs"  # 5 / (20 x 5) = 1/20; (u g) has 20 / (36 x 20) = 1/36
    assert first["likelihood"] == "##ug"


def test_order_of_pieces():
    pieces = train_wordpiece(HUG, 17, ["[UNK]", "[CLS]"], min_count=1)
    assert pieces[:2] == ["[UNK]", "[CLS]"]
    assert pieces[2:9] == list("bghnpsu")
    assert pieces[9:13] == ["##g", "##n", "##s", "##u"]
    assert len(pieces) == 17


SCORE = {
    "frequency": lambda ab, a, b, n: ab,
    "ratio": lambda ab, a, b, n: ab / (a * b),
    "likelihood": lambda ab, a, b, n: sum(
        sign * x * math.log(x)
        for sign, x in (
            (1, a - ab), (1, b - ab), (1, ab), (-1, n - ab), (-1, a), (-1, b), (1, n)
        )
        if x
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCORE)
def test_equal_to_counting_anew(name):
    draw = random.Random(7)
    compared = 0
    for _ in range(12):
        words = set()
        while len(words) < 40:
            word = [draw.choice("abcdef")]
            while len(word) < 5:  # no piece beside itself: see the docstring of `best`
                word.append(draw.choice([c for c in "abcdef" if c != word[-1]]))
            words.add("".join(word))
        text = [" ".join(w for w in sorted(words) for _ in range(draw.randint(1, 40)))]
        want = naive(text, 8, SCORE[name])
        got = train_wordpiece(text, 10_000, score=name, min_count=1)
        characters = 1 + len({c for c in text[0] if c != " "})
        inside = len({c for w in bert_words(text[0]) for c in w[1:]})
        got = got[characters + inside :]
        assert got[: len(want)] == want
        compared += len(want)
    assert compared > 60


def test_likelihood_score_is_the_rise_of_the_likelihood():
    before = Counter({"a": 15, "b": 36, "c": 20})
    after = Counter({"a": 15 - 12, "b": 36 - 12, "c": 20, "ab": 12})
    want = log_likelihood(after) - log_likelihood(before)
    assert SCORE["likelihood"](12, 15, 36, 71) == pytest.approx(want, rel=1e-12)
    import numpy as np

    from minillm.tokenizer.wordpiece import score_likelihood

    got = score_likelihood(np.array([12]), np.array([15]), np.array([36]), 71)
    assert got[0] == pytest.approx(want, rel=1e-12)
    # beside frequent parts a rare pair gives ab (log(N ab / (a b)) - 1), as the docstring says
    near = 10 * (math.log(10**8 * 10 / (10_000 * 20_000)) - 1)
    got = score_likelihood(np.array([10]), np.array([10_000]), np.array([20_000]), 10**8)
    assert got[0] == pytest.approx(near, abs=0.02)


def theirs_trained(texts, size):
    theirs = Theirs(models.WordPiece(unk_token="[UNK]"))
    theirs.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=["[UNK]"], show_progress=False
    )
    theirs.train_from_iterator(texts, trainer)
    return set(theirs.get_vocab())


def test_the_trainer_of_hugging_face_is_bpe_by_frequency(mixed_text):
    """What tutorials print for it, count(ab) / (count(a) count(b)), is not what it does."""
    texts = [" ".join(HUG)]
    assert theirs_trained(texts, 15) == set(train_wordpiece(texts, 15, score="frequency"))
    assert "##ug" in theirs_trained(texts, 13) or "##ug" in theirs_trained(texts, 14)
    counts = {"low": 23, "lower": 7, "newest": 31, "widest": 13, "slow": 3}
    text = [" ".join(w for w, n in counts.items() for _ in range(n))]
    ours = {
        score: set(train_wordpiece(text, 29, score=score, min_count=1))
        for score in ("frequency", "ratio")
    }
    theirs = theirs_trained(text, 29)
    assert theirs == ours["frequency"]
    assert theirs != ours["ratio"]


def random_pieces(draw, n):
    pieces = {"[UNK]"}
    while len(pieces) < n:
        text = "".join(draw.choices(LETTERS, k=draw.randint(1, 4)))
        pieces.add(draw.choice(["", "##"]) + text)
    return sorted(pieces)


def their_tokens(pieces, limit=100):
    model = models.WordPiece(
        {p: i for i, p in enumerate(pieces)}, unk_token="[UNK]", max_input_chars_per_word=limit
    )
    theirs = Theirs(model)
    theirs.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return lambda text: theirs.encode(text).tokens


@pytest.mark.parametrize("limit", [3, 6, 100])
def test_encoding_is_that_of_tokenizers_on_random_vocabularies(limit):
    draw = random.Random(limit)
    unknown = known = 0
    for _ in range(30):
        pieces = random_pieces(draw, draw.randint(8, 60))
        ours, theirs = WordPiece(pieces, max_chars_per_word=limit), their_tokens(pieces, limit)
        for _ in range(120):
            text = "".join(draw.choices(LETTERS + " .", k=draw.randint(0, 14)))
            got = ours.tokens(text)
            assert got == theirs(text), text
            assert [ours.pieces[i] for i in ours.encode(text)] == got
            unknown += "[UNK]" in got
            known += any(p.startswith("##") for p in got)
    assert unknown > 300
    assert known > 300


def test_encoding_is_that_of_tokenizers_on_real_text(mixed_text):
    pieces = train_wordpiece([mixed_text], 200)
    ours, theirs = WordPiece(pieces), their_tokens(pieces)
    for line in [mixed_text, *mixed_text.split(" "), "unseen wordings 12!? ſtrange"]:
        assert ours.tokens(line) == theirs(line)


def test_words_are_those_of_bert():
    """But for marks younger than the tables of `tokenizers`, which takes them for letters."""
    theirs = pre_tokenizers.BertPreTokenizer()
    for code in [*range(0x3100), *range(0xFE00, 0x10200)]:
        text = f"a{chr(code)}b "
        if 0xD800 <= code < 0xE000:
            continue
        if bert_words(text) != [w for w, _ in theirs.pre_tokenize_str(text)]:
            if code == 0x166D or unicodedata.category(chr(code)) == "Cn":
                continue  # a mark once, a symbol since Unicode 12; or younger than this Python
            assert unicodedata.category(chr(code)).startswith("P"), hex(code)
            assert bert_words(text) == ["a", chr(code), "b"]


def test_decode():
    tokenizer = WordPiece(["[UNK]", "em", "##bed", "##ding", "."])
    assert tokenizer.tokens("embedding. x") == ["em", "##bed", "##ding", ".", "[UNK]"]
    assert tokenizer.decode([1, 2, 3, 4, 0]) == "embedding . [UNK]"
    theirs = decoders.WordPiece(prefix="##", cleanup=False)
    assert theirs.decode(tokenizer.tokens("embedding. x")) == "embedding . [UNK]"
    assert tokenizer.decode([]) == ""
    assert tokenizer.decode([2, 3]) == "##bedding"  # the text begins inside a word, and says so
    with pytest.raises(ValueError, match="id 5 is not in this vocabulary"):
        tokenizer.decode([5])
    with pytest.raises(ValueError, match="id -1"):
        tokenizer.decode([-1])


def test_a_word_too_long_is_unknown_whole():
    tokenizer = WordPiece(["[UNK]", "a", "##a"])
    assert tokenizer.tokens("a" * 100) == ["a"] + ["##a"] * 99
    assert tokenizer.tokens("a" * 101) == ["[UNK]"]
    assert tokenizer.tokens("aab aa") == ["[UNK]", "a", "##a"]  # one bad letter loses the word


@given(st.text(max_size=60))
def test_never_fails(text):
    tokenizer = WordPiece(["[UNK]", *"abc今", "##a", "##b"])
    assert all(0 <= i < 7 for i in tokenizer.encode(text))


def test_hard_inputs():
    tokenizer = WordPiece(["[UNK]", *"abc\0", "##a", "##b"], max_chars_per_word=2_000_000)
    assert tokenizer.tokens("\ud800 a\0b") == ["[UNK]", "[UNK]"]
    assert len(tokenizer.encode("ab" * 500_000)) == 1_000_000  # a word of a megabyte
    assert tokenizer.encode("") == []


def test_training_twice_is_the_same_and_a_file_is_read(tmp_path, mixed_text):
    path = tmp_path / "text"
    path.write_text(mixed_text, encoding="utf-8", newline="")
    assert train_wordpiece(path, 150) == train_wordpiece([mixed_text], 150)


def test_min_count_and_the_end_of_pairs():
    assert "##bc" not in train_wordpiece(["abc", "ab", "ab"], 99, min_count=2)
    assert "ab" in train_wordpiece(["abc", "ab", "ab"], 99, min_count=2)
    assert "abc" in train_wordpiece(["abc"], 99, min_count=1)


def test_a_piece_beside_itself():
    pieces = train_wordpiece(["baaaa"] * 3, 99, min_count=1)
    assert "baaaa" in pieces
    # each ##b of the pair is a kind that occurs once: 3 log 3 - 2 log 2 = 1.9 nats for ##bb,
    # against 3 log 3 - 4 log 2 = 0.5 for bb; counted as twice the same, the two were equal
    assert train_wordpiece(["bbb"], 99, min_count=1) == ["[UNK]", "b", "##b", "##bb", "bbb"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"score": "best"}, "score must be one of likelihood, ratio, frequency; got 'best'"),
        ({"min_count": 0}, "min_count must be at least 1, got 0"),
        ({"vocab_size": 3}, "vocab_size must be at least 4"),
    ],
)
def test_errors_of_training(arguments, message):
    with pytest.raises(ValueError, match=message):
        train_wordpiece(["ab"], **({"vocab_size": 10} | arguments))


def test_errors_of_the_tokenizer():
    with pytest.raises(ValueError, match="distinct and not empty; see 'a'"):
        WordPiece(["[UNK]", "a", "a"])
    with pytest.raises(ValueError, match="see ''"):
        WordPiece(["[UNK]", ""])
    with pytest.raises(ValueError, match=r"'\[UNK\]', the piece for unknown words"):
        WordPiece(["a"])
