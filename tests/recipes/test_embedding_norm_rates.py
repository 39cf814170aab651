"""The arms differ in the norm alone, and the bar that a rate must pass is a bar."""

import math

import torch

from minillm.recipes.studies import embedding_norm_rates as study


def test_arms_differ_in_the_norm_alone():
    plain, norm = study.make(norm=False, seed=1), study.make(norm=True, seed=1)
    assert plain.embedding_norm is None
    assert norm.embedding_norm is not None
    torch.testing.assert_close(plain.embedding.weight, norm.embedding.weight)
    torch.testing.assert_close(
        plain.blocks[3].attention.q.weight, norm.blocks[3].attention.q.weight
    )
    assert len(study.JOB.arms) == 2 * len(study.RATES)


def test_byte_pairs_are_a_bar_between_guessing_and_knowing():
    assert 2.0 < study.pair_bits() < 4.0


def test_a_model_that_gives_no_number_counts_as_a_blind_guess():
    model = study.make(norm=False, seed=1)
    x, y = torch.randint(250, (2, 4, 64))
    assert abs(study.bits(model, x, y) - math.log2(257)) < 0.5
    with torch.no_grad():
        model.final_norm.weight.fill_(math.nan)
    assert study.bits(model, x, y) == study.LOST


def test_the_best_rate_is_read_off_the_pilot():
    for kind in ("plain", "norm"):
        best = study.best(kind)
        assert study.PILOT[kind][best] == min(study.PILOT[kind].values())
        assert set(study.PILOT[kind]) == set(study.RATES)
