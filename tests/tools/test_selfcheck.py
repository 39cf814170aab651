"""The self-check tells a good machine from a bad one, and stops only for what is fatal."""

import importlib.metadata

import pytest

from tools import selfcheck


@pytest.fixture
def lock(tmp_path, monkeypatch):
    """A lock of one package that is installed at the pinned version."""
    monkeypatch.setattr(selfcheck.environment, "ROOT", tmp_path)
    monkeypatch.setattr(selfcheck.environment, "VENV", tmp_path)
    path = tmp_path / "requirements.txt"
    path.write_text(f"numpy=={importlib.metadata.version('numpy')}\n")
    return path


def test_versions_as_in_the_lock(lock):
    assert selfcheck.look_at_versions() == selfcheck.Finding("versions", "as in requirements.txt")


def test_another_version_is_a_warning_that_names_both(lock):
    lock.write_text("numpy==0.0.1\n")
    found = selfcheck.look_at_versions()
    assert found.level == "warning"
    assert f"numpy {importlib.metadata.version('numpy')} (lock: 0.0.1)" in found.found


def test_a_missing_package_is_fatal(lock):
    lock.write_text("no-such-package-at-all==1.0\n")
    found = selfcheck.look_at_versions()
    assert found.level == "fatal"
    assert "no-such-package-at-all missing (lock: 1.0)" in found.found


def test_a_local_tag_is_the_same_version(lock, monkeypatch):
    lock.write_text("torch==2.13.0\n")
    for tag in ("2.13.0", "2.13.0+cpu", "2.13.0+cu130"):
        monkeypatch.setattr(importlib.metadata, "version", lambda name, tag=tag: tag)
        assert selfcheck.look_at_versions().level == "ok"


@pytest.mark.parametrize(("gib", "level"), [(0.5, "fatal"), (1.5, "ok")])
def test_disk(lock, monkeypatch, gib, level):
    usage = type("usage", (), {"free": gib * selfcheck.GIB})
    monkeypatch.setattr(selfcheck.shutil, "disk_usage", lambda path: usage)
    assert selfcheck.look_at_disk().level == level


def test_the_machine_is_named():
    system, cores, memory = selfcheck.look_at_machine()
    assert "Python 3." in system.found
    assert int(cores.found) >= 1
    assert "GiB free" in memory.found


def test_little_memory_is_a_warning(monkeypatch):
    import psutil

    memory = type("memory", (), {"available": selfcheck.GIB, "total": 2 * selfcheck.GIB})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    assert selfcheck.look_at_machine()[2].level == "warning"


def test_a_training_step_is_taken():
    assert selfcheck.look_at_training().level == "ok"


def test_a_training_that_does_not_learn_is_fatal(monkeypatch):
    import torch

    monkeypatch.setattr(torch.optim.SGD, "step", lambda self: None)
    assert selfcheck.look_at_training().level == "fatal"


def test_torch_is_described():
    found = {finding.subject: finding for finding in selfcheck.look_at_torch()}
    assert found["torch"].found.startswith("2.13.0")
    assert "times the speed of float32" in found["bf16"].found


def test_a_processor_without_vectors_is_a_warning(monkeypatch):
    import torch

    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    monkeypatch.setattr(selfcheck.platform, "machine", lambda: "x86_64")
    (vectors,) = (row for row in selfcheck.look_at_torch() if row.subject == "vectors")
    assert vectors.level == "warning"
    monkeypatch.setattr(selfcheck.platform, "machine", lambda: "arm64")
    (vectors,) = (row for row in selfcheck.look_at_torch() if row.subject == "vectors")
    assert vectors.level == "ok"


def test_a_room_that_does_not_import_is_fatal_and_named(monkeypatch):
    def broken(name):
        raise RuntimeError("a broken room")

    monkeypatch.setattr(selfcheck.importlib, "import_module", broken)
    found = selfcheck.look_at_rooms()
    assert found.level == "fatal"
    assert "model (RuntimeError: a broken room)" in found.found


def test_a_bad_line_is_marked():
    assert str(selfcheck.Finding("disk", "fine")) == "   disk      fine"
    assert str(selfcheck.Finding("disk", "bad", "warning")).startswith(" ! disk")


def test_the_full_check_runs_once_and_the_short_one_after(lock, monkeypatch, capsys):
    looked = []
    monkeypatch.setattr(selfcheck, "look_at_torch", lambda: looked.append("torch") or [])
    assert selfcheck.report()
    assert selfcheck.report()
    assert looked == ["torch"]
    assert "(short;" in capsys.readouterr().out
    assert selfcheck.report(full=True)
    assert looked == ["torch", "torch"]
    lock.write_text(lock.read_text() + "\n")  # the lock changed
    assert selfcheck.report()
    assert looked == ["torch"] * 3


def test_a_fatal_finding_is_said_and_leaves_no_stamp(lock, capsys):
    lock.write_text("no-such-package-at-all==1.0\n")
    assert not selfcheck.report()
    out = capsys.readouterr().out
    assert " ! versions" in out
    assert "NOT ready" in out
    assert not (lock.parent / ".minillm-checked").exists()
