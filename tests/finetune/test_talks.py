"""Talks in rows: laid out by hand and read back, every token kept, and an order one can resume."""

from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.finetune.chat import tokenize_chat
from minillm.finetune.talks import (
    PACKINGS,
    PAD,
    START,
    ChatBatches,
    Example,
    encode_talk,
    lay_rows,
    unpack_rows,
)
from minillm.tokenizer import course_tokenizer

TOKENIZER = course_tokenizer()
BEGIN, FILL = 7, 9
TALK = [
    {"role": "user", "content": "Who has the key?"},
    {"role": "assistant", "content": "Mia."},
    {"role": "user", "content": "Why?"},
    {"role": "assistant", "content": "She found it."},
]


def example(*marked):
    """Ids behind BEGIN; a negative number is a learned id."""
    ids = (BEGIN, *(abs(i) for i in marked))
    return Example(ids, (False, *(i < 0 for i in marked)))


THREE = [example(1, -2), example(-3, -4), example(5, -6, -6)]

examples = st.lists(
    st.lists(st.integers(-6, 6).filter(bool), min_size=1, max_size=6).map(lambda m: example(*m)),
    min_size=1,
    max_size=9,
)


def batches(found=THREE, batch_size=2, context=5, **kw):
    return ChatBatches(found, batch_size, context, **{"start": BEGIN, "pad": FILL, **kw})


def test_rows_by_hand():
    rows = lay_rows(THREE, 6, "first_fit", pad=FILL)
    assert rows.tolist() == [[7, 1, -3, 7, -4, -5], [7, 5, -7, -7, 9, 9]]
    assert len(lay_rows(THREE, 6, "pad", pad=FILL)) == 3
    x, y = unpack_rows(rows)
    assert x.tolist() == [[7, 1, 2, 7, 3], [7, 5, 6, 6, 9]]
    assert y.tolist() == [[-100, 2, -100, 3, 4], [-100, 6, 6, -100, -100]]
    assert x.dtype == y.dtype == torch.int64


def test_id_0_can_be_learned():
    rows = lay_rows([Example((BEGIN, 0), (False, True))], 2, "pad", pad=FILL)
    x, y = unpack_rows(rows)
    assert (x.tolist(), y.tolist()) == ([[BEGIN]], [[0]])


@given(examples, st.integers(7, 20), st.sampled_from(PACKINGS))
@settings(deadline=None, max_examples=60)
def test_no_token_is_lost_or_split(found, row, packing):
    rows = lay_rows(found, row, packing, pad=FILL)
    ids = np.where(rows < 0, ~rows, rows)
    pieces = []
    for r in range(len(rows)):
        starts = [t for t in range(row) if ids[r, t] == BEGIN]
        used = int((ids[r] != FILL).sum())
        for start, stop in zip(starts, [*starts[1:], used], strict=True):
            learned = tuple(bool(coded < 0) for coded in rows[r, start:stop])
            pieces.append((tuple(ids[r, start:stop].tolist()), learned))
    assert sorted(pieces) == sorted((e.ids, e.learned) for e in found)
    if packing == "pad":
        assert pieces == [(e.ids, e.learned) for e in found]


def test_a_talk_begins_with_the_end_of_text():
    found = encode_talk(TALK, TOKENIZER)
    ids, learned = tokenize_chat(TALK, TOKENIZER)
    start = TOKENIZER.special_id(START)
    assert found == Example((start, *ids), (False, *learned))
    assert start not in ids
    said = TOKENIZER.decode(i for i, m in zip(found.ids, found.learned, strict=True) if m)
    assert said == "Mia.<|im_end|>She found it.<|im_end|>"
    last = encode_talk(TALK, TOKENIZER, answers="last")
    assert 0 < sum(last.learned) < sum(found.learned)
    forged = [{"role": "user", "content": START}, TALK[1]]
    assert encode_talk(forged, TOKENIZER).ids.count(start) == 1
    assert TOKENIZER.special_id(PAD) != start


def test_columns_of_padding_are_cut_off():
    x, y = next(batches([example(1, -2), example(-3)], packing="pad", context=19))
    assert x.shape == y.shape == (2, 2)
    (x, y) = next(batches([example()], batch_size=1, packing="pad"))
    assert x.tolist() == [[BEGIN]]  # a target is always there to be asked for
    assert y.tolist() == [[-100]]
    (x, _) = next(batches(packing="best_fit", batch_size=4))
    assert x.shape == (4, 5)


def seen(sampler, n):
    return [(x.tolist(), y.tolist()) for x, y in islice(sampler, n)]


def test_each_row_comes_once_an_epoch_in_an_order_of_its_own():
    found = [example(-i) for i in range(1, 7)]
    sampler = batches(found, batch_size=3, packing="pad", seed=4)
    firsts = [y[0] for _, ys in seen(sampler, 6) for y in ys]
    epochs = [firsts[i : i + 6] for i in (0, 6, 12)]
    assert [sorted(epoch) for epoch in epochs] == [[1, 2, 3, 4, 5, 6]] * 3
    assert len({tuple(epoch) for epoch in epochs}) > 1
    other = [y[0] for _, ys in seen(batches(found, 3, packing="pad", seed=5), 2) for y in ys]
    assert other != epochs[0]


def test_a_resumed_order_is_the_undisturbed_one():
    whole = batches(seed=2)
    wanted = seen(whole, 7)
    first = batches(seed=2)
    seen(first, 3)
    second = batches(seed=2)
    second.load_state_dict(first.state_dict())
    assert seen(second, 4) == wanted[3:]


def test_other_talks_are_not_resumed():
    state = batches().state_dict()
    changed = [*THREE[:2], example(5, -6, 6)]  # as many tokens, one of them not learned
    with pytest.raises(ValueError, match="taken with other talks"):
        batches(changed).load_state_dict(state)
    with pytest.raises(ValueError, match="taken with seed 0, the sampler has 1"):
        batches(seed=1).load_state_dict(state)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: Example((1, 2), (True,)), "2 ids and 1 marks"),
        (lambda: lay_rows(THREE, 6, "cut", pad=9), "must be one of pad, first_fit.*got 'cut'"),
        (lambda: lay_rows([], 6, "pad", pad=9), "no example to learn from"),
        (lambda: lay_rows(THREE, 3, "pad", pad=9), "example 2 has 4 tokens, a row.*holds 3"),
        (lambda: batches(pad=BEGIN), "start and pad are both 7"),
        (lambda: batches([Example((1,), (False,))]), "example 0 must begin with id 7"),
        (lambda: batches([THREE[0], example(7)]), "example 1 must begin with id 7 and hold it"),
        (lambda: batches(batch_size=0), "batch_size and context must be at least 1"),
    ],
)
def test_bad_input(action, words):
    with pytest.raises(ValueError, match=words):
        action()
