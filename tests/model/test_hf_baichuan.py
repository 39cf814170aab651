"""Baichuan, which transformers does not have: a Decoder equal to its formulas in plain torch.

The reference below follows the published modelling files (13B: ALiBi; Baichuan 2: an output matrix
with rows of length 1; 7B: RoPE) and uses nothing of minillm.
"""

import dataclasses
import math

import pytest
import torch
from torch.nn import functional as F

from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    KVCache,
    NormConfig,
    PositionConfig,
)

CONFIG = DecoderConfig(
    vocab_size=101,
    d_model=48,
    n_layers=2,
    context=32,
    attention=AttentionConfig(12),
    feedforward=FeedForwardConfig("swiglu", 50),
    norm=NormConfig("rmsnorm", 1e-5),
    position=PositionConfig("alibi"),
    tie_embeddings=False,
)
UNIT_ROWS = dataclasses.replace(CONFIG.norm, head=True)
FORMS = {
    "13B": CONFIG,
    "2-13B": dataclasses.replace(CONFIG, norm=UNIT_ROWS),
    "13B, 8 heads": dataclasses.replace(CONFIG, attention=AttentionConfig(8)),
    "2-7B": dataclasses.replace(CONFIG, norm=UNIT_ROWS, position=PositionConfig("rope", 777.0)),
}
IDS = torch.randint(0, 101, (2, 17), generator=torch.Generator().manual_seed(0))


def slopes(n):
    """The authors': powers of two for the power of two below n, then every second one between."""

    def geometric(k):
        start = 2 ** (-(2 ** -(math.log2(k) - 3)))
        return [start * start**i for i in range(k)]

    if math.log2(n).is_integer():
        return geometric(n)
    below = 2 ** math.floor(math.log2(n))
    return geometric(below) + slopes(2 * below)[0::2][: n - below]


def norm(x, gain, eps):
    return gain * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps))


def turned(x, theta):
    """RoPE, half-split, as in the 7B file; angles in float32 as there. x: (B, N, T, H)."""
    T, H = x.shape[-2:]
    speed = 1.0 / theta ** (torch.arange(0, H, 2).float() / H)
    angle = torch.outer(torch.arange(T).float(), speed)
    angle = torch.cat((angle, angle), dim=-1)
    other = torch.cat((-x[..., H // 2 :], x[..., : H // 2]), dim=-1)
    return x * angle.cos() + other * angle.sin()


def reference(ids, w, *, n_heads, eps, theta=None, unit_rows=False):
    """The logits of a Baichuan, (B, T, V), from weights under our names."""
    x = w["embedding.weight"][ids]
    B, T, D = x.shape
    future = torch.full((T, T), -math.inf, dtype=x.dtype).triu(1)
    bias = future
    if theta is None:  # their bias grows with the key's position; a softmax sees only differences
        grows = torch.tensor(slopes(n_heads), dtype=x.dtype)[:, None, None] * torch.arange(T)
        bias = future + grows  # (N, T, T)
    layers = sum(name.endswith("attention.q.weight") for name in w)
    for i in range(layers):
        part = {k.removeprefix(f"blocks.{i}."): t for k, t in w.items() if f"blocks.{i}." in k}
        h = norm(x, part["attention_norm.weight"], eps)
        packed = torch.cat([part[f"attention.{letter}.weight"] for letter in "qkv"])  # W_pack
        q, k, v = (h @ packed.T).unflatten(-1, (3, n_heads, -1)).permute(2, 0, 3, 1, 4)
        if theta is not None:
            q, k = turned(q, theta), turned(k, theta)
        scores = q @ k.mT / math.sqrt(D // n_heads) + bias
        heads = scores.softmax(dim=-1) @ v
        x = x + heads.transpose(1, 2).reshape(B, T, D) @ part["attention.out.weight"].T
        h = norm(x, part["feedforward_norm.weight"], eps)
        inner = F.silu(h @ part["feedforward.gate.weight"].T) * (
            h @ part["feedforward.up.weight"].T
        )
        x = x + inner @ part["feedforward.down.weight"].T
    head = w["head.weight"][:101]
    if unit_rows:
        head = head / head.norm(dim=1, keepdim=True)
    return norm(x, w["final_norm.weight"], eps) @ head.T


@torch.no_grad()
def model_and_logits(config, spread=(0.2, 0.2), dtype=torch.float64):
    torch.manual_seed(0)
    model = Decoder(config, dtype=dtype)
    for name, p in model.named_parameters():
        p.normal_(1.0 if p.ndim == 1 else 0.0, spread[name.startswith("embedding")])
    place = config.position
    wanted = reference(
        IDS,
        model.state_dict(),
        n_heads=config.attention.n_heads,
        eps=config.norm.eps,
        theta=place.rope_theta if place.kind == "rope" else None,
        unit_rows=config.norm.head,
    )
    return model, wanted


@torch.no_grad()
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("spread", "dtype", "bound"),
    [
        ((0.2, 0.2), torch.float64, 1e-9),
        ((0.2, 1e-3), torch.float64, 1e-9),
        ((0.02, 0.02), torch.float32, 1e-5),
        ((0.2, 0.2), torch.float32, 1e-4),
        ((0.2, 1e-3), torch.float32, 1e-4),
    ],
)
def test_the_logits_agree(form, spread, dtype, bound):
    model, wanted = model_and_logits(FORMS[form], spread, dtype)
    assert (model(IDS) - wanted).abs().max() <= bound
    cache = KVCache(model.config, 2, 17, dtype)
    cached = torch.cat([model(part, cache=cache) for part in IDS.split([6, 1, 10], 1)], dim=1)
    assert (cached - wanted).abs().max() <= bound


@torch.no_grad()
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_mistakes_exceed_the_bound_ten_times(form, dtype, bound):
    config = FORMS[form]
    model, wanted = model_and_logits(config, (0.2, 1e-3), dtype)
    kind = "none" if config.position.kind == "alibi" else "rope"
    for changes in (
        {"norm": dataclasses.replace(config.norm, eps=1e-6 if bound == 1e-4 else 1.1e-5)},
        {"norm": dataclasses.replace(config.norm, head=not config.norm.head)},
        {"position": PositionConfig(kind, 770.0)},
        {"position": PositionConfig(kind, 777.0, interleaved=True)},
    ):
        wrong = Decoder(dataclasses.replace(config, **changes), dtype=dtype)
        wrong.load_state_dict(model.state_dict())
        assert (wrong(IDS) - wanted).abs().max() > 10 * bound
