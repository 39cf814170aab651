"""Several adapters: who speaks, who learns, to which row; and merged into the matrices."""

import copy

import pytest
import torch
from torch import nn

from minillm.finetune.dora import DoRALinear
from minillm.finetune.lora import apply_lora, lora_layers
from minillm.finetune.merge import (
    drop_adapters,
    fold_adapters,
    merge_adapters,
    unmerge_adapters,
)
from minillm.finetune.switch import (
    activate,
    adapter_names,
    adapter_parameters,
    by_row,
    remove_adapter,
    using,
)
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig

CONFIG = DecoderConfig(
    vocab_size=50,
    d_model=16,
    n_layers=2,
    context=16,
    attention=AttentionConfig(4, 2),
    feedforward=FeedForwardConfig("swiglu", 24),
    init_std=0.2,
)
IDS = torch.randint(0, 50, (3, 9), generator=torch.Generator().manual_seed(0))


def two(dtype=torch.float64):
    """A base, and the same with adapters a (on q, v) and b (on v, down) that have learned."""
    torch.manual_seed(0)
    base = Decoder(CONFIG, dtype=dtype)
    model = copy.deepcopy(base)
    apply_lora(model, ("q", "v"), rank=2, name="a")
    apply_lora(model, ("v", "down"), rank=3, name="b")
    for name, param in adapter_parameters(model).items():
        if name.endswith(".b"):
            nn.init.normal_(param, std=0.3)
    return base, model


def corrected(base, model, weights):
    """The base with the updates added to its matrices, by hand."""
    made = copy.deepcopy(base)
    for path, layer in lora_layers(model).items():
        for name, weight in weights.items():
            if name in layer.adapters:
                made.get_submodule(path).weight.data += weight * layer.adapters[name].update()
    return made


def close(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize(
    ("names", "weights"),
    [
        ("a", {"a": 1}),
        (["a", "b"], {"a": 1, "b": 1}),
        ({"a": 0.5, "b": -2.0}, {"a": 0.5, "b": -2.0}),
        ((), {}),
    ],
)
def test_active_adapters_add_up(names, weights):
    base, model = two()
    expected = corrected(base, model, weights)(IDS)
    activate(model, names)
    close(model(IDS), expected)
    merge_adapters(model)
    close(model(IDS), expected)
    unmerge_adapters(model)
    activate(model, "b")
    with using(model, names):
        close(model(IDS), expected)
    close(model(IDS), corrected(base, model, {"b": 1})(IDS))
    with pytest.raises(RuntimeError, match="on purpose"), using(model, names):
        raise RuntimeError("on purpose")
    close(model(IDS), corrected(base, model, {"b": 1})(IDS))
    assert names == "b" or (expected - model(IDS)).abs().max() > 1e-3


def test_who_learns():
    _, model = two()
    assert adapter_names(model) == ["a", "b"]

    def learning():
        return {name for name, p in model.named_parameters() if p.requires_grad}

    assert learning() == set(adapter_parameters(model, "b"))  # the last that was put in
    activate(model, ["a", "b"], train=True)
    assert learning() == set(adapter_parameters(model))
    activate(model, "a", train=True)
    assert learning() == set(adapter_parameters(model, "a"))
    with using(model, "b"):
        assert learning() == set(adapter_parameters(model, "a"))
    activate(model, "a")
    assert learning() == set()
    assert len(adapter_parameters(model, "a")) == len(adapter_parameters(model, "b")) == 8


@torch.no_grad()
def test_each_row_has_its_own_adapter():
    base, model = two()
    alone = {"a": corrected(base, model, {"a": 1}), "b": corrected(base, model, {"b": 1})}
    alone[None] = base
    for names in (["a", "b", None], ["b", "b", "a"], [None] * 3):
        with by_row(model, names):
            logits = model(IDS)
        for row, name in enumerate(names):
            close(logits[row : row + 1], alone[name](IDS[row : row + 1]))
    close(model(IDS), alone["b"](IDS))
    with by_row(model, ["a", None]), pytest.raises(ValueError, match="2 names for 3 rows"):
        model(IDS)


def test_rows_learn_apart():
    _, model = two()
    activate(model, ["a", "b"], train=True)
    with by_row(model, ["a", None, None]):
        model(IDS).sum().backward()
    assert all(p.grad.any() for p in adapter_parameters(model, "a").values())
    assert not any(
        p.grad is not None and p.grad.any() for p in adapter_parameters(model, "b").values()
    )


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_unmerging_gives_every_bit_back(dtype):
    base, model = two(dtype)
    before = copy.deepcopy(model.state_dict())
    logits = model(IDS)
    merge_adapters(model)
    merged = {path: m.base.weight.clone() for path, m in lora_layers(model).items()}
    merge_adapters(model)  # twice is once
    for path, m in lora_layers(model).items():
        assert torch.equal(m.base.weight, merged[path])
        assert torch.equal(m.weight, merged[path])
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 0.3}[dtype]
    torch.testing.assert_close(model(IDS), logits, rtol=0, atol=tolerance)
    assert not torch.equal(model.blocks[0].attention.v.weight, base.blocks[0].attention.v.weight)
    unmerge_adapters(model)
    unmerge_adapters(model)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert torch.equal(model(IDS), logits)


