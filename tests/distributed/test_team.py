"""What the ranks tell one another, seen by a run on one; test_fsdp has two."""

import pytest
import torch

from minillm.distributed.ranks import AllRanksError, joined
from minillm.distributed.step_clock import StepClock
from minillm.distributed.team import RankLog, RankTeam, describe
from minillm.train import peak_flops


@pytest.fixture(scope="module")
def ranks():
    with joined() as found:
        yield found


def logger(team, log, **how):
    settings = {"log_every": 2, "progress": False} | how
    return RankLog(team, log, StepClock(), lambda: 3_000_000, **settings)


def test_alone_a_rank_counts_for_itself(ranks):
    team = RankTeam(ranks)
    assert team.totals([3, 5]) == [3, 5]
    assert (team.agree(True), team.agree(False)) == (True, False)
    assert (team.n_readers, team.marks) == (1, None)


def test_the_peak_is_that_of_the_weights_format(ranks):
    cpu = torch.device("cpu")
    assert RankTeam(ranks).peak(cpu, "float32") == peak_flops(cpu, "float32")
    narrow = RankTeam(ranks, weights="bfloat16")
    assert narrow.peak(cpu, "float32") == peak_flops(cpu, "bfloat16")


def test_seconds_come_with_each_step_and_memory_with_the_printed_ones(ranks):
    seen = []
    log = logger(RankTeam(ranks), seen.append)
    for record in ({"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}, {"step": 2, "evaluate": {}}):
        log(record)
    assert [sorted(record) for record in seen] == [
        ["loss", "seconds", "step"],
        ["loss", "memory", "seconds", "step"],
        ["evaluate", "step"],
    ]
    assert seen[1]["memory"] == {"0": 3_000_000}
    assert sum(seen[1]["seconds"].values()) > 0


def test_a_line_for_people(ranks, capsys):
    logger(RankTeam(ranks), None, progress=True)({"step": 4, "loss": 2.0})
    assert "step 4, ms on rank 0: rest " in capsys.readouterr().out
    record = {"step": 7, "seconds": {"data": 0.001, "talk": 1.5}, "memory": {"0": 1e6, "1": 2.5e6}}
    assert describe(record) == (
        "step 7, ms on rank 0: data 1.0, talk 1,500.0 | at most 2.5 MB a rank"
    )


def test_a_log_that_fails_ends_the_run_where_all_agree(ranks):
    def full(record):
        raise OSError("no space left")

    team = RankTeam(ranks)
    logger(team, full)({"step": 1, "loss": 2.0})  # nobody else knows yet: no error here
    with pytest.raises(AllRanksError, match="the log cannot be written: no space left"):
        team.agree(False)
