"""k-center against every set of k points; pooling by hand; the article's way, step by step."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from minillm.finetune.coreset import (
    best_k_center,
    coverage,
    embed,
    k_center_greedy,
    mean_pool,
    task_coreset,
    unit_length,
)
from minillm.finetune.diversity import kmeans, n_covered
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig

CONFIG = DecoderConfig(
    vocab_size=40,
    d_model=16,
    n_layers=1,
    context=12,
    attention=AttentionConfig(2, 2),
    feedforward=FeedForwardConfig("swiglu", 16),
    init_std=0.2,
)


def model(seed=0):
    torch.manual_seed(seed)
    return Decoder(CONFIG)


@settings(max_examples=80, deadline=None)
@given(
    points=st.lists(
        st.tuples(*[st.floats(-9, 9, width=16)] * 2), min_size=2, max_size=9, unique=True
    ),
    k=st.integers(1, 4),
    start=st.integers(0, 8),
)
def test_greedy_is_within_twice_the_best(points, k, start):
    x = np.array(points, dtype=float)
    k, start = min(k, len(x)), start % len(x)
    chosen = k_center_greedy(x, k, start=start)
    best, least = best_k_center(x, k)
    assert len(set(chosen.tolist())) == k
    assert chosen[0] == start
    assert least - 1e-12 <= coverage(x, chosen).largest <= 2 * least + 1e-12
    assert coverage(x, best).largest == pytest.approx(least)


def test_the_factor_two_is_reached():
    line = np.array(
        [[0.0], [1.0], [2.0]]
    )  # from an end: the other end is 2 away, from the middle 1
    assert best_k_center(line, 1) == (pytest.approx([1]), pytest.approx(1.0))
    assert coverage(line, k_center_greedy(line, 1, start=0)).largest == 2.0
    assert coverage(line, k_center_greedy(line, 1, start=1)).largest == 1.0


def test_greedy_equals_the_definition_on_a_matrix_of_distances():
    x = np.random.default_rng(0).normal(size=(50, 4))
    d, chosen = cdist(x, x), [7]
    while len(chosen) < 9:
        chosen.append(int(d[:, chosen].min(axis=1).argmax()))
    assert k_center_greedy(x, 9, start=7).tolist() == chosen
    left = d[:, chosen].min(axis=1)
    found = coverage(x, chosen)
    assert (found.largest, found.mean) == (pytest.approx(left.max()), pytest.approx(left.mean()))
    # going on from some is the same as having chosen them
    assert k_center_greedy(x, 9, start=chosen[:4]).tolist() == chosen
    assert sorted(k_center_greedy(x, 50)) == list(range(50))


def test_the_best_equals_a_hand_computed_case():
    x = np.array([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]])
    chosen, least = best_k_center(x, 2)
    assert chosen.tolist() == [1, 4]
    assert least == 1.0
    with pytest.raises(ValueError, match="too many to try"):
        best_k_center(np.random.default_rng(0).normal(size=(60, 2)), 5)


def test_equal_points_are_not_chosen_twice():
    x = np.zeros((5, 2))
    assert sorted(k_center_greedy(x, 5, start=2)) == [0, 1, 2, 3, 4]


def test_greedy_finds_rare_groups_and_serves_the_average_worse_than_chance():
    dice = np.random.default_rng(1)
    turn = np.arange(12) / 12 * 2 * np.pi
    far = 6 * np.stack([np.cos(turn), np.sin(turn)], axis=1)  # twelve alone, around a crowd
    x = np.concatenate([far, dice.normal(size=(1000, 2))])
    group = np.minimum(np.arange(len(x)), 12)
    greedy = k_center_greedy(x, 20, start=500)
    chance = dice.choice(len(x), 20, replace=False)
    assert n_covered(group, greedy) == 13 > 3 * n_covered(group, chance)
    assert coverage(x, greedy).largest < coverage(x, chance).largest
    assert coverage(x, greedy).mean > coverage(x, chance).mean  # not what it minimises


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"k": 4}, "1 .. 3"),
        ({"k": 2, "start": 3}, "no example 3"),
        ({"k": 2, "start": -1}, "no example -1"),
        ({"k": 1, "start": [0, 1]}, "2 points are given"),
        ({"k": 2, "start": []}, "at least one"),
        ({"k": 3, "start": [1, 1]}, "named twice"),
    ],
)
def test_greedy_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        k_center_greedy(np.eye(3), **arguments)


def test_coverage_refuses():
    with pytest.raises(ValueError, match="at least one"):
        coverage(np.eye(3), [])
    with pytest.raises(ValueError, match="no example 5"):
        coverage(np.eye(3), [5])


def test_mean_pool_by_hand_and_in_half_precision():
    hidden = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [99.0, 99.0]], [[5.0, 5.0]] * 3])
    mask = torch.tensor([[1, 1, 0], [0, 0, 1]], dtype=torch.bool)
    torch.testing.assert_close(mean_pool(hidden, mask), torch.tensor([[2.0, 4.0], [5.0, 5.0]]))
    many = torch.full((1, 4096, 1), 0.1, dtype=torch.bfloat16)  # a sum in bfloat16 would stick
    pooled = mean_pool(many, torch.ones(1, 4096, dtype=torch.bool))
    assert pooled.dtype == torch.float32
    assert pooled.item() == pytest.approx(0.1, rel=0.01)
    with pytest.raises(ValueError, match="row 1 has no token"):
        mean_pool(hidden, torch.tensor([[1, 1, 1], [0, 0, 0]], dtype=torch.bool))
    with pytest.raises(ValueError, match="does not fit"):
        mean_pool(hidden, mask[:, :2])


def test_cosine_is_the_dot_product_and_orders_as_distance_does():
    dice = np.random.default_rng(0)
    x, y = dice.normal(size=(30, 5)), dice.normal(size=(20, 5))
    u, v = unit_length(x), unit_length(y)
    np.testing.assert_allclose(u @ v.T, 1 - cdist(x, y, "cosine"))
    np.testing.assert_allclose(cdist(u, v) ** 2, 2 - 2 * u @ v.T, atol=1e-12)
    np.testing.assert_array_equal((u @ v.T).argmax(axis=1), cdist(u, v).argmin(axis=1))
    assert (cdist(x, y).argmin(axis=1) != (u @ v.T).argmax(axis=1)).any()  # not without lengths 1
    with pytest.raises(ValueError, match="vector 1 is zero"):
        unit_length(np.array([[1.0, 0.0], [0.0, 0.0]]))


def test_embed_is_the_mean_of_features_whatever_the_batch():
    rows = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10], [3, 3, 3, 3]]
    net = model().train()
    together, alone = embed(net, rows), embed(net, rows, batch_size=1)
    np.testing.assert_allclose(together, alone, atol=1e-6)  # padding is not looked at
    assert net.training
    assert together.dtype == np.float64
    with torch.no_grad():
        hidden = net.eval().features(torch.tensor([rows[2]]))[0].mean(dim=0)
    np.testing.assert_allclose(together[2], (hidden / hidden.norm()).numpy(), atol=1e-6)
    long = list(range(20))
    np.testing.assert_allclose(embed(net, [long]), embed(net, [long[:12]]), atol=1e-6)
    for bad in ([], [[1], []]):
        with pytest.raises(ValueError, match="at least one token"):
            embed(net, bad)


def test_task_coreset_step_by_step():
    dice = np.random.default_rng(5)
    middles = np.eye(6)[:3] * 3
    group = np.repeat([0, 1, 2], [40, 30, 30])
    vectors = middles[group] + 0.3 * dice.normal(size=(100, 6))
    task = np.flatnonzero((group == 1) | (np.arange(100) < 8))  # 30 of group 1, 8 of group 0
    found = task_coreset(vectors, task, 5, n_clusters=3, seed=0)
    x = unit_length(vectors)
    clusters = kmeans(x, 3, seed=0)
    assert (clusters.labels[group == 1] == found.cluster).all()  # the task's home
    np.testing.assert_array_equal(found.centre, clusters.centres[found.cluster])
    cosine = 1 - cdist(x[task], found.centre[None], "cosine")[:, 0]
    assert found.task_centre == task[cosine.argmax()] == found.chosen[0]
    assert set(found.chosen.tolist()) <= set(task.tolist())
    own = x[task]
    greedy = k_center_greedy(own, 5, start=int(cosine.argmax()))
    np.testing.assert_array_equal(found.chosen, task[greedy])
    # the length of a vector plays no part
    again = task_coreset(vectors * dice.uniform(1, 9, (100, 1)), task, 5, n_clusters=3, seed=0)
    np.testing.assert_array_equal(again.chosen, found.chosen)
    for n, words in ((0, "1 .. 38"), (39, "1 .. 38")):
        with pytest.raises(ValueError, match=words):
            task_coreset(vectors, task, n, n_clusters=3)
    with pytest.raises(ValueError, match="no example 100"):
        task_coreset(vectors, [100], 1, n_clusters=3)
