"""The search: nothing left out, nothing refused without reason, the fastest first."""

import dataclasses
import math

import pytest

from minillm.distributed.card_seconds import Assumptions
from minillm.distributed.hardware import A100_80, Cluster
from minillm.distributed.layout import Layout
from minillm.distributed.plan import Job, Plan
from minillm.distributed.published import bloom, opt_30b, opt_66b, three_machines
from minillm.distributed.search import Space, changes, consider, layouts, search, told
from minillm.model.presets import llama_7b, mixtral_8x7b


def opt_job(model=None):
    return Job("OPT", opt_66b() if model is None else model, three_machines(), 192, 2048)


def test_layouts_are_all_products():
    for n in (1, 6, 24):
        found = {(a.data, a.pipeline, a.tensor) for a in layouts(n)}
        r = range(1, n + 1)
        assert found == {(d, p, t) for d in r for p in r for t in r if d * p * t == n}
        assert len(list(layouts(n))) == len(found)
    with pytest.raises(ValueError, match="n_cards must be at least 1, got 0"):
        list(layouts(0))


def test_the_search_leaves_nothing_out_and_sorts():
    found = search(opt_job())
    alone = sum(a.pipeline == 1 for a in layouts(24))
    assert len(found.candidates) == (len(list(layouts(24))) * 4 - alone * 3) * 4 * 4 * 3
    plain = search(opt_job(), Space(chunks=(1,)))
    assert len(plain.candidates) == len(list(layouts(24))) * 4 * 4 * 3
    assert len({c.plan for c in found.candidates}) == len(found.candidates)
    seconds = [c.seconds for c in found.candidates]
    assert seconds == sorted(seconds)
    assert len(found.fitting) + sum(found.refusals().values()) == len(found.candidates)
    assert found.best == found.fitting[0]
    for c in found.fitting:
        assert c.bill.memory.total <= 0.9 * 80e9
        assert c.refused is None
    for c in found.candidates:
        assert (c.seconds == math.inf) == (c.refused is not None)
    assert set(found.refusals()) == {
        "too much memory", "ZeRO-2 or ZeRO-3 with a pipeline", "blocks do not fill the stages",
        "tensor parallelism across machines", "ZeRO without a data axis",
    }  # fmt: skip


def test_opt_66b_without_and_with_uneven_stages():
    def by_pipeline(found):
        return [c for c in found.fitting if c.plan.layout == Layout(1, 24, 1)]

    assert by_pipeline(search(opt_job())) == []
    (slow, *_) = by_pipeline(search(opt_job(), Space(uneven=True)))
    best = search(opt_job()).best
    assert best.plan.layout.tensor > 1  # the axis that the article leaves out
    assert slow.seconds > best.seconds
    # the choices that the article names use 16 or 8 cards
    words = consider(opt_job(), Plan(Layout(1, 16, 1))).refused
    assert words == "uses 16 of 24 cards"


def test_opt_30b_as_the_article_ran_it():
    job = opt_job(opt_30b())
    assert consider(job, Plan(Layout(2, 12), 1, 1, "full")).refused is None
    assert "for weights" in consider(job, Plan(Layout(24), 1, 1, "full")).refused
    second = consider(job, Plan(Layout(24), 1, 2, "full"))
    assert second.bill.memory.total == pytest.approx(79.9e9, abs=0.3e9)  # of 80: on paper only
    assert second.refused is not None
    assert consider(job, Plan(Layout(24), 1, 3, "full")).refused is None


def test_bloom_among_what_was_known_then():
    found = search(bloom().job, Space(recompute=("full",), sequence=False))
    assert all(c.plan.recompute == "full" and not c.plan.sequence for c in found.candidates)
    theirs = consider(bloom().job, bloom().plan)
    assert theirs.refused is None
    assert theirs.seconds < 1.1 * found.best.seconds
    today = search(bloom().job).best
    assert today.seconds < 0.8 * theirs.seconds  # recomputing less is what was found since


def test_a_card_that_is_too_small_gives_no_plan():
    tiny = Cluster(A100_80, 1, 2, 1e9, "test")
    found = search(Job("OPT-66B", opt_66b(), tiny, 8, 2048))
    assert found.best is None
    assert found.fitting == []
    assert "0 possible" in found.report()
    whole = search(opt_job(), assume=Assumptions(room=1.0))
    assert len(whole.fitting) > len(search(opt_job()).fitting)


def test_interleaving_is_found_where_the_batch_allows_it():
    def chunks(batch_size):
        wanted = dataclasses.replace(bloom().job, batch_size=batch_size)
        return {c.plan.chunks for c in search(wanted).fitting}, search(wanted)

    assert chunks(2048)[0] == {1}  # 128 or 256 micro batches are no multiple of 3, 6 or 12 stages
    kinds, found = chunks(2304)
    assert kinds > {1, 2, 3}
    assert found.best.plan.chunks > 1
    plain = dataclasses.replace(found.best.plan, chunks=1)
    assert found.best.seconds < consider(found.job, plain).seconds


def test_context_and_expert_axes():
    long = Job("LLaMA-7B", llama_7b(), Cluster(A100_80, 8, 8, 25e9, "test"), 8, 131072)
    found = search(long, Space(context=(1, 2, 4, 8)))
    assert found.best.plan.layout.context > 1
    assert found.best.seconds < search(long).best.seconds  # which recomputes everything
    assert {c.plan.layout.world_size for c in found.candidates} == {64}
    assert set(found.refusals()) >= {"context cannot be cut, or would keep scores"}
    mixture = Job("Mixtral", mixtral_8x7b(), Cluster(A100_80, 8, 8, 25e9, "test"), 512, 4096)
    spread = search(mixture, Space(experts=(1, 2, 4, 8)))
    assert spread.best.plan.experts > 1
    assert spread.best.seconds < search(mixture).best.seconds
    assert "experts cannot be shared" in spread.refusals()


def test_single_changes():
    theirs = bloom()
    found = changes(theirs.job, theirs.plan)
    assert {"ZeRO-0", "ZeRO-2", "recompute none", "micro batch x 2", "micro batch / 2"} < set(found)
    assert "ZeRO-1" not in found
    assert "recompute full" not in found
    assert "with a pipeline" in found["ZeRO-2"].refused
    assert "for activations" in found["recompute none"].refused
    assert found["data x 2, tensor / 2"].plan.layout == Layout(16, 12, 2)
    assert found["pipeline x 2, data / 2"].plan.layout == Layout(4, 24, 4)
    assert all(c.plan.layout.world_size == 384 for c in found.values())
    assert "no multiple of PP" in found["chunks x 2"].refused  # 128 micro batches, 12 stages
    odd = changes(opt_job(), Plan(Layout(1, 8, 3)))
    assert "micro batch / 2" not in odd
    assert not any(what.endswith(("data / 2", "tensor / 2")) for what in odd)


def test_words():
    found = search(opt_job())
    report = found.report(3).splitlines()
    assert report[0].startswith("OPT on 24 x A800 SXM 80 GB, batch 192 x 2048: 4608 plans,")
    assert report[1] == told(opt_job(), found.best)
    assert "MFU" in report[1]
    assert "HFU" in report[1]
    assert sum(line.startswith("refused") for line in report) == len(found.refusals())
    line = told(opt_job(), consider(opt_job(), Plan(Layout(1, 24))))
    assert "16 of 3 and 8 of 2" in line
