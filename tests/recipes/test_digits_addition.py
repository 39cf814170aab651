"""The study of digits: problems by hand, held-out ones apart, and marking that can fail."""

import pytest
import torch

from minillm.recipes.studies.digits_addition import (
    CONFIG,
    END,
    EQUALS,
    LENGTH,
    PLUS,
    batches,
    problem,
    sequences,
    solved,
    split,
)


def test_problem_by_hand():
    asked = [3, 7, PLUS, 4, 5, EQUALS]
    assert problem(37, 45, "digits") == (
        [*asked, 8, 2, END, END],
        [-100] * 5 + [8, 2, END, -100],
    )
    tokens, targets = problem(99, 99, "merged")
    assert tokens == [99, PLUS, 99, EQUALS, 198] + [END] * 5
    assert targets == [-100] * 3 + [198, END] + [-100] * 4
    assert all(len(problem(99, 99, cut)[0]) == LENGTH for cut in ("digits", "merged"))


def test_targets_are_the_tokens_that_come_next():
    for cut in ("digits", "merged"):
        tokens, targets = problem(57, 68, cut)
        asked = [(i, y) for i, y in enumerate(targets) if y != -100]
        assert [tokens[i + 1] for i, _ in asked] == [y for _, y in asked]


def test_split():
    known, held_out = split(1)
    assert len(known) == 7_100
    assert {tuple(p) for p in known.tolist()}.isdisjoint(map(tuple, held_out.tolist()))
    assert len({tuple(p) for p in [*known.tolist(), *held_out.tolist()]}) == 8_100
    assert held_out.tolist() != split(2)[1].tolist()


def test_both_arms_see_the_same_problems():
    known, _ = split(1)
    digits, merged = (next(batches(known, cut, 1))[0][5].tolist() for cut in ("digits", "merged"))
    a, b = merged[0], merged[2]
    assert digits[:5] == [a // 10, a % 10, PLUS, b // 10, b % 10]


@pytest.mark.parametrize("cut", ["digits", "merged"])
def test_marking(cut):
    _, held_out = split(1)
    _, y = sequences(held_out[:8], cut)
    perfect = torch.nn.functional.one_hot(y.clamp(min=0), CONFIG.vocab_size).float()
    spoiled = perfect.clone()
    last = [(i, int((row != -100).nonzero()[-1])) for i, row in enumerate(y)]
    spoiled[last[0]] = 0.0  # one wrong token of one answer: its end
    assert solved(lambda _: perfect, held_out[:8], cut) == 1.0
    assert solved(lambda _: spoiled, held_out[:8], cut) == 7 / 8
