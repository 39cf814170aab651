"""The rules that a plan has to keep."""

import pytest

from minillm.distributed.hardware import A100_80, Cluster
from minillm.distributed.layout import Layout
from minillm.distributed.plan import Job, Plan, blocks_per_stage, broken_rule
from minillm.distributed.published import bloom, opt_66b, three_machines
from minillm.model import AttentionConfig, DecoderConfig, ExpertsConfig, FeedForwardConfig

CLUSTER = Cluster(A100_80, 2, 4, 25e9, "test")


def job(batch_size=16, n_heads=8, n_layers=8, cluster=CLUSTER, context=128, n_experts=0, width=256):
    experts = ExpertsConfig(n_experts) if n_experts else None
    model = DecoderConfig(
        vocab_size=1000,
        d_model=8 * n_heads,
        n_layers=n_layers,
        context=128,
        attention=AttentionConfig(n_heads),
        feedforward=FeedForwardConfig("gelu", width, experts=experts),
    )
    return Job("test", model, cluster, batch_size, context)


def test_blocks_per_stage():
    assert blocks_per_stage(8, 4) == (2, 2, 2, 2)
    assert blocks_per_stage(70, 12) == (5, *[6] * 10, 5)  # BLOOM: 72 = 12 x 6
    assert blocks_per_stage(70, 8) == (8, *[9] * 6, 8)  # GLM-130B
    assert blocks_per_stage(64, 24) is None
    assert blocks_per_stage(64, 24, uneven=True) == (*[3] * 16, *[2] * 8)
    assert blocks_per_stage(4, 5, uneven=True) is None
    assert blocks_per_stage(4, 6, uneven=True) is None  # stages of the tables alone
    for n in range(1, 30):
        for p in range(1, 30):
            for uneven in (False, True):
                blocks = blocks_per_stage(n, p, uneven=uneven)
                assert blocks is None or (sum(blocks), len(blocks), min(blocks) > 0) == (n, p, True)


def test_blocks_of_chunks():
    assert blocks_per_stage(12, 2, chunks=3) == (6, 6)
    assert blocks_per_stage(70, 12, chunks=2) == (5, *[6] * 10, 5)  # 24 parts: 2, 22 of 3, 2
    assert blocks_per_stage(70, 12, chunks=4) is None  # 48 parts
    # parts 2 2 2 2 2 1 of 11 blocks: stage 0 has parts 0, 2, 4, stage 1 has 1, 3, 5
    assert blocks_per_stage(11, 2, chunks=3, uneven=True) == (6, 5)
    assert blocks_per_stage(8, 2, chunks=3, uneven=True) == (4, 4)  # parts 2 2 1 1 1 1
    assert blocks_per_stage(5, 2, chunks=3) is None  # an empty chunk


def test_good_plans_break_no_rule():
    for layout in (
        Layout(8),
        Layout(1, 8, 1),
        Layout(2, 1, 4),
        Layout(2, 2, 2),
        Layout(2, 2, 1, 2),
    ):
        assert broken_rule(job(), Plan(layout)) is None
    assert broken_rule(job(), Plan(Layout(2, 4), 2, chunks=2)) is None
    assert broken_rule(job(), Plan(Layout(1, 1, 1, 8), zero=1)) is None  # ZeRO over context ranks
    assert broken_rule(job(n_experts=4), Plan(Layout(8), experts=4)) is None
    assert broken_rule(bloom().job, bloom().plan) is None


@pytest.mark.parametrize(
    ("changed", "plan", "words"),
    [
        ({}, Plan(Layout(7)), "uses 7 of 8 cards"),
        ({"n_heads": 2}, Plan(Layout(2, 1, 4)), "2 heads, 2 of keys, and 256 inner units cannot"),
        ({}, Plan(Layout(1, 1, 8)), "TP 8 leaves the machine of 4 cards"),
        ({"n_layers": 9}, Plan(Layout(1, 8)), "9 blocks do not fill 8 equal stages"),
        ({"n_layers": 7}, Plan(Layout(1, 8)), "7 blocks cannot fill 8 stages"),
        ({"batch_size": 12}, Plan(Layout(8)), "a batch of 12 is no multiple"),
        ({}, Plan(Layout(8), micro_batch=4), "a batch of 16 is no multiple"),
        ({}, Plan(Layout(4, 2), zero=2), "ZeRO-2 with a pipeline"),
        ({}, Plan(Layout(1, 8), zero=1), "ZeRO shares out over the data axis"),
        ({}, Plan(Layout(8), chunks=2), "chunks need a pipeline"),
        ({}, Plan(Layout(2, 4), chunks=4), "8 blocks cannot fill 16 stages or chunks"),
        ({"n_layers": 10}, Plan(Layout(4, 2), chunks=4), "10 blocks do not fill 8 equal stages"),
        ({}, Plan(Layout(4, 2), micro_batch=4, chunks=2), "1 micro batches are no multiple of PP"),
        ({}, Plan(Layout(1, 1, 1, 8), recompute="none"), "CP 8 keeps no scores"),
        ({"context": 120}, Plan(Layout(1, 1, 1, 8)), "120 positions cannot be cut into 2 x CP 8"),
        ({}, Plan(Layout(8), experts=2), "EP 2 needs a model with experts"),
        ({"n_experts": 4}, Plan(Layout(8), experts=8), "EP 8 has to divide the 4 experts and the"),
        ({"n_experts": 4}, Plan(Layout(2, 4), experts=4), "the 2 data ranks"),
        (
            {"cluster": Cluster(A100_80, 3, 8, 1e9, "test"), "n_heads": 6, "width": 264},
            Plan(Layout(8, 1, 3)),
            "TP 3 leaves the machine of 8 cards",  # ranks 6, 7, 8
        ),
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
    long = Plan(Layout(2, 2, 1, 2), chunks=2, experts=2)
    assert str(long) == (
        "DP 2 x PP 2 x TP 1 x CP 2, EP 2, 2 chunks, micro batch 1, ZeRO-0, recompute selective"
    )
    assert long.n_tokens(job()) == 64


def test_errors():
    with pytest.raises(ValueError, match="zero 0 to 3, got 1, 4"):
        Plan(Layout(), zero=4)
    with pytest.raises(ValueError, match=r"micro_batch must be at least 1 .* got 0, 0"):
        Plan(Layout(), micro_batch=0)
    with pytest.raises(ValueError, match="chunks and experts must be at least 1, got 0, 1"):
        Plan(Layout(), chunks=0)
    with pytest.raises(ValueError, match="got 'some'"):
        Plan(Layout(), recompute="some")
    with pytest.raises(ValueError, match="at least 1, got 0, 128"):
        job(batch_size=0)
