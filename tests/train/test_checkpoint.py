"""Checkpoints: whole or refused by name, whatever happens to a byte or to the process."""

import json
import os
import random
import shutil

import numpy as np
import pytest
import torch

from minillm.train import (
    CheckpointError,
    OptimizerConfig,
    find_checkpoint,
    has_checkpoint,
    load_checkpoint,
    make_optimizer,
    save_checkpoint,
)
from minillm.train.disk import fingerprint, save_json, sha256

FILES = ["manifest.json", "model.safetensors", "optimizer.safetensors", "state.json"]


def trained(new_model, steps=2, seed=0):
    model = new_model(seed=seed)
    optimizer = make_optimizer(model, OptimizerConfig(lr=1e-2))
    for _ in range(steps):
        model(torch.tensor([[1, 2, 3]])).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


def same(one, two):
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_round_trip(new_model, tmp_path):
    model, optimizer = trained(new_model)
    state = {"step": 7, "data": {"n_served": 3}, "name": "日本"}
    told = {"config": {"d_model": 16}, "seed": 5}
    place = save_checkpoint(tmp_path / "c", model, optimizer, state, manifest=told)
    assert sorted(os.listdir(place)) == FILES
    assert os.listdir(tmp_path) == ["c"]  # nothing is left beside it
    other, second = trained(new_model, steps=1, seed=1)
    second.param_groups[0]["lr"] = 99.0
    found = load_checkpoint(place, other, second)
    assert found.state == state
    assert {k: found.manifest[k] for k in told} == told
    assert set(found.manifest["files"]) == {f for f in FILES if f != "manifest.json"}
    assert found.folder == place
    assert same(model, other)
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        a, b = optimizer.state[p], second.state[q]
        assert a["step"] == b["step"] == 2
        assert torch.equal(a["m"], b["m"])
        assert torch.equal(a["v"], b["v"])
    assert second.param_groups[0]["lr"] == 1e-2
    assert second.param_groups[0]["betas"] == (0.9, 0.95)  # a tuple again, as it was
    for pair in ((model, optimizer), (other, second)):
        pair[0](torch.tensor([[4, 5]])).sum().backward()
        pair[1].step()
    assert same(model, other)


def test_works_with_an_optimizer_of_torch(new_model, tmp_path):
    models = [new_model(), new_model(seed=1)]
    optimizers = [torch.optim.AdamW(m.parameters(), lr=1e-2) for m in models]

    def step(i):
        models[i](torch.tensor([[1, 2]])).sum().backward()
        optimizers[i].step()
        optimizers[i].zero_grad()

    step(0)
    save_checkpoint(tmp_path / "c", models[0], optimizers[0])
    load_checkpoint(tmp_path / "c", models[1], optimizers[1])
    step(0)
    step(1)
    assert same(*models)


def test_without_an_optimizer(new_model, tmp_path):
    model, optimizer = trained(new_model)
    place = save_checkpoint(tmp_path / "c", model)
    assert "optimizer.safetensors" not in os.listdir(place)
    other = new_model(seed=3)
    load_checkpoint(place, other)
    assert same(model, other)
    with pytest.raises(CheckpointError, match="saved without one"):
        load_checkpoint(place, other, optimizer)
    with pytest.raises(CheckpointError, match="give its model, too"):
        load_checkpoint(place, None, optimizer)


def test_random_generators_go_on_where_they_stood(new_model, tmp_path):
    random.seed(1), np.random.seed(2), torch.manual_seed(3)
    random.gauss(0, 1), np.random.randn()  # both keep half of a pair

    def draw():
        return (random.gauss(0, 1), random.random(), np.random.randn(), torch.rand(3).tolist())

    save_checkpoint(tmp_path / "c", new_model_without_draws(new_model))
    first = draw()
    load_checkpoint(tmp_path / "c")
    assert draw() != first  # only on request
    load_checkpoint(tmp_path / "c", restore_rng=True)
    assert draw() == first