def test_while_merged_nothing_else_may_happen():
    _, model = two()
    parameters = list(model.parameters())
    merge_adapters(model)
    assert not any(p.requires_grad for p in model.parameters())
    assert all(p is q for p, q in zip(parameters, model.parameters(), strict=True))
    for wrong in (
        lambda: activate(model, "a"),
        lambda: using(model, "a").__enter__(),
        lambda: by_row(model, ["a"] * 3).__enter__(),
        lambda: remove_adapter(model, "b"),
        lambda: apply_lora(model, ["v"], name="c"),
        lambda: model.state_dict(),
    ):
        with pytest.raises(ValueError, match="while adapters are merged; unmerge_adapters first"):
            wrong()
    unmerge_adapters(model)
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert learning == set(adapter_parameters(model, "b"))


@torch.no_grad()
def test_folding_and_dropping_leave_a_plain_model():
    base, model = two()
    logits = model(IDS)
    folded = fold_adapters(copy.deepcopy(model))
    assert list(folded.state_dict()) == list(base.state_dict())
    assert [type(m) for m in folded.modules()] == [type(m) for m in base.modules()]
    assert all(p.requires_grad for p in folded.parameters())
    close(folded(IDS), logits)
    again = Decoder(CONFIG, dtype=torch.float64)
    again.load_state_dict(folded.state_dict())
    close(again(IDS), logits)
    merge_adapters(model)
    dropped = drop_adapters(model)
    assert torch.equal(dropped(IDS), base(IDS))
    assert list(dropped.state_dict()) == list(base.state_dict())


def test_one_adapter_can_go():
    base, model = two()
    remove_adapter(model, "b")
    assert adapter_names(model) == ["a"]
    close(model(IDS), base(IDS))  # b was active, and a is not
    activate(model, "a")
    close(model(IDS), corrected(base, model, {"a": 1})(IDS))
    for call in (
        lambda: remove_adapter(model, "b"),
        lambda: activate(model, "b"),
        lambda: activate(model, {"a": 1, "x": 2}),
    ):
        with pytest.raises(ValueError, match=r"no adapter '[bx]'; it has \['a'\]"):
            call()
    with pytest.raises(ValueError, match="it has none at all"):
        activate(base, "a")
    for call in (merge_adapters, unmerge_adapters, fold_adapters, drop_adapters):
        with pytest.raises(ValueError, match="the model has no adapters"):
            call(base)


def test_a_base_without_a_matrix_cannot_be_merged():
    class Halved(nn.Module):
        d_in, d_out = 4, 4

        def __init__(self):
            super().__init__()
            self.register_buffer("codes", torch.ones(4, 4, dtype=torch.uint8))

        @property
        def weight(self):
            return self.codes.float() / 2

        def forward(self, x):
            return x @ self.weight.T

    model = nn.Module()
    model.plain, model.coded = nn.Linear(4, 4), Halved()
    before = model.plain.weight.clone()
    apply_lora(model, ["plain", "coded"], rank=1)
    nn.init.ones_(model.plain.adapters["default"].b)
    for call in (merge_adapters, fold_adapters):
        with pytest.raises(ValueError, match=r"coded has no matrix of floating numbers .*Halved"):
            call(model)
    assert torch.equal(model.plain.base.weight, before)  # nothing was merged in part
    torch.testing.assert_close(
        model.coded.weight, model.coded.base.weight + model.coded.adapters["default"].update()
    )


def test_dora_takes_one_adapter_at_a_time():
    model = apply_lora(Decoder(CONFIG), layer=DoRALinear, name="a")
    apply_lora(model, layer=DoRALinear, name="b")
    for names in (["a", "b"], {"a": 0.5}):
        with pytest.raises(ValueError, match="one adapter at a time"):
            activate(model, names)
    with pytest.raises(ValueError, match="each row"), by_row(model, ["a", "b", "a"]):
        pass
    activate(model, ())
    assert model(IDS).isfinite().all()
