"""Rounds of rejection sampling: they raise the score, and a run that was killed goes on."""

import json
import shutil

import pytest
import torch

from minillm.align import rejection_rounds as module
from minillm.align.grpo import task_rewards
from minillm.align.rejection import Kept
from minillm.align.rejection_rounds import RejectionConfig, rejection_run
from minillm.finetune import read_rows
from minillm.train import OptimizerConfig, TrainConfig

STEPS = TrainConfig(
    steps=6, batch_size=2, context=40, log_every=0, save_every=2, precision="float32"
)
CONFIG = RejectionConfig(n_samples=6, rounds=2, max_tokens=3, seed=4)


def run(toy, folder, config=CONFIG, model=None, score=task_rewards, steps=STEPS, **kw):
    model = toy.model() if model is None else model
    kw = {"optimizer": OptimizerConfig(lr=1e-2), **kw}
    reports = rejection_run(model, toy.tokenizer, toy.tasks, score, config, steps, folder, **kw)
    return reports, model


def same(one, two):
    mine, theirs = one.state_dict(), two.state_dict()
    return all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_rounds_raise_the_score(toy, tmp_path):
    config = RejectionConfig(n_samples=24, rounds=3, max_tokens=3, least=1.0)
    (first, _, third), _ = run(toy, tmp_path / "run", config)
    assert first.mean < 0.6 < 0.7 < third.mean  # a third of the answers were right at first
    assert first.kept == 1
    assert first.best == 1
    assert first.n_answers == 48
    lines = (tmp_path / "run" / "round-0.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["report"]["n_answers"] == 48
    rows = [json.loads(line) for line in lines[1:]]
    assert [row["task"] for row in rows] == [0, 1]
    assert all(row["messages"][-1]["content"] == "b" and row["score"] == 1 for row in rows)
    path = tmp_path / "rows.jsonl"  # the rows alone are a file of talks
    path.write_text("\n".join(lines[1:]) + "\n")
    assert len(read_rows(path, toy.tokenizer).strict().rows) == 2


class Kill(Exception):
    pass


@pytest.fixture(scope="module")
def whole(toy, tmp_path_factory):
    """The folder, the reports and the model of a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, *run(toy, folder)


@pytest.mark.parametrize("moment", ["draw", "save", "next draw", "last save"])
def test_killed_and_gone_on_with_is_the_undisturbed_run(toy, tmp_path, monkeypatch, moment, whole):
    _, wanted, end = whole
    calls = {"draw": 0, "save": 0}
    stop = {"draw": ("draw", 1), "save": ("save", 1), "next draw": ("draw", 2),
            "last save": ("save", 5)}[moment]  # fmt: skip

    def counted(name, real):
        def called(*args, **kw):
            calls[name] += 1
            out = real(*args, **kw)
            if (name, calls[name]) == stop:
                raise Kill  # the answers are drawn, but not written; the checkpoint is
            return out

        return called

    real_checkpointer = module.checkpointer
    with monkeypatch.context() as patch:
        patch.setattr(module, "sample_answers", counted("draw", module.sample_answers))
        patch.setattr(module, "checkpointer", lambda f: counted("save", real_checkpointer(f)))
        with pytest.raises(Kill):
            run(toy, tmp_path / "killed")
    torch.manual_seed(99)  # whatever happens in between
    found, model = run(toy, tmp_path / "killed")
    assert found == wanted
    assert same(model, end)
    told = []

    def watched(*args, state, **kw):
        told.append(state and state.step)
        return module_fine_tune(*args, state=state, **kw)

    module_fine_tune = module.fine_tune
    monkeypatch.setattr(module, "fine_tune", watched)
    again, done = run(toy, tmp_path / "killed")  # nothing is left to do
    assert told == [STEPS.steps] * 2
    assert again == wanted
    assert same(done, end)


def test_what_was_written_down_is_not_drawn_again(toy, tmp_path, monkeypatch, whole):
    folder, wanted, end = whole
    shutil.copytree(folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "round-1")  # its rows are still there
    monkeypatch.setattr(module, "sample_answers", lambda *args, **kw: 1 / 0)
    found, model = run(toy, tmp_path / "run")
    assert found == wanted
    assert same(model, end)


def test_from_the_first_model(toy, tmp_path):
    """Two rounds from the first: the second ends where tuning the first on its rows does."""
    _, model = run(toy, tmp_path / "a", RejectionConfig(6, 2, max_tokens=3, from_first=True))
    _, moved = run(toy, tmp_path / "b", RejectionConfig(6, 2, max_tokens=3))
    assert not same(model, moved)
    lone = toy.model()
    rows = (tmp_path / "a" / "round-1.jsonl").read_text().splitlines()[1:]
    talks = [json.loads(row)["messages"] for row in rows]
    batches = module._batches(talks, toy.tokenizer, STEPS, 1, module.CHATML)
    assert module.RoundCrew().tune(lone, batches, STEPS, tmp_path / "c", OptimizerConfig(lr=1e-2))
    assert same(lone, model)


def test_a_teacher_draws_and_the_student_learns(toy, tmp_path):
    _, teacher = run(toy, tmp_path / "a", RejectionConfig(24, 3, max_tokens=3, least=1.0))
    before = {name: p.clone() for name, p in teacher.state_dict().items()}
    config = RejectionConfig(4, 2, max_tokens=3, seed=7)
    taught, student = run(toy, tmp_path / "b", config, teacher=teacher)
    alone, _ = run(toy, tmp_path / "c", config)
    assert taught[0].mean > alone[0].mean  # who draws is the better one from the start
    assert all(torch.equal(p, before[name]) for name, p in teacher.state_dict().items())
    assert not same(student, toy.model())


def test_the_best_of_all_rounds():
    old = [Kept(0, "a", 3.0), Kept(1, "b", 1.0)]
    new = [Kept(0, "c", 2.0), Kept(1, "d", 4.0), Kept(2, "e", 0.0)]
    assert module._best_of_both(old, new, 1) == [old[0], new[1], new[2]]
    both = module._best_of_both(old, new, 2)
    assert both == [old[0], new[0], new[1], old[1], new[2]]
    tie = [Kept(0, "z", 3.0), Kept(0, "a", 9.0)]  # of equal texts and equal scores the older
    assert module._best_of_both(old, tie, 1) == [old[0], old[1]]


def test_bad_input(toy, tmp_path):
    run(toy, tmp_path / "run", RejectionConfig(2, max_tokens=3))
    with pytest.raises(ValueError, match="holds a run of other settings"):
        run(toy, tmp_path / "run", RejectionConfig(3, max_tokens=3))
    steps = TrainConfig(steps=7, batch_size=2, context=40)
    with pytest.raises(ValueError, match="holds a run of other settings"):
        run(toy, tmp_path / "run", RejectionConfig(2, max_tokens=3), steps=steps)
    with pytest.raises(ValueError, match="holds a run of other settings"):
        run(toy, tmp_path / "run", RejectionConfig(2, max_tokens=3), optimizer=OptimizerConfig())
    nothing = RejectionConfig(2, max_tokens=3, least=2.0)
    with pytest.raises(ValueError, match=r"round 0 keeps none of 4 answers \(\d did not end"):
        run(toy, tmp_path / "none", nothing)
    with pytest.raises(ValueError, match="answer 0 to prompt 0 is nan"):
        run(toy, tmp_path / "nan", score=lambda t, a: torch.full((len(a),), torch.nan))
    assert not (tmp_path / "nan" / "round-0.jsonl").exists()
    for name in ("n_samples", "rounds", "keep", "max_tokens"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            RejectionConfig(**{name: 0})
    with pytest.raises(ValueError, match="keep=3 is more than n_samples=2"):
        RejectionConfig(n_samples=2, keep=3)
