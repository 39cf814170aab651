"""What the notebooks see of lesson.py: the lines it prints, the figures it stores."""

import base64
import io
import json
import random
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import minillm.lesson as lesson
from minillm.lesson import band, check, claim, setup, show


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.delenv("MINILLM_SOLVED", raising=False)
    monkeypatch.delenv("MINILLM_RECORD", raising=False)
    before = plt.rcParams.copy()
    yield
    plt.close("all")
    plt.rcParams.update(before)
    torch.set_printoptions(profile="default")


@pytest.fixture
def shown(monkeypatch):
    """What show hands to the notebook."""
    outputs = []
    monkeypatch.setattr(
        "IPython.display.display", lambda data, raw, metadata: outputs.append((data, metadata))
    )
    return outputs


def test_setup_seeds_all_three_and_prints_nothing(capsys):
    draws = []
    for _ in range(2):
        setup(seed=9)
        draws.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert draws[0] == draws[1]
    setup(seed=10)
    assert draws[0] != (random.random(), np.random.rand(), torch.rand(1).item())
    assert capsys.readouterr().out == ""
    assert torch.get_num_threads() == 1
    assert plt.rcParams["image.cmap"] == "cividis"


def test_show_stores_the_alt_text_and_closes(shown):
    fig, ax = plt.subplots(figsize=(4, 2.4))
    ax.plot([1, 2])
    show(fig, alt="A line.")
    ((data, metadata),) = shown
    assert metadata == {"image/png": {"alt": "A line.", "width": 400, "height": 240}}
    assert data["text/plain"] == "A line."
    png = base64.b64decode(data["image/png"])
    assert png.startswith(b"\x89PNG")
    assert len(png) < 60_000
    assert not plt.fignum_exists(fig.number)


@pytest.mark.parametrize(("limit", "width"), [(10**9, 640), (0, 320)])
def test_a_figure_is_as_sharp_as_the_limit_allows(shown, monkeypatch, limit, width):
    monkeypatch.setattr(lesson, "FIGURE_BYTES", limit)
    fig, ax = plt.subplots(figsize=(4, 2.4))
    ax.plot([1, 2])
    show(fig, alt="A line.")
    png = base64.b64decode(shown[0][0]["image/png"])
    assert int.from_bytes(png[16:20], "big") == width  # 160 dpi, or 80 at the least


def test_between_the_two_the_first_size_that_fits_is_taken(shown, monkeypatch):
    fig, ax = plt.subplots(figsize=(4, 2.4))
    ax.plot([1, 2])
    sizes = {}
    for dpi in (160, 130):
        fig.savefig(png := io.BytesIO(), dpi=dpi, metadata={"Software": None})
        sizes[dpi] = len(png.getvalue())
    monkeypatch.setattr(lesson, "FIGURE_BYTES", sizes[130] + 1)
    assert sizes[130] + 1 <= sizes[160]
    show(fig, alt="A line.")
    assert len(base64.b64decode(shown[0][0]["image/png"])) == sizes[130]


def test_the_same_figure_gives_the_same_bytes(shown):
    for _ in range(2):
        fig, ax = plt.subplots()
        ax.plot([1, 3, 2])
        show(fig, alt="A line.")
    assert shown[0] == shown[1]


def test_show_wants_an_alt_text():
    with pytest.raises(ValueError, match="needs alt"):
        show(plt.figure(), alt=" ")


def double(x):
    return 2 * x


def said(capsys, fn, reference, cases, **kwargs):
    check(fn, reference, cases, **kwargs)
    return capsys.readouterr().out


def test_a_right_function(capsys):
    assert said(capsys, double, lambda x: x + x, [(1,), (2.5,)]) == "double: right in all 2 cases\n"
    assert said(capsys, double, lambda x: x + x, [(1,)]) == "double: right\n"


def test_a_function_that_is_not_written(capsys):
    def mine(x):
        raise NotImplementedError

    assert said(capsys, mine, double, [(1,), (2,)]) == "mine: not written yet\n"


def test_a_wrong_function_shows_its_first_wrong_case(capsys):
    def square(x):
        return x * x

    assert said(capsys, square, double, [(2,), (3,), (4,)]) == (
        "square: case 2 of 3 is wrong: the values differ\n"
        "  call   square(3)\n  wanted 6\n  got    9\n"
    )


