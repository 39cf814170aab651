"""Mixtures where rounding bites, and where a state went through other hands."""

import json
from types import SimpleNamespace

import numpy as np

from minillm.data.mixture import MixtureSampler

NEARLY_ONE = np.nextafter(1.0, 0.0)  # the largest number that a draw can be


def test_rounding_draws_no_source_of_share_zero(monkeypatch):
    """Ten shares of a tenth add up to a little less than one, and a draw may lie above that."""
    shares = {f"s{i}": 1.0 for i in range(10)} | {"never": 0.0}
    sampler = MixtureSampler({name: np.arange(9) for name in shares}, 1, 4, proportions=shares)
    assert np.cumsum([0.1] * 10)[-1] == NEARLY_ONE
    always = SimpleNamespace(random=lambda n: np.full(n, NEARLY_ONE))
    monkeypatch.setattr(np.random, "default_rng", lambda *_: always)
    assert {sampler.names[i] for i in sampler.drawn(0, 50)} == {"s9"}


def test_a_state_is_read_by_name_not_by_place():
    def made():
        sources = {"z": np.arange(41), "a": np.arange(100, 121)}  # not in the order of the alphabet
        return MixtureSampler(sources, 2, 4, proportions={"z": 3, "a": 1})

    first = made()
    first.skip(9)
    assert first.served["z"] != first.served["a"]
    state = json.loads(json.dumps(first.state_dict(), sort_keys=True))
    second = made()
    second.load_state_dict(state)
    assert second.served == first.served
    assert [row.tolist() for row in second.take()] == [row.tolist() for row in first.take()]
