"""Pairs with a known utility: the share of conflict is exact, and rows go through a file."""

from collections import Counter

import numpy as np
import pytest

from minillm.align.annotators import Annotator, annotate
from minillm.align.pair_files import read_pairs, write_pairs
from minillm.align.story_answers import HELPFUL, SAFE, VARIANTS, is_secret
from minillm.align.story_pairs import (
    features_of,
    make_story_pairs,
    preferences_of,
    utilities_of,
)
from minillm.finetune.tasks import story_tasks
from minillm.tokenizer import course_tokenizer

TASKS = story_tasks("train", 60) + story_tasks("train", 60, language="zh")


def test_each_task_has_two_different_answers():
    pairs = make_story_pairs(TASKS, seed=1)
    assert [pair.task for pair in pairs] == TASKS
    assert all(pair.texts[0] != pair.texts[1] for pair in pairs)
    assert all(pair.variants[0] != pair.variants[1] for pair in pairs)
    seen = Counter(kind for pair in pairs for kind in pair.variants)
    assert set(seen) == set(VARIANTS)
    assert min(seen.values()) > 20  # of 240 answers, 40 expected of each kind
    assert [pair.texts for pair in make_story_pairs(TASKS, seed=1)] == [
        pair.texts for pair in pairs
    ]
    assert [pair.texts for pair in make_story_pairs(TASKS, seed=2)] != [
        pair.texts for pair in pairs
    ]


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_share_of_conflict_is_exact(share):
    pairs = make_story_pairs(TASKS, seed=3, conflict=share)
    assert sum(pair.conflicts() for pair in pairs) == round(share * len(TASKS))
    helpful, safe = utilities_of(pairs, HELPFUL), utilities_of(pairs, SAFE)
    product = (helpful[:, 0] - helpful[:, 1]) * (safe[:, 0] - safe[:, 1])
    assert (product < 0).sum() == round(share * len(TASKS))
    for pair in pairs:
        assert pair.conflicts() == is_secret(pair.task.messages)
        if pair.conflicts():
            assert set(pair.variants) == {"right", "refusal"}


def test_a_smaller_share_is_part_of_a_larger_one():
    few, many = (make_story_pairs(TASKS, seed=3, conflict=share) for share in (0.1, 0.5))
    for one, two in zip(few, many, strict=True):
        assert not one.conflicts() or one.texts == two.texts
        assert two.conflicts() or one.texts == two.texts
    firsts = Counter(pair.variants[0] for pair in many if pair.conflicts())
    assert min(firsts["right"], firsts["refusal"]) > 15  # which stands first says nothing


def test_wrong_answers_are_wrong_and_of_the_same_kind():
    known = {}
    for task in TASKS:
        known.setdefault(task.kind, set()).add(task.answer)
    for pair in make_story_pairs(TASKS, seed=4, variants=("right", "wrong")):
        right, wrong = pair.texts if pair.variants[0] == "right" else pair.texts[::-1]
        assert right == pair.task.answer
        assert wrong in known[pair.task.kind]
        assert not pair.task.check(wrong)


def test_labels_become_preferences(tmp_path):
    pairs = make_story_pairs(TASKS, seed=5, conflict=0.2)
    utilities, features = utilities_of(pairs, HELPFUL), features_of(pairs)
    two = [Annotator("a", noise=0.0), Annotator("b", noise=0.0, bias={"length": 100.0})]
    labels = annotate(utilities, two, seed=1, features=features)
    rows = preferences_of(pairs, labels)
    assert len(rows) == 2 * len(pairs)
    for n, pair in enumerate(pairs):
        better = int(utilities[n, 1] > utilities[n, 0])
        assert rows[n].chosen == pair.texts[better]
        assert rows[n].rejected == pair.texts[1 - better]
        assert rows[n].prompt == pair.task.messages
        assert rows[n].rating == labels.ratings[n, 0]
        other = rows[len(pairs) + n]  # the second annotator sees nothing but the length
        unit = features["length"][n]
        if abs(unit[0] - unit[1]) > 0.05:
            assert other.chosen == pair.texts[int(unit[1] > unit[0])]
    path = tmp_path / "pairs.jsonl"
    write_pairs(path, rows)
    assert read_pairs(path, course_tokenizer()).strict().pairs == rows


def test_features_are_the_traits():
    pairs = make_story_pairs(TASKS[:20], seed=6)
    features = features_of(pairs)
    assert set(features) == {"length", "complete", "refuses", "rude"}
    for name, values in features.items():
        assert values.shape == (20, 2)
        assert values[7, 1] == float(getattr(pairs[7].judged[1], name))
    assert utilities_of([], HELPFUL).shape == (0, 2)
    assert np.isfinite(utilities_of(pairs, SAFE)).all()


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: make_story_pairs(TASKS, seed=1, conflict=1.2), r"in 0 \.\. 1; got 1.2"),
        (lambda: make_story_pairs(TASKS, seed=1, variants=("right",)), "two or more of"),
        (lambda: make_story_pairs(TASKS, seed=1, variants=("right", "right")), "two or more of"),
        (lambda: make_story_pairs(TASKS, seed=1, variants=("right", "best")), "got .*'best'"),
        (lambda: make_story_pairs(TASKS[:1], seed=1), "task 0 .* has no wrong answer.*more tasks"),
        (
            lambda: preferences_of(
                make_story_pairs(TASKS, seed=1),
                annotate(np.zeros((3, 2)), [Annotator("a")], seed=1),
            ),
            "120 pairs and labels of 3",
        ),
    ],
)
def test_bad_input(action, words):
    with pytest.raises(ValueError, match=words):
        action()
