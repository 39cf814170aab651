"""A run of a scaling grid: what it reads, what it costs, and that stopping it changes nothing."""

import itertools
import json

import numpy as np
import pytest
import torch

from minillm.data.corpora import Corpus
from minillm.model import Decoder, flops_per_token
from minillm.recipes import isoflop_runs
from minillm.recipes.isoflop_runs import BYTE_END, CONTEXT, Cell, train_cell
from minillm.recipes.studies import isoflop_grid, kaplan_habits
from minillm.train import make_optimizer

TOKENS = 16 * CONTEXT
SMALL = Cell(flops=56_928 * TOKENS * 11, d_model=16, n_layers=1, lr=0.01)
"""Eleven steps of the smallest model."""


@pytest.fixture
def text(monkeypatch):
    """Thirty thousand bytes to train on and 64 held-out windows, both of one short alphabet."""
    rng = np.random.default_rng(0)
    train = rng.integers(97, 105, 30_000).astype(np.uint16)
    test = torch.from_numpy(rng.integers(97, 105, (64, CONTEXT + 1)))
    monkeypatch.setattr(isoflop_runs, "texts", lambda: (train, test))


@pytest.mark.parametrize("flops", [1e11, 9e11, 2.43e13])
def test_a_run_spends_its_budget_to_within_half_a_step(flops):
    cell = Cell(flops, 64, 4, lr=0.01)
    per_step = flops_per_token(cell.model) * TOKENS
    assert abs(cell.steps * per_step - flops) <= per_step / 2


def test_a_curve_is_measured_at_every_smaller_budget_and_at_the_end():
    cell = Cell(9e11, 32, 2, lr=0.01)
    marks = cell.marks()
    assert marks == sorted(set(marks))
    assert marks[-1] == cell.steps
    assert {round(cell.steps / 3), round(cell.steps / 9)} <= set(marks)
    assert marks[0] >= 1
    assert round(cell.steps / 27) not in marks  # below the smallest budget
    assert Cell(1e11, 32, 2, lr=0.01).marks()[-1] == Cell(1e11, 32, 2, lr=0.01).steps


def test_the_warm_up_is_a_share_of_the_run_or_a_number_of_tokens():
    cell = Cell(9e11, 32, 2, lr=0.01)
    assert cell.warmup_steps == round(0.05 * cell.steps)
    assert Cell(1e11, 48, 3, lr=0.01).warmup_steps == 8  # 5 % would be 7
    assert Cell(9e11, 32, 2, lr=0.01, warmup_tokens=10 * TOKENS).warmup_steps == 10
    short = Cell(1e11, 48, 3, lr=0.01, warmup_tokens=300_000)
    assert short.warmup_steps == short.steps


def test_wide_models_start_with_smaller_weights():
    assert Cell(1e11, 16, 2, lr=1).model.init_std == pytest.approx(0.1)
    assert Cell(1e11, 64, 2, lr=1).model.init_std == pytest.approx(0.05)


def test_what_is_measured(text, tmp_path):
    found = train_cell(SMALL, 1, tmp_path)
    assert found["steps"] == 11
    assert found["d"] == 11 * TOKENS
    assert found["n"] == Decoder(SMALL.model).n_parameters()
    assert found["n_blocks"] == 4 * 16**2 + 3 * 16 * 48
    assert found["flops"] == pytest.approx(SMALL.flops)
    assert found["flops_6nd"] == 6 * found["n"] * found["d"]
    assert found["epochs"] == pytest.approx(11 * TOKENS / 30_000)
    assert found["curve_d"][-1] == found["d"]
    assert len(found["curve_loss"]) == len(found["curve_d"]) == len(found["curve_train"])
    assert found["curve_loss"][0] > found["curve_loss"][-1]  # it learns the alphabet
    assert 0 < found["loss_se"] < 0.1
    assert abs(found["loss"] - found["curve_loss"][-1]) < 0.05  # of all windows, and of some
    assert found["loss"] != found["curve_loss"][-1]
    json.dumps(found, allow_nan=False)
    assert list(tmp_path.iterdir()) == []  # nothing is left behind


def test_a_run_that_is_stopped_goes_on_as_if_nothing_had_happened(text, tmp_path, monkeypatch):
    monkeypatch.setattr(isoflop_runs, "SAVE_EVERY", SMALL.flops / 5)
    whole = train_cell(SMALL, 1, tmp_path / "whole")
    marks, look = [], isoflop_runs.window_losses

    def stops(model, every=1):
        marks.append(every)
        if len(marks) == 5:
            raise KeyboardInterrupt
        return look(model, every)

    monkeypatch.setattr(isoflop_runs, "window_losses", stops)
    with pytest.raises(KeyboardInterrupt):
        train_cell(SMALL, 1, tmp_path / "stopped")
    assert len(list((tmp_path / "stopped").iterdir())) == 2  # checkpoint, and the curve so far
    seen = len(marks)
    assert train_cell(SMALL, 1, tmp_path / "stopped") == whole
    assert len(marks) - seen == 4  # those at steps 5, 6, 8 and 11: it did not start anew
    assert marks[-4:] == [8, 8, 8, 1]  # all windows at the end
    assert [list(place.iterdir()) for place in tmp_path.iterdir()] == [[], []]  # nothing is left


