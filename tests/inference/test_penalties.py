"""Penalties by hand, by a slow definition, and against transformers' own processors."""

import math
from collections import Counter

import pytest
import torch
from transformers import NoRepeatNGramLogitsProcessor, RepetitionPenaltyLogitsProcessor

from minillm.inference import sample_next
from minillm.inference.penalties import (
    no_repeat_ngram,
    presence_frequency_penalty,
    repetition_penalty,
)

NOTHING = torch.zeros(1, 0, dtype=torch.int64)
CALLS = {
    "repetition": lambda z, ids: repetition_penalty(z, ids, 1.3),
    "presence": lambda z, ids: presence_frequency_penalty(z, ids, presence=0.5),
    "frequency": lambda z, ids: presence_frequency_penalty(z, ids, frequency=0.5),
    "no bigram twice": lambda z, ids: no_repeat_ngram(z, ids, 2),
    "no token twice": lambda z, ids: no_repeat_ngram(z, ids, 1),
}


def case(seed, B=6, T=40, V=12):
    generator = torch.Generator().manual_seed(seed)
    z = 3 * torch.randn(B, V, generator=generator, dtype=torch.float64)
    return z, torch.randint(0, V - 2, (B, T), generator=generator)


def test_repetition_by_hand():
    z = torch.tensor([[2.0, -2.0, 0.0, 3.0, -math.inf]])
    out = repetition_penalty(z, torch.tensor([[0, 1, 1, 2, 4]]), 2.0)
    assert out.tolist() == [[1.0, -4.0, 0.0, 3.0, -math.inf]]
    out = repetition_penalty(z, torch.tensor([[0, 1]]), 0.5)  # below 1 it encourages
    assert out.tolist() == [[4.0, -1.0, 0.0, 3.0, -math.inf]]


def test_presence_and_frequency_by_hand():
    z = torch.tensor([[1.0, 1.0, 1.0]])
    ids = torch.tensor([[0, 2, 2, 2]])
    assert presence_frequency_penalty(z, ids, presence=0.5).tolist() == [[0.5, 1, 0.5]]
    assert presence_frequency_penalty(z, ids, frequency=0.5).tolist() == [[0.5, 1, -0.5]]
    both = presence_frequency_penalty(z, ids, presence=0.25, frequency=-1)
    assert both.tolist() == [[1.75, 1, 3.75]]


def test_no_repeat_ngram_by_hand():
    text = torch.tensor([[1, 2, 3, 1, 2, 0, 1, 2]])
    z = torch.zeros(1, 5)
    forbidden = {
        n: no_repeat_ngram(z, text, n)[0].isinf().nonzero()[:, 0].tolist() for n in (1, 2, 3, 4)
    }
    assert forbidden == {1: [0, 1, 2, 3], 2: [0, 3], 3: [0, 3], 4: []}
    assert no_repeat_ngram(z, text[:, 3:], 4).isinf().sum() == 0
    assert no_repeat_ngram(z, torch.tensor([[4, 4, 4]]), 3)[0].isinf().tolist() == [0, 0, 0, 0, 1]
    for n in (8, 9):  # as long as the text: nothing can come twice yet; longer: neither
        assert torch.equal(no_repeat_ngram(z, text, n), z)


@pytest.mark.parametrize("penalty", [0.7, 1.0, 1.2, 2.0])
def test_repetition_equals_transformers(penalty):
    z, ids = case(0, T=5)
    assert torch.equal(
        repetition_penalty(z, ids, penalty), RepetitionPenaltyLogitsProcessor(penalty)(ids, z)
    )
    other = RepetitionPenaltyLogitsProcessor(penalty + 0.01)(ids, z)
    assert not torch.equal(repetition_penalty(z, ids, penalty), other)
    assert not torch.equal(repetition_penalty(z, ids.flip(0), 1.2), repetition_penalty(z, ids, 1.2))


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_no_repeat_ngram_equals_transformers(n):
    z, ids = case(1, V=5 if n > 2 else 12)
    theirs = NoRepeatNGramLogitsProcessor(n)(ids, z)
    assert torch.equal(no_repeat_ngram(z, ids, n), theirs)
    assert theirs.isinf().any(dim=-1).sum() > 1  # something was forbidden
    assert not torch.equal(no_repeat_ngram(z, ids, n + 1), theirs)


