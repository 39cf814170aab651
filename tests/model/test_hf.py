"""Logits equal to transformers', both ways, in both precisions; files; and what is refused.

In a float64 model transformers' LlamaRMSNorm still goes through float32, which alone moves the
logits by about 1e-6. For the comparison in float64 the norm of the peer is widened (the same
formula, without the cast); one test shows that nothing else stands between the two.
"""

import dataclasses
import json

import pytest
import torch

from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    KVCache,
    NormConfig,
    PositionConfig,
)
from minillm.model.hf import (
    from_transformers,
    load_safetensors,
    save_safetensors,
    to_transformers,
)
from minillm.model.hf_config import config_from_transformers, config_to_transformers

transformers = pytest.importorskip("transformers")

LLAMA = {
    "vocab_size": 101,
    "hidden_size": 36,
    "intermediate_size": 50,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_type": "default", "rope_theta": 777.0},
    "tie_word_embeddings": False,
    "bos_token_id": None,
    "eos_token_id": None,
}
LLAMAS = {
    "grouped": {},
    "one key head, tied": {"num_key_value_heads": 1, "tie_word_embeddings": True},
    "biased, wide heads": {"head_dim": 10, "attention_bias": True, "mlp_bias": True},
    "all key heads, gelu": {"num_key_value_heads": 6, "hidden_act": "gelu", "vocab_size": 128},
}
GPT2 = {
    "vocab_size": 101,
    "n_embd": 36,
    "n_layer": 3,
    "n_head": 6,
    "n_positions": 20,
    "bos_token_id": None,
    "eos_token_id": None,
}
GPT2S = {
    "gpt2": {},
    "gpt2 untied, odd width": {"tie_word_embeddings": False, "n_inner": 77, "n_head": 4},
    "gpt2 relu": {"activation_function": "relu", "layer_norm_epsilon": 0.01},
}
SPREADS = [(0.2, 0.2), (0.2, 1e-3), (0.02, 0.02)]  # of the weights, of the embedding
IDS = torch.randint(0, 101, (2, 17), generator=torch.Generator().manual_seed(0))


def make_peer(name, spread=(0.2, 0.2), dtype=torch.float64, **changes):
    torch.manual_seed(0)
    if name in LLAMAS:
        settings = transformers.LlamaConfig(**(LLAMA | LLAMAS[name] | changes))
        peer = transformers.LlamaForCausalLM(settings)
    else:
        settings = transformers.GPT2Config(**(GPT2 | GPT2S[name] | changes))
        peer = transformers.GPT2LMHeadModel(settings)
    with torch.no_grad():
        for key, p in peer.named_parameters():
            gain = p.ndim == 1 and not key.endswith("bias")
            embedding = any(part in key for part in ("embed_tokens", "wte", "wpe"))
            p.normal_(1.0 if gain else 0.0, spread[1] if embedding else spread[0])
    return peer.to(dtype).eval()


@pytest.fixture
def wide_norm(monkeypatch):
    """Let the peer's norm compute in the dtype of its input, float32 at least."""
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    def forward(self, x):
        return (
            self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        )

    monkeypatch.setattr(LlamaRMSNorm, "forward", forward)


def gap(ours, peer, ids=IDS):
    with torch.no_grad():
        return (ours(ids) - peer(ids).logits).abs().max().item()


@pytest.mark.usefixtures("wide_norm")
@pytest.mark.parametrize("name", [*LLAMAS, *GPT2S])
@pytest.mark.parametrize("spread", SPREADS)
def test_float64_logits_agree_to_1e_9(name, spread):
    peer = make_peer(name, spread)
    ours = from_transformers(peer)
    assert gap(ours, peer) <= 1e-9
    with torch.no_grad():
        cache = KVCache(ours.config, 2, 17, torch.float64)
        parts = [ours(part, cache=cache) for part in IDS.split([6, 1, 10], dim=1)]
        cached = torch.cat(parts, dim=1)
        assert (cached - peer(IDS).logits).abs().max() <= 1e-9
        assert gap(ours, to_transformers(ours)) <= 1e-9


