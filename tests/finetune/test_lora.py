"""LoRA against its formula, forward and backward; what is adapted, and what stands still."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from minillm.finetune.lora import LoRALinear, apply_lora, lora_layers
from minillm.finetune.low_rank import LowRank
from minillm.finetune.switch import adapter_parameters
from minillm.finetune.targets import find_targets, widths
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.model.layers import Linear
from minillm.model.routing import ExpertsConfig
from minillm.objectives import causal_loss
from minillm.train import OptimizerConfig, TrainConfig, train

CONFIG = DecoderConfig(
    vocab_size=50,
    d_model=16,
    n_layers=2,
    context=16,
    attention=AttentionConfig(4, 2),
    feedforward=FeedForwardConfig("swiglu", 24),
    tie_embeddings=False,
    init_std=0.2,
)
IDS = torch.randint(0, 50, (3, 9), generator=torch.Generator().manual_seed(0))
MATRICES = ("q", "k", "v", "out", "gate", "up", "down")


def decoder(seed=0, **changes):
    torch.manual_seed(seed)
    return Decoder(CONFIG, **changes)


def layer(rank=3, alpha=6.0, *, bias=True, seed=0, **options):
    """A layer that has learned something: B is no longer zero."""
    torch.manual_seed(seed)
    base = Linear(5, 7, bias=bias, dtype=torch.float64)
    if bias:
        nn.init.normal_(base.bias)
    made = LoRALinear(base, rank, alpha, **options)
    for adapter in made.adapters.values():
        nn.init.normal_(adapter.b)
    return made


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9), st.floats(0.1, 50), st.booleans(), st.booleans())
def test_output_and_gradients_are_those_of_the_formula(rank, alpha, stable, bias):
    ours = layer(rank, alpha, bias=bias, stable=stable)
    a, b = ours.adapters["default"].a, ours.adapters["default"].b
    x = torch.randn(2, 4, 5, dtype=torch.float64, requires_grad=True)
    s = alpha / (math.sqrt(rank) if stable else rank)
    W = ours.base.weight + s * b @ a
    y = ours(x)
    expected = x @ W.T + (ours.base.bias if bias else 0)
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours.weight, W, rtol=1e-12, atol=1e-12)
    g = torch.randn_like(y)
    y.backward(g)
    G, X = g.reshape(-1, 7), x.detach().reshape(-1, 5)
    torch.testing.assert_close(b.grad, s * G.T @ (X @ a.T), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(a.grad, s * b.T @ G.T @ X, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(x.grad, g @ W, rtol=1e-10, atol=1e-10)
    assert ours.base.weight.grad is None
    assert ours.bias is ours.base.bias


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 9), st.integers(0, 99))
def test_an_update_has_the_rank_at_most(rank, seed):
    update = layer(rank, seed=seed).adapters["default"].update()
    assert update.shape == (7, 5)
    assert torch.linalg.matrix_rank(update) == min(rank, 5)


@pytest.mark.parametrize("targets", [("q", "v"), "all", ("head",)])
def test_before_the_first_step_the_model_is_the_base_bit_for_bit(targets):
    model = decoder()
    logits = model(IDS)
    apply_lora(model, targets, rank=2)
    assert torch.equal(model(IDS), logits)
    for adapter in (m.adapters["default"] for m in lora_layers(model).values()):
        assert not adapter.b.any()
        assert adapter.a.all()
        nn.init.normal_(adapter.b)
    assert (model(IDS) - logits).abs().max() > 0.01  # ... and B would be seen


def test_a_starts_as_wide_as_x():
    torch.manual_seed(0)
    x = torch.randn(500, 400)
    adapter = LowRank(400, 10, 50, 1.0)
    assert (x @ adapter.a.T).std().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("stable", "slope"), [(False, -0.5), (True, 0.0)])
def test_the_size_of_a_random_correction_against_rank(stable, slope):
    """Entries of B of one size: alpha / r makes it shrink as 1 / sqrt(r), alpha / sqrt(r) not."""
    torch.manual_seed(0)
    x, ranks = torch.randn(64, 64), [4, 16, 64]
    sizes = []
    for rank in ranks:
        adapter = LowRank(64, 300, rank, 8.0, stable=stable)
        nn.init.normal_(adapter.b)
        sizes.append(adapter(x).std().log().item())
    found = (sizes[-1] - sizes[0]) / math.log(ranks[-1] / ranks[0])
    assert found == pytest.approx(slope, abs=0.06)


@pytest.mark.parametrize(
    ("sign", "stable", "slope"),
    [(False, False, -1.0), (False, True, 0.0), (True, False, 0.0), (True, True, 0.5)],
)
def test_the_first_step_against_rank(sign, stable, slope):
    """SGD's step is s^2 ||A x||^2 g, as rsLoRA assumes; Adam's is s ||A x||_1 sign(g)."""
    torch.manual_seed(0)
    ranks, sizes = [4, 64], []
    for rank in ranks:
        moved = 0.0
        for _ in range(30):
            adapter, x = LowRank(64, 10, rank, 8.0, stable=stable), torch.randn(1, 64)
            adapter(x).sum().backward()
            step = adapter.b.grad.sign() if sign else adapter.b.grad
            with torch.no_grad():
                adapter.b -= 0.01 * step
                moved += adapter(x).abs().mean().item()
        sizes.append(math.log(moved))
    found = (sizes[-1] - sizes[0]) / math.log(ranks[-1] / ranks[0])
    assert found == pytest.approx(slope, abs=0.06)


def test_only_the_adapters_are_trained_and_counted():
    model = apply_lora(decoder(), ("q", "v"), rank=3)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == set(adapter_parameters(model))
    assert len(trained) == 2 * 2 * 2
    numbers = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert numbers == 2 * 3 * ((16 + 16) + (16 + 8))
    before = copy.deepcopy(model.state_dict())
    batches = ((IDS[:, :-1], IDS[:, 1:]) for _ in range(9))
    config = TrainConfig(steps=3, batch_size=3, context=8, log_every=0, precision="float32")
    train(model, batches, config, optimizer=OptimizerConfig(lr=0.1), progress=False)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) == (name not in trained), name


def test_training_helps():
    model = apply_lora(decoder(), "all", rank=4, alpha=8)
    before = causal_loss(model, IDS[:, :-1], IDS[:, 1:]).item()
    optimizer = torch.optim.Adam(adapter_parameters(model).values(), lr=0.02)
    for _ in range(30):
        causal_loss(model, IDS[:, :-1], IDS[:, 1:]).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert causal_loss(model, IDS[:, :-1], IDS[:, 1:]).item() < before - 0.5


def test_targets_are_ends_of_names():
    model = decoder()
    places = [f"blocks.{i}.{part}" for i in (0, 1) for part in ("attention", "feedforward")]
    assert find_targets(model, "down") == [f"{p}.down" for p in places if "feed" in p]
    assert find_targets(model, ["attention.out"]) == [f"{p}.out" for p in places if "att" in p]
    assert find_targets(model, ["blocks.1.attention.q"]) == ["blocks.1.attention.q"]
    assert find_targets(model, ["head"]) == ["head"]
    everything = find_targets(model, "all")
    assert [p.split(".")[-1] for p in everything] == 2 * list(MATRICES)
    apply_lora(model, ["q"])
    assert find_targets(model, "all") == everything  # a layer with an adapter counts once
    for wrong in ("w", "attention", ["q", "norm"], "embedding", [], [""], "ut"):
        with pytest.raises(ValueError, match="no linear layer ends in"):
            find_targets(model, wrong)
    with pytest.raises(ValueError, match="there are: q, k, v, out, gate, up, down, head"):
        find_targets(decoder(), "w")


def test_experts_and_latent_readers_of_the_matrix_get_the_adapted_one():
    experts = FeedForwardConfig("swiglu", 8, experts=ExpertsConfig(3, 2))
    torch.manual_seed(0)
    model = Decoder(DecoderConfig(50, 16, 1, 16, AttentionConfig(4), experts))
    apply_lora(model, ["up", "router"], rank=2)
    assert len(lora_layers(model)) == 3 + 1
    causal_loss(model, IDS[:, :-1], IDS[:, 1:]).backward()
    assert all(m.adapters["default"].b.grad.any() for m in lora_layers(model).values())


def test_the_output_matrix_is_read_as_adapted():
    model = apply_lora(decoder(dtype=torch.float64), ["head"], rank=2)
    nn.init.normal_(model.head.adapters["default"].b)
    x = model.features(IDS)
    torch.testing.assert_close(model(IDS), model.head(x)[..., :50], rtol=0, atol=1e-12)
    assert (model.logits(x) - x @ model.head.base.weight[:50].T).abs().max() > 0.1
    model(IDS).sum().backward()
    assert model.head.adapters["default"].a.grad.any()


def test_a_layer_in_two_places_gets_one_adapter():
    model = nn.Module()
    model.one = model.two = nn.Linear(4, 4)
    apply_lora(model, ["one", "two"], rank=1)
    assert model.one is model.two
    assert isinstance(model.one.base, nn.Linear)
    apply_lora(model, ["one", "two"], rank=1, name="again")
    assert list(model.one.adapters) == ["default", "again"]


def test_dropout_is_of_the_correction_alone_and_off_in_evaluation():
    ours = layer(dropout=0.5)
    x = torch.randn(200, 5, dtype=torch.float64)
    ours.eval()
    calm = ours(x)
    torch.testing.assert_close(calm, x @ ours.weight.T + ours.bias)
    ours.train()
    assert not torch.allclose(ours(x), calm)
    nn.init.zeros_(ours.adapters["default"].b)
    torch.testing.assert_close(ours(x), ours.base(x))
    made = apply_lora(decoder().eval(), dropout=0.5)
    assert not any(m.training for m in made.modules())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_adapters_of_a_16_bit_base_are_float32(dtype):
    ours = LoRALinear(Linear(5, 7, dtype=dtype), 2, 4.0)
    wide = torch.float32 if dtype == torch.bfloat16 else dtype
    assert {p.dtype for p in ours.adapters.parameters()} == {wide}
    assert ours(torch.randn(3, 5, dtype=dtype)).dtype == dtype
    assert LoRALinear(Linear(5, 7), 2, 4.0, dtype=torch.float64).adapters["default"].a.dtype == (
        torch.float64
    )


class Coded(nn.Module):
    """A layer with no floating matrix, as a quantised one."""

    def __init__(self):
        super().__init__()
        self.d_in, self.d_out = 5, 7
        self.register_buffer("codes", torch.randint(0, 3, (7, 5), dtype=torch.uint8))

    def forward(self, x):
        return x @ (self.codes.float() - 1).T


def test_any_layer_that_knows_its_widths_can_be_the_base():
    base = Coded()
    ours, x = LoRALinear(base, 2, 4.0), torch.randn(3, 5)
    assert torch.equal(ours(x), base(x))
    assert ours.adapters["default"].a.dtype == torch.float32
    assert widths(nn.Linear(3, 4)) == (3, 4)
    empty = Coded()
    del empty.codes
    with pytest.raises(ValueError, match="holds no tensor"):
        LoRALinear(empty, 2, 4.0)
    with pytest.raises(ValueError, match="Embedding has no d_in and d_out"):
        LoRALinear(nn.Embedding(3, 4), 2, 4.0)


def test_on_the_meta_device_nothing_is_allocated():
    model = apply_lora(Decoder(CONFIG, device="meta"), "all", rank=2)
    assert all(p.is_meta for p in model.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0}, "rank must be at least 1, got 0"),
        ({"alpha": 0.0}, "alpha must be a positive number, got 0.0"),
        ({"alpha": math.inf}, "alpha must be a positive number, got inf"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1.0"),
        ({"dropout": -0.1}, "dropout must lie in"),
        ({"name": "a.b"}, "'a.b' cannot be the name"),
        ({"name": ""}, "'' cannot be the name"),
        ({"name": "forward"}, "'forward' cannot be the name"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LoRALinear(Linear(5, 7), **{"rank": 2, "alpha": 4.0} | settings)


def test_a_name_is_taken_once():
    model = apply_lora(decoder())
    with pytest.raises(ValueError, match="there is an adapter 'default' already"):
        apply_lora(model)


def test_it_tells_what_it_is():
    told = str(apply_lora(decoder(), ["q"], rank=4, alpha=8))
    assert "active=['default'], merged=False" in told
    assert "rank=4, alpha=8, scale=2" in told