@pytest.mark.parametrize(("presence", "frequency"), [(0.3, 0), (0, 0.7), (0.4, -0.1), (-2, 2)])
def test_presence_and_frequency_equal_the_slow_definition(presence, frequency):
    z, ids = case(2, T=8)
    expected = z.clone()
    for b, row in enumerate(ids.tolist()):
        for v, count in Counter(row).items():
            expected[b, v] -= presence + frequency * count
    out = presence_frequency_penalty(z, ids, presence=presence, frequency=frequency)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    other = presence_frequency_penalty(z, ids.flip(0), presence=presence, frequency=frequency)
    assert not torch.allclose(other, expected)  # the ids of another row are seen


def test_odds_fall_by_e_to_the_penalty():
    z, ids = case(3)
    p = z.softmax(dim=-1)
    q = presence_frequency_penalty(z, ids, presence=0.8).softmax(dim=-1)
    odds = (p[:, :1] / p[:, -1:]) / (q[:, :1] / q[:, -1:])  # 0 was said in each row, V - 1 in none
    torch.testing.assert_close(odds, torch.full_like(odds, math.exp(0.8)))


def test_a_constant_changes_what_repetition_does_and_not_what_presence_does():
    z, ids = case(4, T=4)
    moved = z + 5.0

    def same(rule):
        return torch.allclose(rule(z, ids).softmax(dim=-1), rule(moved, ids).softmax(dim=-1))

    assert not same(CALLS["repetition"])
    assert same(CALLS["presence"])


@pytest.mark.parametrize("n", [1, 2, 3])
def test_greedy_text_has_no_ngram_twice(n):
    generator = torch.Generator().manual_seed(5)
    table = torch.randn(30, 30, generator=generator)  # logits by the token before
    with_rule, without = torch.tensor([[0]]), torch.tensor([[0]])
    for _ in range(25):
        z = no_repeat_ngram(table[with_rule[:, -1]], with_rule, n)
        with_rule = torch.cat([with_rule, z.argmax(dim=-1, keepdim=True)], dim=1)
        without = torch.cat([without, table[without[:, -1]].argmax(dim=-1, keepdim=True)], dim=1)

    def most(text):
        return max(Counter(map(tuple, text[0].unfold(0, n, 1).tolist())).values())

    assert most(with_rule) == 1
    assert most(without) > 1  # the text without the rule does repeat itself


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_rows_are_apart_dtype_stays_and_nothing_is_changed_in_place(call):
    z, ids = case(6)
    before = z.clone()
    out = call(z, ids)
    assert torch.equal(z, before)
    assert not torch.equal(out, z)
    for b in range(len(z)):
        assert torch.equal(call(z[b : b + 1], ids[b : b + 1])[0], out[b])
    assert call(z.bfloat16(), ids).dtype == torch.bfloat16
    assert torch.equal(call(z[:1], NOTHING), z[:1])  # nothing was said


def test_a_row_that_lost_every_token_is_refused_by_sampling():
    z = no_repeat_ngram(torch.zeros(1, 3), torch.tensor([[2, 0, 1]]), 1)
    assert torch.all(z == -math.inf)
    with pytest.raises(ValueError, match="no finite entry"):
        sample_next(z)


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_repetition_out_of_range(value):
    with pytest.raises(ValueError, match="penalty must be positive and finite, got"):
        repetition_penalty(torch.zeros(1, 3), NOTHING, value)


@pytest.mark.parametrize("name", ["presence", "frequency"])
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_presence_and_frequency_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"{name} must be finite, got {value}"):
        presence_frequency_penalty(torch.zeros(1, 3), NOTHING, **{name: value})


def test_n_out_of_range():
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        no_repeat_ngram(torch.zeros(1, 3), NOTHING, 0)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_logits_and_ids_that_do_not_fit(call):
    for z, ids in [(torch.zeros(3), torch.tensor([[1]])), (torch.zeros(2, 3), torch.tensor([[1]]))]:
        with pytest.raises(ValueError, match=r"logits must be \(B, V\) and ids \(B, T\), got"):
            call(z, ids)
    with pytest.raises(ValueError, match="ids must lie in 0 to 2, got 1 to 3"):
        call(torch.zeros(1, 3), torch.tensor([[1, 3]]))
    with pytest.raises(ValueError, match="ids must lie in 0 to 2, got -1 to 1"):
        call(torch.zeros(1, 3), torch.tensor([[1, -1]]))
