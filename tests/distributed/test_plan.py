"""The rules that a plan has to keep."""

import pytest

from minillm.distributed.hardware import A100_80, Cluster
from minillm.distributed.layout import Layout
from minillm.distributed.plan import Job, Plan, blocks_per_stage, broken_rule
from minillm.distributed.published import bloom, opt_66b, three_machines
from minillm.model import AttentionConfig, DecoderConfig, FeedForwardConfig

CLUSTER = Cluster(A100_80, 2, 4, 25e9, "test")


def job(batch_size=16, n_heads=8, n_layers=8, cluster=CLUSTER):
    model = DecoderConfig(
        vocab_size=1000,
        d_model=64,
        n_layers=n_layers,
        context=128,
        attention=AttentionConfig(n_heads),
        feedforward=FeedForwardConfig("gelu", 256),
    )
    return Job("test", model, cluster, batch_size, 128)


def test_blocks_per_stage():
    assert blocks_per_stage(8, 4) == [2, 2, 2, 2]
    assert blocks_per_stage(70, 12) == [5, *[6] * 10, 5]  # BLOOM: 72 = 12 x 6
    assert blocks_per_stage(70, 8) == [8, *[9] * 6, 8]  # GLM-130B
    assert blocks_per_stage(64, 24) is None
    assert blocks_per_stage(64, 24, uneven=True) == [3] * 16 + [2] * 8
    assert blocks_per_stage(4, 5, uneven=True) is None
    assert blocks_per_stage(4, 6, uneven=True) is None  # stages of the tables alone
    for n in range(1, 30):
        for p in range(1, 30):
            for uneven in (False, True):
                blocks = blocks_per_stage(n, p, uneven=uneven)
                assert blocks is None or (sum(blocks), len(blocks), min(blocks) > 0) == (n, p, True)


def test_good_plans_break_no_rule():
    for layout in (Layout(8), Layout(1, 8, 1), Layout(2, 1, 4), Layout(2, 2, 2)):
        assert broken_rule(job(), Plan(layout)) is None
    assert broken_rule(bloom().job, bloom().plan) is None


@pytest.mark.parametrize(
    ("changed", "plan", "words"),
    [
        ({}, Plan(Layout(7)), "uses 7 of 8 cards"),
        ({"n_heads": 2}, Plan(Layout(2, 1, 4)), "2 heads cannot be shared by TP 4"),
        ({}, Plan(Layout(1, 1, 8)), "TP 8 leaves the machine of 4 cards"),
        ({"n_layers": 9}, Plan(Layout(1, 8)), "9 blocks do not fill 8 equal stages"),
        ({"n_layers": 7}, Plan(Layout(1, 8)), "7 blocks cannot fill 8 stages"),
        ({"batch_size": 12}, Plan(Layout(8)), "a batch of 12 is no multiple"),
        ({}, Plan(Layout(8), micro_batch=4), "a batch of 16 is no multiple"),
        ({}, Plan(Layout(4, 2), zero=2), "ZeRO-2 with a pipeline"),
        ({}, Plan(Layout(1, 8), zero=1), "ZeRO shares out over the data axis"),
    ],
)
def test_broken_rules(changed, plan, words):
    assert words in broken_rule(job(**changed), plan)


def test_opt_66b_by_pipeline_alone():
    wanted = Job("OPT-66B", opt_66b(), three_machines(), 192, 2048)
    words = broken_rule(wanted, Plan(Layout(1, 24)))
    assert "64 blocks do not fill 24 equal stages" in words
    assert "16 of 3 and 8 of 2" in words
    assert broken_rule(wanted, Plan(Layout(1, 24), uneven=True)) is None


def test_micro_batches_and_words():
    plan = Plan(Layout(2, 2, 2), micro_batch=4, zero=1, recompute="full")
    assert plan.n_micro(job()) == 2
    assert str(plan) == "DP 2 x PP 2 x TP 2, micro batch 4, ZeRO-1, recompute full"


def test_errors():
    with pytest.raises(ValueError, match="zero 0 to 3, got 1, 4"):
        Plan(Layout(), zero=4)
    with pytest.raises(ValueError, match=r"micro_batch must be at least 1 .* got 0, 0"):
        Plan(Layout(), micro_batch=0)
    with pytest.raises(ValueError, match="got 'some'"):
        Plan(Layout(), recompute="some")
    with pytest.raises(ValueError, match="at least 1, got 0, 128"):
        job(batch_size=0)
