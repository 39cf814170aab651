"""PPO on two ranks: records and weights of one process, to 1e-12, in float64."""

import os

import pytest
import torch

from minillm.align.ppo_ranks import OpenActorCritic, RankCrew
from minillm.align.whiten import AVERAGES
from minillm.distributed.processes import run_processes
from minillm.distributed.ranks import Ranks, agree
from tests.align import ppo_program as program

pytestmark = [
    pytest.mark.dist,
    pytest.mark.skipif(os.name == "nt", reason="run_processes is for Linux and macOS"),
]
CLOSE = {"rel": 1e-12, "abs": 1e-12}


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What each of two ranks has found."""
    return run_processes(2, program.work, tmp_path_factory.mktemp("two"), timeout=300, echo=None)


@pytest.fixture(scope="module")
def alone():
    return {name: program.alone(name) for name in program.CASES}


def same(mine, theirs):
    assert mine.keys() == theirs.keys()
    for name in mine:
        torch.testing.assert_close(mine[name], theirs[name], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", program.CASES)
def test_two_ranks_are_one_process(two, alone, name):
    records, weights = alone[name]
    assert len(records) == 3
    assert len({r["kl_coef"] for r in records}) == 3  # the price moves with the distance of all
    assert all(r["grad_norm"] > program.CONFIG.max_grad_norm for r in records)  # clips
    assert records[1]["clip_fraction"] > 0
    for found in two:
        theirs, their_weights, _ = found["runs"][name]
        assert theirs == two[0]["runs"][name][0]  # all ranks say the same, bit for bit
        for mine, their in zip(records, theirs, strict=True):
            assert their == pytest.approx(mine, **CLOSE)
        same(their_weights, weights)


def test_answers_of_a_minibatch_differ_in_length(alone):
    """Or a mean of means would be the mean of all, and averaging for weighing go unseen."""
    for records, _ in alone.values():
        assert all(1 < r["length"] < 5 for r in records)


def test_each_rank_holds_half(two, alone):
    for name in program.CASES:
        held = [found["runs"][name][2] for found in two]
        whole = sum(8 * p.numel() for p in alone[name][1].values())
        assert sum(held) == whole
        assert max(held) < 0.55 * whole


def test_killed_and_gone_on_with_is_the_undisturbed_run(two):
    for found in two:
        records, weights = found["resumed"]
        theirs, their_weights, _ = found["runs"]["rows"]
        assert records == theirs[2:]
        assert all(weights[name].equal(x) for name, x in their_weights.items())


def test_what_stops_a_run_is_told_alike_on_all_ranks(two):
    found = two[0]["failures"]
    assert two[1]["failures"] == found
    assert found["nan"].startswith("RewardError: step 0: the score of answer 6 is nan (1 of 8 are")
    rank_1 = "AllRanksError: scoring the answers failed on rank 1 of 2: step 0: the reward function"
    assert found["short"].startswith(f"{rank_1} gave (3,) for 4 answers")
    assert found["broken"].endswith("failed on rank 0 of 2: no scorer on rank 0")
    assert found["far"].startswith("DriftError: after step 1 the policy is ")
    assert found["uneven"].startswith("ValueError: 9 answers cannot be dealt out to 2 ranks; make")
    assert found["untouched"]


def test_a_stop_that_one_rank_is_asked_for_is_that_of_all(two):
    assert [found["stopped"] for found in two] == [1, 1]


def test_rows_are_gathered_in_order_and_filled_up_on_the_right(two):
    for found in two:
        ids, marks, numbers = found["gathered"]
        assert ids.tolist() == [[0, 1, -7], [2, 3, -7], [0, 1, 2], [3, 4, 5]]
        assert marks.tolist() == [False, True, False, True]
        assert marks.dtype == torch.bool
        assert numbers[1].tolist() == pytest.approx([2 / 3, 1, 0])


@pytest.mark.parametrize("average", AVERAGES)
def test_the_parts_of_a_minibatch_add_up(average):
    """Weights by hand: 1 and 5 tokens in two rows of each rank, 3 columns."""
    mask = torch.tensor([[1, 0, 0], [0, 0, 0], [1, 1, 1], [0, 1, 1]], dtype=torch.bool)
    shares = {"tokens": [1 / 6, 5 / 6], "rows": [1 / 3, 2 / 3], "length": [1 / 2, 1 / 2]}[average]
    for rank, share in enumerate(shares):
        ranks = Ranks(rank, 2, torch.device("cpu"))
        part = RankCrew(ranks, None, None, "", agree).part(mask, average)
        assert part.rows == slice(2 * rank, 2 * rank + 2)
        assert part.loss == pytest.approx(share)
        assert part.tokens == pytest.approx([1 / 6, 5 / 6][rank])
        assert part.gradient == pytest.approx(2 * share)


def test_the_blocks_of_both_bodies_are_cut():
    policy, critic = program.decoder(), program.decoder(3)
    assert OpenActorCritic(policy).blocks == [*policy.blocks]
    assert OpenActorCritic(policy, critic).blocks == [*policy.blocks, *critic.blocks]
