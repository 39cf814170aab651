"""Safetensors files of every family, read and written; broken and foreign files are refused."""

import dataclasses
import json

import pytest
import torch

from minillm.model.hf import (
    from_transformers,
    load_safetensors,
    save_safetensors,
    to_transformers,
)

IDS = torch.randint(0, 101, (2, 17), generator=torch.Generator().manual_seed(0))
NAMINGS = {"mistral": "llama", "qwen2": "llama"}


@torch.no_grad()
def gap(ours, peer, ids=IDS):
    return (ours(ids) - peer(ids).logits).abs().max().item()


def same(model, other):
    a, b = model.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_files_of_either_side_can_be_read(tmp_path, family, make_peer):
    transformers = pytest.importorskip("transformers")
    peer = make_peer(family, dtype=torch.float32)
    ours = from_transformers(peer)
    peer.save_pretrained(tmp_path / "theirs")
    again = load_safetensors(tmp_path / "theirs")  # config.json says what it is
    assert again.config == ours.config
    assert same(again, ours)
    kind = peer.config.model_type
    naming = NAMINGS.get(kind, kind)
    for key in ("minillm", naming):
        file = tmp_path / f"{key}.safetensors"
        save_safetensors(ours, file, naming=key)
        assert same(load_safetensors(file, ours.config), ours)
    assert not list(tmp_path.glob("*.partial"))
    # and they read what we wrote in their place
    save_safetensors(ours, tmp_path / "theirs" / "model.safetensors", naming=naming)
    read = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "theirs")
    assert same(from_transformers(read), ours)


def test_a_file_in_parts_is_read_whole(tmp_path, make_peer):
    peer = make_peer("llama", dtype=torch.float32)
    peer.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert gap(load_safetensors(tmp_path), peer) <= 1e-5


@pytest.mark.parametrize("name", ["llama", "glm"])
@pytest.mark.parametrize("naming", ["meta", "llama"])
def test_other_layouts_of_rope_are_read_and_written(tmp_path, name, naming, make_peer):
    peer = make_peer(name, dtype=torch.float32)
    right = from_transformers(peer)
    file = tmp_path / "m.safetensors"
    save_safetensors(right, file, naming=naming)
    assert gap(load_safetensors(file, right.config), peer) <= 1e-5
    position = right.config.position
    position = dataclasses.replace(position, interleaved=not position.interleaved)
    other = load_safetensors(file, dataclasses.replace(right.config, position=position))
    assert gap(other, peer) <= 1e-5
    q = "blocks.0.attention.q.weight"
    assert not torch.equal(other.state_dict()[q], right.state_dict()[q])
    back = to_transformers(other)
    with torch.no_grad():
        assert (back(IDS).logits - peer(IDS).logits).abs().max() <= 1e-5


def test_dtype_and_device_of_a_read_model(tmp_path, make_peer):
    ours = from_transformers(make_peer("gpt2", dtype=torch.float32))
    save_safetensors(ours, tmp_path / "m.safetensors")
    read = load_safetensors(tmp_path / "m.safetensors", ours.config, dtype=torch.bfloat16)
    assert {p.dtype for p in read.parameters()} == {torch.bfloat16}
    assert {p.device.type for p in read.parameters()} == {"cpu"}


def test_wrong_files_are_refused_by_name(tmp_path, make_peer):
    ours = from_transformers(make_peer("gpt2", dtype=torch.float32))
    with pytest.raises(FileNotFoundError, match=r"nothing\.safetensors"):
        load_safetensors(tmp_path / "nothing.safetensors", ours.config)
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        load_safetensors(tmp_path, ours.config)
    with pytest.raises(ValueError, match=r"never pickles; got 'model\.bin'"):
        load_safetensors(tmp_path / "model.bin", ours.config)
    with pytest.raises(ValueError, match=r"end in \.safetensors, got 'model\.pt'"):
        save_safetensors(ours, tmp_path / "model.pt")
    file = tmp_path / "m.safetensors"
    save_safetensors(ours, file)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        load_safetensors(file, ours.config)
    file.write_bytes(whole)
    with pytest.raises(ValueError, match="do not fit the config"):
        load_safetensors(file, dataclasses.replace(ours.config, n_layers=1))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match="got 'bert'"):
        load_safetensors(file)
