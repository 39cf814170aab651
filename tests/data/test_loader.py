import itertools
import json

import numpy as np
import pytest
import torch

from minillm.data import BatchSampler, TokenShard, get_batch


def test_a_batch_by_hand():
    # five tokens, T = 3: only the starts 0 and 1 leave room for the target
    tokens = np.array([10, 11, 12, 13, 14], dtype=np.uint16)
    seen = set()
    for seed in range(20):
        x, y = get_batch(tokens, 1, 3, np.random.default_rng(seed))
        assert x.shape == y.shape == (1, 3)
        assert x.dtype == y.dtype == torch.int64
        assert x.is_contiguous()
        assert y.is_contiguous()
        seen.add((tuple(x[0].tolist()), tuple(y[0].tolist())))
    assert seen == {((10, 11, 12), (11, 12, 13)), ((11, 12, 13), (12, 13, 14))}


def test_every_start_is_as_likely_as_the_others():
    # 10 possible starts, 20 000 draws: 2 000 each, spread sqrt(20000 * .1 * .9) = 42; bound 5 of it
    x, _ = get_batch(torch.arange(14), 20_000, 4, np.random.default_rng(0))
    counts = np.bincount(x[:, 0].numpy(), minlength=14)
    assert (counts[10:] == 0).all()
    assert abs(counts[:10] - 2_000).max() < 212


@pytest.mark.parametrize(
    "make", [np.random.default_rng, lambda s: torch.Generator().manual_seed(s)]
)
def test_a_generator_moves_on_and_a_seed_repeats(make):
    tokens = list(range(1_000))
    rng = make(3)
    first, second = get_batch(tokens, 8, 4, rng), get_batch(tokens, 8, 4, rng)
    again = get_batch(tokens, 8, 4, make(3))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], second[0])
    assert torch.equal(get_batch(tokens, 8, 4, 5)[0], get_batch(tokens, 8, 4, 5)[0])


def test_the_same_batch_from_memory_tensor_and_disk(tmp_path):
    array = np.arange(500, dtype=np.uint16)
    shard = TokenShard.write(tmp_path / "a", array, vocab_size=500, tokenizer="t", source="s")
    wanted = get_batch(array, 4, 7, 1)
    for tokens in (shard, shard.tokens, torch.arange(500), list(range(500))):
        assert torch.equal(get_batch(tokens, 4, 7, 1)[0], wanted[0])
        assert torch.equal(get_batch(tokens, 4, 7, 1)[1], wanted[1])