@pytest.mark.parametrize("name", [*LLAMAS, *GPT2S])
@pytest.mark.parametrize(
    ("spread", "bound"), [((0.02, 0.02), 1e-5), ((0.2, 0.2), 1e-4), ((0.2, 1e-3), 1e-4)]
)
def test_float32_logits_agree(name, spread, bound):
    peer = make_peer(name, spread, torch.float32)
    ours = from_transformers(peer)
    assert gap(ours, peer) <= bound
    assert gap(ours, to_transformers(ours)) <= bound


def test_without_widening_the_norm_is_all_that_differs():
    peer = make_peer("grouped")
    assert 1e-9 < gap(from_transformers(peer), peer) < 1e-4


@pytest.mark.usefixtures("wide_norm")
@pytest.mark.parametrize(
    ("name", "spread", "dtype", "bound", "eps"),
    [
        ("grouped", (0.2, 0.2), torch.float64, 1e-9, 1.1e-5),
        ("grouped", (0.2, 1e-3), torch.float64, 1e-9, 1.1e-5),
        ("gpt2", (0.2, 0.2), torch.float64, 1e-9, 1.1e-5),
        ("gpt2", (0.2, 1e-3), torch.float64, 1e-9, 1.1e-5),
        ("grouped", (0.2, 1e-3), torch.float32, 1e-4, 1e-6),  # hidden at an embedding of 0.2
        ("gpt2 untied, odd width", (0.2, 1e-3), torch.float32, 1e-4, 1e-6),
    ],
)
def test_a_wrong_eps_exceeds_the_bound_ten_times(name, spread, dtype, bound, eps):
    peer = make_peer(name, spread, dtype)
    right = from_transformers(peer)
    assert gap(right, peer) <= bound
    norm = dataclasses.replace(right.config.norm, eps=eps)
    wrong = Decoder(dataclasses.replace(right.config, norm=norm), dtype=dtype)
    wrong.load_state_dict(right.state_dict())
    assert gap(wrong, peer) > 10 * bound


@pytest.mark.usefixtures("wide_norm")
@pytest.mark.parametrize("position", [PositionConfig("rope", 770.0), PositionConfig("rope")])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_a_wrong_theta_or_pairing_exceeds_the_bound_ten_times(position, dtype, bound):
    peer = make_peer("grouped", dtype=dtype)
    right = from_transformers(peer)
    for changed in (position, dataclasses.replace(right.config.position, interleaved=True)):
        wrong = Decoder(dataclasses.replace(right.config, position=changed), dtype=dtype)
        wrong.load_state_dict(right.state_dict())
        assert gap(wrong, peer) > 10 * bound


def test_a_copy_shares_no_memory_and_keeps_the_dtype():
    peer = make_peer("gpt2", dtype=torch.bfloat16)
    ours = from_transformers(peer)
    assert ours.embedding.weight.dtype == torch.bfloat16
    before = ours.state_dict()["blocks.0.attention.q.weight"].clone()
    with torch.no_grad():
        for p in peer.parameters():
            p.zero_()
    assert torch.equal(ours.state_dict()["blocks.0.attention.q.weight"], before)
    assert before.abs().max() > 0
    back = to_transformers(ours)
    assert next(back.parameters()).dtype == torch.bfloat16
    assert not back.training


@pytest.mark.parametrize("name", [*LLAMAS, *GPT2S])
def test_the_settings_come_back(name):
    config = config_from_transformers(make_peer(name).config.to_dict())
    assert config_from_transformers(config_to_transformers(config)) == config


