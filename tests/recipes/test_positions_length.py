"""The study of lesson 13: trained slopes start as the fixed ones, and heads look as far as told."""

import pytest
import torch

from minillm.model import Decoder, alibi_slopes
from minillm.recipes.studies import positions_length as study

ALIBI = study.model_config(study.JOB.arms["alibi"])


@pytest.fixture
def windows(monkeypatch):
    rows = torch.randint(0, 257, (32, study.LONGEST + 1))
    monkeypatch.setattr(study, "texts", lambda: (None, rows))
    return rows


def test_trained_slopes_begin_as_the_fixed_ones_and_can_move():
    torch.manual_seed(0)
    moving = study.LearnedSlopes(ALIBI)
    fixed = Decoder(ALIBI)
    fixed.load_state_dict({k: v for k, v in moving.state_dict().items() if k != "log_slopes"})
    ids = torch.randint(0, 257, (2, 40))
    torch.testing.assert_close(moving(ids), fixed(ids))
    moving(ids).square().sum().backward()
    assert moving.log_slopes.grad.abs().min() > 0


def test_heads_without_scores_look_back_by_their_slope_alone(windows):
    model = Decoder(ALIBI)
    for block in model.blocks:
        torch.nn.init.zeros_(block.attention.q.weight)
    found = study.looks_back(model)
    queries, d = torch.arange(256, 512)[:, None], torch.arange(512)
    for head, slope in enumerate(alibi_slopes(8)):
        weights = (-slope * d).masked_fill(d > queries, -torch.inf).softmax(-1)
        wanted = (weights * d).sum(-1).mean()
        torch.testing.assert_close(found[:, head], wanted.expand(2), rtol=1e-4, atol=0)
    assert not any(block.attention._forward_hooks for block in model.blocks)


def test_bits_at_each_place_are_a_mean_over_windows(windows):
    bits = study.bits_by_position(Decoder(ALIBI))
    assert bits.shape == (512,)
    assert 7 < bits.min() < bits.max() < 12  # untrained: about log2(257), and worse


@pytest.mark.parametrize("arm", study.JOB.arms)
def test_every_arm_can_read_the_longest_window(arm):
    settings = study.JOB.arms[arm]
    config = study.model_config(settings)
    assert config.position.kind == settings["kind"]
    logits = Decoder(config)(torch.zeros(1, study.LONGEST, dtype=torch.int64))
    assert logits.shape == (1, 512, 257)
