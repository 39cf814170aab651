"""Shares by formula and by chance, epochs, resuming, ranks: all fixed by seed and window."""

import itertools
import json
import math
import random

import numpy as np
import pytest
import torch
from scipy import stats

from minillm.data.mixture import MixtureSampler, Stage
from minillm.data.proportions import (
    LLAMA_MIXTURE,
    LLAMA_TOKENS,
    normalised,
    plan_mixture,
    temperature_shares,
)
from minillm.data.shard import TokenShard

T = 4


def sources(**n_windows):
    """Row of tokens by name, whose values tell source (thousands) and place."""
    return {
        name: 1_000 * s + np.arange(n * T + 1)
        for s, (name, n) in enumerate(n_windows.items(), start=1)
    }


def sampler(batch_size=5, seed=3, sizes=None, **settings):
    return MixtureSampler(
        sources(**(sizes or {"a": 20, "b": 7, "c": 3})), batch_size, T, seed=seed, **settings
    )


def firsts(batches, n):
    return [x[:, 0].tolist() for x, _ in itertools.islice(batches, n)]


def test_shares_by_hand():
    sizes = {"a": 800, "b": 100}
    assert temperature_shares(sizes, 1) == pytest.approx({"a": 8 / 9, "b": 1 / 9})
    assert temperature_shares(sizes, 3) == pytest.approx({"a": 2 / 3, "b": 1 / 3})  # 2 to 1
    assert temperature_shares(sizes, 0.5) == pytest.approx({"a": 64 / 65, "b": 1 / 65})
    assert temperature_shares(sizes, math.inf) == {"a": 0.5, "b": 0.5}


def test_shares_equal_the_formula_for_many_sizes_and_temperatures():
    draw = random.Random(1)
    for _ in range(2_000):
        sizes = {str(i): 10 ** draw.uniform(0, 13) for i in range(draw.randint(1, 9))}
        temperature = draw.choice([0.3, 1, 2, 5, draw.uniform(0.2, 20)])
        shares = temperature_shares(sizes, temperature)
        raised = {name: n ** (1 / temperature) for name, n in sizes.items()}
        for name, p in shares.items():
            assert math.isclose(p, raised[name] / sum(raised.values()), rel_tol=1e-9)
        assert math.isclose(sum(shares.values()), 1, rel_tol=1e-12)


@pytest.mark.parametrize(
    ("sizes", "temperature", "words"),
    [
        ({}, 1, "at least one source"),
        ({"a": 0}, 1, "size of 'a' must be positive, got 0"),
        ({"a": math.nan}, 1, "'a' must be positive"),
        ({"a": 5}, 0, "temperature must be positive, got 0"),
        ({"a": 5}, math.nan, "temperature must be positive"),
    ],
)
def test_sizes_without_shares_are_refused(sizes, temperature, words):
    with pytest.raises(ValueError, match=words):
        temperature_shares(sizes, temperature)


def test_proportions_are_scaled():
    assert normalised({"a": 30, "b": 10, "c": 0}) == {"a": 0.75, "b": 0.25, "c": 0.0}
    for bad in ({"a": 0, "b": 0}, {"a": -1, "b": 3}, {"a": math.inf}):
        with pytest.raises(ValueError, match="proportion"):
            normalised(bad)


def test_a_plan_by_hand():
    plan = plan_mixture({"a": 300, "b": 100}, 200, {"a": 50, "b": 50})
    assert plan["a"] == (0.5, 100, 1 / 3, 0.5 / 0.75)
    assert plan["b"] == (0.5, 100, 1.0, 2.0)
    assert plan_mixture({"a": 300, "b": 100}, 200)["b"] == (0.25, 50, 0.5, 1.0)
    with pytest.raises(ValueError, match="budget must be positive, got 0"):
        plan_mixture({"a": 1}, 0)
    with pytest.raises(ValueError, match="only on one side: b, c"):
        plan_mixture({"a": 1, "b": 2}, 5, {"a": 1, "c": 2})


def test_the_table_of_llama_says_what_the_paper_says():
    assert sum(row.percent for row in LLAMA_MIXTURE.values()) == 100
    unique = {n: LLAMA_TOKENS * r.percent / 100 / r.epochs for n, r in LLAMA_MIXTURE.items()}
    assert round(unique["CommonCrawl"] / 1e9, 1) == 852.7
    assert round(unique["Github"] / 1e9, 1) == 98.4
    plan = plan_mixture(unique, LLAMA_TOKENS, {n: r.percent for n, r in LLAMA_MIXTURE.items()})
    for name, row in LLAMA_MIXTURE.items():
        assert math.isclose(plan[name].epochs, row.epochs)
    assert min(plan, key=lambda n: plan[n].factor) == "Github"