@pytest.mark.parametrize(
    ("n_tokens", "batch", "context", "words"),
    [
        (4, 1, 4, "only 4"),
        (9, 0, 4, "at least 1, got 0 and 4"),
        (9, 1, 0, "at least 1, got 1 and 0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(n_tokens, batch, context, words):
    with pytest.raises(ValueError, match=words):
        get_batch(np.arange(n_tokens), batch, context, 0)
    with pytest.raises(ValueError, match=words):
        BatchSampler(np.arange(n_tokens), batch, context)
    get_batch(np.arange(5), 1, 4, 0)  # the smallest that does fit


@pytest.mark.parametrize("tokens", [np.zeros((2, 9), int), np.zeros(9)])
def test_only_one_axis_of_integers_is_taken(tokens):
    with pytest.raises(ValueError, match="one axis of integers"):
        get_batch(tokens, 1, 2, 0)


def starts_of(sampler, n_batches):
    return [x[:, 0].tolist() for x, _ in itertools.islice(sampler, n_batches)]


def test_an_epoch_serves_each_window_once_in_shuffled_order():
    # 1 + 4 * 30 tokens: exactly 30 windows; batches of 10 divide them
    sampler = BatchSampler(np.arange(121), 10, 4, seed=1)
    assert sampler.n_windows == 30
    one = list(itertools.chain(*starts_of(sampler, 3)))
    assert sampler.epoch == 1.0
    two = list(itertools.chain(*starts_of(sampler, 3)))
    every = list(range(0, 120, 4))
    assert sorted(one) == sorted(two) == every
    assert one != every  # shuffled
    assert one != two  # and anew in each epoch
    assert starts_of(BatchSampler(np.arange(121), 10, 4, seed=2), 3) != [
        one[:10],
        one[10:20],
        one[20:],
    ]


@pytest.mark.parametrize(("n_tokens", "n_windows"), [(120, 29), (121, 30), (124, 30), (125, 31)])
def test_the_last_window_needs_its_target(n_tokens, n_windows):
    assert BatchSampler(np.arange(n_tokens), 1, 4).n_windows == n_windows


def test_batches_run_over_the_border_of_epochs():
    sampler = BatchSampler(np.arange(121), 7, 4)
    served = list(itertools.chain(*starts_of(sampler, 30)))  # 210 windows: 7 epochs of 30
    assert len(served) == 210
    for epoch in range(7):
        assert len(set(served[30 * epoch : 30 * epoch + 30])) == 30
    x, y = next(sampler)
    assert x.shape == (7, 4)
    assert x.dtype == torch.int64
    assert torch.equal(y, x + 1)  # the tokens count up, so the target is one more


@pytest.mark.parametrize("at", [0, 1, 4, 5, 13])
def test_a_resumed_sampler_serves_what_the_undisturbed_one_does(at):
    tokens = np.random.default_rng(0).integers(0, 999, 121)
    whole = [x for x, _ in itertools.islice(BatchSampler(tokens, 7, 4, seed=5), 20)]
    first = BatchSampler(tokens, 7, 4, seed=5)
    for _ in range(at):
        next(first)
    state = json.loads(json.dumps(first.state_dict()))
    next(first)  # the state does not move with the sampler
    second = BatchSampler(tokens, 7, 4, seed=5)
    second.load_state_dict(state)
    rest = [x for x, _ in itertools.islice(second, 20 - at)]
    assert all(torch.equal(a, b) for a, b in zip(whole[at:], rest, strict=True))
    other = BatchSampler(tokens, 7, 4, seed=5)  # not resumed: the test can see a difference
    assert at == 0 or not torch.equal(next(other)[0], whole[at])


@pytest.mark.parametrize(
    ("key", "sampler"),
    [
        ("n_tokens", BatchSampler(np.arange(90), 2, 4, seed=5)),
        ("context", BatchSampler(np.arange(99), 2, 5, seed=5)),
        ("seed", BatchSampler(np.arange(99), 2, 4, seed=6)),
        ("stride", BatchSampler(np.arange(99), 2, 4, seed=5, stride=5)),
    ],
)
def test_a_state_of_other_data_is_refused(key, sampler):
    state = BatchSampler(np.arange(99), 2, 4, seed=5).state_dict()
    with pytest.raises(ValueError, match=f"taken with {key} "):
        sampler.load_state_dict(state)
    assert sampler.n_served == 0


def test_two_ranks_together_serve_what_one_serves():
    one = starts_of(BatchSampler(np.arange(121), 6, 4, seed=3), 12)
    ranks = [BatchSampler(np.arange(121), 3, 4, seed=3, rank=r, world_size=2) for r in (0, 1)]
    two = [starts_of(sampler, 12) for sampler in ranks]
    assert [a + b for a, b in zip(*two, strict=True)] == one
    assert ranks[0].state_dict() == ranks[1].state_dict()
    with pytest.raises(ValueError, match=r"rank must be in 0 \.\. 1, got 2"):
        BatchSampler(np.arange(121), 3, 4, rank=2, world_size=2)
    with pytest.raises(ValueError, match="got -1"):
        BatchSampler(np.arange(121), 3, 4, rank=-1, world_size=2)


@pytest.mark.parametrize(
    ("stride", "n_tokens", "n_windows"),
    [(5, 14, 2), (5, 15, 3), (5, 19, 3), (5, 20, 4), (2, 9, 3), (None, 13, 3)],
)
def test_windows_begin_every_stride_tokens(stride, n_tokens, n_windows):
    # T = 4: the last window and its target need 5 tokens after its start
    sampler = BatchSampler(np.arange(n_tokens), 1, 4, stride=stride)
    assert sampler.n_windows == n_windows
    served = sorted(itertools.chain(*starts_of(sampler, n_windows)))
    assert served == [i * (stride or 4) for i in range(n_windows)]


def test_a_stride_below_one_is_refused():
    with pytest.raises(ValueError, match="stride must be at least 1, got 0"):
        BatchSampler(np.arange(99), 1, 4, stride=0)