def test_a_function_that_raises(capsys):
    out = said(capsys, lambda x: 1 / 0, double, [(2,)])
    assert "case 1 of 1 is wrong: it raised an error" in out
    assert "ZeroDivisionError('division by zero')" in out


def test_long_values_are_cut(capsys):
    out = said(capsys, lambda x: "a" * 1000, lambda x: "b" * 1000, [(2,)])
    assert max(map(len, out.splitlines())) <= 210
    assert "aaa..." in out


@pytest.mark.parametrize(
    ("got", "wanted", "words"),
    [
        (torch.ones(2), torch.ones(3), "shape (3,) is wanted, got (2,)"),
        (torch.ones(2), torch.ones(2).double(), "dtype torch.float64 is wanted, got torch.float32"),
        (torch.tensor([1.0, 2, 4]), torch.tensor([1.0, 2, 3]),
         "1 of 3 entries differ, first at [2]: wanted 3.0, got 4.0"),
        (torch.tensor([True]), torch.tensor([False]), "1 of 1 entries differ"),
        (np.ones(2), torch.ones(2), "a Tensor is wanted, got a ndarray"),
        (np.ones((2, 1)), np.ones((1, 2)), "shape (1, 2) is wanted, got (2, 1)"),
        (np.ones(2), np.ones(2, dtype=int), "dtype int64 is wanted, got float64"),
        (torch.tensor([float("nan")]), torch.tensor([1.0]), "1 of 1 entries differ"),
        (1.0, 1.1, "1.0 is not 1.1"),
        (1_000_000, 1_000_001, "the values differ"),
        (True, 1, "a int is wanted, got a bool"),
        (1.0, True, "a bool is wanted, got a float"),
        (None, 1.0, "a float is wanted, got a NoneType"),
        ("1", 1, "a int is wanted, got a str"),
        ([1], (1,), "a tuple is wanted, got a list"),
        ((1, 2), (1,), "the values differ"),
        ((1, 2.0), (1, 3.0), "at place 1: 2.0 is not 3.0"),
        ({"a": [1, 2]}, {"a": [1, 3]}, "at key 'a': at place 1: the values differ"),
        ({"a": 1}, {"b": 1}, "the values differ"),
        (float("nan"), 1.0, "nan is not 1.0"),
    ],
)  # fmt: skip
def test_each_kind_of_difference_is_named(capsys, got, wanted, words):
    assert f"is wrong: {words}" in said(capsys, lambda: got, lambda: wanted, [()])


@pytest.mark.parametrize(
    ("got", "wanted"),
    [
        (torch.tensor([1.0, float("nan")]), torch.tensor([1.0 + 1e-7, float("nan")])),
        (torch.tensor([1 + 2j]), torch.tensor([1 + 2j])),
        (torch.ones(2, dtype=torch.bfloat16), torch.ones(2, dtype=torch.bfloat16)),
        (torch.zeros(0), torch.zeros(0)),
        (np.array([1.0]), np.array([1.0 + 1e-9])),
        (2, 2.0),
        (2.0, 2),
        (float("inf"), float("inf")),
        (float("nan"), float("nan")),
        ({"a": (1, [2.0])}, {"a": (1, [2.0 + 1e-9])}),
        ({1, 2}, {2, 1}),
    ],
)
def test_what_counts_as_equal(capsys, got, wanted):
    assert said(capsys, lambda: got, lambda: wanted, [()]).endswith(": right\n")


def test_tolerances_are_used(capsys):
    near, one = torch.tensor([1.01]), torch.tensor([1.0])
    assert "is wrong" in said(capsys, lambda: near, lambda: one, [()])
    assert "is wrong" in said(capsys, lambda: near, lambda: one, [()], rtol=0.009)
    assert "right" in said(capsys, lambda: near, lambda: one, [()], rtol=0.011)
    assert "right" in said(capsys, lambda: near, lambda: one, [()], atol=0.011)
    assert "right" in said(capsys, lambda: 1.01, lambda: 1.0, [()], rtol=0.011)
    assert "right" in said(capsys, lambda: 1e-3, lambda: 0.0, [()], atol=1e-2)
    assert "is wrong" in said(capsys, lambda: 1e-3, lambda: 0.0, [()])