def test_empirical_shares_lie_in_the_bounds_of_chi_square():
    """1e5 draws; the seed is fixed, and the bound would be passed by one seed in a thousand."""
    shares = {name: row.percent for name, row in LLAMA_MIXTURE.items()}
    mixed = MixtureSampler(dict.fromkeys(shares, np.arange(99)), 1, T, proportions=shares, seed=8)
    counts = np.bincount(mixed.drawn(0, 100_000), minlength=7)
    wanted = 1_000 * np.array(list(shares.values()))
    chi_square = ((counts - wanted) ** 2 / wanted).sum()
    assert stats.chi2.ppf(0.001, 6) < chi_square < stats.chi2.ppf(0.999, 6)
    off = wanted + np.array([600, -600, 0, 0, 0, 0, 0])  # a share wrong by 0.6 % would be seen
    assert ((counts - off) ** 2 / off).sum() > stats.chi2.ppf(0.999, 6)
    runs = mixed.drawn(0, 100_000) == 0
    assert abs((runs[1:] & runs[:-1]).mean() - 0.67**2) < 0.008  # neighbours are independent


def test_windows_are_drawn_alike_however_they_are_asked_for():
    whole = sampler().drawn(0, 10_000)
    draw = random.Random(2)
    for _ in range(300):
        first, n = draw.randint(0, 9_000), draw.randint(0, 1_000)
        assert np.array_equal(sampler().drawn(first, n), whole[first : first + n])
    assert not np.array_equal(sampler(seed=4).drawn(0, 10_000), whole)


