import ast
import json
import re
import subprocess
import sys
from collections import Counter

import pytest

from minillm.data import harvest as harvests
from minillm.data import mask_emails, packages
from minillm.data.docstrings import Docstring
from minillm.data.harvest import KINDS, harvest
from minillm.data.harvest_kinds import Harvester

# kind: (fewest texts, most texts, fewest bytes, most bytes). Packages and Python minors differ;
# the shipped manifest is exact where versions are the same.
RANGES = {
    "code": (500, 1_200, 8e6, 18e6),
    "doctests": (5_000, 14_000, 2e6, 8e6),
    "licences": (80, 600, 0.3e6, 4e6),
    "markup": (100, 900, 2e6, 15e6),
    "names": (120, 260, 2e6, 6e6),
    "prose": (30_000, 70_000, 7e6, 14e6),
    "readmes": (50, 90, 0.4e6, 1.5e6),
    "reference": (60, 120, 0.3e6, 1e6),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_as_large_as_it_should_be(kind):
    records = harvest(kind, progress=False)
    fewest, most, low, high = RANGES[kind]
    assert fewest <= len(records) <= most
    assert low <= sum(len(text.encode()) for _, text in records) <= high
    assert all(text.strip() and origin for origin, text in records)
    said = harvests.kind_record(kind)
    assert said.n_texts == len(records)
    assert said.n_bytes == sum(len(text.encode()) for _, text in records)


def test_the_harvest_equals_the_shipped_manifest():
    shipped, why = harvests.shipped_manifest()
    if shipped is None:
        pytest.skip(why)
    assert harvests.manifest()["kinds"] == shipped["kinds"]


@pytest.mark.parametrize("kind", KINDS)
def test_no_address_is_left_in_any_kind(kind):
    found = Counter()
    for _, text in harvest(kind, progress=False):
        text = re.sub(r"@(?:[\w-]+\.)*example(?:\.\w+)?", "", text) if kind == "doctests" else text
        found["emails"] += mask_emails(text)[1]
    assert found["emails"] == 0


def test_prose_repeats_no_paragraph_and_holds_no_prompt():
    seen = Counter()
    for _, text in harvest("prose", progress=False):
        seen.update(text.split("\n\n"))
    assert max(seen.values()) == 1
    assert not any(paragraph.startswith(">>>") for paragraph in seen)


def test_code_is_code():
    records = dict(harvest("code", progress=False))
    assert "def dumps(" in records["python/json/__init__.py"]
    assert list(records) == sorted(records)
    assert not any("/test/" in origin or "site-packages" in origin for origin in records)
    for origin in list(records)[::40]:
        ast.parse(records[origin])  # a mask never breaks it here


def test_reference_licences_readmes_and_markup_are_what_they_say():
    reference = dict(harvest("reference", progress=False))
    assert 'The "lambda"' in reference["python/pydoc_data/topics.py::lambda"] or reference
    licences = dict(harvest("licences", progress=False))
    assert any("numpy" in origin for origin in licences)
    assert any("Permission is hereby granted" in text for text in licences.values())
    readmes = dict(harvest("readmes", progress=False))
    assert "NumPy" in readmes["numpy::README"]
    markup = harvest("markup", progress=False)
    assert {origin.rpartition(".")[2] for origin, _ in markup} >= {"js", "css", "html"}
    assert max(len(text.encode()) for _, text in markup) <= 65_536 + 2_000  # masks are longer


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="unknown kind of harvest 'poems'; there are: code, "):
        harvest("poems")


def test_the_list_is_sorted_and_holds_no_oracle_of_the_tests():
    assert list(packages.PACKAGES) == sorted(set(packages.PACKAGES))
    oracles = {"transformers", "tokenizers", "scipy", "hypothesis", "datasketch", "peft"}
    assert not oracles & set(packages.PACKAGES)


def test_files_are_sorted_and_tests_and_vendored_copies_left_out():
    shown = [name for name, _ in packages.package_sources("numpy")]
    assert shown == sorted(shown)
    assert "numpy/linalg/__init__.py" in shown
    assert not any("/tests/" in name for name in shown)
    assert any("/tests/" in name for name, _ in packages.package_files("numpy"))
    library = [name for name, _ in packages.standard_library()]
    assert library == sorted(library)
    assert "python/json/decoder.py" in library
    assert not any(name.split("/")[1].startswith("_sysconfigdata") for name in library)


@pytest.fixture
def small(home, monkeypatch):
    """A harvest of two made-up readmes, so that the cache can be watched."""
    calls = []

    def readmes(self):
        calls.append("read")
        yield "a::README", self._mask("Mail ada@example.org\nor bob@example.org now.")
        yield "b::README", "Ünïcode, line\u2028separator, 中文."

    monkeypatch.setattr(Harvester, "readmes", readmes)
    return calls


WANTED = [
    ("a::README", "Mail |||EMAIL_ADDRESS|||\nor |||EMAIL_ADDRESS||| now."),
    ("b::README", "Ünïcode, line\u2028separator, 中文."),
]


def test_the_second_time_it_comes_from_the_cache(small):
    assert harvest("readmes") == WANTED
    assert harvest("readmes") == WANTED
    assert small == ["read"]
    said = harvests.kind_record("readmes")
    assert (said.n_texts, said.masked) == (2, {"emails": 2})
    names = {path.name for path in harvests.cache_folder().iterdir()}
    assert names == {"readmes.json", "readmes.jsonl.gz", "readmes.lock"}


