"""Names and layouts of weights: recognised, exchanged without loss, refused when unknown."""

import dataclasses

import pytest
import torch

from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    ExpertsConfig,
    FeedForwardConfig,
    NormConfig,
    PositionConfig,
)
from minillm.model.weights import from_ours, naming_of, to_ours

LLAMA = DecoderConfig(
    vocab_size=50,
    d_model=8,
    n_layers=11,  # two digits in a name
    context=16,
    attention=AttentionConfig(2, 1, bias=True),
    feedforward=FeedForwardConfig("swiglu", 12),
    tie_embeddings=False,
)
GPT2 = dataclasses.replace(
    LLAMA,
    attention=AttentionConfig(2, bias=True),
    feedforward=FeedForwardConfig("gelu_tanh", 12, bias=True),
    norm=NormConfig("layernorm"),
    position=PositionConfig("learned"),
)
FALCON = dataclasses.replace(
    LLAMA,
    d_model=16,
    attention=AttentionConfig(4, 2),
    feedforward=FeedForwardConfig("gelu", 12),
    norm=NormConfig("layernorm"),
    parallel=True,
)
BLOOM = dataclasses.replace(
    GPT2, norm=NormConfig("layernorm", embedding=True), position=PositionConfig("alibi")
)
MIXTRAL = dataclasses.replace(
    LLAMA,
    n_layers=4,
    attention=AttentionConfig(2, 1),
    feedforward=FeedForwardConfig("swiglu", 12, experts=ExpertsConfig(12)),
)
GLM = dataclasses.replace(
    LLAMA,
    attention=AttentionConfig(2, 1, head_width=8, bias="qkv"),
    position=PositionConfig(rotary_share=0.5),
)
GLM4 = dataclasses.replace(GLM, norm=NormConfig(place="sandwich"))


def random_weights(config):
    torch.manual_seed(0)
    model = Decoder(config)
    for p in model.parameters():
        if p.ndim == 1:
            torch.nn.init.normal_(p)
    return model.state_dict()


@pytest.mark.parametrize(
    ("config", "naming"),
    [
        (LLAMA, "minillm"),
        (LLAMA, "llama"),
        (LLAMA, "meta"),
        (GPT2, "gpt2"),
        (GPT2, "minillm"),
        (BLOOM, "bloom"),
        (FALCON, "falcon"),
        (MIXTRAL, "mixtral"),
        (MIXTRAL, "mixtral_fused"),
        (GLM, "glm"),
        (GLM4, "glm4"),
    ],
)
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_there_and_back_changes_nothing(config, naming, interleaved, tied):
    position = dataclasses.replace(config.position, interleaved=interleaved)
    config = dataclasses.replace(config, position=position, tie_embeddings=tied)
    ours = random_weights(config)
    theirs = from_ours(ours, config, naming)
    assert naming_of(theirs) == naming
    back = to_ours(theirs, config)
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[name], ours[name]) for name in ours)


def test_the_layouts_by_hand():
    ours = random_weights(GPT2)
    theirs = from_ours(ours, GPT2, "gpt2")
    c_attn = theirs["transformer.h.10.attn.c_attn.weight"]
    assert c_attn.shape == (8, 24)
    for i, letter in enumerate("qkv"):
        part = c_attn[:, 8 * i : 8 * i + 8]
        assert torch.equal(part, ours[f"blocks.10.attention.{letter}.weight"].T)
    assert theirs["transformer.wte.weight"].shape == (50, 8)  # no padding
    assert theirs["transformer.wpe.weight"].shape == (16, 8)  # a table is not transposed

    ours = random_weights(LLAMA)
    theirs = from_ours(ours, LLAMA, "meta")
    rows = theirs["layers.3.attention.wq.weight"]
    assert torch.equal(rows[:4], ours["blocks.3.attention.q.weight"][[0, 2, 1, 3]])
    bias = ours["blocks.3.attention.k.bias"][[0, 2, 1, 3]]
    assert torch.equal(theirs["layers.3.attention.wk.bias"], bias)
    same = {
        "attention.wv": "attention.v",
        "attention.wo": "attention.out",
        "feed_forward.w1": "feedforward.gate",
        "feed_forward.w2": "feedforward.down",
        "feed_forward.w3": "feedforward.up",
    }
    for their_name, our_name in same.items():
        ours_here = ours[f"blocks.3.{our_name}.weight"]
        assert torch.equal(theirs[f"layers.3.{their_name}.weight"], ours_here)