def new_model_without_draws(new_model):
    before = torch.get_rng_state()
    model = new_model()
    torch.set_rng_state(before)
    return model


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["cut", "altered", "missing", "empty"])
def test_a_damaged_file_is_refused_by_name(new_model, tmp_path, name, damage):
    model, optimizer = trained(new_model)
    place = save_checkpoint(tmp_path / "c", model, optimizer)
    data = (place / name).read_bytes()
    if damage == "missing":
        (place / name).unlink()
    elif damage == "altered":
        middle = len(data) // 2
        changed = bytes([data[middle] ^ 1])
        (place / name).write_bytes(data[:middle] + changed + data[middle + 1 :])
    else:
        (place / name).write_bytes(data[: len(data) // 2] if damage == "cut" else b"")
    other = new_model(seed=1)
    before = [p.detach().clone() for p in other.parameters()]
    with pytest.raises(CheckpointError, match=name):
        load_checkpoint(place, other)
    assert all(torch.equal(a, b) for a, b in zip(before, other.parameters(), strict=True))


def test_a_manifest_edited_by_hand_is_refused(new_model, tmp_path):
    place = save_checkpoint(tmp_path / "c", new_model(), manifest={"seed": 1})
    told = json.loads((place / "manifest.json").read_text())
    (place / "manifest.json").write_text(json.dumps({**told, "seed": 2}))
    with pytest.raises(CheckpointError, match=r"manifest.json was altered"):
        load_checkpoint(place)
    (place / "manifest.json").write_text(json.dumps(told))  # other spacing, same content
    assert load_checkpoint(place).manifest["seed"] == 1


def test_another_model_or_other_groups_are_refused(new_model, tmp_path):
    model, optimizer = trained(new_model)
    place = save_checkpoint(tmp_path / "c", model, optimizer)
    with pytest.raises(CheckpointError, match=r"does not fit this model: .*size mismatch"):
        load_checkpoint(place, new_model(d_model=32))
    other = new_model()
    with pytest.raises(CheckpointError, match="other parameter groups"):
        load_checkpoint(place, other, torch.optim.AdamW(other.parameters()))


def test_nothing_there_is_said(new_model, tmp_path):
    assert not has_checkpoint(tmp_path / "c")
    with pytest.raises(CheckpointError, match="there is no checkpoint at"):
        load_checkpoint(tmp_path / "c")
    (tmp_path / "c").mkdir()
    with pytest.raises(CheckpointError, match=r"manifest.json is missing"):
        load_checkpoint(tmp_path / "c")


def test_what_json_cannot_hold_is_refused_and_the_old_one_stays(new_model, tmp_path):
    place = save_checkpoint(tmp_path / "c", new_model(), state={"step": 1})
    with pytest.raises(ValueError, match=r"state.json can only hold what JSON can"):
        save_checkpoint(place, new_model(), state={"step": {1, 2}})
    assert load_checkpoint(place).state == {"step": 1}
    save_checkpoint(place, new_model(), state={"step": 2})  # the half-written one is no obstacle
    assert load_checkpoint(place).state == {"step": 2}
    assert os.listdir(tmp_path) == ["c"]


# ---- the three states of a save ----------------------------------------------------------------


def versions(new_model, tmp_path):
    """Two whole checkpoints, of step 1 and step 2, to be put where a kill would leave them."""
    one = save_checkpoint(tmp_path / "one", new_model(), state={"step": 1})
    two = save_checkpoint(tmp_path / "two", new_model(), state={"step": 2})
    return one, two


def test_killed_while_writing_the_old_one_counts(new_model, tmp_path):
    one, two = versions(new_model, tmp_path)
    one.rename(tmp_path / "c")
    two.rename(tmp_path / "c.new")
    (tmp_path / "c.new" / "manifest.json").unlink()
    assert load_checkpoint(tmp_path / "c").state == {"step": 1}
    save_checkpoint(tmp_path / "c", new_model(), state={"step": 3})
    assert load_checkpoint(tmp_path / "c").state == {"step": 3}
    assert os.listdir(tmp_path) == ["c"]


def test_killed_between_the_renames_the_new_one_counts(new_model, tmp_path):
    one, two = versions(new_model, tmp_path)
    one.rename(tmp_path / "c.old")
    two.rename(tmp_path / "c.new")
    assert has_checkpoint(tmp_path / "c")
    assert find_checkpoint(tmp_path / "c").name == "c.new"
    assert load_checkpoint(tmp_path / "c").state == {"step": 2}
    save_checkpoint(tmp_path / "c", new_model(), state={"step": 3})
    assert os.listdir(tmp_path) == ["c"]


def test_old_counts_where_new_is_broken(new_model, tmp_path):
    one, two = versions(new_model, tmp_path)
    one.rename(tmp_path / "c.old")
    two.rename(tmp_path / "c.new")
    (tmp_path / "c.new" / "state.json").write_text("{")
    assert load_checkpoint(tmp_path / "c").state == {"step": 1}
    shutil.rmtree(tmp_path / "c.old")
    assert not has_checkpoint(tmp_path / "c")


def test_killed_before_the_old_one_is_removed(new_model, tmp_path):
    one, two = versions(new_model, tmp_path)
    one.rename(tmp_path / "c.old")
    two.rename(tmp_path / "c")
    assert load_checkpoint(tmp_path / "c").state == {"step": 2}
    save_checkpoint(tmp_path / "c", new_model(), state={"step": 3})
    assert os.listdir(tmp_path) == ["c"]


def test_every_file_and_name_is_synced_before_the_rename(new_model, tmp_path, monkeypatch):
    import minillm.train.checkpoint as module
    import minillm.train.disk as disk

    order = []
    for place in (module, disk):
        real = place.sync
        monkeypatch.setattr(place, "sync", lambda p, f=real: (order.append(p.name), f(p)))
    real_folder, real_rename = module.sync_folder, os.rename
    monkeypatch.setattr(module, "sync_folder", lambda p: (order.append(p.name), real_folder(p)))
    monkeypatch.setattr(os, "rename", lambda a, b: (order.append("rename"), real_rename(a, b)))
    model, optimizer = trained(new_model)
    save_checkpoint(tmp_path / "c", model, optimizer)
    rename = order.index("rename")
    assert {*FILES, "c.new"} <= set(order[:rename])
    assert order[rename + 1 :] == [tmp_path.name]


# ---- the disk ----------------------------------------------------------------------------------


def test_hashes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
    assert sha256(tmp_path / "x") == known
    (tmp_path / "big").write_bytes(b"abc" * 400_000)
    assert sha256(tmp_path / "big") != sha256(tmp_path / "x")
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({10: 1, 9: 2}) == fingerprint({"10": 1, "9": 2})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    save_json(tmp_path / "j", {"a": [1, None]})
    assert json.loads((tmp_path / "j").read_text()) == {"a": [1, None]}
