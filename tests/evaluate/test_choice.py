"""Scores of choices: by hand, against token by token, and what is refused."""

import math

import pytest
import torch

from minillm.evaluate.choice import choice_scores, choose
from minillm.model import Decoder
from minillm.recipes.runs import decoder

P = torch.tensor([0.5, 0.25, 0.125, 0.125])  # a model that does not look at anything


def letters(text):
    return ["abcd".index(c) for c in text]


def fixed(ids):
    return P.log().expand(*ids.shape, 4)


def test_by_hand():
    scores = choice_scores(fixed, letters, "d", ["a", "ab"], normalise="sum")
    assert scores == pytest.approx([math.log(0.5), math.log(0.125)], abs=1e-6)
    scores = choice_scores(fixed, letters, "d", ["a", "ab"])
    assert scores == pytest.approx([math.log(0.5), math.log(0.125) / 2], abs=1e-6)


def test_a_sum_favours_short_choices_and_a_mean_does_not():
    long, short = "aaaa", "b"
    assert choose(choice_scores(fixed, letters, "d", [long, short], normalise="sum")) == 1
    assert choose(choice_scores(fixed, letters, "d", [long, short])) == 0


def test_bytes_are_utf8():
    def encode(text):
        return [0 for _ in text]

    scores = choice_scores(fixed, encode, "x", ["ab", "好"], normalise="bytes")
    assert scores == pytest.approx([math.log(0.5), math.log(0.5) / 3], abs=1e-6)


def test_token_by_token_and_start_and_batch():
    torch.manual_seed(0)
    model = Decoder(decoder(4, d_model=16, n_layers=2, n_heads=2, context=16)).eval()
    choices = ["a", "bcd", "dd"]
    got = choice_scores(model, letters, "abca", choices, normalise="sum", start=[3])
    for choice, score in zip(choices, got, strict=True):
        ids, total = [3, *letters("abca")], 0.0
        for letter in letters(choice):
            with torch.no_grad():
                logits = model(torch.tensor([ids]))[0, -1]
            total += logits.log_softmax(-1)[letter].item()
            ids.append(letter)
        assert score == pytest.approx(total, abs=1e-5)
    alone = choice_scores(model, letters, "abca", ["bcd"], normalise="sum", start=[3])
    assert alone == pytest.approx([got[1]], abs=1e-5)
    assert got != pytest.approx(
        choice_scores(model, letters, "abca", choices, normalise="sum"), abs=1e-3
    )


@pytest.mark.parametrize(
    ("context", "choices", "words"),
    [
        ("a", [], r"choices of \[\]"),
        ("a", ["b", ""], r"choices of \[1, 0\]"),
        ("", ["b"], "0 tokens of context"),
    ],
)
def test_what_is_refused(context, choices, words):
    with pytest.raises(ValueError, match=words):
        choice_scores(fixed, letters, context, choices)


def test_unknown_normalise_and_no_scores():
    with pytest.raises(ValueError, match="'words'"):
        choice_scores(fixed, letters, "a", ["b"], normalise="words")
    with pytest.raises(ValueError, match="no score"):
        choose([])
    assert choose([1.0, 3.0, 3.0]) == 1
