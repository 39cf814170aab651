"""Batches of pairs: both halves belong together, the order is resumed, and KTO's other answers."""

import pytest
import torch

from minillm.align.answer_logprobs import EncodedPair, lay_pairs
from minillm.align.pair_batches import PairBatches, mismatched
from minillm.finetune.talks import Example, lay_rows, unpack_rows

BEGIN, FILL = 7, 9


def row(*marked):
    return Example((BEGIN, *(abs(i) for i in marked)), (False, *(i < 0 for i in marked)))


PAIRS = [EncodedPair(row(n, -1, *[-2] * n), row(n, -3, 8)) for n in range(1, 6)]


def batches(batch_size=2, context=10, pairs=PAIRS, **kw):
    return PairBatches(pairs, batch_size, context, **{"pad": FILL, "seed": 1, **kw})


def test_the_halves_belong_together():
    seen = []
    source = batches()
    for _ in range(5):
        x, y = next(source)
        assert x.shape == y.shape
        assert len(x) == 4
        numbers = x[:, 1].tolist()  # the prompt names the pair
        assert numbers[:2] == numbers[2:]
        seen += numbers[:2]
        ids, mask = lay_pairs([PAIRS[n - 1] for n in numbers[:2]], pad=FILL)
        assert torch.equal(x, ids[:, :-1])
        assert torch.equal(y, ids[:, 1:].masked_fill(~mask[:, 1:], -100))
    assert sorted(seen) == sorted([1, 2, 3, 4, 5] * 2)  # two epochs, each pair once in each
    assert source.n_pairs == 5
    assert source.epoch == 2


def test_one_that_goes_on_sees_the_same_batches():
    whole, first, again = batches(), batches(), batches()
    wanted = [next(whole) for _ in range(6)]
    for _ in range(3):
        next(first)
    again.load_state_dict(first.state_dict())
    for x, y in wanted[3:]:
        u, v = next(again)
        assert torch.equal(x, u)
        assert torch.equal(y, v)
    other = batches(pairs=PAIRS[::-1])
    with pytest.raises(ValueError, match="with other pairs"):
        other.load_state_dict(first.state_dict())
    with pytest.raises(ValueError, match="seed"):
        batches(seed=2).load_state_dict(first.state_dict())


def test_each_prompt_gets_the_answer_of_the_row_above():
    examples = [row(1, 2, -3, -4), row(5, -6, 8), row(1, 1, 1, -2, -2, -2)]
    x, y = unpack_rows(lay_rows(examples, 8, "pad", pad=FILL))
    u, v = mismatched(x, y, pad=FILL)
    assert u.tolist() == [
        [7, 1, 2, 2, 2],  # and the last 2 is only a target
        [7, 5, 3, 4, 9],
        [7, 1, 1, 1, 6],
    ]
    assert v.tolist() == [
        [-100, -100, 2, 2, 2],
        [-100, 3, 4, -100, -100],
        [-100, -100, -100, 6, -100],
    ]


def test_bad_input():
    with pytest.raises(ValueError, match="no pair to learn from"):
        batches(pairs=[])
    with pytest.raises(ValueError, match=r"pair 4 has 8 tokens, a row of context \+ 1 holds 7"):
        batches(context=6)
    x, y = unpack_rows(lay_rows([row(1, -2)], 4, "pad", pad=FILL))
    with pytest.raises(ValueError, match="two rows or more, each with an answer; got 1"):
        mismatched(x, y, pad=FILL)
    with pytest.raises(ValueError, match="each with an answer"):
        mismatched(x.expand(2, -1), torch.full((2, 3), -100), pad=FILL)
