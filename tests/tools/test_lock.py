"""The locks are complete, name no index, and do not contradict one another."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.lock import freeze, parse_pins, write

ROOT = Path(__file__).resolve().parents[2]
RUN = parse_pins((ROOT / "requirements.txt").read_text())
TEST = parse_pins((ROOT / "requirements-test.txt").read_text())


def asked(name: str) -> dict[str, Requirement]:
    """The requirements of a short list, {name: requirement}."""
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    found = [Requirement(line) for line in lines if line]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def missing(pins: dict[str, str]) -> list[str]:
    """What the pinned packages need and the pins do not offer, as installed metadata tell it."""
    bad = []
    for name in pins:
        try:
            lines = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{name} is not installed here; `make test` installs the locks")
        for requirement in map(Requirement, lines):
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
            version = pins.get(canonicalize_name(requirement.name))
            if version is None or not requirement.specifier.contains(version, prereleases=True):
                bad.append(f"{name} needs {requirement}, the lock has {version}")
    return bad


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-test.txt"])
def test_a_lock_is_exact_and_names_no_index(name):
    text = (ROOT / name).read_text()
    for line in text.splitlines():
        allowed = r"#.*|-r requirements\.txt|[a-z0-9.-]+==[0-9][0-9a-z.]*"  # no +cpu, no URL, no >=
        assert re.fullmatch(allowed, line), line
    assert "://" not in text


def test_torch_is_the_agreed_one():
    assert RUN["torch"] == "2.13.0"


@pytest.mark.parametrize(
    ("short", "pins"), [("requirements.in", RUN), ("requirements-test.in", {**RUN, **TEST})]
)
def test_everything_asked_for_is_pinned(short, pins):
    for name, requirement in asked(short).items():
        assert name in pins
        assert requirement.specifier.contains(pins[name]), (name, pins[name])


def test_the_locks_do_not_overlap():
    assert not set(RUN) & set(TEST)


def test_the_locks_are_closed():
    """Every package that a pinned one needs is pinned too, at a version that it accepts."""
    assert missing(RUN) == []
    assert missing({**RUN, **TEST}) == []
    without = {name: version for name, version in RUN.items() if name != "markupsafe"}
    assert any("markupsafe" in line.lower() for line in missing(without))  # ... a gap is seen


def test_pyproject_asks_for_the_same_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    assert named == set(asked("requirements.in"))


def test_pins_are_read_with_comments_and_case():
    text = "# head\n-r other.txt\nPyYAML==6.0.3\nbeautifulsoup4==4.1  # soup\nA_b==1+cpu\n"
    assert parse_pins(text) == {"pyyaml": "6.0.3", "beautifulsoup4": "4.1", "a-b": "1+cpu"}


def test_a_lock_holds_no_local_version_and_no_pip(monkeypatch):
    listed = SimpleNamespace(stdout="torch==2.13.0+cpu\npip==26.1\nNumPy==2.4.0\n")
    monkeypatch.setattr("tools.lock.subprocess.run", lambda *_, **__: listed)
    assert freeze(Path("python")) == {"numpy": "2.4.0", "torch": "2.13.0"}


def test_a_written_lock_reads_back(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("tools.lock.ROOT", tmp_path)
    write("x.txt", "x.in", "-r y.txt\n", {"a": "1", "b": "2.0"})
    text = (tmp_path / "x.txt").read_text()
    assert text.splitlines()[1:] == ["-r y.txt", "a==1", "b==2.0"]
    assert "from x.in" in text.splitlines()[0]
    assert capsys.readouterr().out == "x.txt: 2 packages\n"


def test_what_the_package_imports_is_asked_for_by_name():
    """Not only brought along by another package, which may drop it tomorrow."""
    owners = importlib.metadata.packages_distributions()
    oracles = {canonicalize_name(name) for name in asked("requirements-test.in")}
    wanted = set()
    for path in sorted((ROOT / "minillm").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [str(node.module)]
            wanted |= {name.split(".")[0] for name in names}
    wanted -= set(sys.stdlib_module_names) | {"minillm", "IPython"}  # JupyterLab is IPython
    wanted -= {"triton"}  # a CUDA build of torch brings it; without it flash_triton.py says so
    named = set(asked("requirements.in")) | oracles
    for module in sorted(wanted):
        distributions = {canonicalize_name(name) for name in owners.get(module, [module])}
        assert distributions & named, f"{module} is imported but not in requirements.in"
