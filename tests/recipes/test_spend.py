"""What a budget buys, as a table and on the command line."""

import math

import pytest
from typer.testing import CliRunner

from minillm.__main__ import app
from minillm.recipes.spend import NAMES, duration, short, spend
from minillm.scaling import BESIROGLU


def test_every_law_has_a_line():
    plan = spend(1e21)
    assert tuple(plan.plans) == NAMES
    assert plan.plans["besiroglu"] == BESIROGLU.optimum(1e21)
    lines = plan.report().splitlines()
    assert len(lines) == 2 + len(NAMES) + 2
    (line,) = [text for text in lines if text.startswith("besiroglu")]
    assert line.split() == ["besiroglu", "2.78", "B", "60", "B", "21.6", "2.306"]
    (line,) = [text for text in lines if text.startswith("twenty")]
    assert line.split()[-1] == "-"  # a rule without a loss


def test_the_time_is_the_budget_over_what_the_machines_do():
    plan = spend(1e21, "besiroglu", gpu="A100", n_gpus=16, utilisation=0.5)
    assert plan.seconds == pytest.approx(1e21 / (16 * 312e12 * 0.5))
    assert plan.report().splitlines()[-1] == (
        "time         4.64 days on 16 x A100 at 50% of 312 TFLOP/s"
    )
    assert "kaplan" not in plan.report()


def test_laws_that_say_nothing_of_a_small_budget_are_left_out():
    assert 0 < len(spend(2e10).plans) < len(NAMES)
    with pytest.raises(ValueError, match="below the smallest"):
        spend(1e3)


@pytest.mark.parametrize(
    ("number", "text"),
    [(2.778e9, "2.78 B"), (999.96e6, "1 B"), (12.3, "12.3"), (4e12, "4 T"), (5_500, "5.5 K")],
)
def test_short(number, text):
    assert short(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4, "4 seconds"), (120, "2 minutes"), (7_200, "2 hours"), (2e5, "2.31 days")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text
    assert duration(math.pi * 3.156e7).endswith("years")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"law": "openai"}, "no law 'openai'"),
        ({"gpu": "abacus"}, "no GPU 'abacus'; there are H200"),
        ({"n_gpus": 0}, "n_gpus must be at least 1"),
        ({"utilisation": 1.2}, "cannot be 1.2"),
        ({"flops": -1.0}, "flops must be positive"),
    ],
)
def test_bad_input(more, message):
    with pytest.raises(ValueError, match=message):
        spend(**{"flops": 1e21, **more})


def test_the_command_line():
    done = CliRunner().invoke(app, ["plan", "--flops", "1e21", "--n-gpus", "16"])
    assert done.exit_code == 0
    assert done.stdout.strip() == spend(1e21, n_gpus=16).report()
    for words in (["plan"], ["plan", "laptop", "--flops", "1e21"]):
        done = CliRunner().invoke(app, words)
        assert isinstance(done.exception, ValueError)
        assert "name a recipe" in str(done.exception)
