"""Overrides: a right key changes one value and nothing else; a wrong one is a single clear line."""

import dataclasses
import json
from typing import Literal

import pytest

from minillm.recipes.overrides import from_dict, override, to_dict


@dataclasses.dataclass(frozen=True)
class Part:
    lr: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    fused: bool = False
    kind: Literal["adamw", "sgd"] = "adamw"

    def __post_init__(self):
        if self.lr < 0:
            raise ValueError(f"lr must not be negative, got {self.lr}")
        if self.betas[0] > self.betas[1]:
            raise ValueError("betas must rise")


@dataclasses.dataclass(frozen=True)
class Whole:
    name: str = "whole"
    steps: int = 10
    width: int | None = None
    low: int = 0
    part: Part = dataclasses.field(default_factory=Part)

    def __post_init__(self):
        if self.low > self.steps:
            raise ValueError(f"low={self.low} is above steps={self.steps}")


def test_values_that_depend_on_each_other_are_set_together():
    after = override(Whole(), ["low=50", "steps=100"])
    assert (after.low, after.steps) == (50, 100)
    with pytest.raises(ValueError, match="low=50 is above steps=10"):
        override(Whole(), ["low=50"])


def test_one_key_changes_and_the_original_stays():
    before = Whole()
    after = override(before, ["part.lr=1e-3", "steps=20"])
    assert after.part.lr == 1e-3
    assert after.steps == 20
    assert before == Whole()
    assert dataclasses.replace(after, steps=10, part=Part()) == before


def test_the_last_assignment_wins():
    assert override(Whole(), ["steps=1", "steps=2"]).steps == 2


@pytest.mark.parametrize(
    ("text", "path", "want"),
    [
        ("part.betas=(0.8, 0.99)", ("part", "betas"), (0.8, 0.99)),
        ("part.fused=True", ("part", "fused"), True),
        ("part.kind=sgd", ("part", "kind"), "sgd"),
        ("part.lr=1", ("part", "lr"), 1.0),
        ("width=64", ("width",), 64),
        ("width=None", ("width",), None),
        ("name=a=b", ("name",), "a=b"),
    ],
)
def test_values_are_read_by_the_type_of_the_field(text, path, want):
    config = override(Whole(width=3), [text])
    for key in path:
        config = getattr(config, key)
    assert config == want
    assert type(config) is type(want)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("part.lrr=1", r"unknown key 'part.lrr'; did you mean 'lr'\? Known here: lr, betas"),
        ("zzz=1", r"unknown key 'zzz'. Known here: name"),
        ("steps.deep=1", "'steps' is a plain value"),
        ("part=1", "'part' is a group; set one of its keys: lr"),
        ("steps", "write it as key=value"),
        ("=3", "write it as key=value"),
        ("steps=1.5", "steps=1.5 does not fit: 1.5 is not a whole number"),
        ("steps=True", "not a whole number"),
        ("part.lr=fast", "part.lr='fast' does not fit: 'fast' is not a number"),
        ("part.fused=1", "neither True nor False"),
        ("part.kind=lion", "part.kind='lion' does not fit"),
        ("part.lr=-1", "lr must not be negative, got -1"),
    ],
)
def test_a_wrong_assignment_is_one_line(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        override(Whole(), [text])
    assert "\n" not in str(caught.value)


def test_round_trip_through_json():
    config = override(Whole(), ["part.betas=(0.8, 0.99)", "width=7"])
    assert from_dict(json.loads(json.dumps(to_dict(config))), Whole) == config


def test_a_foreign_key_in_a_manifest_is_refused():
    values = to_dict(Whole()) | {"colour": "red"}
    with pytest.raises(ValueError, match="not a valid Whole: extra fields found \\(colour\\)"):
        from_dict(values, Whole)
