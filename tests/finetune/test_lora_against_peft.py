"""LoRA and DoRA against peft's layers, on random weights in float64: outputs and gradients."""

import peft
import pytest
import torch
from torch import nn

from minillm.finetune.dora import DoRALinear
from minillm.finetune.lora import LoRALinear, apply_lora
from minillm.finetune.merge import merge_adapters
from minillm.finetune.switch import activate

pytestmark = pytest.mark.filterwarnings("ignore")


def pair(kind, *, bias=True, rank=3, alpha=6, stable=False):
    """One layer, ours and theirs, with two adapters of equal weights."""
    torch.manual_seed(0)
    ours = nn.ModuleDict({"q": nn.Linear(5, 7, bias=bias, dtype=torch.float64)})
    theirs = nn.ModuleDict({"q": nn.Linear(5, 7, bias=bias, dtype=torch.float64)})
    theirs.load_state_dict(ours.state_dict())
    settings = {"r": rank, "lora_alpha": alpha, "use_rslora": stable, "target_modules": ["q"]}
    settings |= {"use_dora": kind is DoRALinear}
    model = peft.get_peft_model(theirs, peft.LoraConfig(**settings), "one")
    model.add_adapter("two", peft.LoraConfig(**settings))
    model.double()
    layer = model.base_model.model["q"]
    for name in ("one", "two"):
        apply_lora(ours, "q", rank=rank, alpha=alpha, stable=stable, name=name, layer=kind)
        adapter = ours["q"].adapters[name]
        nn.init.normal_(adapter.b)
        with torch.no_grad():
            layer.lora_A[name].weight.copy_(adapter.a)
            layer.lora_B[name].weight.copy_(adapter.b)
            if kind is DoRALinear:
                adapter.m.mul_(torch.rand(7) + 0.5)
                layer.lora_magnitude_vector[name].weight.copy_(adapter.m)
    return ours, model, layer


@pytest.mark.parametrize("kind", [LoRALinear, DoRALinear])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("stable", [True, False])
def test_outputs_gradients_and_merged_matrices(kind, bias, stable):
    ours, model, layer = pair(kind, bias=bias, stable=stable)
    activate(ours, "two", train=True)
    model.set_adapter("two")
    x = torch.randn(4, 5, dtype=torch.float64)
    y, z = ours["q"](x), layer(x)
    torch.testing.assert_close(y, z, rtol=0, atol=1e-12)
    g = torch.randn_like(y)
    y.backward(g)
    z.backward(g)
    adapter = ours["q"].adapters["two"]
    pairs = [(adapter.a, layer.lora_A["two"].weight), (adapter.b, layer.lora_B["two"].weight)]
    if kind is DoRALinear:
        pairs.append((adapter.m, layer.lora_magnitude_vector["two"].weight))
    for mine, other in pairs:
        torch.testing.assert_close(mine.grad, other.grad, rtol=0, atol=1e-12)
    merge_adapters(ours)
    layer.merge()
    torch.testing.assert_close(
        ours["q"].base.weight, layer.get_base_layer().weight, rtol=0, atol=1e-12
    )


def test_several_adapters_at_once_and_by_row():
    ours, model, layer = pair(LoRALinear)
    activate(ours, ["one", "two"])
    model.base_model.set_adapter(["one", "two"])
    x = torch.randn(3, 5, dtype=torch.float64)
    torch.testing.assert_close(ours["q"](x), layer(x), rtol=0, atol=1e-12)
    model.eval()
    ours["q"].assign(("two", None, "one"))
    mixed = layer(x, adapter_names=["two", "__base__", "one"])
    torch.testing.assert_close(ours["q"](x), mixed, rtol=0, atol=1e-12)
