"""The network cut bites: in a process, in its children, in a Jupyter kernel; loopback passes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
OFFLINE = ROOT / "tools" / "offline"
# An address of TEST-NET-3 (RFC 5737): it belongs to nobody, so that nothing is disturbed if the cut
# fails; a short timeout keeps that failure quick.
REMOTE = "('203.0.113.7', 80)"
SENTENCE = "the network is cut"


def cut(**more: str) -> dict[str, str]:
    """The environment of a stage of `make test`."""
    path = os.pathsep.join(filter(None, (str(OFFLINE), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, **more}


def run_cut(code: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=cut(**more), capture_output=True, text=True, timeout=600)


REMOTE_CALLS = [
    f"socket.create_connection({REMOTE}, timeout=0.2)",
    f"socket.socket().connect({REMOTE})",
    f"socket.socket().connect_ex({REMOTE})",
    f"socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', {REMOTE})",
    f"socket.socket(type=socket.SOCK_DGRAM).sendmsg([b'x'], [], 0, {REMOTE})",
    "socket.socket(socket.AF_INET6).connect(('2001:db8::1', 80))",
    "socket.getaddrinfo('example.org', 443)",
    "socket.getaddrinfo(b'example.org', 443)",
    "socket.gethostbyname('example.org')",
    "socket.gethostbyname_ex('example.org')",
    "socket.gethostbyaddr('203.0.113.7')",
    "socket.create_connection(('localhost.example.org', 80))",
    "urllib.request.urlopen('http://example.org', timeout=0.2)",
    f"asyncio.run(asyncio.open_connection(*{REMOTE}))",
]


@pytest.mark.parametrize("call", REMOTE_CALLS)
def test_a_process_cannot_leave_the_machine(call):
    done = run_cut(f"import asyncio, socket, urllib.request\n{call}")
    assert done.returncode == 1
    assert SENTENCE in done.stderr.splitlines()[-1], done.stderr


def test_the_sentence_names_the_address():
    done = run_cut(f"import socket; socket.socket().connect({REMOTE})")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("sitecustomize.NetworkCutError: the network is cut: a connection to ")
    assert "'203.0.113.7' was refused, only loopback is allowed here" in last


def test_it_is_an_error_that_downloaders_expect():
    """An OSError, so that code which copes with a missing network copes with the cut."""
    code = f"""
import socket
try:
    socket.create_connection({REMOTE})
except OSError as error:
    print(type(error).__mro__[1].__name__)
"""
    assert run_cut(code).stdout == "ConnectionError\n"


def test_a_child_process_is_cut_too():
    code = f"""
import subprocess, sys
child = "import socket; socket.create_connection({REMOTE}, timeout=0.2)"
print(subprocess.run([sys.executable, "-c", child], capture_output=True, text=True).stderr)
"""
    assert SENTENCE in run_cut(code).stdout


def test_a_worker_of_multiprocessing_is_cut_too():
    code = f"""
import multiprocessing, socket
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        try:
            pool.apply(socket.create_connection, ({REMOTE},))
        except Exception as error:
            print(error)
"""
    assert SENTENCE in run_cut(code).stdout


@pytest.mark.parametrize("is_cut", [True, False])
def test_a_kernel_is_cut_too(is_cut, monkeypatch):
    """The same cell in two kernels: with the folder on PYTHONPATH it is refused, else not by us.

    Without the cut the machine itself may refuse (no route) or time out; only our sentence counts.
    """
    cell = f"""
import socket
try:
    socket.create_connection({REMOTE}, timeout=0.2)
    print("connected")
except OSError as error:
    print(error)
"""
    monkeypatch.setenv("PYTHONPATH", str(OFFLINE) if is_cut else "")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell, id="a")])
    NotebookClient(book, timeout=600, kernel_name="python3").execute()
    (output,) = book.cells[0].outputs
    assert (SENTENCE in output.text) == is_cut, output.text


def test_loopback_passes():
    code = """
import socket
for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "localhost")):
    with socket.socket(family) as server:
        server.bind((host, 0))
        server.listen()
        with socket.create_connection(server.getsockname()) as client:
            client.sendall(b"x")
            connection, _ = server.accept()
            print(connection.recv(1))
            connection.close()
print(bool(socket.getaddrinfo(None, 80)), bool(socket.getaddrinfo("127.0.0.9", 80)))
print(socket.socket(socket.AF_INET6).connect_ex(("::1", 9)) != 0)
"""
    done = run_cut(code)
    assert done.stdout.split("\n") == ["b'x'", "b'x'", "True True", "True", ""], done.stderr


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no AF_UNIX")
def test_sockets_of_the_file_system_pass(tmp_path):
    code = f"""
import socket
path = {str(tmp_path / "s")!r}
with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
    server.bind(path)
    server.listen()
    client.connect(path)
    print("connected")
"""
    assert run_cut(code).stdout == "connected\n"


def test_a_sitecustomize_that_was_there_still_runs(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("print('the older one')\n")
    path = os.pathsep.join((str(OFFLINE), str(tmp_path)))
    done = run_cut("print('and the program')", PYTHONPATH=path)
    assert done.stdout == "the older one\nand the program\n"


def test_make_test_runs_its_stages_under_the_cut(monkeypatch):
    from tools import stages

    monkeypatch.setenv("PYTHONPATH", "")
    env = stages.cut_environment()
    assert env["PYTHONPATH"].split(os.pathsep)[0] == str(OFFLINE)
    assert env["OMP_NUM_THREADS"] == "1"
    monkeypatch.setenv("PYTHONPATH", "other")
    assert stages.cut_environment()["PYTHONPATH"] == f"{OFFLINE}{os.pathsep}other"


@pytest.mark.skipif(
    str(OFFLINE) not in os.environ.get("PYTHONPATH", "").split(os.pathsep),
    reason="started without the cut; `make test` and `make unit` start with it",
)
def test_this_very_process_is_cut():
    with pytest.raises(OSError, match=SENTENCE):
        socket.create_connection(("203.0.113.7", 80), timeout=0.2)
