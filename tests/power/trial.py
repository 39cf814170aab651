"""Runs pytest over one file after another, each time in a fork of a process that has already
imported what takes long to import. Reads lines (folder, file, log, seconds), writes the status."""

import contextlib
import importlib
import json
import os
import signal
import sys
import time
import warnings

IMPORTED = (
    "numpy", "torch", "safetensors.torch", "matplotlib.pyplot", "scipy.stats", "pandas", "numba",
    "nbformat", "nbclient", "jupytext", "IPython", "typer", "transformers.models.llama",
    "transformers.models.gpt2.modeling_gpt2", "transformers.models.llama.modeling_llama", "pytest",
)  # fmt: skip
NO_PLUGINS = ("no:cacheprovider", "no:nbval")  # nbval alone takes ten seconds to import


def child(folder, file, log):
    """Test a file of the copy in this process, and end it."""
    import pytest

    os.setsid()  # so that processes which the tests start end with it
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.chdir(folder)
    sys.path.insert(0, folder)
    plugins = [word for name in NO_PLUGINS for word in ("-p", name)]
    quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what is already imported
    status = pytest.main(["-x", "-q", *quiet, *plugins, "--hypothesis-seed=0", file])
    sys.stdout.flush()
    os._exit(int(status))


def wait(pid, seconds):
    """The exit status; minus the signal if one ended it; None if it took too long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def main():
    os.nice(5)
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        for name in IMPORTED:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    for line in sys.stdin:
        folder, file, log, seconds = json.loads(line)
        pid = os.fork()
        if pid == 0:
            child(folder, file, log)
        print(json.dumps(wait(pid, seconds)), flush=True)


if __name__ == "__main__":
    main()
