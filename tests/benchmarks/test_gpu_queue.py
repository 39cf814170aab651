"""The queue of GPU jobs: each is packed when it ends, a hanging one costs itself only."""

import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from benchmarks.gpu import queue

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Jobs of a line each, in place of those of benchmarks.gpu."""
    package = tmp_path / "code" / "benchmarks" / "gpu"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("")
    (package / "__init__.py").write_text("")
    start = "import os, pathlib, sys, time\nout = pathlib.Path(os.environ['OUT'])\n"
    bodies = {
        "quick": "(out / 'a.json').write_text(' '.join(sys.argv[1:]))",
        "broken": "print('half'); sys.exit(3)",
        "hangs": "(out / 'first.json').write_text('1')\n"
        "try:\n    time.sleep(60)\n"
        "except KeyboardInterrupt:\n    (out / 'saved.json').write_text('2')",
        "deaf": "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)",
    }
    for name, body in bodies.items():
        (package / f"{name}.py").write_text(start + body + "\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "code"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(queue, "GRACE", 3.0)


def packed(path):
    with tarfile.open(path) as tar:
        return {m.name: tar.extractfile(m).read().decode() for m in tar.getmembers()}


def test_a_failed_and_a_hanging_job_do_not_stop_the_others(modules, tmp_path):
    jobs = {
        "broken": queue.Job(("broken",), 20),
        "hangs": queue.Job(("hangs",), 5),
        "quick": queue.Job(("quick", "--name", "x"), 20),
    }
    found = queue.work_off(jobs, tmp_path / "work", tmp_path / "out", minutes=5)
    assert found == {"broken": "failed", "hangs": "stopped", "quick": "done"}
    assert packed(tmp_path / "out" / "broken.tgz") == {"broken/log.txt": "half\n"}
    saved = packed(tmp_path / "out" / "hangs.tgz")
    assert saved["hangs/first.json"] == "1"
    assert saved["hangs/saved.json"] == "2"
    assert packed(tmp_path / "out" / "quick.tgz")["quick/a.json"] == "--name x"


def test_a_job_hears_the_stop_though_the_queue_was_started_in_the_background(modules, tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert queue.run_job(queue.Job(("hangs",), 9), tmp_path / "hangs", 5.0) is None
    finally:
        signal.signal(signal.SIGINT, before)
    assert (tmp_path / "hangs" / "saved.json").read_text() == "2"


def test_a_job_that_does_not_listen_is_ended(modules, tmp_path, monkeypatch):
    monkeypatch.setattr(queue, "GRACE", 0.5)
    assert queue.run_job(queue.Job(("deaf",), 9), tmp_path / "deaf", 1.0) is None


def test_nothing_is_begun_that_has_no_time(modules, tmp_path, capsys):
    jobs = {"long": queue.Job(("quick",), 600), "short": queue.Job(("quick",), 30)}
    found = queue.work_off(jobs, tmp_path / "work", tmp_path / "out", minutes=1)
    assert found == {"long": "no time", "short": "done"}
    assert "not begun" in capsys.readouterr().out
    assert not (tmp_path / "out" / "long.tgz").exists()


def test_large_files_stay_behind_and_the_pack_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(queue, "LARGEST", 10)
    (tmp_path / "job" / "deep").mkdir(parents=True)
    (tmp_path / "job" / "deep" / "small").write_text("12345")
    (tmp_path / "job" / "large").write_text("12345678901")
    assert queue.pack(tmp_path / "job", tmp_path / "out" / "job.tgz") == 1
    assert packed(tmp_path / "out" / "job.tgz") == {"job/deep/small": "12345"}
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["job.tgz"]


def test_names():
    assert list(queue.find_jobs(["flash", "dense_1b"], toy=False)) == ["dense_1b", "flash"]
    assert list(queue.find_jobs([], toy=False)) == list(queue.JOBS)
    assert "flash" not in queue.find_jobs([], toy=True)
    with pytest.raises(ValueError, match="no job 'dense'; there are fsdp_one_rank"):
        queue.find_jobs(["dense"], toy=False)


def test_every_job_of_the_folder_is_in_the_queue():
    files = {p.stem for p in (REPOSITORY / "benchmarks" / "gpu").glob("*.py")}
    assert {job.words[0] for job in queue.JOBS.values()} == files - {"queue", "record", "__init__"}


def test_list_says_what_there_is():
    command = [sys.executable, "-m", "benchmarks.gpu.queue", "--list"]
    said = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in said.stdout.splitlines()] == list(queue.JOBS)
