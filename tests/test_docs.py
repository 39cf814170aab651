"""What the pages say is so: links lead somewhere, commands run, figures are the recorded ones."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import minillm
from tools import environment, table
from tools.masters import Course
from tools.notebooks import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
MADE = (
    "work/",
    "runs/",
    ".venv",
    "slides/built",
    "node_modules",
)  # made by commands, not committed


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def broken_links(text: str, folder: Path) -> list[str]:
    """Local links of a Markdown text that lead to no file."""
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    local = [target.split("#")[0] for target in targets if "://" not in target]
    return [target for target in local if target and not (folder / target).exists()]


def missing_paths(text: str) -> list[str]:
    """Paths in backticks that are not in the repository; patterns such as NN_name are left out."""
    found = re.findall(r"`([\w.-]+/[\w./-]*)`", text)
    named = [path for path in found if "NN" not in path and not path.startswith(MADE)]
    return [path for path in named if not (ROOT / path).exists()]


def commands(text: str, language: str) -> list[str]:
    """The lines of the code blocks of one language, without comments."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


# --- links, paths, names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_local_links_lead_somewhere(page):
    assert broken_links(text_of(page), page.parent) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_paths_exist(page):
    assert missing_paths(text_of(page)) == []


def test_the_checks_of_links_and_paths_bite():
    assert broken_links("[a](no/such.md) [b](README.md#top) [c](https://x.y/z)", ROOT) == [
        "no/such.md"
    ]
    assert missing_paths("`tests/test_docs.py` `tests/no_such.py` `slides/NN_name.md`") == [
        "tests/no_such.py"
    ]


def targets() -> set[str]:
    text = (ROOT / "Makefile").read_text()
    return set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_targets_of_make_exist(page):
    named = set(re.findall(r"`make ([a-z-]+)", text_of(page)))
    named |= set(re.findall(r"^(?:    )?make ([a-z-]+)", text_of(page), re.MULTILINE))
    assert named <= targets(), named - targets()
    assert "lab" in targets()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_verbs_of_the_workshop_exist(page):
    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    named = set(re.findall(r"tools\.notebooks ([a-z]+)", text_of(page)))
    assert named <= known, named - known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_modules_exist(page):
    for name in re.findall(r"-m\s+((?:minillm|tools)[\w.]*)", text_of(page)):
        path = ROOT / name.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), name


# --- the README


def test_the_two_commands_come_first():
    assert commands(README, "sh")[:2] == ["make lab", "make test"]


@pytest.mark.parametrize("line", [x for x in commands(README, "sh") if x.startswith("python -m")])
def test_commands_of_the_readme_run(line, tmp_path):
    command = [sys.executable, *line.split()[1:]]
    env = {**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", ""), "NO_COLOR": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_there_are_commands_to_run():
    assert "python -m minillm --help" in commands(README, "sh")


def test_the_commands_for_windows_install_the_lock_and_open_the_course():
    lines = " ".join(commands(README, "powershell"))
    for part in ("-m venv .venv", "-r requirements.txt", "--no-deps -e .", "-m tools.lab"):
        assert part in lines


def test_the_size_is_the_recorded_one():
    found = re.findall(r"<!-- size:start -->(.*?)<!-- size:end -->", README, re.DOTALL)
    assert found == [environment.measured_sizes()]
    assert "GB" in found[0]


def test_the_table_of_lessons_has_its_place():
    """That it is up to date is the stage `notebooks`: `python -m tools.notebooks table --check`."""
    assert table.START in table.readme_with_table(Course(ROOT))


def test_the_lessons_that_are_said_to_exist_are_those_that_do():
    (sentence,) = re.findall(r"lessons exist so far: (.*?)\.", README, re.DOTALL)
    named = re.findall(r"\b\d\d[ab]?\b", sentence)
    built = [path.name.split("_")[0] for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    assert named == built


# --- versions, licences, and what must not be there


def test_one_version_everywhere():
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {minillm.__version__}\n" in citation
    changes = re.findall(r"^## ([\d.]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert changes[0] == minillm.__version__


def test_the_licences_are_whole_and_agree():
    licence = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
    assert "SPDX: CC-BY-4.0" in (ROOT / "LICENSE-lessons").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert "Apache-2.0" in (ROOT / "CITATION.cff").read_text()


MACHINE = re.compile(
    r"(?<![\w.~$}/>*-])/(?:root|work|home)/\w|/tmp/(?:tmp|env|plan|pytest)"  # paths of one machine
    r"|registry\.npmjs|pythonhosted|//pypi\.org/simple|--(?:extra-)?index-url|find-links"
)


def machine_traces(text: str) -> list[str]:
    return MACHINE.findall(text)


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git here")
def test_no_committed_file_names_a_machine_or_an_index():
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout")
    suffixes = {".py", ".md", ".txt", ".in", ".toml", ".json", ".ipynb", ".csv", ".cff", ""}
    bad = {}
    for name in listing.stdout.split():
        path = ROOT / name
        if path.suffix in suffixes and path.is_file() and path.name != "test_docs.py":
            traces = machine_traces(path.read_text(encoding="utf-8", errors="replace"))
            if traces:
                bad[name] = traces[:3]
    assert bad == {}


@pytest.mark.parametrize(
    ("text", "is_trace"),
    [
        ("see /root/x", True),
        ("File '/work/main/minillm/x.py'", True),
        ("/home/someone/x", True),
        ("/tmp/tmpabc/c", True),
        ('"resolved": "https://registry.npmjs.org/x"', True),
        ("pip install --index-url https://x", True),
        ("your copies lie in `work/`", False),
        ("./work/backup", False),
        ("$HOME/work/x", False),
        ("https://example.org/work/x", False),
    ],
)
def test_what_counts_as_a_trace(text, is_trace):
    assert bool(machine_traces(text)) is is_trace