def test_another_version_is_another_cache(small, monkeypatch):
    harvest("readmes")
    before = harvests.cache_folder()
    versions = packages.installed_versions() | {"numpy": "0.0.1"}
    monkeypatch.setattr(packages, "installed_versions", lambda: versions)
    assert harvests.cache_folder() != before
    assert harvests.cache_folder().parent == before.parent
    harvest("readmes")
    assert len(small) == 2


@pytest.mark.parametrize("file", ["readmes.jsonl.gz", "readmes.json"])
@pytest.mark.parametrize("harm", [lambda raw: raw[:-9], lambda raw: b"", None])
def test_a_harmed_cache_is_made_again(small, file, harm):
    harvest("readmes")
    path = harvests.cache_folder() / file
    whole = path.read_bytes()
    path.unlink() if harm is None else path.write_bytes(harm(whole))
    assert harvest("readmes") == WANTED
    assert len(small) == 2
    assert path.read_bytes() == whole  # and it is the same, byte for byte


def test_a_cache_with_another_hash_is_made_again(small):
    harvest("readmes")
    path = harvests.cache_folder() / "readmes.json"
    path.write_text(re.sub(r'"sha256": "."', '"sha256": "x', path.read_text("utf-8")), "utf-8")
    record = json.loads(path.read_text("utf-8")) | {"sha256": "0" * 64}
    path.write_text(json.dumps(record), "utf-8")
    assert harvest("readmes") == WANTED
    assert len(small) == 2


def test_a_harvest_that_breaks_leaves_nothing_behind(home, monkeypatch):
    def readmes(self):
        yield "a::README", "text"
        raise KeyboardInterrupt

    monkeypatch.setattr(Harvester, "readmes", readmes)
    with pytest.raises(KeyboardInterrupt):
        harvest("readmes")
    assert {path.suffix for path in harvests.cache_folder().iterdir()} <= {".lock"}


def test_prose_and_doctests_are_read_together(home, monkeypatch):
    paragraph = "This is a sentence of more than six words."
    mail = "As one can see, the author of all of this can be reached under ada@example.org."
    found = [
        Docstring("f", f"{paragraph}\n\n{paragraph}\n\n{mail}\n\n>>> 1\n1"),
        Docstring("g", f"{paragraph}\n\nMore is said here about other things.\n\n>>> x = 1"),
        Docstring("h", ">>> print('ada@lovelace.org')\nada@lovelace.org"),
        Docstring("i", ">>> print('a@example.org')\na@example.org"),
    ]
    files = [("python/a.py", "there")]
    monkeypatch.setattr(packages, "standard_library", lambda: iter(files))
    monkeypatch.setattr(packages, "installed_versions", lambda: {})
    monkeypatch.setattr("minillm.data.harvest_kinds._read_quickly", lambda path: found)
    assert harvest("doctests") == [
        ("python/a.py::f", '[["1\\n", "1\\n"]]'),
        ("python/a.py::i", '[["print(\'a@example.org\')\\n", "a@example.org\\n"]]'),
    ]
    mask = mail.replace("ada@example.org", "|||EMAIL_ADDRESS|||")
    monkeypatch.setattr("minillm.data.harvest_kinds._read_quickly", None)  # not read again
    assert harvest("prose") == [
        ("python/a.py::f", f"{paragraph}\n\n{mask}"),
        ("python/a.py::g", "More is said here about other things."),
    ]
    assert harvests.kind_record("prose").masked == {"emails": 1}
    assert harvests.kind_record("doctests").masked == {"left out": 1}


def test_the_data_folder_can_be_named(monkeypatch, tmp_path):
    monkeypatch.setenv("MINILLM_DATA", str(tmp_path))
    assert harvests.data_home() == tmp_path
    monkeypatch.delenv("MINILLM_DATA")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert harvests.data_home() == tmp_path / ".cache" / "minillm"
    monkeypatch.setenv("MINILLM_DATA", "~/texts")
    assert harvests.data_home() == tmp_path / "texts"


def test_a_manifest_of_other_versions_is_not_compared(monkeypatch, tmp_path):
    monkeypatch.setattr(harvests, "MANIFESTS", tmp_path)
    shipped, why = harvests.shipped_manifest()
    assert shipped is None
    assert why.startswith("no manifest is shipped for this machine (")
    here = harvests.environment()
    path = harvests.manifest_path()
    assert path.parent == tmp_path
    assert path.name == path.name.lower()
    assert f"-{sys.version_info[0]}.{sys.version_info[1]}-" in path.name
    path.write_text(json.dumps(here | {"kinds": {}}), "utf-8")
    assert harvests.shipped_manifest() == (here | {"kinds": {}}, "")
    other = here | {"packages": here["packages"] | {"numpy": "0", "torch": "0"}}
    path.write_text(json.dumps(other), "utf-8")
    assert harvests.shipped_manifest() == (None, "other versions of numpy, torch are installed")
    path.write_text(json.dumps(here | {"python": "3.0.0"}), "utf-8")
    assert harvests.shipped_manifest()[1].startswith("the shipped manifest has python 3.0.0, here")


def test_reading_a_corpus_imports_neither_torch_nor_the_packages_it_reads():
    code = (
        "import sys; from minillm.data import load_corpus; load_corpus('reference');"
        "print(sorted({'torch', 'sympy', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
