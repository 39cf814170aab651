"""The learner's copies are never overwritten, the port is free, Ctrl-C ends quietly."""

import json
import socket
import subprocess
import sys

import pytest

from tools import lab


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A repository in a temporary folder with two lessons, a notation page and a homework."""
    lessons = tmp_path / "notebooks"
    (lessons / "homework").mkdir(parents=True)
    (lessons / "src").mkdir()
    for name in ("00_tour.ipynb", "06_bpe.ipynb", "NOTATION.md", "homework/h1.py", "src/06_bpe.py"):
        (lessons / name).write_text(f"lesson {name}")
    monkeypatch.setattr(lab, "ROOT", tmp_path)
    monkeypatch.setattr(lab, "LESSONS", lessons)
    monkeypatch.setattr(lab, "WORK", tmp_path / "work")
    return tmp_path


def test_lessons_are_copied_once(course):
    names = ["00_tour.ipynb", "06_bpe.ipynb", "NOTATION.md", "homework/h1.py"]
    assert lab.copy_lessons() == (names, [])
    assert (course / "work" / "06_bpe.ipynb").read_text() == "lesson 06_bpe.ipynb"
    assert not (course / "work" / "src").exists()
    assert lab.copy_lessons() == ([], [])


def test_a_learners_edit_is_never_overwritten(course):
    lab.copy_lessons()
    mine = course / "work" / "06_bpe.ipynb"
    mine.write_text("my answers")
    (course / "notebooks" / "06_bpe.ipynb").write_text("a better lesson")
    assert lab.copy_lessons() == ([], ["06_bpe.ipynb"])
    assert mine.read_text() == "my answers"


def test_a_file_of_the_learners_own_is_left_alone(course):
    (course / "work").mkdir()
    (course / "work" / "06_bpe.ipynb").write_text("there before the first start")
    new, changed = lab.copy_lessons()
    assert "06_bpe.ipynb" not in new
    assert changed == []
    assert (course / "work" / "06_bpe.ipynb").read_text() == "there before the first start"


def test_a_new_lesson_appears(course):
    lab.copy_lessons()
    (course / "notebooks" / "09_attention.ipynb").write_text("new")
    assert lab.copy_lessons() == (["09_attention.ipynb"], [])


def test_a_removed_copy_comes_back(course):
    lab.copy_lessons()
    (course / "work" / "00_tour.ipynb").unlink()
    assert lab.copy_lessons() == (["00_tour.ipynb"], [])


def test_reset_keeps_a_backup_each_time(course):
    lab.copy_lessons()
    mine = course / "work" / "06_bpe.ipynb"
    (course / "notebooks" / "06_bpe.ipynb").write_text("a better lesson")
    for edit in ("first try", "second try"):
        mine.write_text(edit)
        lines = lab.reset_lesson("06")
        assert lines[0].startswith("your copy of 06_bpe.ipynb is kept as work/backup/06_bpe_")
        assert lines[1] == "work/06_bpe.ipynb is fresh"
        assert mine.read_text() == "a better lesson"
    kept = sorted((course / "work" / "backup").iterdir())
    assert [path.read_text() for path in kept] == ["first try", "second try"]
    assert all(path.suffix == ".ipynb" for path in kept)
    assert lab.copy_lessons() == ([], [])  # and the newer version is known as the origin now


def test_reset_touches_one_lesson_only(course):
    lab.copy_lessons()
    (course / "work" / "00_tour.ipynb").write_text("mine")
    lab.reset_lesson("06")
    assert (course / "work" / "00_tour.ipynb").read_text() == "mine"


@pytest.mark.parametrize("number", ["", "77", "bpe"])
def test_reset_of_no_lesson_names_those_that_exist(course, number):
    with pytest.raises(ValueError, match=f"no lesson begins with '{number}'; there are: 00 06$"):
        lab.reset_lesson(number)
    assert not (course / "work").exists()


def test_reset_before_the_first_start_makes_the_copy(course):
    assert "work/06_bpe.ipynb is fresh" in lab.reset_lesson("06")


def test_the_verb_reset_ends_with_one_line(course, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["lab", "reset", "77"])
    with pytest.raises(SystemExit, match=r"^minillm: no lesson begins with '77'"):
        lab.main()


def test_the_origins_survive_a_restart(course):
    lab.copy_lessons()
    origins = json.loads((course / "work" / ".origins.json").read_text())
    assert origins["06_bpe.ipynb"] == lab.digest(course / "notebooks" / "06_bpe.ipynb")
    assert lab.read_origins() == origins


def test_what_was_copied_is_said_in_words(course, capsys):
    lab.print_copies()
    assert capsys.readouterr().out.startswith("minillm: new in work/: 00_tour.ipynb, 06_bpe.ipynb")
    (course / "notebooks" / "06_bpe.ipynb").write_text("a better lesson")
    lab.print_copies()
    assert "06_bpe.ipynb has" in (out := capsys.readouterr().out)
    assert "`make reset L=06`" in out


# --- the server


def test_a_taken_port_is_passed_over():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert port < lab.find_port(port) < port + 50
        with pytest.raises(ValueError, match=f"ports {port} to {port} .*`make lab PORT=9999`"):
            lab.find_port(port, tries=1)
    assert lab.find_port(port) == port  # free again, so it was the listener that counted


@pytest.mark.parametrize(
    ("platform", "variables", "wanted"),
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("linux", {"DISPLAY": ":0", "SSH_CONNECTION": "a b"}, False),
        ("darwin", {}, True),
        ("darwin", {"SSH_CONNECTION": "a b"}, False),
        ("win32", {}, True),
    ],
)
def test_a_screen_is_recognised(monkeypatch, platform, variables, wanted):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert lab.has_screen() is wanted


class FakeServer:
    """Stands for JupyterLab: keeps how it was started, and is interrupted once if told so."""

    def __init__(self, interrupts=0, status=0):
        self.interrupts, self.status = interrupts, status

    def __call__(self, command, cwd, env):
        self.command, self.env = command, env
        return self

    def wait(self):
        if self.interrupts:
            self.interrupts -= 1
            raise KeyboardInterrupt
        return self.status


def start(monkeypatch, server, screen=False):
    monkeypatch.setattr(subprocess, "Popen", server)
    monkeypatch.setattr(lab, "has_screen", lambda: screen)
    monkeypatch.delenv("JUPYTER_TOKEN", raising=False)
    monkeypatch.delenv("PORT", raising=False)
    return lab.open_lab()


def test_the_address_is_printed_and_is_the_one_served(course, monkeypatch, capsys):
    lab.copy_lessons()
    server = FakeServer()
    assert start(monkeypatch, server) == 0
    (port,) = (word.split("=")[1] for word in server.command if word.startswith("--port="))
    token = server.env["JUPYTER_TOKEN"]
    address = f"http://127.0.0.1:{port}/lab/tree/work/00_tour.ipynb?token={token}"
    assert address in capsys.readouterr().out
    assert len(token) == 32
    assert "work/00_tour.ipynb" in server.command
    assert "--ip=127.0.0.1" in server.command
    assert "--no-browser" in server.command
    assert token not in " ".join(server.command)  # other users can read a command line


def test_with_a_screen_a_browser_may_open(course, monkeypatch):
    server = FakeServer()
    start(monkeypatch, server, screen=True)
    assert "--no-browser" not in server.command


def test_without_a_first_lesson_the_lab_itself_opens(course, monkeypatch, capsys):
    start(monkeypatch, FakeServer())
    assert "/lab?token=" in capsys.readouterr().out


def test_ctrl_c_ends_quietly_and_a_failure_is_passed_on(course, monkeypatch, capsys):
    assert start(monkeypatch, FakeServer(interrupts=1, status=130)) == 0
    assert capsys.readouterr().out.endswith("minillm: JupyterLab ended\n")
    assert start(monkeypatch, FakeServer(status=3)) == 3


def test_a_failed_self_check_opens_nothing(course, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["lab"])
    monkeypatch.setattr(lab.selfcheck, "report", lambda full: False)
    monkeypatch.setattr(lab, "open_lab", lambda: pytest.fail("it opened"))
    assert lab.main() == 1
    assert not (course / "work").exists()
