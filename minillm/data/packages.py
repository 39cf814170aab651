"""Which installed packages the harvest reads, and how it finds their files.

The list is fixed and sorted. It holds packages that requirements.txt installs, and no oracle of
the tests, so that every learner harvests the same text. The files are read where pip put them,
never imported and never copied into the repository.
"""

import os
import sysconfig
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

_LIST = """
    anyio attrs babel beautifulsoup4 bleach cattrs certifi cffi charset-normalizer contourpy
    cycler einops executing fastjsonschema filelock fonttools fsspec httpcore httpx idna
    ipykernel ipython ipywidgets jedi jinja2 json5 jsonschema jupyter-client jupyter-core
    jupyter-events jupyter-server jupyterlab jupyterlab-server jupytext kiwisolver llvmlite
    markdown-it-py markupsafe matplotlib mdit-py-plugins mistune mpmath nbclient nbconvert
    nbformat networkx numba numpy packaging pandas parso pillow platformdirs pluggy
    prompt-toolkit psutil pyparsing python-dateutil pyyaml pyzmq referencing regex requests
    rich safetensors soupsieve sympy tiktoken torch tornado tqdm traitlets typer urllib3
    widgetsnbextension
"""
PACKAGES = tuple(_LIST.split())
"""The names on the package index, sorted."""

# Private machinery of torch takes a fifth of all parsing and gives little to read.
_SKIPPED_FOLDERS = {"_vendor", "_vendored", "vendored", "extern", "test", "tests", "testing"}
_SKIPPED_FOLDERS |= {"__pycache__", "_inductor", "_dynamo", "torchgen"}
_SKIPPED_OF_PYTHON = _SKIPPED_FOLDERS | {
    "site-packages",
    "dist-packages",
    "lib-dynload",
    "ensurepip",
    "idle_test",
    "pydoc_data",
}


@cache
def installed_versions() -> dict[str, str]:
    """Return the version of every package of the list that is installed, in the list's order."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def package_files(name: str) -> list[tuple[str, Path]]:
    """List the files that pip recorded for a package, sorted by their path.

    Args:
        name: the name on the package index, as in PACKAGES.

    Returns:
        Pairs (path below site-packages with forward slashes, where it lies on this machine).
        Files outside site-packages and compiled caches are left out.
    """
    distribution = metadata.distribution(name)
    found = []
    for file in distribution.files or ():
        parts = file.parts
        if ".." not in parts and "__pycache__" not in parts:
            found.append((file.as_posix(), Path(str(distribution.locate_file(file)))))
    return sorted(found)


def package_sources(name: str) -> list[tuple[str, Path]]:
    """List the Python files of a package without its tests and its vendored copies of others."""
    return [
        (shown, path)
        for shown, path in package_files(name)
        if shown.endswith(".py") and not _SKIPPED_FOLDERS.intersection(shown.split("/"))
    ]


def standard_library() -> Iterator[tuple[str, Path]]:
    """Yield the Python files of the standard library, sorted, as `package_sources` does.

    Left out are tests, what is installed beside it, and the files that describe one build of
    Python (`_sysconfigdata...`), which name folders of the machine that built it.
    """
    root = Path(sysconfig.get_path("stdlib"))
    found = []
    for folder, below, files in os.walk(root):
        below[:] = [
            name
            for name in below
            if name not in _SKIPPED_OF_PYTHON and not name.startswith("config-")
        ]
        for file in files:
            if file.endswith(".py") and not file.startswith("_sysconfig"):
                path = Path(folder, file)
                found.append(("python/" + path.relative_to(root).as_posix(), path))
    yield from sorted(found)


def python_licence() -> Path | None:
    """Return the licence file of Python itself, where this installation has one."""
    root = Path(sysconfig.get_path("stdlib"))
    return next((p for p in (root / "LICENSE.txt", root / "LICENSE") if p.is_file()), None)
