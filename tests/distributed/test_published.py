"""Published runs: the shapes have the sizes of their names, and the plans could have run."""

import pytest

from minillm.distributed import published
from minillm.distributed.search import consider
from minillm.model.config import count_parameters

RUNS = (
    published.bloom,
    published.glm,
    published.baichuan,
    published.llama_65b,
    published.mt_nlg,
    lambda: published.mt_nlg(later=True),
)


def test_shapes_have_the_sizes_of_their_names():
    # RES-004's rule for names: 2 %
    for make, billions in (
        (published.opt_30b, 30), (published.opt_66b, 66), (published.glm_130b, 130),
        (published.mt_nlg_530b, 530),
    ):  # fmt: skip
        assert count_parameters(make()) == pytest.approx(billions * 1e9, rel=0.02)


@pytest.mark.parametrize("make", RUNS)
def test_every_run_keeps_the_rules_and_fits(make):
    run = make()
    assert run.plan.layout.world_size == run.job.cluster.n_cards
    found = consider(run.job, run.plan)
    assert found.refused is None
    assert 0.2 < found.bill.mfu <= found.bill.hfu < 0.6


def test_reported_figures():
    assert published.bloom().tflops == 156
    assert published.bloom(192, 1).tflops == 73
    assert published.bloom(384, 1).tflops is None  # not reported
    assert published.baichuan().tflops / 312 == pytest.approx(0.583, abs=0.0005)
    assert published.jean_zay().n_cards == 384
    assert [published.mt_nlg(n).job.cluster.n_cards for n in (280, 350, 420)] == [2240, 2800, 3360]
    # 126 TFLOP/s a card counts recomputation: 1 920 sequences in 60.1 s
    run = published.mt_nlg()
    flops = 8 * count_parameters(run.job.model) * 1920 * 2048 / 60.1 / 2240
    assert flops == pytest.approx(run.tflops * 1e12, rel=0.03)
    assert run.counts_recomputation
    assert published.three_machines().n_cards == 24
    assert published.three_machines().source.startswith("assumed")
