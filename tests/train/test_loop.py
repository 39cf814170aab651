"""The loop: hand-made steps, accumulation, logging, evaluating and saving."""

import inspect
import math

import pytest
import torch

from minillm.model.config import flops_per_token
from minillm.objectives import causal_loss, fast_cross_entropy
from minillm.train import (
    OptimizerConfig,
    TrainConfig,
    clip_grad_norm,
    cosine_schedule,
    train,
)
from minillm.train.flops import peak_flops

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


# ---- what a step does --------------------------------------------------------------------------


def test_equals_a_loop_written_out(new_model, counting):
    ours, theirs, batches = new_model(torch.float64), new_model(torch.float64), counting()
    how = config(warmup_steps=2, clip=0.5, min_lr_ratio=0.2)
    state, records = run(ours, counting(), config=how)
    params = list(theirs.parameters())
    groups = [
        {"params": [p for p in params if p.ndim > 1], "weight_decay": 0.1},
        {"params": [p for p in params if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.95))
    for step in range(1, 7):
        x, y = next(batches)
        loss = fast_cross_entropy(theirs(x), y)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(params, 0.5)
        for group in optimizer.param_groups:
            group["lr"] = cosine_schedule(
                step, max_lr=1e-2, min_lr=2e-3, warmup_steps=2, total_steps=6
            )
        optimizer.step()
        record = records[step - 1]
        assert record["step"] == step
        assert record["loss"] == pytest.approx(loss.item(), abs=1e-7)  # torch clips to 1e-6 less
        assert record["grad_norm"] == pytest.approx(norm.item(), rel=1e-6)
        assert record["lr"] == group["lr"]
    torch.testing.assert_close(flat(ours), flat(theirs), rtol=1e-5, atol=1e-8)
    assert norm > 0.5  # so that clipping was seen
    assert (state.step, state.n_tokens) == (6, 6 * 4 * 8)
    assert state.loss == records[-1]["loss"]
    assert (records[1]["lr"], records[-1]["lr"]) == (1e-2, 2e-3)


def test_it_learns(new_model, counting):
    _, records = run(new_model(), counting(), config=config(steps=60))
    assert losses(records)[0] == pytest.approx(math.log(29), abs=0.2)
    assert losses(records)[-1] < 1.0


@pytest.mark.parametrize("dropped", [0.0, 0.6])
def test_accumulation_equals_one_big_batch(new_model, counting, dropped):
    small = counting(batch_size=2, dropped=dropped)
    parts = [next(small) for _ in range(9)]
    big = [tuple(torch.cat(z) for z in zip(*parts[i : i + 3], strict=True)) for i in (0, 3, 6)]
    one, two = new_model(torch.float64), new_model(torch.float64)
    _, a = run(one, parts, config=config(steps=3, batch_size=2, accumulate=3))
    _, b = run(two, big, config=config(steps=3, batch_size=6))
    torch.testing.assert_close(flat(one), flat(two), rtol=1e-12, atol=1e-12)
    assert losses(a) == pytest.approx(losses(b), abs=1e-12)
    assert len({int((y != -100).sum()) for _, y in parts}) > 1 or dropped == 0


def test_a_mean_of_means_would_be_seen(new_model, counting):
    small = counting(batch_size=2, dropped=0.6)
    parts = [next(small) for _ in range(3)]
    model = new_model(torch.float64)
    x, y = (torch.cat(z) for z in zip(*parts, strict=True))
    whole = causal_loss(model, x, y).item()
    mean_of_means = sum(causal_loss(model, *part).item() for part in parts) / 3
    assert abs(whole - mean_of_means) > 1e-4


def test_a_batch_without_targets_does_not_stop_the_run(new_model, counting):
    x, y = next(counting())
    empty = (x, torch.full_like(y, -100))
    model = new_model(torch.float64)
    before = flat(model)
    _, records = run(
        model,
        [empty, empty],
        config=config(steps=1, accumulate=2),
        optimizer=OptimizerConfig(weight_decay=0.0),
    )
    assert losses(records) == [0.0]
    assert torch.equal(flat(model), before)


def test_any_objective_and_any_optimizer(new_model, counting):
    model = new_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    seen = []

    def objective(m, x, y):
        seen.append(tuple(x.shape))
        return 2 * causal_loss(m, x, y)

    _, records = run(
        model, counting(), config=config(steps=2), optimizer=optimizer, objective=objective
    )
    assert seen == [(4, 8)] * 2
    assert losses(records)[0] == pytest.approx(2 * math.log(29), abs=0.4)
    assert optimizer.param_groups[0]["lr"] == 0.05  # ends at a tenth of its own rate


def test_each_group_keeps_its_own_largest_rate(new_model, counting):
    model = new_model()
    matrices = [p for p in model.parameters() if p.ndim > 1]
    gains = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW([{"params": gains, "lr": 0.1}, {"params": matrices, "lr": 0.01}])
    run(model, counting(), config=config(steps=2, min_lr_ratio=0.5), optimizer=optimizer)
    assert [g["lr"] for g in optimizer.param_groups] == [0.05, 0.005]


def test_bfloat16_runs_the_products_in_bfloat16(new_model, counting):
    seen = []
    model = new_model()
    model.blocks[0].feedforward.up.register_forward_hook(lambda m, i, o: seen.append(o.dtype))
    state, _ = run(model, counting(), config=config(steps=1, precision="bfloat16"))
    assert seen == [torch.bfloat16]
    assert state.precision == "bfloat16"
    assert next(model.parameters()).dtype == torch.float32
    run(model, counting(), config=config(steps=1, precision="float32"))
    assert seen[-1] == torch.float32


# ---- logging, evaluating, saving ---------------------------------------------------------------


def test_records_have_all_figures(new_model, counting):
    model = new_model()
    _, records = run(model, counting(), bytes_per_token=2.5)
    assert set(records[0]) == {
        "step", "loss", "bits_per_byte", "tokens_per_second", "utilisation", "lr", "grad_norm",
    }  # fmt: skip
    first = records[0]
    assert first["bits_per_byte"] == pytest.approx(first["loss"] / math.log(2) / 2.5)
    assert first["tokens_per_second"] > 0
    assert first["utilisation"] is None or 0 < first["utilisation"] < 1
    known = [r for r in records if r["utilisation"] is not None]
    for r in known:
        share = flops_per_token(model.config, context=8) * r["tokens_per_second"] / peak_flops()
        assert r["utilisation"] == pytest.approx(share, abs=2e-4)


def test_lines_come_as_often_as_asked(new_model, counting, capsys):
    run(new_model(), counting(), config=config(steps=5, log_every=2), progress=True)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step")]
    assert [line.split("|")[0].strip() for line in lines] == ["step 2/5", "step 4/5", "step 5/5"]
    run(new_model(), counting(), config=config(steps=2, log_every=0), progress=True)
    assert "step" not in capsys.readouterr().out
    run(new_model(), counting(), config=config(steps=2, log_every=1), progress=False)
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


@pytest.mark.parametrize(("every", "steps"), [(2, [2, 4, 5]), (0, [5]), (5, [5])])
def test_evaluates_and_saves_when_due(new_model, counting, every, steps):
    modes, saved = [], []

    def evaluate(m):
        modes.append((m.training, torch.is_grad_enabled()))
        return {"held_out": 1.5}

    def save(m, o, s):
        saved.append((s.step, m.training, s.data))

    model = new_model()
    how = config(steps=5, eval_every=every, save_every=every)
    _, records = run(model, counting(), config=how, evaluate=evaluate, save=save)
    told = [r for r in records if "evaluate" in r]
    assert [r["step"] for r in told] == steps
    assert told[0]["evaluate"] == {"held_out": 1.5}
    assert set(modes) == {(False, False)}
    assert saved == [(s, True, {"n_served": s}) for s in steps]
    assert model.training


def test_evaluation_may_be_one_number(new_model, counting, capsys):
    _, records = run(
        new_model(), counting(), config=config(steps=1), evaluate=lambda m: 2.25, progress=True
    )
    assert records[-1] == {"step": 1, "evaluate": {"loss": 2.25}}
    assert "step 1/1 | evaluate: loss 2.2500" in capsys.readouterr().out


def test_mode_comes_back_when_evaluation_fails(new_model, counting):
    model = new_model()

    def fail(m):
        raise RuntimeError("as planned")

    with pytest.raises(RuntimeError, match="as planned"):
        run(model, counting(), evaluate=fail)
    assert model.training


# ---- config and size ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        *(({n: 0}, f"train.{n} must be at least 1, got 0")
          for n in ("steps", "batch_size", "context", "accumulate")),
        *(({n: -1}, f"train.{n} must not be negative, got -1")
          for n in ("warmup_steps", "log_every", "eval_every", "save_every", "seed")),
        ({"warmup_steps": 7}, "warmup_steps=7 is more than train.steps=6"),
        ({"min_lr_ratio": 1.1}, "min_lr_ratio must lie in 0 to 1, got 1.1"),
        ({"min_lr_ratio": -0.1}, "min_lr_ratio"),
        ({"clip": 0.0}, "train.clip must be positive, got 0.0"),
        ({"precision": "float16"}, "precision must be one of auto, float32, bfloat16; got"),
    ],
)  # fmt: skip
def test_config_names_the_bad_value(setting, words):
    with pytest.raises(ValueError, match=words):
        config(**setting)


def test_edges_of_the_config_are_allowed():
    assert config(warmup_steps=6, min_lr_ratio=0.0, clip=math.inf).clip == math.inf
    assert config(min_lr_ratio=1.0).min_lr_ratio == 1.0


def test_the_loop_is_one_page():
    source = inspect.getsource(train)
    body = source.split('"""')[2].strip().splitlines()
    assert len(body) <= 60
    words = ["_next(", "objective(", "backward()", "_clipped_norm(", "_set_rates", "step()"]
    words += ["report.step", "evaluated(", "save("]
    places = [source.index(word, source.index("while")) for word in words]
    assert places == sorted(places)  # in the order in which a step does it


def test_no_clipping_only_measures(new_model, counting):
    model = new_model()
    causal_loss(model, *next(counting())).backward()
    expected = clip_grad_norm(model.parameters(), math.inf).item()
    _, records = run(new_model(), counting(), config=config(clip=math.inf))
    assert records[0]["grad_norm"] == pytest.approx(expected)
