"""Logits equal to those of transformers, both ways, in both precisions; mistakes would be seen.

In a float64 model the norms of transformers still go through float32, which alone moves the logits
by about 1e-6. For the comparison in float64 the peers are widened (conftest.py); one test shows
that nothing else stands between the two.
"""

import dataclasses

import pytest
import torch

from minillm.model import Decoder, KVCache
from minillm.model.hf import from_transformers, to_transformers

SPREADS = [(0.2, 0.2), (0.2, 1e-3), (0.02, 0.02)]  # of the weights, of the embedding
IDS = torch.randint(0, 101, (2, 17), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def gap(ours, peer, ids=IDS):
    if hasattr(peer, "set_experts_implementation"):  # the default has no float64
        peer.set_experts_implementation("eager")
    return (ours(ids) - peer(ids).logits).abs().max().item()


def with_changes(decoder, **changes):
    """The same weights under another config."""
    config = dataclasses.replace(decoder.config, **changes)
    other = Decoder(config, dtype=decoder.embedding.weight.dtype)
    other.load_state_dict(decoder.state_dict())
    return other


def with_eps(decoder, factor):
    norm = decoder.config.norm
    return with_changes(decoder, norm=dataclasses.replace(norm, eps=factor * norm.eps))


@pytest.mark.usefixtures("wide")
@pytest.mark.parametrize("spread", SPREADS)
def test_float64_logits_agree_to_1e_9(family, spread, make_peer):
    peer = make_peer(family, spread)
    ours = from_transformers(peer)
    assert gap(ours, peer) <= 1e-9
    with torch.no_grad():
        cache = KVCache(ours.config, 2, 17, torch.float64)
        parts = [ours(part, cache=cache) for part in IDS.split([6, 1, 10], dim=1)]
        assert (torch.cat(parts, dim=1) - peer(IDS).logits).abs().max() <= 1e-9
    assert gap(ours, to_transformers(ours)) <= 1e-9
    n = sum(p.numel() for p in peer.parameters())
    assert ours.n_parameters() == n == to_transformers(ours).num_parameters()


@pytest.mark.parametrize(
    ("spread", "bound"), [((0.02, 0.02), 1e-5), ((0.2, 0.2), 1e-4), ((0.2, 1e-3), 1e-4)]
)
def test_float32_logits_agree(family, spread, bound, make_peer):
    peer = make_peer(family, spread, torch.float32)
    ours = from_transformers(peer)
    assert gap(ours, peer) <= bound
    assert gap(ours, to_transformers(ours)) <= bound


@pytest.mark.parametrize("name", ["llama", "bloom", "mixtral", "glm4"])
def test_without_widening_only_rounding_differs(name, make_peer):
    peer = make_peer(name)
    assert 1e-9 < gap(from_transformers(peer), peer) < 1e-5


@pytest.mark.usefixtures("wide")
def test_a_wrong_eps_exceeds_the_bounds_ten_times(family, make_peer):
    untied = {"tie_word_embeddings": False}  # a table of 1e-3 as output matrix hides everything
    for spread in SPREADS[:2]:
        peer = make_peer(family, spread, **untied)
        assert gap(with_eps(from_transformers(peer), 1.1), peer) > 1e-8
    peer = make_peer(family, (0.2, 1e-3), torch.float32, **untied)
    assert gap(with_eps(from_transformers(peer), 0.1), peer) > 1e-3


def mistakes(config):
    """Changes of the config that every weight survives."""
    a, f, p = config.attention, config.feedforward, config.position
    curve = {"swiglu": "geglu", "geglu": "swiglu", "gelu": "gelu_tanh", "gelu_tanh": "gelu"}
    changes = [("feedforward", f, {"kind": curve[f.kind]})] if f.kind in curve else []
    if p.kind == "rope":
        changes += [("position", p, {"rope_theta": 0.99 * p.rope_theta})]
        changes += [("position", p, {"interleaved": not p.interleaved})]
    if p.rotary_share < 1:
        changes += [("position", p, {"rotary_share": 1.0})]
    if p.kind == "alibi":
        changes += [("position", p, {"kind": "none"})]
    if a.window is not None:
        changes += [("attention", a, {"window": n}) for n in (a.window - 1, a.window + 1, None)]
    if f.experts is not None:
        wrong = ({"renormalise": False}, {"top_k": 1})
        experts = [dataclasses.replace(f.experts, **change) for change in wrong]
        changes += [("feedforward", f, {"experts": e}) for e in experts]
    return [(part, dataclasses.replace(old, **change)) for part, old, change in changes]


@pytest.mark.usefixtures("wide")
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_a_wrong_setting_exceeds_the_bound_ten_times(family, dtype, bound, make_peer):
    peer = make_peer(family, dtype=dtype)
    right = from_transformers(peer)
    assert gap(right, peer) <= bound
    for part, changed in mistakes(right.config):
        # the two forms of GeLU differ by 5e-4 at most, less than float32 can promise to show
        small = getattr(changed, "kind", "") in ("gelu", "gelu_tanh") and bound == 1e-4
        assert gap(with_changes(right, **{part: changed}), peer) > (bound if small else 10 * bound)


@pytest.mark.usefixtures("wide")
@pytest.mark.parametrize("name", ["bloom", "bloom, 12 heads, untied"])
def test_the_papers_formula_for_slopes_is_wrong_for_6_and_12_heads(name, make_peer, monkeypatch):
    peer = make_peer(name)
    ours = from_transformers(peer)
    assert gap(ours, peer) <= 1e-9
    monkeypatch.setattr(
        "minillm.model.stack.alibi_slopes", lambda n: [2 ** (-8 * h / n) for h in range(1, n + 1)]
    )
    assert gap(ours, peer) > 1e-3


@pytest.mark.usefixtures("wide")
@pytest.mark.parametrize("name", ["bloom", "falcon", "falcon, groups"])
def test_q_k_v_are_fused_head_by_head_not_in_three_thirds(name, make_peer):
    peer = make_peer(name)
    ours = from_transformers(peer)
    layers = [block.attention for block in ours.blocks]
    with torch.no_grad():
        for theirs, layer in zip(peer.transformer.h, layers, strict=True):
            fused = theirs.self_attention.query_key_value.weight
            parts = fused.split([len(m.weight) for m in (layer.q, layer.k, layer.v)])
            for module, part in zip((layer.q, layer.k, layer.v), parts, strict=True):
                module.weight.copy_(part)
    right = name == "falcon"  # one group: all queries, then the key, then the value
    assert (gap(ours, peer) <= 1e-9) == right
    assert right or gap(ours, peer) > 1e-2


def test_a_copy_shares_no_memory_and_keeps_the_dtype(family, make_peer):
    peer = make_peer(family, dtype=torch.bfloat16)
    ours = from_transformers(peer)
    assert {p.dtype for p in ours.parameters()} == {torch.bfloat16}
    before = {name: p.clone() for name, p in ours.state_dict().items()}
    with torch.no_grad():
        for p in peer.parameters():
            p.zero_()
    assert all(torch.equal(p, before[name]) for name, p in ours.state_dict().items())
    assert min(p.abs().max() for p in before.values()) > 0
    back = to_transformers(ours)
    assert next(back.parameters()).dtype == torch.bfloat16
    assert not back.training
