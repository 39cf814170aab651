"""torchrun ... -m minillm train RECIPE on two processes: the losses of one, and one voice."""

import os
import subprocess
import sys

import pytest

from minillm.recipes import execute, find_run, override
from minillm.train import read_metrics

SMALL = (
    "model.d_model=16",
    "model.n_layers=1",
    "model.attention.n_heads=2",
    "model.feedforward.width=32",
    "train.steps=4",
    "train.batch_size=4",
    "train.warmup_steps=0",
    "train.context=16",
    "train.log_every=2",
    "train.precision=float32",
    "data.mixture=(('stories-en', 60_000),)",
)
pytestmark = [
    pytest.mark.dist,
    pytest.mark.skipif(os.name == "nt", reason="torchrun needs libuv there; use WSL 2"),
]


def torchrun(*words):
    return subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", "--monitor-interval", "0.1", "-m", "minillm", *words),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def losses(out):
    return [r["loss"] for r in read_metrics(out / "metrics.jsonl") if "loss" in r]


def test_two_ranks_train_as_one(tmp_path):
    execute(override(find_run("laptop"), SMALL), tmp_path / "one", progress=False)
    done = torchrun("train", "laptop", *SMALL, "--out", str(tmp_path / "two"))
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert two == pytest.approx(one, rel=1e-5)
    assert len(one) == 4
    assert (tmp_path / "two" / "step-00000004" / "manifest.json").is_file()
    assert done.stdout.count("2 ranks, 2 rows each at once") == 1
    last = [r for r in read_metrics(tmp_path / "two" / "metrics.jsonl") if "loss" in r][-1]
    assert list(last["memory"]) == ["0", "1"]
    assert last["seconds"]["forward"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("llama2_70b",), "minillm: llama2_70b does not fit on 2 x share of this machine's memory"),
        (("laptop", "train.batch_size=5"), "minillm: a step of 5 sequences cannot be dealt out"),
        (("laptop", "--out", "{file}"), "minillm: "),
    ],
)
def test_a_failure_is_told_once(tmp_path, words, told):
    file = tmp_path / "file"
    file.write_text("where a folder should be")
    words = [word.format(file=file) for word in words]
    where = () if "--out" in words else ("--out", str(tmp_path / "out"))
    done = torchrun("train", *words, *where)
    assert done.returncode == 1
    assert done.stderr.count("minillm: ") == 1
    assert told in done.stderr
