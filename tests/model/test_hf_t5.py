"""T5 of transformers, v1.0 and v1.1: equal logits, counts, files, and mistakes that are seen."""

import dataclasses

import pytest
import torch
from torch import nn

from minillm.model import EncoderDecoder, KVCache, NormConfig, count_encoder_decoder
from minillm.model.hf import from_transformers
from minillm.model.hf_t5 import (
    load_t5,
    save_t5,
    t5_config_from_transformers,
    t5_config_to_transformers,
    t5_from_transformers,
    t5_to_transformers,
)
from minillm.model.presets import T5_PRESETS

transformers = pytest.importorskip("transformers")

T5 = {
    "vocab_size": 101,
    "d_model": 36,
    "d_kv": 8,
    "d_ff": 50,
    "num_layers": 2,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 12,
    "dropout_rate": 0.0,
}
FORMS = {
    "v1.0": {"num_decoder_layers": 3},
    "v1.1": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "v1.1, silu": {"feed_forward_proj": "gated-silu", "tie_word_embeddings": False},
    "v1.0, gelu": {"feed_forward_proj": "gelu"},
}
GENERATOR = torch.Generator().manual_seed(0)
SOURCE = torch.randint(0, 101, (2, 21), generator=GENERATOR)
TARGET = torch.randint(0, 101, (2, 17), generator=GENERATOR)
MASK = torch.arange(21) < torch.tensor([[21], [13]])


@torch.no_grad()
def make_t5(form, spread=(0.2, 0.2), dtype=torch.float64):
    torch.manual_seed(0)
    peer = transformers.T5ForConditionalGeneration(transformers.T5Config(**(T5 | FORMS[form])))
    if "v1.1" in form:  # transformers 5 ties what v1.1 has apart
        peer.lm_head.weight = nn.Parameter(peer.lm_head.weight.clone())
    for name, p in peer.named_parameters():
        p.normal_(1.0 if p.ndim == 1 else 0.0, spread["shared" in name])
    return peer.to(dtype).eval()


@torch.no_grad()
def gap(ours, peer, mask=MASK):
    theirs = peer(input_ids=SOURCE, decoder_input_ids=TARGET, attention_mask=mask.long()).logits
    return (ours(SOURCE, TARGET, source_mask=mask) - theirs).abs().max().item()


@pytest.mark.usefixtures("wide")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("spread", [(0.2, 0.2), (0.2, 1e-3), (0.02, 0.02)])
def test_float64_logits_agree_to_1e_9(form, spread):
    peer = make_t5(form, spread)
    ours = t5_from_transformers(peer)
    assert gap(ours, peer) <= 1e-9
    assert gap(ours, t5_to_transformers(ours)) <= 1e-9
    assert ours.n_parameters() == sum(p.numel() for p in peer.parameters())
    with torch.no_grad():
        cache = KVCache(ours.config.decoder, 2, 17, torch.float64)
        memory = ours.encode(SOURCE, MASK)
        parts = TARGET.split([6, 1, 10], dim=1)
        cached = torch.cat([ours.decode(p, memory, MASK, cache=cache) for p in parts], dim=1)
        assert (cached - ours(SOURCE, TARGET, source_mask=MASK)).abs().max() <= 1e-9


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("spread", "bound"), [((0.02, 0.02), 1e-5), ((0.2, 0.2), 1e-4), ((0.2, 1e-3), 1e-4)]
)
def test_float32_logits_agree(form, spread, bound):
    peer = make_t5(form, spread, torch.float32)
    ours = t5_from_transformers(peer)
    assert gap(ours, peer) <= bound
    assert gap(ours, t5_to_transformers(ours)) <= bound


def with_changes(model, **changes):
    shape = dataclasses.replace(model.config.decoder, **changes)
    config = dataclasses.replace(model.config, decoder=shape)
    other = EncoderDecoder(config, dtype=model.embedding.weight.dtype)
    other.load_state_dict(model.state_dict())
    return other


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
@pytest.mark.parametrize("form", ["v1.0", "v1.1"])
def test_a_wrong_setting_exceeds_the_bound_ten_times(form, dtype, bound, request):
    if dtype == torch.float64:
        request.getfixturevalue("wide")
    peer = make_t5(form, dtype=dtype)
    right = t5_from_transformers(peer)
    shape = right.config.decoder
    curve = {"relu": "gelu", "geglu_tanh": "swiglu"}[shape.feedforward.kind]
    assert gap(right, peer) <= bound
    for change in (
        {"position": dataclasses.replace(shape.position, max_distance=13)},
        {"attention": dataclasses.replace(shape.attention, scaled=True)},
        {"feedforward": dataclasses.replace(shape.feedforward, kind=curve)},
    ):
        assert gap(with_changes(right, **change), peer) > 10 * bound
    with torch.no_grad():
        unmasked = right(SOURCE, TARGET) - right(SOURCE, TARGET, source_mask=MASK)
        assert unmasked[1].abs().max() > 10 * bound
        right.encoder.relative.table.weight.zero_()
    assert gap(right, peer) > 10 * bound