def test_the_rate_rises_and_falls_with_the_run(text, tmp_path, monkeypatch):
    made = []

    def remember(*args):
        made.append(make_optimizer(*args))
        return made[-1]

    monkeypatch.setattr(isoflop_runs, "make_optimizer", remember)
    rates = {}
    for step, _, _ in isoflop_runs.descend(SMALL, 1, tmp_path / "none"):
        rates[step] = made[0].param_groups[0]["lr"]
    assert rates[1] == pytest.approx(0.01 / 8)
    assert rates[8] == pytest.approx(0.01)
    assert rates[11] == pytest.approx(0.001)


def test_draws_differ_and_rates_do_not_change_the_draw(text, tmp_path):
    def first_loss(**changes):
        cell = Cell(**{**SMALL.__dict__, **changes})
        _, loss, _ = next(iter(isoflop_runs.descend(cell, 1, tmp_path / "none")))
        return loss

    assert first_loss() == first_loss()
    assert first_loss(draw=2) != first_loss()
    assert first_loss(lr=0.02) == first_loss()  # the first mark is the first step


def test_whole_texts_are_held_out_and_the_library_is_read_once(monkeypatch):
    prose = [f"{i:04} " * 40 for i in range(100)]
    origins = ["python/os.py::"] * 10 + ["torch/x.py::f"] * 90
    code = [f"c{i:03} " * 40 for i in range(50)]
    found = {
        "prose": Corpus("prose", prose, "", "", origins),
        "code": Corpus("code", code, "", "", [""] * 50),
    }
    monkeypatch.setattr(isoflop_runs, "load_corpus", lambda name, progress: found[name])
    monkeypatch.setattr(isoflop_runs, "N_TEST_WINDOWS", 10)
    isoflop_runs.texts.cache_clear()
    train, test = isoflop_runs.texts()
    isoflop_runs.texts.cache_clear()
    assert (train == BYTE_END).sum() == 90 - 4 + 50 - 2
    read = bytes(train[train != BYTE_END].astype(np.uint8)).decode().split()
    assert not {f"{i:04}" for i in range(10)} & set(read)  # the library's own docstrings
    held_out = {int(b) for row in test for b in row.tolist()}
    assert BYTE_END in held_out or len(test) == 10
    windows = [bytes(b for b in row if b != BYTE_END).decode() for row in test.tolist()]
    words = {w for window in windows for w in window.split()[1:-1]}
    assert words
    assert not words & set(read)


def test_the_grid_is_what_the_issue_asks_for():
    grid = isoflop_grid.JOB
    budgets = sorted({settings["flops"] for settings in grid.arms.values()})
    assert len(grid.arms) >= 60
    for asked in (9e11, 2.7e12, 8e12, 2.4e13):
        assert min(abs(b / asked - 1) for b in budgets) < 0.02
    for low, high in itertools.pairwise(budgets):
        assert high / low == pytest.approx(isoflop_runs.STEP)
    cells = [isoflop_grid.cell_of(s) for s in grid.arms.values()]
    assert max(cell.steps * cell.batch * CONTEXT for cell in cells) < 17.5e6  # of 19 million bytes
    assert min(cell.steps for cell in cells) > 1000  # no size is short of steps
    sizes = [Decoder(Cell(1e11, d, n, lr=1).model, device="meta") for d, n in isoflop_grid.LADDER]
    counts = [model.n_parameters() for model in sizes]
    assert counts == sorted(counts)
    assert counts[0] < 11e3
    assert counts[-1] > 3e6
    assert [s["flops"] for s in grid.arms.values()] == sorted(c.flops for c in cells)


def test_rates_fall_with_the_width_and_batches_grow_with_the_text():
    assert isoflop_grid.rate(1e5) == 0.0033
    assert isoflop_grid.rate(4e5) == pytest.approx(0.0033 / 2, rel=0.05)
    assert [isoflop_grid.batch(d) for d in (1e5, 1e6, 4e6, 16e6)] == [2, 4, 8, 16]


def test_habits_change_one_thing():
    for name, settings in kaplan_habits.JOB.arms.items():
        plain = isoflop_grid.JOB.arms[name.removeprefix("warm_up_").removeprefix("rate_")]
        changed = {k for k in settings if settings[k] != plain.get(k)}
        assert changed == ({"warmup_tokens"} if name.startswith("warm_up") else {"lr"})
    assert kaplan_habits.kaplan_rate(1e6) == pytest.approx(0.0013)
