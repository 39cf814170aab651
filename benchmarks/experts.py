"""Experts: each reads its own tokens, against the definition and against transformers' Mixtral.

Forward and backward of one layer, float32, one thread; eight SwiGLU experts, two for each token.
The clock is that of the process (CPU seconds a pass of all tokens).

    1. experts: `gathered` against `every_expert`, whose work is four times as large
    2. experts (Mixtral block): the whole layer with its router against MixtralSparseMoeBlock

    python -m benchmarks.experts
"""

import time
from collections.abc import Callable

import torch
import transformers
from torch import Tensor, nn
from transformers import MixtralConfig
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

from benchmarks.compare import compare
from minillm.model import FeedForwardConfig, MixtureOfExperts
from minillm.model.moe import every_expert, gathered
from minillm.model.routing import ExpertsConfig, route

N_TOKENS, D, F, E, K = 2048, 256, 704, 8, 2
ROUNDS = 7


def pass_of(forward: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], float]:
    """A job: one forward and backward pass; returns its CPU seconds."""

    def job() -> float:
        start = time.process_time()
        forward(x).square().sum().backward()
        return time.process_time() - start

    return job


def make_pair() -> tuple[MixtureOfExperts, nn.Module]:
    """Our layer, and theirs with the same weights."""
    config = FeedForwardConfig("swiglu", F, experts=ExpertsConfig(E, K))
    ours = MixtureOfExperts(D, config)
    theirs = MixtralSparseMoeBlock(
        MixtralConfig(
            hidden_size=D,
            intermediate_size=F,
            num_local_experts=E,
            num_experts_per_tok=K,
            experts_implementation="eager",
        )
    )
    with torch.no_grad():
        theirs.gate.weight.copy_(ours.router.weight)
        for e, expert in enumerate(ours.experts):
            both = torch.cat([expert.gate.weight, expert.up.weight])  # gate above up
            theirs.experts.gate_up_proj[e].copy_(both)
            theirs.experts.down_proj[e].copy_(expert.down.weight)
    return ours, theirs


def main() -> None:
    """Print the two lines."""
    torch.set_num_threads(1)
    torch.manual_seed(17)
    ours, theirs = make_pair()
    x = torch.randn(1, N_TOKENS, D)

    def combined(combine: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
        def forward(x: Tensor) -> Tensor:
            tokens = x.view(-1, D)
            return combine(tokens, route(ours.router(tokens), ours.config), ours.experts)

        return forward

    sizes = {"tokens": N_TOKENS, "d_model": D, "width": F, "n_experts": E, "top_k": K}
    settings = {"rounds": ROUNDS, "unit": "CPU-s/pass", "measured": True, **sizes}
    fast, slow = combined(gathered), combined(every_expert)
    compare(
        "experts",
        "every_expert (the definition)",
        pass_of(fast, x),
        pass_of(slow, x),
        gap=round((fast(x) - slow(x)).abs().max().item(), 8),
        **settings,
    )
    compare(
        "experts (Mixtral block)",
        f"transformers {transformers.__version__}",
        pass_of(ours, x),
        pass_of(theirs, x),
        gap=round((ours(x) - theirs(x)).abs().max().item(), 8),
        **settings,
    )


if __name__ == "__main__":
    main()