def test_arguments_are_copies_and_random_numbers_are_shared(capsys):
    def spoils(x):
        x += 1
        return x

    values = torch.zeros(2)
    assert "right" in said(capsys, spoils, lambda x: x + 1, [(values,)])
    assert torch.equal(values, torch.zeros(2))
    before = torch.get_rng_state()
    assert "right" in said(capsys, lambda: torch.rand(2), lambda: torch.rand(2), [()])
    assert torch.equal(before, torch.get_rng_state())


def test_a_solved_build_stops_at_a_wrong_exercise(capsys, monkeypatch):
    monkeypatch.setenv("MINILLM_SOLVED", "1")
    check(double, double, [(1,)])
    with pytest.raises(AssertionError, match="double: case 1 of 1 is wrong"):
        check(double, lambda x: 3 * x, [(1,)])

    def mine(x):
        raise NotImplementedError

    with pytest.raises(AssertionError, match="mine: not written yet"):
        check(mine, double, [(1,)])


@pytest.mark.parametrize("cases", [[], [3], [(1,), [2]]])
def test_cases_must_be_tuples(cases):
    with pytest.raises(ValueError, match="a list of tuples"):
        check(double, double, cases)


LEDGER = """id,lesson,source,claim,claimed,scale,test,direction,rule,tolerance,status
T-1,14,p,c,0.5,,,,exact,0.1,live
T-2,14,p,c,,,,up,direction,,live
"""


@pytest.fixture
def data(tmp_path, monkeypatch):
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "ledger.csv").write_text(LEDGER)
    (tmp_path / "bands").mkdir()
    monkeypatch.setattr(lesson, "DATA", tmp_path)
    return tmp_path


def test_claim_prints_the_verdict_and_writes_nothing(data, capsys):
    claim("T-1", 0.55)
    claim("T-1", torch.tensor(0.7))
    assert capsys.readouterr().out == "T-1: reproduced\nT-1: contradicted\n"
    assert sorted(path.name for path in data.rglob("*.*")) == ["ledger.csv"]


def test_a_build_gets_the_measurement(data, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("MINILLM_RECORD", str(tmp_path / "r.jsonl"))
    claim("T-1", torch.tensor(0.5), unit="nats")
    claim("T-2", 1.0, SimpleNamespace(low=0.5, high=1.5, level=0.95, n=5))
    one, two = map(json.loads, (tmp_path / "r.jsonl").read_text().splitlines())
    assert one == {
        "id": "T-1", "unit": "nats", "value": 0.5,
        "low": None, "high": None, "level": None, "n_seeds": None,
    }  # fmt: skip
    assert (two["low"], two["high"], two["level"], two["n_seeds"]) == (0.5, 1.5, 0.95, 5)


def test_an_unknown_claim(data):
    with pytest.raises(ValueError, match="no claim 'T-9' in data/claims/ledger"):
        claim("T-9", 1.0)


@pytest.fixture
def recorded(data):
    known = {"steps": [0, 10, 20], "median": [5, 4, 3], "low": [4.5, 3.5, 2.5],
             "high": [5.5, 4.5, 3.5], "n_seeds": 5, "config_hash": "x"}  # fmt: skip
    (data / "bands" / "tour.json").write_text(json.dumps(known))


@pytest.mark.usefixtures("recorded")
def test_a_curve_in_the_band(capsys, shown):
    band("tour", [5.5, 4.5, 2.5])  # the edges belong to the band
    words = "tour: inside the band of 5 recorded runs at all 3 steps"
    assert capsys.readouterr().out == words + "\n"
    assert words in shown[0][0]["text/plain"]


@pytest.mark.usefixtures("recorded")
def test_a_curve_that_leaves_the_band(capsys, shown):
    band("tour", {0: 5.0, 10: 4.6, 15: 99.0, 20: 2.0})
    assert capsys.readouterr().out == (
        "tour: outside the band at 2 of 3 steps, first at step 10, where the loss is 4.600 "
        "and the band 3.500 to 4.500\n"
    )


@pytest.mark.usefixtures("recorded")
def test_band_errors():
    with pytest.raises(ValueError, match="no band 'other'"):
        band("other", [1.0])
    with pytest.raises(ValueError, match="none of the steps"):
        band("tour", {3: 1.0})


def test_lesson_imports_nothing_of_the_package_but_the_verdict():
    source = Path(lesson.__file__).read_text(encoding="utf-8")
    lines = [line for line in source.splitlines() if "import" in line and "minillm" in line]
    assert lines == ["from minillm.evaluate.verdict import as_record, read_ledger, verdict"]
    assert len(source.splitlines()) < 200
