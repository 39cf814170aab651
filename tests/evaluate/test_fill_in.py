"""One question in every form: what is shown, what is asked, and how answers are counted."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from minillm.evaluate import fill_in
from minillm.evaluate.fill_in import Answers, Question
from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    PositionConfig,
    TwoDimensionalDecoder,
)
from minillm.objectives import stack_prefixes
from minillm.objectives.infilling import stack

P, S, M, E, MASK, START, FIRST = 30, 31, 32, 33, 34, 35, 36
MARKS = {"prefix_id": P, "suffix_id": S, "middle_id": M, "end_id": E}
GAP = Question(np.array([1, 2, 3, 4, 5, 6]), 2, 4)
END = Question(np.array([1, 2, 3, 4]), 2, 4)


def shown(row):
    return row.tokens.tolist(), row.targets.tolist(), row.n_context


def small(kind=Decoder, position="rope"):
    torch.manual_seed(0)
    return kind(
        DecoderConfig(
            40, 16, 2, 24, AttentionConfig(2), FeedForwardConfig("swiglu", 16),
            position=PositionConfig(position), init_std=0.3,
        ),
        dtype=torch.float64,
    )  # fmt: skip


def test_every_form_by_hand():
    no = -100
    assert GAP.middle.tolist() == [3, 4]
    assert shown(fill_in.left_only(GAP)) == ([1, 2, 3], [no, 3, 4], 0)
    assert shown(fill_in.left_only(GAP, both_ways=True)) == ([1, 2, 3], [no, 3, 4], 2)
    assert shown(fill_in.rearranged(GAP, **MARKS)) == (
        [P, 1, 2, S, 5, 6, M, 3], [no] * 6 + [3, 4], 0,
    )  # fmt: skip
    assert shown(fill_in.masked(GAP, mask_id=MASK)) == (
        [1, 2, MASK, MASK, 5, 6], [no, no, 3, 4, no, no], 6,
    )  # fmt: skip
    assert shown(fill_in.sentinel_row(GAP, sentinel_id=FIRST)) == (
        [1, 2, FIRST, 5, 6, FIRST, 3], [no] * 5 + [3, 4], 5,
    )  # fmt: skip
    assert shown(fill_in.sentinel_row(GAP, sentinel_id=FIRST, before=[E]))[0][0] == E
    found = fill_in.blank(GAP, mask_id=MASK, start_id=START, end_id=E)
    assert shown(found) == ([1, 2, MASK, 5, 6, START, 3, 4], [no] * 5 + [3, 4, no], 5)
    assert found.positions.tolist() == [[0, 1, 2, 3, 4, 2, 2, 2], [0] * 5 + [1, 2, 3]]


def test_masks_that_go_from_left_to_right():
    no = -100
    one, two = fill_in.one_by_one(GAP, mask_id=MASK)
    assert shown(one) == ([1, 2, MASK, MASK, 5, 6], [no, no, 3, no, no, no], 6)
    assert shown(two) == ([1, 2, 3, MASK, 5, 6], [no, no, no, 4, no, no], 6)
    last = fill_in.one_by_one(END, mask_id=MASK, at=[1], last=True)
    assert [shown(row) for row in last] == [([1, 2, 3, MASK], [no, no, no, 4], 4)]
    first = fill_in.one_by_one(END, mask_id=MASK, at=[0], last=True)
    assert first[0].tokens.tolist() == [1, 2, MASK]


def test_continuations():
    assert fill_in.rearranged(END, **MARKS).tokens.tolist() == [P, 1, 2, S, M, 3]
    assert fill_in.sentinel_row(END, sentinel_id=FIRST).tokens.tolist() == [1, 2, FIRST, FIRST, 3]
    row = fill_in.blank(END, mask_id=MASK, start_id=START, end_id=E)
    assert row.tokens.tolist() == [1, 2, MASK, START, 3, 4]


@pytest.mark.parametrize("form", ["left_only", "rearranged", "masked", "sentinel_row"])
def test_nothing_that_is_asked_for_is_shown(form):
    """Another middle changes no answer at the first token asked for."""
    options = {
        "left_only": {}, "rearranged": MARKS, "masked": {"mask_id": MASK},
        "sentinel_row": {"sentinel_id": FIRST},
    }[form]  # fmt: skip
    model, ask = small(), getattr(fill_in, form)
    other = Question(np.array([1, 2, 9, 8, 5, 6]), 2, 4)
    logits = []
    for question in (GAP, other):
        row = ask(question, **options)
        batch = stack_prefixes([row], len(row.tokens), pad_id=0)
        first = int((batch.targets[0] >= 0).int().argmax())
        with torch.no_grad():
            logits.append(model(batch.tokens, mask=batch.mask, causal=False)[0, first])
    torch.testing.assert_close(logits[0], logits[1])


def test_answers_against_torch():
    model = small()
    rows = [fill_in.left_only(GAP), fill_in.masked(END, mask_id=MASK)]
    batch = stack_prefixes(rows, 5, pad_id=0)
    found = fill_in.answer(model, batch)
    with torch.no_grad():
        logits = model(batch.tokens, mask=batch.mask, causal=False)
    nats = F.cross_entropy(logits.mT, batch.targets, reduction="none").sum(dim=1)
    torch.testing.assert_close(found.nats.double(), nats, rtol=1e-5, atol=1e-5)
    assert found.n_asked.tolist() == [2, 2]
    right = (logits.argmax(-1) == batch.targets).sum(dim=1)
    assert found.n_right.tolist() == right.tolist()
    pairs = stack([fill_in.blank(GAP, mask_id=MASK, start_id=START, end_id=E)], 9, pad_id=0)
    assert fill_in.answer(small(TwoDimensionalDecoder), pairs).n_asked.tolist() == [2]


def test_counts_by_hand():
    logits = torch.full((2, 3, 4), 0.0)
    logits[0, 1, 2] = logits[1, 0, 1] = logits[1, 2, 3] = math.log(9)  # 9 / 12 each
    targets = torch.tensor([[-100, 2, -100], [1, -100, 0]])
    found = fill_in.compare(logits, targets)
    expected = [-math.log(0.75), -math.log(0.75) - math.log(1 / 12)]
    torch.testing.assert_close(found.nats, torch.tensor(expected))
    assert (found.n_right.tolist(), found.n_asked.tolist()) == ([1, 1], [1, 2])
    summary = found.summary()
    assert math.isclose(summary["nats"], sum(expected) / 3, rel_tol=1e-6)
    assert (round(summary["right"], 6), summary["exact"]) == (0.666667, 0.5)
    both = found.grouped(2)
    assert (both.n_right.tolist(), both.n_asked.tolist()) == ([2], [3])
    assert both.summary()["exact"] == 0
    again = fill_in.joined([found, found])
    assert again.n_asked.tolist() == [1, 2, 1, 2]
    assert isinstance(again, Answers)


def test_exact_is_what_greedy_decoding_would_write():
    """Let a causal model write the middle: right at every place means the same tokens."""
    model, hits = small(), 0
    for a, b in itertools.product(range(1, 6), repeat=2):
        ids = [a, b]
        for _ in range(3):
            with torch.no_grad():
                ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
        for end in (ids, [*ids[:3], (ids[3] + 1) % 40, ids[4]]):
            row = fill_in.left_only(Question(np.array(end), 2, 5))
            answers = fill_in.answer(model, stack_prefixes([row], 4, pad_id=0))
            hits += answers.summary()["exact"] == (end == ids)
    assert hits == 50


class Speller:
    """Says 7, 7, end in each span; remembers what it was shown."""

    def __init__(self):
        self.seen = []

    def __call__(self, ids, *, positions, mask):
        self.seen.append((ids[0].tolist(), positions[0].tolist(), mask))
        logits = torch.zeros(1, ids.shape[1], 40)
        logits[0, -1, E if ids[0, -2:].tolist() == [7, 7] else 7] = 1
        return logits


def test_blanks_are_written_one_after_the_other():
    model = Speller()
    spans = fill_in.fill_blanks(model, [1, MASK, 2, MASK], mask_id=MASK, start_id=START, end_id=E)
    assert spans == [[7, 7], [7, 7]]
    ids, positions, mask = model.seen[-1]
    assert ids == [1, MASK, 2, MASK, START, 7, 7, START, 7, 7]
    assert positions == [[0, 1, 2, 3, 1, 1, 1, 3, 3, 3], [0, 0, 0, 0, 1, 2, 3, 1, 2, 3]]
    assert mask[:4, :4].all()
    assert not mask[:4, 4:].any()
    short = fill_in.fill_blanks(
        Speller(), [MASK], mask_id=MASK, start_id=START, end_id=E, longest=1
    )
    assert short == [[7]]
    real = fill_in.fill_blanks(
        small(TwoDimensionalDecoder), [1, MASK], mask_id=MASK, start_id=START, end_id=E, longest=3
    )
    assert len(real) == 1
    for context, longest in ([1, 2], 3), ([MASK], 0):
        with pytest.raises(
            ValueError, match=f"need a blank .mask_id=34. and longest >= 1, got {longest}"
        ):
            fill_in.fill_blanks(
                model, context, mask_id=MASK, start_id=START, end_id=E, longest=longest
            )


@pytest.mark.parametrize(("start", "end"), [(0, 2), (2, 2), (1, 5)])
def test_question_refused(start, end):
    with pytest.raises(ValueError, match=f"1 <= start < end <= 4, got {start} and {end}"):
        Question(np.arange(4), start, end)
