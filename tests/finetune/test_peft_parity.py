"""Each method against `peft`, on random weights in float64: outputs, gradients, and the cutting.

Adapters are not in this version of peft; test_adapter.py holds them to their formula. What peft
does differently is named where it matters.
"""

import peft
import pytest
import torch

from minillm.finetune import (
    RankAllocator,
    RankSchedule,
    add_adalora,
    add_ia3,
    add_prefix,
    add_prompt,
    merge_ia3,
)
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig, NormConfig
from minillm.model.hf import to_transformers

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("wide")]

P, V, D = 3, 50, 16
CONFIG = DecoderConfig(
    vocab_size=V,
    d_model=D,
    n_layers=2,
    context=32,
    attention=AttentionConfig(4, 2),
    feedforward=FeedForwardConfig("swiglu", 24),
    norm=NormConfig("rmsnorm", 1e-6),
    tie_embeddings=False,
    init_std=0.3,
)
IDS = torch.randint(0, V, (2, 7), generator=torch.Generator().manual_seed(0))


HF = {"q": "self_attn.q_proj", "v": "self_attn.v_proj", "k": "self_attn.k_proj"}


def pair(config, **prompt):
    """Our decoder, and the same weights inside of peft."""
    torch.manual_seed(1)
    model = Decoder(config, dtype=torch.float64)
    other = to_transformers(model).double().eval()
    torch.manual_seed(2)
    return model, peft.get_peft_model(other, prompt.pop("make")(**prompt)).double()


def assert_equal(mine, theirs, pairs):
    """Equal outputs, and equal gradients of each pair (ours, theirs, how theirs is laid out)."""
    y, z = mine(IDS), theirs(input_ids=IDS).logits[:, -IDS.shape[1] :]
    torch.testing.assert_close(y, z, rtol=1e-9, atol=1e-9)
    weight = torch.randn(y.shape, dtype=y.dtype)
    (y * weight).sum().backward()
    (z * weight).sum().backward()
    for ours, other, lay_out in pairs:
        assert other.grad.abs().max() > 0
        torch.testing.assert_close(ours.grad, lay_out(other.grad), rtol=1e-8, atol=1e-9)


def same(x):
    return x


def copy_to(ours, theirs):
    with torch.no_grad():
        ours.copy_(theirs)


def linear_pairs(ours, theirs):
    """Copy linear layers over; their parameters in pairs."""
    pairs = []
    for mine, other in zip(ours, theirs, strict=True):
        for name in ("weight", "bias"):
            copy_to(getattr(mine, name), getattr(other, name))
            pairs.append((getattr(mine, name), getattr(other, name), same))
    return pairs


def prompt_settings(**more):
    return {"task_type": "CAUSAL_LM", "num_virtual_tokens": P, **more}


def test_prompt_tuning():
    model, theirs = pair(CONFIG, make=peft.PromptTuningConfig, **prompt_settings())
    table = theirs.prompt_encoder["default"].embedding.weight
    mine = add_prompt(model, P, start=table.detach())
    assert_equal(mine, theirs, [(mine.source.embeddings, table, same)])


@pytest.mark.parametrize("encoder", ["mlp", "lstm"])
def test_p_tuning(encoder):
    settings = prompt_settings(
        encoder_reparameterization_type=encoder.upper(), encoder_hidden_size=8, encoder_num_layers=2
    )
    model, theirs = pair(CONFIG, make=peft.PromptEncoderConfig, **settings)
    other = theirs.prompt_encoder["default"]
    mine = add_prompt(model, P, start=other.embedding.weight.detach(), encoder=encoder, width=8)
    layers = [m for m in other.mlp_head if isinstance(m, torch.nn.Linear)]
    pairs = linear_pairs(mine.source.layers, layers)
    if encoder == "lstm":
        mine.source.lstm.load_state_dict(other.lstm_head.state_dict())
        theirs_lstm = dict(other.lstm_head.named_parameters())
        pairs += [(p, theirs_lstm[n], same) for n, p in mine.source.lstm.named_parameters()]
    assert_equal(mine, theirs, [(mine.source.embeddings, other.embedding.weight, same), *pairs])


def halves(flat):
    """(P, L 2 K H) of peft as keys and values, each (L, K, P, H)."""
    both = flat.view(P, 2, 2, 2, 4).permute(2, 1, 3, 0, 4)
    return both[0], both[1]


def test_p_tuning_v2():
    model, theirs = pair(CONFIG, make=peft.PrefixTuningConfig, **prompt_settings())
    flat = theirs.prompt_encoder["default"].embedding.weight
    mine = add_prefix(model, P)
    for ours, other in zip((mine.source.keys, mine.source.values), halves(flat), strict=True):
        copy_to(ours, other)
    pairs = [
        (mine.source.keys, flat, lambda g: halves(g)[0]),
        (mine.source.values, flat, lambda g: halves(g)[1]),
    ]
    assert_equal(mine, theirs, pairs)


