"""One feed-forward layer, or a choice of several: equal active parameters, equal text, five seeds.

Every arm's token passes through feed-forward matrices of the same size: one of width 176, one
expert of that width (top-1), or two of half of it (top-2). The router comes on top and is counted.
Two arms differ in nothing but the balancing loss.

Shape letters: M tokens, E experts, S share of the tokens.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from minillm.data.mixture import MixtureSampler
from minillm.model import Decoder, DecoderConfig, FeedForwardConfig
from minillm.model.moe import mixtures as routers
from minillm.model.routing import ExpertsConfig, balance_loss
from minillm.objectives import routed_loss
from minillm.recipes.records import Job
from minillm.recipes.runs import decoder
from minillm.recipes.small import N_BYTES_VOCAB, SmallConfig, bits_on, train_small
from minillm.recipes.studies.mixtures import domains

SMALL = SmallConfig(steps=390, batch_size=8, context=64)
WIDTH = 176
"""F of the dense layer: 8/3 of d_model, rounded up to a multiple of 16."""
NOTE_EVERY = 10


def model_config(settings: Mapping[str, Any]) -> DecoderConfig:
    """Shape of an arm's model: all are equal but for the feed-forward layer."""
    base = decoder(
        N_BYTES_VOCAB,
        d_model=SMALL.d_model,
        n_layers=SMALL.n_layers,
        n_heads=SMALL.n_heads,
        context=SMALL.context,
    )
    if "n_experts" not in settings:
        return dataclasses.replace(base, feedforward=FeedForwardConfig("swiglu", WIDTH))
    k = settings["top_k"]
    experts = ExpertsConfig(
        settings["n_experts"], k, renormalise=k > 1, balance_coef=settings["balance"]
    )
    return dataclasses.replace(
        base, feedforward=FeedForwardConfig("swiglu", WIDTH // k, experts=experts)
    )


def train_arm(
    settings: Mapping[str, Any], seed: int, *, steps: int = SMALL.steps
) -> tuple[Decoder, dict[str, list[Any]]]:
    """Train one model on four kinds of text in equal shares.

    Returns:
        The model, and every NOTE_EVERY steps: the share of the tokens that each expert of each
        layer gets ("shares"), and the balancing loss of each layer ("balance").
    """
    torch.manual_seed(seed)
    model = Decoder(model_config(settings))
    notes: dict[str, list[Any]] = {"shares": [], "balance": []}
    calls = 0

    def objective(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        nonlocal calls
        loss = routed_loss(model, x, y)
        if calls % NOTE_EVERY == 0 and routers(model):
            notes["shares"].append(shares(model))
            notes["balance"].append(balance(model))
        calls += 1
        return loss

    sampler = MixtureSampler(
        {name: found.train for name, found in domains().items()},
        SMALL.batch_size,
        SMALL.context,
        proportions=dict.fromkeys(domains(), 0.25),
        seed=seed,
    )
    small = dataclasses.replace(SMALL, steps=steps)
    return train_small(sampler, seed, config=small, model=model, objective=objective), notes


def shares(model: nn.Module) -> list[list[float]]:
    """Share of the choices of the last pass that each expert got, by layer: sums to 1."""
    found = []
    for layer in routers(model):
        assert layer.last_routing is not None
        load = layer.last_routing.load.double()
        found.append([round(s, 4) for s in (load / load.sum()).tolist()])
    return found


def balance(model: nn.Module) -> list[float]:
    """The balancing loss of the last pass, by layer."""
    found = []
    for layer in routers(model):
        assert layer.last_routing is not None
        assert layer.last_logits is not None
        value = balance_loss(layer.last_logits.detach(), layer.last_routing.chosen)
        found.append(round(value.item(), 4))
    return found


@torch.no_grad()
def shares_by_domain(model: Decoder) -> dict[str, list[list[float]]]:
    """Who reads what: shares of each layer's experts on held-out text of each domain."""
    found = {}
    for name, text in domains().items():
        ids = torch.tensor(list("".join(text.test).encode())[: 128 * SMALL.context])
        model(ids.view(-1, SMALL.context))
        found[name] = shares(model)
    return found


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train one model; measure its bits on unseen texts and the load of its experts there."""
    model, notes = train_arm(settings, seed)
    bits = {f"bits {name}": bits_on(model, text.test) for name, text in domains().items()}
    found: dict[str, Any] = {"bits": float(np.mean(list(bits.values()))), **bits}
    if routers(model):
        by_domain = shares_by_domain(model)
        whole = np.mean(list(by_domain.values()), axis=0)  # (layers, E)
        found["fullest"] = float(whole.max(axis=1).mean())
        found["idle"] = float((whole < 0.01).sum(axis=1).mean())
        found |= {"shares by domain": by_domain, **notes}
    return found


def arm(n_experts: int, top_k: int, balance: float = 0.01) -> dict[str, float]:
    """Settings of an arm with experts."""
    return {"n_experts": n_experts, "top_k": top_k, "balance": balance}


JOB = Job(
    name="experts_vs_dense",
    title="Do experts beat one layer of equal active parameters? What without the balancing loss?",
    lesson="17",
    arms={
        "dense": {},
        "e4_top1": arm(4, 1),
        "e4_top2": arm(4, 2),
        "e8_top1": arm(8, 1),
        "e8_top2": arm(8, 2),
        "e8_top1_unbalanced": arm(8, 1, balance=0.0),
    },
    run=run,
)
