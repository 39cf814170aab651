"""How prompts are dealt out; two ranks are held against one in tests/recipes."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from minillm.align.rejection import sample_answers
from minillm.align.rejection_ranks import RankRounds
from minillm.distributed.ranks import Ranks


def shares(n_tasks, group, size):
    all_of_them = (RankRounds(Ranks(rank, size, torch.device("cpu"))) for rank in range(size))
    return [rounds.share_of(n_tasks, group) for rounds in all_of_them]


def test_shares_by_hand():
    assert shares(16, 5, 2) == [(0, 10), (10, 16)]
    assert shares(4, 5, 2) == [(0, 0), (0, 4)]  # one group cannot be torn
    assert shares(7, 1, 3) == [(0, 2), (2, 4), (4, 7)]


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 5))
def test_every_prompt_is_answered_once_in_whole_groups(n_tasks, group, size):
    found = shares(n_tasks, group, size)
    assert [n for first, last in found for n in range(first, last)] == [*range(n_tasks)]
    assert all(first % group == 0 for first, last in found if first < last)
    sizes = [-(-(last - first) // group) for first, last in found]
    assert max(sizes) - min(sizes) <= 1


def test_a_part_of_the_prompts_is_answered_as_among_all(toy):
    tasks = [*toy.tasks] * 4
    how = {"max_tokens": 3, "seed": 5, "at_once": 8}
    model = toy.model()
    whole = sample_answers(model, toy.tokenizer, tasks, 4, **how)
    part = sample_answers(model, toy.tokenizer, tasks[2:6], 4, first_task=2, **how)
    assert part == whole[2:6]
    assert part != whole[:4]
    other = sample_answers(model, toy.tokenizer, tasks[2:6], 4, **how)
    assert other != part