def test_prefix_tuning_with_its_mlp():
    """peft makes the embeddings as wide as the keys of a position; ours are as wide as the model,
    as in the paper. With as many key heads as query heads the two are equal."""
    config = DecoderConfig(**{**vars(CONFIG), "attention": AttentionConfig(4)})
    settings = prompt_settings(prefix_projection=True, encoder_hidden_size=8)
    model, theirs = pair(config, make=peft.PrefixTuningConfig, **settings)
    other = theirs.prompt_encoder["default"]
    mine = add_prefix(model, P, start=other.embedding.weight.detach(), width=8)
    layers = [m for m in other.transform if isinstance(m, torch.nn.Linear)]
    pairs = linear_pairs([mine.source.inner, mine.source.out], layers)
    assert_equal(mine, theirs, [(mine.source.embeddings, other.embedding.weight, same), *pairs])


def test_ia3():
    settings = {"target_modules": ["k_proj", "v_proj", "down_proj"]}
    settings |= {"feedforward_modules": ["down_proj"], "task_type": "CAUSAL_LM"}
    model, theirs = pair(CONFIG, make=peft.IA3Config, **settings)
    mine, pairs = add_ia3(model), []
    for block, other in zip(mine.blocks, theirs.base_model.model.model.layers, strict=True):
        places = [
            (block.attention.k, other.self_attn.k_proj),
            (block.attention.v, other.self_attn.v_proj),
            (block.feedforward.down, other.mlp.down_proj),
        ]
        for ours, part in places:
            factors = part.ia3_l["default"]
            with torch.no_grad():
                factors.normal_(mean=1.0, std=0.3)
            copy_to(ours.factors, factors.flatten())
            pairs.append((ours.factors, factors, torch.flatten))
    assert_equal(mine, theirs, pairs)
    before = theirs(input_ids=IDS).logits
    torch.testing.assert_close(merge_ia3(mine)(IDS), before, rtol=1e-9, atol=1e-9)


def adalora_pair(rank=4, target=2, total=12, warmup=2, final=3):
    settings = {
        "task_type": "CAUSAL_LM",
        "target_modules": ["q_proj", "v_proj"],
        "init_r": rank,
        "target_r": target,
        "tinit": warmup,
        "tfinal": final,
        "deltaT": 2,
        "total_step": total,
        "lora_alpha": 8,
        "orth_reg_weight": 0.1,
    }
    model, theirs = pair(CONFIG, make=peft.AdaLoraConfig, **settings)
    # peft divides by the rank and a little more, so that no rank of zero divides
    mine = add_adalora(model, ("q", "v"), rank=rank, alpha=8.0 * rank / (rank + 1e-5))
    layers = []
    for block, other in zip(mine.blocks, theirs.base_model.model.model.layers, strict=True):
        for name in ("q", "v"):
            part = other.get_submodule(HF[name])
            copy_to(getattr(block.attention, name).left, part.lora_B["default"])
            copy_to(getattr(block.attention, name).right, part.lora_A["default"])
            layers.append((getattr(block.attention, name), part))
    schedule = RankSchedule(4 * rank, 4 * target, total, warmup, final, every=2)
    return mine, theirs, layers, schedule


def test_adalora_forward():
    mine, theirs, layers, _ = adalora_pair()
    pairs = []
    for ours, part in layers:
        with torch.no_grad():
            part.lora_E["default"].normal_()
        copy_to(ours.values, part.lora_E["default"].flatten())
        pairs.append((ours.values, part.lora_E["default"], torch.flatten))
        pairs.append((ours.left, part.lora_B["default"], same))
        pairs.append((ours.right, part.lora_A["default"], same))
    assert_equal(mine, theirs, pairs)


def test_adalora_cuts_the_same_triplets_through_a_whole_training():
    mine, theirs, layers, schedule = adalora_pair()
    allocator = RankAllocator(mine, schedule)
    optimizers = [
        torch.optim.SGD([p for p in m.parameters() if p.requires_grad], lr=0.5)
        for m in (mine, theirs)
    ]
    allocator.attach(optimizers[0])
    for step in range(1, 13):
        ids = torch.randint(0, V, (2, 7), generator=torch.Generator().manual_seed(step))
        for model, optimizer in zip((mine, theirs), optimizers, strict=True):
            logits = model(ids) if model is mine else model.base_model.model(input_ids=ids).logits
            logits.log_softmax(-1)[..., 5].mean().neg().backward()
            optimizer.step()
            if model is theirs:
                theirs.base_model.update_and_allocate(step)
            optimizer.zero_grad()
        for ours, part in layers:
            other = part.lora_E["default"].detach().flatten()
            torch.testing.assert_close(ours.values.detach(), other, rtol=1e-6, atol=1e-8)
    assert sum(allocator.ranks().values()) == 8
    assert len(set(allocator.ranks().values())) > 1  # and they moved