def test_each_source_is_served_whole_before_it_comes_again():
    mixed = sampler(proportions={"a": 1, "b": 2, "c": 3})
    served = {"1": [], "2": [], "3": []}
    for x, y in itertools.islice(mixed, 40):
        assert torch.equal(y, x + 1)  # the tokens count up
        for first in x[:, 0].tolist():
            served[str(first)[0]].append(first % 1_000)
    for (name, n), places in zip({"a": 20, "b": 7, "c": 3}.items(), served.values(), strict=True):
        assert mixed.served[name] == len(places)
        assert mixed.epochs[name] == len(places) / n
        for e in range(len(places) // n):
            assert sorted(places[e * n : (e + 1) * n]) == list(range(0, n * T, T))
        if len(places) >= 2 * n and n > 5:
            assert places[:n] != places[n : 2 * n]  # a new order in each epoch
    assert sum(mixed.served.values()) == mixed.n_served == 200


def test_a_source_keeps_its_order_whatever_it_is_mixed_with():
    def order(names, shares):
        sizes = {name: {"a": 20, "b": 7, "c": 3}[name] for name in names}
        tokens = sources(a=20, b=7, c=3)
        mixed = MixtureSampler({n: tokens[n] for n in sizes}, 5, T, proportions=shares, seed=3)
        return [f for batch in firsts(mixed, 60) for f in batch if f < 2_000][:18]

    alone = order("a", {"a": 1})
    assert order("ba", {"a": 1, "b": 1}) == order("abc", {"a": 1, "b": 5, "c": 1}) == alone
    assert alone != sorted(alone)


def test_a_source_of_share_nought_is_never_drawn():
    mixed = sampler(proportions={"a": 0, "b": 1, "c": 0})
    assert (mixed.drawn(0, 5_000) == 1).all()


def test_shares_by_temperature_are_those_of_the_tokens():
    sizes = {"a": 160, "b": 10}
    for temperature, ratio in ((None, 16), (2.0, 4), (math.inf, 1)):
        counts = np.bincount(sampler(sizes=sizes, temperature=temperature).drawn(0, 40_000))
        assert abs(counts[0] / 40_000 - ratio / (ratio + 1)) < 0.012


def test_stages_change_at_their_window():
    stages = [Stage(100, {"a": 1, "b": 0, "c": 0}), Stage(150, {"a": 0, "b": 1, "c": 0}),
              Stage(None, {"a": 0, "b": 0, "c": 1})]  # fmt: skip
    drawn = sampler(proportions=stages).drawn(0, 300)
    assert drawn.tolist() == [0] * 100 + [1] * 50 + [2] * 150
    assert sampler(proportions=stages).drawn(98, 4).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("at", [0, 1, 7, 30])
def test_a_resumed_sampler_serves_what_the_undisturbed_one_does(at):
    stages = [Stage(60, {"a": 5, "b": 3, "c": 1}), Stage(None, {"a": 1, "b": 1, "c": 8})]
    whole = [x for x, _ in itertools.islice(sampler(proportions=stages), 50)]
    first = sampler(proportions=stages)
    for _ in range(at):
        next(first)
    state = json.loads(json.dumps(first.state_dict()))
    next(first)  # the state does not move with the sampler
    second = sampler(proportions=stages)
    second.load_state_dict(state)
    rest = [x for x, _ in itertools.islice(second, 50 - at)]
    assert all(torch.equal(a, b) for a, b in zip(whole[at:], rest, strict=True))
    assert second.served == sampler_after(50, stages).served
    assert at == 0 or not torch.equal(next(sampler(proportions=stages))[0], whole[at])


def sampler_after(n, stages):
    mixed = sampler(proportions=stages)
    mixed.skip(n)
    return mixed


def test_skipping_is_reading_without_looking():
    read, skipped = sampler(), sampler()
    firsts(read, 13)
    skipped.skip(9)
    skipped.skip(4)
    assert read.state_dict() == skipped.state_dict()
    assert torch.equal(next(read)[0], next(skipped)[0])


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_ranks_together_serve_what_one_serves(world_size):
    one = [f for batch in firsts(sampler(batch_size=6), 20) for f in batch]
    ranks = [
        sampler(batch_size=6 // world_size, rank=r, world_size=world_size)
        for r in range(world_size)
    ]
    together = [
        f for parts in zip(*(firsts(r, 20) for r in ranks), strict=True) for p in parts for f in p
    ]
    assert together == one
    assert len({json.dumps(r.state_dict()) for r in ranks}) == 1
    # a run on one process goes on with three, and the other way round
    moved = sampler(batch_size=2, rank=1, world_size=3)
    moved.load_state_dict(ranks[0].state_dict())
    again = sampler(batch_size=6)
    again.skip(20)
    assert firsts(moved, 1)[0] == firsts(again, 1)[0][2:4]


def test_ten_thousand_random_samplers_keep_their_promises():
    """Random sizes, shares, batch, ranks and a break: window i is always the same one."""
    draw = random.Random(5)
    n_windows = 0
    for seed in range(400):
        sizes = {name: draw.randint(1, 9) for name in "abcd"[: draw.randint(1, 4)]}
        shares = {name: draw.choice([0, 1, draw.random()]) for name in sizes}
        shares[draw.choice(list(sizes))] = 1.0
        world_size, batch = draw.randint(1, 3), draw.randint(1, 4)
        made = [
            sampler(batch, seed, sizes, proportions=shares, rank=r, world_size=world_size)
            for r in range(world_size)
        ]
        cut = draw.randint(0, 4)
        seen = [f for _ in range(cut) for r in made for f in firsts(r, 1)[0]]
        one = sampler(1, seed, sizes, proportions=shares)
        one.load_state_dict(made[0].state_dict())
        seen += [f for (f,) in firsts(one, 30 - len(seen) % 30)]
        wanted = sampler(len(seen), seed, sizes, proportions=shares)
        assert firsts(wanted, 1)[0] == seen
        assert wanted.served == one.served
        assert all(one.served[name] == 0 for name, p in shares.items() if p == 0)
        n_windows += len(seen)
    assert n_windows > 10_000


def test_shards_of_both_widths_give_the_windows_of_memory(tmp_path):
    tokens = sources(a=20, b=7, c=3)
    shards = {
        name: TokenShard.write(tmp_path / name, t, vocab_size=size, tokenizer="t", source=name)
        for (name, t), size in zip(tokens.items(), (60_000, 100_000, 4_000), strict=True)
    }
    assert [s.header.dtype for s in shards.values()] == ["uint16", "uint32", "uint16"]
    on_disk = MixtureSampler(shards, 5, T, seed=3)
    assert firsts(on_disk, 30) == firsts(sampler(), 30)
    assert next(on_disk)[0].dtype == torch.int64


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"proportions": {"a": 1, "b": 1}}, "only on one side: c"),
        ({"proportions": {"a": 1, "b": 1, "c": 1}, "temperature": 2.0}, "not both"),
        ({"proportions": []}, "stages need rising ends"),
        ({"proportions": [Stage(9, {"a": 1, "b": 1, "c": 1})]}, "the last one none"),
        ({"proportions": [Stage(None, {}), Stage(None, {})]}, "rising ends"),
        ({"proportions": [Stage(9, {}), Stage(9, {}), Stage(None, {})]}, r"\[9, 9, None\]"),
        ({"rank": 2, "world_size": 2}, r"rank must be in 0 \.\. 1, got 2"),
        ({"rank": -1}, "got -1"),
        ({"batch_size": 0}, "at least 1, got 0 and 4"),
        ({"sizes": {"a": 20, "b": 0}}, "source 'b': a window of 4 and its target need 5 tokens"),
        ({"temperature": -1.0}, "temperature must be positive"),
    ],
)
def test_what_makes_no_mixture_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        sampler(**settings)


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("seed", {"seed": 4}),
        ("n_tokens", {"sizes": {"a": 20, "b": 7, "c": 4}}),
        ("stages", {"temperature": 2.0}),
    ],
)
def test_a_state_of_another_mixture_is_refused(key, other):
    state = sampler().state_dict()
    changed = sampler(**other)
    with pytest.raises(ValueError, match=f"taken with {key} "):
        changed.load_state_dict(state)
    assert changed.n_served == 0
    with pytest.raises(ValueError, match="taken with context 4"):
        MixtureSampler(sources(a=20, b=7, c=3), 5, 3, seed=3).load_state_dict(state)
