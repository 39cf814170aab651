"""Two rewards as one: the piecewise rule by hand, and what one reward can reach at most."""

import math

import numpy as np
import pytest
import torch

from minillm.align.calibration import preference_accuracy
from minillm.align.story_answers import HELPFUL, SAFE
from minillm.align.story_pairs import make_story_pairs, utilities_of
from minillm.align.two_rewards import combine_rewards, conflict_ceiling
from minillm.finetune.tasks import story_tasks

TASKS = story_tasks("train", 60)


def test_the_rule_by_hand():
    helpful = torch.tensor([1.0, 2.0, 3.0, 4.0])
    safe = torch.tensor([5.0, -5.0, 5.0, -5.0])
    is_safety = torch.tensor([True, True, False, False])
    found = combine_rewards(helpful, safe, is_safety)
    assert found.tolist() == [5.0, -5.0, 3.0, -5.0]
    edge = math.log(0.15 / 0.85)  # its score is the threshold
    safe = torch.tensor([edge - 1e-3, edge + 1e-3])
    assert combine_rewards(torch.ones(2), safe, torch.zeros(2).bool()).tolist() == [
        pytest.approx(edge - 1e-3),
        1.0,
    ]
    all_helpful = combine_rewards(helpful[:2], safe, torch.zeros(2).bool(), threshold=0)
    assert all_helpful.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_no_single_order_beats_the_ceiling(share):
    pairs = make_story_pairs(TASKS, seed=1, conflict=share)
    helpful, safe = (utilities_of(pairs, w) for w in (HELPFUL, SAFE))
    decided = (helpful[:, 0] != helpful[:, 1]) & (safe[:, 0] != safe[:, 1])
    gap_h, gap_s = (u[decided, 0] - u[decided, 1] for u in (helpful, safe))
    conflicts = (gap_h * gap_s < 0).mean()
    for reward in (gap_h, gap_s, gap_h + gap_s, np.random.default_rng(0).normal(size=len(gap_h))):
        right = [preference_accuracy(np.sign(gap) * reward) for gap in (gap_h, gap_s)]
        assert sum(right) / 2 <= conflict_ceiling(conflicts) + 1e-12
    right = [preference_accuracy(np.sign(gap) * gap_h) for gap in (gap_h, gap_s)]
    assert sum(right) / 2 == pytest.approx(conflict_ceiling(conflicts))  # it can be reached


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (
            lambda: combine_rewards(torch.ones(2), torch.ones(3), torch.ones(2).bool()),
            r"\(2,\), \(3,\) and \(2,\)",
        ),
        (lambda: combine_rewards(torch.ones(2), torch.ones(2), torch.ones(2)), "must be bool"),
        (
            lambda: combine_rewards(
                torch.ones(2), torch.ones(2), torch.ones(2).bool(), threshold=2.0
            ),
            r"in 0 \.\. 1; got 2.0",
        ),
        (lambda: conflict_ceiling(-0.1), "share must be"),
    ],
)
def test_bad_input(action, words):
    with pytest.raises(ValueError, match=words):
        action()
