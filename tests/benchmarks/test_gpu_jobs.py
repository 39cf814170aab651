"""Every GPU job runs as a toy on a CPU: its record has all that a lesson will read from it.

Times are not asserted; what a job checks of itself is.
"""

import importlib
import itertools
import json
import sys
import types

import pytest
import torch

from benchmarks.gpu import record

KEYS = {"toy", "config", "seed", "machine", "versions", "commit", "measured"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("minillm.train.flops._measured_peak", lambda *_: 1e15)


def run(name, tmp_path):
    job = importlib.import_module(f"benchmarks.gpu.{name}")
    assert record.main(name, job.run, ["--toy", "--out", str(tmp_path)]) == 0
    (path,) = tmp_path.rglob("*.json")
    assert path.parent.name == f"{name}_gpu"
    made = json.loads(path.read_text("utf-8"))
    assert made["toy"] is True
    assert set(made) > KEYS
    return made


def test_dense_1b(tmp_path):
    made = run("dense_1b", tmp_path)
    best = max(row["tokens_per_second"] for row in made["measured"])
    assert made["model_flops_per_second"] == pytest.approx(best * made["flops_per_token"])
    share = made["model_flops_per_second"] / made["product_flops_per_second"]
    assert made["mfu_of_product"] == pytest.approx(share)
    assert all(row["losses"][1] < row["losses"][0] for row in made["measured"])


def test_gpt2_ladder(tmp_path):
    made = run("gpt2_ladder", tmp_path)
    names = [row["name"] for row in made["measured"]]
    assert names == [
        "naive",
        "tf32",
        "bf16",
        "fused",
        "compile",
        "vocabulary",
        "optimizer",
        "batch",
    ]
    speeds = [row["tokens_per_second"] for row in made["measured"]]
    gains = [row["gain"] for row in made["measured"][1:]]
    assert gains == pytest.approx([b / a for a, b in itertools.pairwise(speeds)])
    assert all(row["losses"][1] < row["losses"][0] for row in made["measured"])
    assert torch.get_float32_matmul_precision() == "highest"


def test_gpt2_8min(tmp_path, monkeypatch):
    monkeypatch.setenv("MINILLM_DATA", str(tmp_path / "data"))
    made = run("gpt2_8min", tmp_path / "out")
    held_out = [loss for _, loss in made["measured"]["held_out"]]
    assert held_out[-1] == made["loss"] < held_out[0]
    assert made["tokens"] == 8 * 4 * 64


def test_plan_of_eight_minutes():
    from benchmarks.gpu.gpt2_8min import planned, recipe

    t = planned(recipe(toy=False), 1e6, 8.0).train
    assert 0.9 * 480e6 < t.steps * t.batch_size * t.context < 480e6
    assert t.steps // t.eval_every == 8


def test_decode_throughput(tmp_path):
    made = run("decode_throughput", tmp_path)
    assert made["cache_agrees"] is True
    assert [row["batch_size"] for row in made["measured"]] == [1, 8]
    first, second = made["measured"]
    assert second["bytes_a_step"] - first["bytes_a_step"] == 7 * (8 + 2) * 2 * 2 * 2 * 16 * 2


@pytest.mark.dist
def test_fsdp_one_rank(tmp_path):
    made = run("fsdp_one_rank", tmp_path)
    assert made["largest_difference"] <= 1e-5 * made["losses"]["plain"][0]
    assert made["losses"]["plain"][-1] < made["losses"]["plain"][0]


def test_without_a_gpu_nothing_is_done(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert record.main("dense_1b", lambda toy: pytest.fail("it ran"), []) == 1
    assert "needs a CUDA GPU" in capsys.readouterr().out


def test_a_toy_is_not_written_among_the_results(capsys, monkeypatch):
    monkeypatch.delenv("OUT", raising=False)
    assert record.main("dense_1b", lambda toy: pytest.fail("it ran"), ["--toy"]) == 1
    assert "only where --out says" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["attention", "decode_heads", "flash", "rope"])
def test_older_jobs_say_the_same_of_a_run(name, monkeypatch):
    if name == "flash":
        monkeypatch.setitem(sys.modules, "triton", types.SimpleNamespace(__version__="9.9"))
    job = importlib.import_module(f"benchmarks.gpu.{name}")
    made = job.provenance()
    assert set(made) == KEYS - {"measured"}
    assert made["machine"]["gpu"] == record.device_name()
    assert made["versions"]["torch"] == torch.__version__
    assert made["config"]["n_heads"] == 32
    assert ("triton" in made["versions"]) == (name == "flash")


def test_the_median_and_what_is_not_counted():
    calls = []
    record.step_seconds(lambda: calls.append(1), warmup=3, repeats=4)
    assert len(calls) == 7
