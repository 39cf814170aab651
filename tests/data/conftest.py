"""Shared by the tests of the data room: a data folder of a test's own."""

import pytest


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder for corpora."""
    monkeypatch.setenv("MINILLM_DATA", str(tmp_path / "home"))
    return tmp_path / "home"
