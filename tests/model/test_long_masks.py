"""Masks for long texts by hand, by their formulas, and against caches that hold the same keys."""

import pytest
import torch

from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig, KVCache
from minillm.model.attention import attention
from minillm.model.long_masks import (
    parallel_mask,
    parallel_positions,
    sink_distances,
    sink_mask,
)
from minillm.model.masks import causal_mask, window_mask

IDS = torch.randint(0, 50, (2, 14), generator=torch.Generator().manual_seed(0))


def model(n_layers=2, **attention):
    torch.manual_seed(0)
    config = DecoderConfig(
        50, 16, n_layers, 32, AttentionConfig(2, **attention), FeedForwardConfig("swiglu", 16),
        init_std=0.3,
    )  # fmt: skip
    return Decoder(config, dtype=torch.float64).eval()


def sees(model, **keywords):
    """Enumerate: (T, T), whether the logits at t change when the id at s does."""
    T = IDS.shape[1]
    found = torch.zeros(T, T, dtype=torch.bool)
    with torch.no_grad():
        before = model(IDS, **keywords)
        for s in range(T):
            changed = IDS.clone()
            changed[:, s] = (changed[:, s] + 7) % 50
            found[:, s] = (model(changed, **keywords) - before).abs().amax(dim=(0, 2)) > 1e-9
    return found


def streamed(n_sink, window, T):
    """For each step, the positions that a rolling cache holds: one is added, then one dropped."""
    cache, steps = [], []
    for t in range(T):
        cache.append(t)
        if len(cache) > n_sink + window:
            del cache[n_sink]
        steps.append(list(cache))
    return steps


# ---- a window with sinks ---------------------------------------------------------------------


def test_sinks_by_hand():
    both = sink_mask(1, 2, 5) & causal_mask(5)
    rows = [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 0, 1, 1, 0], [1, 0, 0, 1, 1]]
    assert both.int().tolist() == rows
    last = sink_mask(1, 2, 2, 5) & causal_mask(2, 5)  # with a cache: the last two rows
    assert last.int().tolist() == rows[3:]


def test_without_sinks_it_is_the_window_and_with_many_it_hides_nothing():
    assert torch.equal(sink_mask(0, 3, 4, 9), window_mask(3, 4, 9))
    assert sink_mask(9, 1, 4, 9).all()
    assert sink_mask(20, 1, 4, 9).all()
    assert not torch.equal(sink_mask(1, 3, 4, 9), window_mask(3, 4, 9))


@pytest.mark.parametrize("T", [1, 4, 12])
@pytest.mark.parametrize(("n_sink", "window"), [(0, 1), (1, 1), (2, 3), (4, 4), (3, 20)])
def test_sinks_against_the_formula_and_a_rolling_cache(n_sink, window, T):
    S = 12
    mask, distances = sink_mask(n_sink, window, T, S), sink_distances(n_sink, window, T, S)
    assert mask.shape == distances.shape == (T, S)
    steps = streamed(n_sink, window, S)
    for t in range(T):
        place = t + S - T
        for s in range(S):
            assert mask[t, s] == (s < n_sink or place - s < window)
        allowed = (mask & causal_mask(T, S))[t].nonzero()[:, 0].tolist()
        assert allowed == steps[place]
        back = list(range(len(allowed)))[::-1]  # the cache numbers what it holds from 0
        assert distances[t, allowed].tolist() == back
    assert distances[mask & causal_mask(T, S)].max() <= n_sink + window - 1


def test_distances_by_hand():
    got = sink_distances(1, 2, 2, 5)
    allowed = sink_mask(1, 2, 2, 5) & causal_mask(2, 5)
    assert got[allowed].tolist() == [2, 1, 0, 2, 1, 0]
    assert (got[:, 0] == 2).all()  # the sink does not recede ...
    assert sink_distances(0, 2, 2, 5)[:, 0].tolist() == [3, 4]  # ... as a key of the window does


def test_attention_with_sinks_is_attention_to_what_a_rolling_cache_holds():
    q, k, v = torch.randn(3, 1, 2, 10, 8, generator=torch.Generator().manual_seed(1)).double()
    out = attention(q, k, v, sink_mask(2, 3, 10), causal=True)
    for t, held in enumerate(streamed(2, 3, 10)):
        alone = attention(q[:, :, t : t + 1], k[:, :, held], v[:, :, held])
        torch.testing.assert_close(out[:, :, t : t + 1], alone)
    assert not torch.allclose(out, attention(q, k, v, window_mask(3, 10), causal=True))


def test_a_model_of_one_layer_sees_the_sinks_and_the_window():
    mask = sink_mask(2, 3, 14)
    assert torch.equal(sees(model(1), mask=mask), mask & causal_mask(14))
    # a window in the config as well hides the sinks again
    assert torch.equal(sees(model(1, window=3), mask=mask), window_mask(3, 14) & causal_mask(14))


@torch.no_grad()
def test_decoding_with_a_cache_sees_the_same():
    decoder = model()
    whole = decoder(IDS, mask=sink_mask(2, 3, 14))
    cache = KVCache(decoder.config, 2, 14, dtype=torch.float64)
    parts = [(0, 6), (6, 7), (7, 14)]
    for start, end in parts:
        mask = sink_mask(2, 3, end - start, end)
        new = decoder(IDS[:, start:end], cache=cache, mask=mask)
        torch.testing.assert_close(new, whole[:, start:end])