def test_the_settings_by_hand():
    settings = {k: v for k, v in LLAMA.items() if k != "rope_parameters"} | {
        "model_type": "llama",
        "hidden_act": "silu",
        "rope_theta": 500000.0,
        "rope_scaling": None,
    }
    assert config_from_transformers(settings) == DecoderConfig(
        vocab_size=101,
        d_model=36,
        n_layers=3,
        context=32,
        attention=AttentionConfig(6, 2),
        feedforward=FeedForwardConfig("swiglu", 50),
        norm=NormConfig("rmsnorm", 1e-5),
        position=PositionConfig("rope", 500000.0),
        tie_embeddings=False,
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "bert"}, "got 'bert'"),
        ({"hidden_act": "tanh"}, "hidden_act must be one of silu, gelu; got 'tanh'"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "'linear' is not supported"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "'yarn' is not supported"),
        ({"model_type": "gpt2", "scale_attn_by_inverse_layer_idx": True}, "sqrt"),
        ({"model_type": "gpt2", "scale_attn_weights": False}, "sqrt"),
    ],
)
def test_settings_that_cannot_be_expressed_are_refused(changes, words):
    settings = LLAMA | {"model_type": "llama", "hidden_act": "silu", "rope_parameters": None}
    with pytest.raises(ValueError, match=words):
        config_from_transformers(settings | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"norm": NormConfig(place="post")},
        {"norm": NormConfig("layernorm")},
        {"position": PositionConfig("alibi")},
        {"feedforward": FeedForwardConfig("relu", 8)},
        {"norm": NormConfig("layernorm"), "position": PositionConfig("learned")},
    ],
)
def test_configs_that_transformers_cannot_express_are_refused(changes):
    config = config_from_transformers(make_peer("grouped").config.to_dict())
    with pytest.raises(ValueError, match="neither LLaMA nor GPT-2"):
        config_to_transformers(dataclasses.replace(config, **changes))


@pytest.mark.parametrize(("name", "naming"), [("grouped", "llama"), ("gpt2", "gpt2")])
def test_files_of_either_side_can_be_read(tmp_path, name, naming):
    peer = make_peer(name, dtype=torch.float32)
    ours = from_transformers(peer)
    peer.save_pretrained(tmp_path / "theirs")
    again = load_safetensors(tmp_path / "theirs")  # config.json says what it is
    assert again.config == ours.config
    for key in ("minillm", naming):
        file = tmp_path / f"{key}.safetensors"
        save_safetensors(ours, file, naming=key)
        models = [again, load_safetensors(file, ours.config)]
        for model in models:
            assert model.state_dict().keys() == ours.state_dict().keys()
            for p, q in zip(model.parameters(), ours.parameters(), strict=True):
                assert torch.equal(p, q)
    assert not list(tmp_path.glob("*.partial"))


def test_a_file_in_parts_is_read_whole(tmp_path):
    peer = make_peer("grouped", dtype=torch.float32)
    peer.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert gap(load_safetensors(tmp_path), peer) <= 1e-5


def test_metas_own_layout_is_read_and_written(tmp_path):
    peer = make_peer("grouped", dtype=torch.float32)
    half = from_transformers(peer)
    save_safetensors(half, tmp_path / "meta.safetensors", naming="meta")
    assert gap(load_safetensors(tmp_path / "meta.safetensors", half.config), peer) <= 1e-5
    position = dataclasses.replace(half.config.position, interleaved=True)
    config = dataclasses.replace(half.config, position=position)
    interleaved = load_safetensors(tmp_path / "meta.safetensors", config)
    assert gap(interleaved, peer) <= 1e-5
    q = "blocks.0.attention.q.weight"
    assert not torch.equal(interleaved.state_dict()[q], half.state_dict()[q])
    with torch.no_grad():
        back = to_transformers(interleaved)(IDS).logits
        assert (back - peer(IDS).logits).abs().max() <= 1e-5


def test_dtype_and_device_of_a_read_model(tmp_path):
    ours = from_transformers(make_peer("gpt2", dtype=torch.float32))
    save_safetensors(ours, tmp_path / "m.safetensors")
    read = load_safetensors(tmp_path / "m.safetensors", ours.config, dtype=torch.bfloat16)
    assert {p.dtype for p in read.parameters()} == {torch.bfloat16}
    assert {p.device.type for p in read.parameters()} == {"cpu"}


def test_wrong_files_are_refused_by_name(tmp_path):
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
        load_safetensors(file, dataclasses.replace(ours.config, n_layers=2))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match="got 'bert'"):
        load_safetensors(file)
