"""Freezing, counting, and putting parts in the places of others."""

import pytest
from torch import nn

from minillm.finetune.parts import (
    count_trainable,
    freeze,
    named_places,
    parts_of,
    refuse_experts,
    replace,
    swap,
)
from minillm.model import FeedForwardConfig, MixtureOfExperts
from minillm.model.routing import ExpertsConfig


def model():
    inner = nn.ModuleDict({"a": nn.Linear(2, 3), "b": nn.Linear(3, 2)})
    return nn.ModuleDict({"one": inner, "a": nn.Linear(2, 2, bias=False)})


def test_freeze_and_count():
    m = model()
    assert count_trainable(m) == 9 + 8 + 4
    assert freeze(m) is m
    assert count_trainable(m) == 0
    m["a"].weight.requires_grad_(True)
    assert count_trainable(m) == 4
    m["again"] = m["a"]  # shared: counted once
    assert count_trainable(m) == 4


def test_swap_hands_over_the_old_part_in_order():
    m = model()
    old = [m["one"]["a"], m["a"]]
    seen = []
    assert swap(m, ("a",), lambda part: seen.append(part) or nn.Identity()) == ["one.a", "a"]
    assert seen == old
    assert isinstance(m["one"]["a"], nn.Identity)
    assert isinstance(m["a"], nn.Identity)
    assert isinstance(m["one"]["b"], nn.Linear)


def test_a_wrapper_is_not_wrapped_again():
    m = model()
    swap(m, ("a", "b"), lambda part: nn.ModuleDict({"a": part}))
    assert [n for n, p in parts_of(m, nn.Linear)] == ["one.a.a", "one.b.a", "a.a"]


def test_replace_takes_full_names():
    m = model()
    assert replace(m, iter(["one.a"]), lambda part: nn.Identity()) == ["one.a"]
    assert isinstance(m["a"], nn.Linear)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ((), "several names"),
        ("a", "several names, such as .*; got 'a'"),
        (("a", "c"), "no part named c; it has a, b, one"),
    ],
)
def test_wrong_targets_are_refused(targets, message):
    with pytest.raises(ValueError, match=message):
        named_places(model(), targets)


def test_experts_are_refused():
    refuse_experts(model())
    experts = MixtureOfExperts(8, FeedForwardConfig("swiglu", 8, experts=ExpertsConfig(2)))
    with pytest.raises(ValueError, match="does not reach the experts"):
        refuse_experts(nn.Sequential(experts))