@pytest.mark.parametrize("spread", [(0.2, 0.2), (0.2, 1e-3)])
@pytest.mark.parametrize("form", ["v1.0", "v1.1"])
def test_a_wrong_eps_exceeds_the_bounds_ten_times(form, spread, request):
    if spread[1] == 1e-3 and form == "v1.1":  # in v1.0 the small table is the output matrix, too
        peer = make_t5(form, spread, torch.float32)
        right = t5_from_transformers(peer)
        assert gap(right, peer) <= 1e-4
        assert gap(with_changes(right, norm=NormConfig("rmsnorm", 1e-7)), peer) > 1e-3
    request.getfixturevalue("wide")
    peer = make_t5(form, spread)
    right = t5_from_transformers(peer)
    assert gap(with_changes(right, norm=NormConfig("rmsnorm", 1.1e-6)), peer) > 1e-8


@pytest.mark.parametrize("form", FORMS)
def test_the_settings_come_back(form):
    config = t5_config_from_transformers(make_t5(form).config.to_dict())
    assert config.decoder.tie_embeddings == ("v1.0" in form)
    settings = t5_config_to_transformers(config)
    assert t5_config_from_transformers(settings) == config
    assert t5_config_from_transformers(transformers.T5Config(**settings).to_dict()) == config


@pytest.mark.parametrize("form", FORMS)
def test_files_of_either_side_can_be_read(tmp_path, form):
    peer = make_t5(form, dtype=torch.float32)
    ours = t5_from_transformers(peer)
    peer.save_pretrained(tmp_path / "theirs")
    again = load_t5(tmp_path / "theirs")
    assert again.config == ours.config
    for naming in ("t5", "minillm"):
        file = tmp_path / f"{naming}.safetensors"
        save_t5(ours, file, naming=naming)
        for model in (again, load_t5(file, ours.config)):
            weights, wanted = model.state_dict(), ours.state_dict()
            assert weights.keys() == wanted.keys()
            assert all(torch.equal(weights[name], wanted[name]) for name in wanted)
    save_t5(ours, tmp_path / "theirs" / "model.safetensors")
    read = transformers.T5ForConditionalGeneration.from_pretrained(tmp_path / "theirs")
    assert gap(ours, read) <= 1e-4


def test_one_table_without_division_becomes_two():
    peer = make_t5("v1.1", dtype=torch.float32)
    peer.lm_head.weight = peer.shared.weight
    ours = t5_from_transformers(peer)
    assert gap(ours, peer) <= 1e-4
    assert torch.equal(ours.head.weight, ours.embedding.weight)
    peer = make_t5("v1.0", dtype=torch.float32)
    peer.lm_head.weight = nn.Parameter(2 * peer.lm_head.weight)
    with pytest.raises(ValueError, match=r"scale_decoder_outputs=True with a lm_head\.weight"):
        t5_from_transformers(peer)


@pytest.mark.parametrize("name", T5_PRESETS)
def test_the_presets_have_as_many_parameters_as_theirs(name):
    config = T5_PRESETS[name]()
    n = count_encoder_decoder(config)
    assert f"{n:,}".replace(",", " ") in T5_PRESETS[name].__doc__
    settings = transformers.T5Config(**t5_config_to_transformers(config))
    with torch.device("meta"):
        theirs = transformers.T5ForConditionalGeneration(settings)
    tables = 1 if config.decoder.tie_embeddings else 2  # transformers 5 counts one
    extra = (tables - 1) * theirs.shared.weight.numel()
    assert sum(p.numel() for p in theirs.parameters()) + extra == n
    built = sum(p.numel() for p in EncoderDecoder(config, device="meta").parameters())
    shape = config.decoder
    padding = (shape.padded_vocab_size - shape.vocab_size) * shape.d_model * tables
    assert built == n + padding


def test_what_cannot_be_expressed_is_refused():
    peer = make_t5("v1.0")
    with pytest.raises(ValueError, match="use the functions of hf_t5"):
        from_transformers(peer)
    with pytest.raises(ValueError, match="must be 't5', got 'bert'"):
        t5_config_from_transformers({"model_type": "bert"})
    settings = peer.config.to_dict() | {"feed_forward_proj": "gated-relu"}
    with pytest.raises(ValueError, match=r"feed_forward_proj must be .*; got 'gated-relu'"):
        t5_config_from_transformers(settings)
    config = t5_config_from_transformers(peer.config.to_dict())
    for changes in (
        {"norm": NormConfig("layernorm")},
        {"attention": dataclasses.replace(config.decoder.attention, scaled=True)},
        {"feedforward": dataclasses.replace(config.decoder.feedforward, kind="geglu")},
    ):
        shape = dataclasses.replace(config.decoder, **changes)
        with pytest.raises(ValueError, match="T5 of transformers cannot express"):
            t5_config_to_transformers(dataclasses.replace(config, decoder=shape))
