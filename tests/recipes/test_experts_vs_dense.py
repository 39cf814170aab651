"""The study of lesson 17: what its arms share, and what it notes."""

import pytest

from minillm.model import count_parameters, flops_per_token
from minillm.recipes.studies.experts_vs_dense import JOB, NOTE_EVERY, model_config, train_arm


def test_arms_have_equal_active_parameters_but_for_the_router():
    dense = model_config({})
    for settings in JOB.arms.values():
        shape = model_config(settings)
        router = 2 * 64 * settings.get("n_experts", 0)
        more = count_parameters(shape, active=True) - count_parameters(dense)
        assert more == router
        assert flops_per_token(shape) - flops_per_token(dense) == 6 * router
        assert more < 0.01 * count_parameters(dense)


@pytest.mark.slow
def test_a_run_notes_the_load_of_every_layer():
    _, notes = train_arm(JOB.arms["e4_top2"], 101, steps=NOTE_EVERY + 1)
    assert len(notes["shares"]) == len(notes["balance"]) == 2
    for layers in notes["shares"]:
        assert [sum(shares) for shares in layers] == pytest.approx([1, 1], abs=1e-3)
    assert train_arm({}, 101, steps=2)[1] == {"shares": [], "balance": []}