# ---- parallel windows ------------------------------------------------------------------------


def test_parallel_windows_by_hand():
    both = parallel_mask([2, 1], 2) & causal_mask(5)
    assert both.int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1],
    ]
    assert parallel_positions([2, 1], 2).tolist() == [0, 1, 0, 2, 3]
    both = parallel_mask([1, 2], 1, n_shared=1) & causal_mask(5)
    assert both.int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 0, 1, 0, 0],
        [1, 0, 1, 1, 0],
        [1, 1, 1, 1, 1],
    ]
    assert parallel_positions([1, 2], 1, n_shared=1).tolist() == [0, 1, 1, 2, 3]
    assert parallel_positions([2], 0).dtype == torch.int64


def test_one_window_is_a_plain_causal_text():
    assert (parallel_mask([5], 3) | ~causal_mask(8)).all()
    assert parallel_positions([5], 3, n_shared=2).tolist() == list(range(10))


@pytest.mark.parametrize("lengths", [[1], [3, 3], [4, 1, 2]])
@pytest.mark.parametrize(("n_task", "n_shared"), [(0, 0), (3, 0), (2, 2)])
def test_parallel_windows_against_their_definition(lengths, n_task, n_shared):
    part = ["shared"] * n_shared + [i for i, n in enumerate(lengths) for _ in range(n)]
    part += ["task"] * n_task
    mask = parallel_mask(lengths, n_task, n_shared=n_shared) & causal_mask(len(part))
    positions = parallel_positions(lengths, n_task, n_shared=n_shared)
    for t, mine in enumerate(part):
        for s, other in enumerate(part):
            allowed = s <= t and (mine == other or mine == "task" or other == "shared")
            assert mask[t, s] == allowed
        if mine == "task":
            assert positions[t] == n_shared + max(lengths) + t - part.index("task")
        else:  # a token stands behind as many tokens as it can see
            assert positions[t] == mask[t].sum() - 1
    assert positions.max() + 1 == n_shared + max(lengths) + n_task


def test_a_model_of_one_layer_sees_its_window():
    mask = parallel_mask([4, 5], 4, n_shared=1)
    positions = parallel_positions([4, 5], 4, n_shared=1)
    found = sees(model(1), mask=mask, positions=positions)
    assert torch.equal(found, mask & causal_mask(14))


@torch.no_grad()
@pytest.mark.parametrize("n_shared", [0, 1, 2])
def test_the_row_is_what_windows_read_apart_and_joined_caches_give(n_shared):
    """The authors' way: read each window alone, put the caches side by side, read the task."""
    decoder, lengths, task = model(), [3, 5], 14 - 8 - n_shared
    keywords = {"n_shared": n_shared}
    positions = parallel_positions(lengths, task, **keywords)
    row = decoder(IDS, mask=parallel_mask(lengths, task, **keywords), positions=positions)
    joined = KVCache(decoder.config, 2, 14, dtype=torch.float64)
    start = n_shared
    for length in lengths:
        places = [*range(n_shared), *range(start, start + length)]
        own = KVCache(decoder.config, 2, len(places), dtype=torch.float64)
        alone = decoder(IDS[:, places], cache=own)  # its own positions, from 0
        torch.testing.assert_close(row[:, places], alone)
        joined.keys[..., places, :], joined.values[..., places, :] = own.keys, own.values
        start += length
    joined.length = start
    after = decoder(IDS[:, start:], cache=joined, positions=positions[start:])
    torch.testing.assert_close(row[:, start:], after)
    plain = decoder(IDS, mask=parallel_mask(lengths, task, **keywords))  # positions forgotten
    assert not torch.allclose(plain[:, start:], after)


@torch.no_grad()
def test_the_task_does_not_know_the_order_of_the_windows():
    decoder = model()

    def read(ids, lengths):
        mask, positions = parallel_mask(lengths, 6), parallel_positions(lengths, 6)
        return decoder(ids, mask=mask, positions=positions)[:, 8:]

    swapped = torch.cat((IDS[:, 3:8], IDS[:, :3], IDS[:, 8:]), dim=1)
    torch.testing.assert_close(read(IDS, [3, 5]), read(swapped, [5, 3]))
    assert not torch.allclose(decoder(IDS)[:, 8:], decoder(swapped)[:, 8:])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sink_mask(-1, 2, 4), "n_sink must not be negative, got -1"),
        (lambda: sink_mask(1, 0, 4), "window must be at least 1, got 0"),
        (lambda: sink_mask(1, 2, 0), "T=0"),
        (lambda: sink_mask(1, 2, 4, 3), "T=4, S=3"),
        (lambda: sink_distances(-2, 2, 4), "n_sink must not be negative, got -2"),
        (lambda: sink_distances(1, -3, 4), "window must be at least 1, got -3"),
        (lambda: parallel_mask([], 2), r"at least one window, got \[\]"),
        (lambda: parallel_mask([2, 0], 2), r"window_lengths must be at least 1, got \[2, 0\]"),
        (lambda: parallel_mask([2], -1), "n_task must not be negative, got -1"),
        (lambda: parallel_mask([2], 1, n_shared=-1), "n_shared must not be negative, got -1"),
        (lambda: parallel_positions([], 2), "at least one window"),
        (lambda: parallel_positions([2], -1), "n_task must not be negative, got -1"),
    ],
)
def test_wrong_arguments_are_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()