def test_fused_layouts_by_hand():
    ours = random_weights(FALCON)
    fused = from_ours(ours, FALCON, "falcon")[
        "transformer.h.3.self_attention.query_key_value.weight"
    ]
    q, k, v = (ours[f"blocks.3.attention.{letter}.weight"] for letter in "qkv")
    # rows of 4: two queries, their key, their value; then the other group
    wanted = [q[:8], k[:4], v[:4], q[8:], k[4:], v[4:]]
    assert torch.equal(fused, torch.cat(wanted))

    ours = random_weights(BLOOM)
    theirs = from_ours(ours, BLOOM, "bloom")
    fused = theirs["transformer.h.3.self_attention.query_key_value.bias"]
    q, k, v = (ours[f"blocks.3.attention.{letter}.bias"] for letter in "qkv")
    assert torch.equal(fused, torch.cat([q[:4], k[:4], v[:4], q[4:], k[4:], v[4:]]))
    assert "transformer.word_embeddings_layernorm.bias" in theirs

    ours = random_weights(GLM)
    theirs = from_ours(ours, GLM, "glm")
    gate, up = (ours[f"blocks.3.feedforward.{part}.weight"] for part in ("gate", "up"))
    assert torch.equal(theirs["model.layers.3.mlp.gate_up_proj.weight"], torch.cat((gate, up)))
    # of 8 rows a head only the first 4 turn, and only they change their order
    order = [0, 2, 1, 3, 4, 5, 6, 7]
    k = ours["blocks.3.attention.k.weight"]
    assert torch.equal(theirs["model.layers.3.self_attn.k_proj.weight"], k[order])

    ours = random_weights(MIXTRAL)
    theirs = from_ours(ours, MIXTRAL, "mixtral_fused")
    expert = "blocks.3.feedforward.experts.11"
    gate, up, down = (ours[f"{expert}.{part}.weight"] for part in ("gate", "up", "down"))
    assert torch.equal(theirs["model.layers.3.mlp.experts.gate_up_proj"][11], torch.cat((gate, up)))
    assert torch.equal(theirs["model.layers.3.mlp.experts.down_proj"][11], down)
    single = from_ours(ours, MIXTRAL, "mixtral")
    assert torch.equal(single["model.layers.3.block_sparse_moe.experts.11.w2.weight"], down)
    assert torch.equal(single["model.layers.3.block_sparse_moe.experts.11.w3.weight"], up)


def test_a_bare_bloom_file():
    ours = random_weights(BLOOM)
    theirs = from_ours(ours, BLOOM, "bloom")
    bare = {name.removeprefix("transformer."): tensor for name, tensor in theirs.items()}
    back = to_ours(bare, BLOOM)
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[name], ours[name]) for name in ours)


def test_a_bare_gpt2_file_and_its_buffers():
    ours = random_weights(GPT2)
    theirs = from_ours(ours, GPT2, "gpt2")
    bare = {name.removeprefix("transformer."): tensor for name, tensor in theirs.items()}
    bare |= {"h.0.attn.bias": torch.ones(1), "h.0.attn.masked_bias": torch.ones(1)}
    back = to_ours(bare, GPT2)
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[name], ours[name]) for name in ours)


def test_buffers_of_rope_are_left_out():
    theirs = from_ours(random_weights(LLAMA), LLAMA, "llama")
    theirs["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(2)
    assert to_ours(theirs, LLAMA).keys() == random_weights(LLAMA).keys()


def test_what_is_not_known_is_refused():
    with pytest.raises(ValueError, match=r"whose names these are.*lstm"):
        naming_of(["lstm.weight"])
    theirs = from_ours(random_weights(LLAMA), LLAMA, "llama")
    with pytest.raises(ValueError, match=r"'model\.layers\.0\.router\.weight'"):
        to_ours(theirs | {"model.layers.0.router.weight": torch.ones(1)}, LLAMA)
    with pytest.raises(ValueError, match="got 'bert'"):
        from_ours(random_weights(LLAMA), LLAMA, "bert")
    with pytest.raises(ValueError, match=r"'blocks\.0\.feedforward\.gate\.weight'"):
        from_ours(random_weights(LLAMA), LLAMA, "bloom")
    with pytest.raises(ValueError, match=r"'embedding_norm\.weight'"):
        from_ours(random_weights(BLOOM), BLOOM, "falcon")
    with pytest.raises(ValueError, match=r"'position\.weight'"):
        from_ours(random_weights(GPT2), GPT2, "llama")
