"""A run that goes on to the last bit, and all that stops one: Ctrl-C, infinities, no more data."""

import math
import os
import signal
import threading

import pytest
import torch

from minillm.objectives import causal_loss
from minillm.train import (
    CheckpointError,
    MetricsFile,
    NotFiniteError,
    OptimizerConfig,
    TrainConfig,
    TrainState,
    checkpointer,
    make_optimizer,
    read_metrics,
    resume,
    save_checkpoint,
    train,
    warm_start,
)

SETTINGS = OptimizerConfig(lr=1e-2)


def config(**more):
    return TrainConfig(
        **{"steps": 6, "batch_size": 4, "context": 8, "precision": "float32", **more}
    )


def flat(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def losses(records):
    return [r["loss"] for r in records if "loss" in r]


def run(model, batches, **more):
    """Train quietly; return the state and the records of the steps."""
    records = []
    how = {"optimizer": SETTINGS, "log": records.append, "progress": False, **more}
    state = train(model, batches, how.pop("config", config()), **how)
    return state, records


# ---- going on ----------------------------------------------------------------------------------


def test_resume_is_bit_equal(new_model, counting, tmp_path):
    how = config(steps=8, save_every=3, warmup_steps=2)
    undisturbed, expected = run(new_model(), counting(), config=how)

    class Stop(Exception):
        pass

    def stop_at_5(record):
        if record["step"] == 5:
            raise Stop

    with pytest.raises(Stop):
        train(
            new_model(), counting(), how, optimizer=SETTINGS, log=stop_at_5, progress=False,
            save=checkpointer(tmp_path / "c", manifest={"seed": 0}),
        )  # fmt: skip
    model, batches = new_model(seed=9), counting()
    optimizer = make_optimizer(model, SETTINGS)
    state = resume(tmp_path / "c", model, optimizer, batches)
    assert (state.step, batches.n_served) == (3, 3)
    end, records = run(model, batches, config=how, optimizer=optimizer, state=state)
    assert losses(records) == losses(expected)[3:]
    assert (end.step, end.n_tokens, end.loss) == (8, undisturbed.n_tokens, undisturbed.loss)


def test_a_finished_run_has_nothing_to_do(new_model, counting):
    model = new_model()
    before = flat(model)
    state, records = run(model, counting(), state=TrainState(step=6))
    assert records == []
    assert state.step == 6
    assert torch.equal(flat(model), before)


def test_the_precision_of_the_first_session_stays(new_model, counting):
    state, _ = run(
        new_model(), counting(), config=config(precision="float32"),
        state=TrainState(step=5, precision="bfloat16"),
    )  # fmt: skip
    assert state.precision == "bfloat16"


def test_resume_needs_the_state_of_a_run(new_model, counting, tmp_path):
    model = new_model()
    optimizer = make_optimizer(model, SETTINGS)
    save_checkpoint(tmp_path / "c", model, optimizer, {"epoch": 1})
    with pytest.raises(CheckpointError, match="no state of a run"):
        resume(tmp_path / "c", model, optimizer, counting())


def test_warm_start_takes_the_weights_only(new_model, counting, tmp_path):
    model = new_model()
    run(model, counting(), save=checkpointer(tmp_path / "c", manifest={"seed": 4}))
    other = new_model(seed=3)
    found = warm_start(tmp_path / "c", other)
    assert torch.equal(flat(other), flat(model))
    assert (found.manifest["seed"], found.manifest["step"], found.manifest["n_tokens"]) == (
        4,
        6,
        192,
    )
    _state, records = run(other, counting())
    assert records[0]["step"] == 1


def test_metrics_go_on_in_the_same_file(new_model, counting, tmp_path):
    path = tmp_path / "deep" / "metrics.jsonl"
    log = MetricsFile(path)
    for step in range(1, 5):
        log({"step": step, "loss": float(step)})
    with path.open("a") as file:
        file.write('{"step": 5, "lo')  # a kill in the middle of a line
    assert len(read_metrics(path)) == 4
    again = MetricsFile(path, resume_at=2)
    again({"step": 3, "loss": math.inf, "evaluate": 1})
    assert read_metrics(path) == [
        {"step": 1, "loss": 1.0},
        {"step": 2, "loss": 2.0},
        {"step": 3, "loss": None, "evaluate": 1},
    ]
    assert os.listdir(path.parent) == ["metrics.jsonl"]
    with MetricsFile(path) as fresh:
        assert read_metrics(path) == []
        fresh({"step": 1})
    assert len(read_metrics(path)) == 1
    path.write_text('{"step": 1}\nnot json\n{"step": 2}\n')
    with pytest.raises(ValueError, match=r"line 2 of .* is not JSON: 'not json'"):
        read_metrics(path)
    assert read_metrics(tmp_path / "none") == []


# ---- what stops a run --------------------------------------------------------------------------


def press(at):
    def log(record):
        if record["step"] in at and "loss" in record:
            signal.raise_signal(signal.SIGINT)

    return log


def test_ctrl_c_finishes_the_step_saves_and_says_so(new_model, counting, tmp_path, capsys):
    model = new_model()
    before = signal.getsignal(signal.SIGINT)
    state, _ = run(
        model, counting(), config=config(steps=9), log=press({2}), progress=True,
        save=checkpointer(tmp_path / "c"),
    )  # fmt: skip
    assert (state.step, state.interrupted) == (2, True)
    assert "stopped by Ctrl-C after step 2 of 9; the checkpoint is saved" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is before
    optimizer = make_optimizer(model, SETTINGS)
    batches = counting()
    resumed = resume(tmp_path / "c", model, optimizer, batches)
    end, records = run(model, batches, config=config(steps=9), optimizer=optimizer, state=resumed)
    assert [r["step"] for r in records] == list(range(3, 10))
    assert not end.interrupted


def test_ctrl_c_without_save_says_that_nothing_is_kept(new_model, counting, capsys):
    run(new_model(), counting(), log=press({1}), progress=True)
    assert "nothing is saved: save= was not given" in capsys.readouterr().out


def test_ctrl_c_in_the_last_step_changes_nothing(new_model, counting):
    state, _ = run(new_model(), counting(), log=press({6}))
    assert (state.step, state.interrupted) == (6, False)


def test_a_second_ctrl_c_stops_at_once(new_model, counting):
    def twice(record):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(new_model(), counting(), log=twice)


def test_it_runs_outside_the_main_thread(new_model, counting):
    found = []
    thread = threading.Thread(target=lambda: found.append(run(new_model(), counting())[0].step))
    thread.start()
    thread.join()
    assert found == [6]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_before_the_weights_move(new_model, counting, bad):
    model = new_model()
    kept = []

    def objective(m, x, y):
        kept.append(flat(m))
        return causal_loss(m, x, y) * (bad if len(kept) == 3 else 1.0)

    with pytest.raises(NotFiniteError, match=f"the loss is {bad} in step 3; the weights are those"):
        run(model, counting(), objective=objective)
    assert torch.equal(flat(model), kept[2])


def test_a_gradient_that_is_not_finite_is_named(new_model, counting):
    model = new_model()
    model.final_norm.weight.register_hook(lambda g: g * math.nan)
    before = flat(model)
    with pytest.raises(NotFiniteError, match=r"gradient of final_norm.weight is not finite"):
        run(model, counting())
    assert torch.equal(flat(model), before)


def test_batches_that_run_out_are_reported(new_model, counting):
    batches = counting()
    with pytest.raises(ValueError, match="the batches ran out after step 2"):
        run(new_model(), [next(batches), next(batches)])
