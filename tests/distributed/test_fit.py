"""Full-size runs: the published settings, what a card needs, and a refusal that helps."""

from dataclasses import replace

import pytest

from minillm.distributed.fit import (
    ROOM,
    best_fit,
    check_fits,
    choices,
    fit,
    report,
    share_of_card,
    smallest_cluster,
)
from minillm.distributed.fsdp import ShardingConfig
from minillm.distributed.full_size import FULL_SIZES, find_full_size, on
from minillm.distributed.hardware import A100_80, H100_80
from minillm.model import AttentionConfig, DecoderConfig, FeedForwardConfig
from minillm.model.config import count_parameters, flops_per_token

PUBLISHED = {  # tokens a step, of the run, largest rate, context: from the papers
    "gpt2_124m": (524_288, 300e9, 6e-4, 1024),
    "llama_1b": (2_097_152, 3e12, 4e-4, 2048),
    "llama_7b": (4_194_304, 1e12, 3e-4, 2048),
    "llama_13b": (4_194_304, 1e12, 3e-4, 2048),
    "llama2_70b": (4_194_304, 2e12, 1.5e-4, 4096),
}


@pytest.mark.parametrize("name", FULL_SIZES)
def test_settings_are_the_published_ones(name):
    run = find_full_size(name)
    tokens, total, lr, context = PUBLISHED[name]
    assert run.train.batch_size * run.train.context == tokens
    assert run.n_tokens == pytest.approx(total, rel=1e-5)
    assert (run.optimizer.lr, run.train.context) == (lr, context)
    assert run.train.lr_at(run.train.steps, lr) == pytest.approx(lr / 10)


def test_parts_by_hand():
    """16 bytes a weight over the ranks; two blocks and the root gathered; one sequence."""
    run = find_full_size("llama_7b")
    share = share_of_card(run.model, ShardingConfig(weights="bfloat16"), 64, 1, 2048)
    n, D, V, F = 6_738_415_616, 4096, 32_000, 11_008
    assert share.parts == pytest.approx(16 * n / 64, rel=1e-6)
    block, tables = 4 * D * D + 3 * D * F, 2 * V * D
    assert share.gathered == pytest.approx(2 * (tables + 2 * block) + 6 * tables, rel=1e-3)
    lean = share_of_card(run.model, ShardingConfig(weights="bfloat16", recompute=True), 64, 1, 2048)
    assert lean.activations < share.activations / 8
    assert lean.activations > 2 * 32 * 2048 * D  # the inputs of all blocks


def test_the_parts_are_what_two_processes_hold():
    """test_fsdp measures 46 208 bytes a rank on two ranks: this very number."""
    model = DecoderConfig(
        vocab_size=29,
        d_model=16,
        n_layers=2,
        context=16,
        attention=AttentionConfig(n_heads=4, n_kv_heads=2),
        feedforward=FeedForwardConfig(kind="swiglu", width=22),
    )
    assert share_of_card(model, ShardingConfig(), 2, 1, 8).parts == 46_208
    n = 2 * 46_208 / 16
    assert n == count_parameters(model) + (128 - 29) * 16  # rows that pad the vocabulary


def test_more_cards_hold_less_each_and_are_faster():
    run = find_full_size("llama_7b")
    few, many = (fit(run, on(run, A100_80, n), 1) for n in (64, 256))
    assert few.share.parts == 4 * many.share.parts
    assert 2 < few.step.total / many.step.total < 4.01


def test_copies_gather_inside_a_machine_and_pay_in_memory():
    run = find_full_size("llama_7b")
    cluster = on(run, A100_80, 256)
    plain, copies = (
        fit(replace(run, sharding=ShardingConfig(weights="bfloat16", replicas=r)), cluster, 1)
        for r in (1, 32)
    )
    assert copies.share.parts == 32 * plain.share.parts
    talks = [
        {e.name: e.end - e.start for e in f.step.events if e.stream == "talk"}
        for f in (plain, copies)
    ]
    gather, reduce = "talk gather forward 5 0", "talk reduce 5 0"
    assert talks[1][gather] < talks[0][gather] / 10  # NVLink, and 8 ranks in place of 256
    block = 4 * (4 * 4096**2 + 3 * 4096 * 11_008 + 2 * 4096)
    all_reduce = 2 * 31 * (block / 8 / 32 / 25e9 + 5e-6)
    assert talks[1][reduce] == pytest.approx(7 * (block / 8 / 300e9 + 5e-6) + all_reduce, rel=1e-3)


def test_utilisations():
    run = find_full_size("llama_7b")
    cluster = on(run, H100_80, 8)
    plain = fit(replace(run, sharding=ShardingConfig(weights="bfloat16")), cluster, 4)
    again = fit(
        replace(run, sharding=ShardingConfig(weights="bfloat16", recompute=True)), cluster, 4
    )
    assert plain.mfu == plain.hfu <= 0.6  # the share that is assumed bounds it
    assert again.mfu < again.hfu <= 0.6
    model = flops_per_token(run.model, context=2048)
    head = 6 * 32_000 * 4096  # of the output matrix, which is not computed twice
    assert again.hfu / again.mfu == pytest.approx(1 + (model - head) / model / 3)


def test_the_best_is_the_fastest_that_fits():
    run = find_full_size("llama_13b")
    found = best_fit(run, run.cluster)
    assert found.fits
    for sharding, rows in choices(run.sharding):
        other = fit(replace(run, sharding=sharding), run.cluster, rows)
        assert not other.fits or other.step.total >= found.step.total


def test_reported_hours_are_of_the_forecast_s_order():
    for name in ("llama_1b", "llama_7b", "llama_13b", "llama2_70b"):
        run = find_full_size(name)
        assert 0.5 < best_fit(run, run.cluster).gpu_hours / run.gpu_hours < 2


def test_a_run_that_does_not_fit_is_refused_with_a_number_that_does():
    run = find_full_size("llama2_70b")
    with pytest.raises(ValueError, match=r"does not fit on 8 x H100 .* 32 of these cards"):
        check_fits(run, on(run, H100_80, 8))
    larger = smallest_cluster(run, on(run, H100_80, 8))
    assert check_fits(run, larger).share.total <= ROOM * 80e9
    assert smallest_cluster(run, on(run, replace(H100_80, memory=1e9), 8), up_to=64) is None
    with pytest.raises(ValueError, match="take a smaller model, or tensor ranks"):
        check_fits(run, on(run, replace(H100_80, memory=1e9), 8))


def test_a_report_says_all():
    run = find_full_size("llama_7b")
    lines = report(check_fits(run, run.cluster))
    for words in ("6,738,415,616 parameters", "256 x A100", "MFU", "reported: 82,432", "parts"):
        assert words in lines


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda run: find_full_size("llama_8b"), "no full-size run 'llama_8b'; there are gpt2"),
        (lambda run: on(run, A100_80, 12), "multiple of 8, got 12"),
        (lambda run: fit(run, on(run, A100_80, 8), 1, kernel_share=0), "kernel_share must be"),
        (lambda run: fit(run, on(run, A100_80, 24), 1), "cannot be dealt out to 24 ranks"),
        (
            lambda run: fit(replace(run, sharding=ShardingConfig(tensor=2)), run.cluster, 1),
            "fit plans FSDP alone",
        ),
    ],
)
def test_bad_input(action, words):
    with pytest.raises(ValueError, match=words):
        action(find_full_size("llama_7b"))
