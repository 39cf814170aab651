"""The study of objectives: the same for all, the best possible answers by enumeration, the cost."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from minillm.model import flops_per_token
from minillm.recipes import objective_rows as rows
from minillm.recipes import objective_runs as runs
from minillm.recipes.studies import objectives_compared as study

TINY = dataclasses.replace(study.setup(), flops=4e8)


def row_of(name, length=32):
    return rows.make_row(name, np.arange(length) % 16, np.random.default_rng(0), TINY.words)


def test_chances():
    follows = study.chances()
    np.testing.assert_allclose(follows.sum(axis=1), 1)
    assert ((follows > 0).sum(axis=1) <= 4).all()
    text = study.walk(60_000, seed=3)
    counts = np.zeros((16, 16))
    np.add.at(counts, (text[:-1], text[1:]), 1)
    np.testing.assert_allclose(counts / counts.sum(axis=1, keepdims=True), follows, atol=0.04)
    assert not counts[follows == 0].any()


def test_the_best_answer_by_enumeration():
    gaps, _ = runs.questions(study.setup(), 3, 1)
    follows = study.chances()
    for gap, both in itertools.product(gaps, (False, True)):
        left, right = gap.text[gap.start - 1], gap.text[gap.end]
        chance = {}
        for words in itertools.product(range(16), repeat=4):
            path = [left, *words, right] if both else [left, *words]
            chance[words] = math.prod(follows[a, b] for a, b in itertools.pairwise(path))
        here = tuple(gap.middle.tolist())
        nats, exact = study.best(gap, both=both)
        assert math.isclose(nats, -math.log(chance[here] / sum(chance.values())), rel_tol=1e-9)
        assert exact == (chance[here] == max(chance.values()))


def test_both_sides_are_worth_more_than_one():
    found = study.best_possible()
    assert found["fill both nats"] < 0.7 * found["fill left nats"]
    assert found["fill both exact"] > 3 * found["fill left exact"]
    entropy = -sum(p * math.log(p) for p in study.CHANCES)
    assert math.isclose(found["continue nats"], entropy, abs_tol=0.05)


@pytest.mark.parametrize("name", rows.OBJECTIVES)
def test_every_objective_trains_and_answers(name):
    feed = runs.Feed(name, TINY, seed=1)
    model = runs.train_objective(name, TINY, 1, feed=feed)
    gaps, ahead = runs.questions(TINY, 6, 6)
    for some, n in ((gaps, 4), (ahead, 16)):
        found = runs.answers(name, model, [runs.ask(name, q, TINY) for q in some], size=4)
        assert found.n_asked.tolist() == [n] * 6
        assert torch.isfinite(found.nats).all()
    assert feed.flops > 0
    assert feed.n_text > 0


def test_equal_compute():
    for name in rows.OBJECTIVES:
        feed = runs.Feed(name, study.setup(), seed=5)
        source = iter(feed)
        for _ in range(40):
            next(source)
        steps = runs.n_steps(name, study.setup())
        assert math.isclose(feed.flops / 40 * steps, study.setup().flops, rel_tol=0.05)


def test_the_cost_of_a_row_is_that_of_the_config():
    shape = TINY.config
    row = row_of("causal")
    assert rows.row_flops("causal", row, shape) == 31 * flops_per_token(shape, context=31)
    masked = row_of("masked")  # 5 of 32 tokens are asked for
    saved = 6 * shape.vocab_size * shape.d_model * (32 - 5)
    full = 32 * flops_per_token(shape, context=32)
    assert rows.row_flops("masked", masked, shape) == full - saved


def test_rows_of_each_kind():
    w = TINY.words
    assert row_of("causal").n_context == row_of("causal_fim").n_context == 0
    assert row_of("masked").n_context == 32
    assert w["mask"] in row_of("glm").tokens
    assert w["gmask"] in row_of("glm_ends").tokens
    assert row_of("mixture").tokens[0] in (w["R"], w["S"], w["X"])
    pair = row_of("span_encdec")
    assert pair.tokens[0] == w["start"]
    assert pair.tokens[1:].tolist() == pair.targets[:-1].tolist()
    with pytest.raises(ValueError, match="no objective 'bert'; there are causal, causal_fim"):
        row_of("bert")


def test_rolled_masks_hide_any_place():
    w, rng, ids = TINY.words, np.random.default_rng(0), np.arange(16)
    ends = []
    for _ in range(200):
        row = rows.make_row("span", ids, rng, w)
        ends.append(row.tokens[row.n_context - 1] in w.sentinels)
    assert 5 < sum(ends) < 60  # one span of two tokens: the end in one of eight or so


def test_questions_are_unseen_and_always_the_same():
    gaps, ahead = runs.questions(TINY)
    again, _ = runs.questions(TINY)
    assert (len(gaps), len(ahead)) == (400, 200)
    assert all(
        (a.text == b.text).all() and a.start == b.start for a, b in zip(gaps, again, strict=True)
    )
    assert all(len(q.middle) == 4 and 8 <= q.start <= 20 for q in gaps)
    assert all((q.start, q.end) == (16, 32) for q in ahead)


def test_the_job_runs(monkeypatch):
    monkeypatch.setattr(study, "setup", lambda: TINY)
    found = study.run({"objective": "glm_mixed"}, 1)
    assert {"mask loss start", "gmask loss end", "fill nats", "continue nats", "own loss"} <= set(
        found
    )
    assert all(math.isfinite(value) for value in found.values())
    once = runs.measure("masked", runs.train_objective("masked", TINY, 1), TINY)
    assert {"fill one by one exact", "continue at once nats"} <= set(once)
