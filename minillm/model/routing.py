"""Routing: which experts a token goes to, how many an expert takes, and what keeps them in balance.

- Token choice (top-k): each token takes its k best experts. An expert may be asked by more tokens
  than it has room for; those that come later in the batch are dropped, for this expert.
- Expert choice: each expert takes its best tokens, so that all are equally full; a token may then
  get no expert, or many, and whether it does depends on *later* tokens.
- Two losses act on the router alone: balance_loss on how the load is spread, z_loss on the size
  of its logits.

Shape letters: M tokens (B times T), E experts, k experts a token.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Router = Literal["top_k", "expert_choice"]


@dataclass(frozen=True)
class ExpertsConfig:
    """The experts in the place of a feed-forward layer.

    Attributes:
        n_experts: E, experts to choose among.
        top_k: k, experts that a token goes to; for "expert_choice" the mean over the tokens.
        capacity_factor: room of an expert, as a multiple of M k / E; None: room for all ("top_k"),
            exactly M k / E ("expert_choice").
        router: "top_k" (the token chooses) or "expert_choice" (the expert chooses).
        renormalise: the k weights of a token sum to 1 (Mixtral); False: they are its
            probabilities among all experts (Switch), without which top-1 gives the router no
            gradient.
        n_shared: experts that every token goes to besides, with weight 1.
        balance_coef, z_coef: of balance_loss and z_loss in Decoder.router_loss.
        implementation: "fast" (gather, one product an expert, add) or "readable" (every expert
            on every token, most results unused).
    """

    n_experts: int
    top_k: int = 2
    capacity_factor: float | None = None
    router: Router = "top_k"
    renormalise: bool = True
    n_shared: int = 0
    balance_coef: float = 0.01
    z_coef: float = 0.0
    implementation: Literal["fast", "readable"] = "fast"

    def __post_init__(self) -> None:
        if self.n_experts < 1:
            raise ValueError(f"experts.n_experts must be at least 1, got {self.n_experts}")
        if not 1 <= self.top_k <= self.n_experts:
            raise ValueError(
                f"experts.top_k must lie in 1 to n_experts={self.n_experts}, got {self.top_k}"
            )
        if self.capacity_factor is not None and not self.capacity_factor > 0:
            raise ValueError(
                f"experts.capacity_factor must be positive, got {self.capacity_factor}; "
                "None gives room for all"
            )
        if self.router not in ("top_k", "expert_choice"):
            raise ValueError(
                f"experts.router must be 'top_k' or 'expert_choice', got {self.router!r}"
            )
        for name in ("n_shared", "balance_coef", "z_coef"):
            if getattr(self, name) < 0:
                raise ValueError(f"experts.{name} must not be negative, got {getattr(self, name)}")
        if self.implementation not in ("fast", "readable"):
            raise ValueError(
                f"experts.implementation must be 'fast' or 'readable', got {self.implementation!r}"
            )

    @property
    def n_active(self) -> int:
        """Experts that compute for a token, the shared ones among them (a mean)."""
        return self.top_k + self.n_shared


@dataclass(frozen=True)
class Routing:
    """Who computes for whom."""

    weights: Tensor
    """(M, E): the weight of an expert's output for a token; 0 where it is not asked."""

    chosen: Tensor
    """(M, E), booleans: the token's choice before any was dropped (or the expert's choice)."""

    kept: Tensor
    """(M, E), booleans: what of it there was room for."""

    @property
    def load(self) -> Tensor:
        """(E,): tokens that each expert computes for."""
        return self.kept.sum(dim=0)

    @property
    def dropped_share(self) -> float:
        """Share of the choices for which there was no room, from 0 to 1."""
        n = int(self.chosen.sum())
        return 1 - int(self.kept.sum()) / n if n else 0.0


def expert_capacity(n_tokens: int, config: ExpertsConfig) -> int:
    """Count the tokens that an expert has room for in one pass.

        ceil(capacity_factor M k / E), at least 1 and at most M

    Args:
        n_tokens: M.
        config: capacity_factor None means M for "top_k", and a factor of 1 for "expert_choice".

    Returns:
        Tokens an expert.

    Raises:
        ValueError: if n_tokens is smaller than 1.

    Source: Fedus et al. 2021 (Switch), arXiv:2101.03961, eq. 3; Lepikhin et al. 2020 (GShard),
        arXiv:2006.16668, section 2.2.
    Lesson: notebooks/17_experts.ipynb
    """
    if n_tokens < 1:
        raise ValueError(f"n_tokens must be at least 1, got {n_tokens}")
    factor = config.capacity_factor
    if factor is None:
        if config.router == "top_k":
            return n_tokens
        factor = 1.0
    wanted = factor * n_tokens * config.top_k / config.n_experts
    return min(n_tokens, max(1, math.ceil(wanted - 1e-9)))  # 1.1 x 10 is 11, not 12


def route(logits: Tensor, config: ExpertsConfig) -> Routing:
    """Choose experts for tokens, or tokens for experts.

        p = softmax(logits)

        top_k:          the k largest of each row of p; room is given in the order of rank (all
                        first choices before any second one), then of the tokens
        expert_choice:  the C largest of each column of p

    Args:
        logits: of the router, (M, E).
        config: k, capacity, kind and whether the weights are made to sum to 1.

    Returns:
        The routing. A token without an expert has weights of 0, so that its features pass the
        layer by the residual connection alone. Weights are renormalised over what was *chosen*,
        so that dropping one expert does not make another one louder.

        With a capacity a token depends on others: on earlier ones of the batch for k = 1; for
        k > 1 on later ones, too, whose first choice goes before its second. So neither that nor
        expert_choice is causal.

    Raises:
        ValueError: if logits are not (M, E).

    Cost: M E numbers, a sort of each row (or column).
    Source: Shazeer et al. 2017, arXiv:1701.06538, eqs. 3 to 5; Fedus et al. 2021 (Switch),
        arXiv:2101.03961, section 2; Zhou et al. 2022 (expert choice), arXiv:2202.09368, section 3.
    Lesson: notebooks/17_experts.ipynb
    """
    if logits.ndim != 2 or logits.shape[1] != config.n_experts:
        raise ValueError(
            f"logits must be (M, {config.n_experts}), a row for each token; "
            f"got {tuple(logits.shape)}"
        )
    p = logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(dim=-1)  # (M, E)
    capacity = expert_capacity(max(1, len(p)), config)
    if config.router == "expert_choice":
        best = p.topk(capacity, dim=0).indices  # (C, E)
        chosen = torch.zeros_like(p, dtype=torch.bool).scatter(0, best, True)
        return Routing(p * chosen, chosen, chosen)
    top, best = p.topk(config.top_k, dim=-1)  # (M, k)
    if config.renormalise:
        top = top / top.sum(dim=-1, keepdim=True)
    chosen = torch.zeros_like(p, dtype=torch.bool).scatter(1, best, True)
    weights = torch.zeros_like(p).scatter(1, best, top)
    kept = chosen
    if capacity < len(p):
        kept = _with_room(best, capacity, config.n_experts)
        weights = weights * kept
    return Routing(weights, chosen, kept)


def _with_room(best: Tensor, capacity: int, n_experts: int) -> Tensor:
    """Give places away, all first choices first, each in the order of the tokens: (M, E)."""
    M, k = best.shape
    asked = torch.nn.functional.one_hot(best.T.reshape(-1), n_experts)  # (k M, E)
    place = asked.cumsum(dim=0) * asked  # 1, 2, ... where asked
    kept = (place > 0) & (place <= capacity)
    return kept.view(k, M, n_experts).any(dim=0)


def balance_loss(logits: Tensor, chosen: Tensor) -> Tensor:
    """Measure how unevenly the router spreads the tokens, so that training can even it out.

        loss = E sum_e f_e P_e,    f_e share of all choices that expert e gets,
                                   P_e mean probability of expert e

    f is counted, so it has no gradient; P has, and f weighs it: the probability of an expert is
    pushed down in proportion to how full it is. The loss is 1 when both are uniform, but that is
    no lower bound: where f and P disagree it can fall below 1 (lesson 17 shows such a case).

    Args:
        logits: of the router, (M, E).
        chosen: Routing.chosen, (M, E): choices before any was dropped.

    Returns:
        A scalar, between 0 and E.

    Raises:
        ValueError: if the shapes differ.

    Source: Fedus et al. 2021 (Switch), arXiv:2101.03961, eqs. 4 to 6; for k > 1 f is divided by
        k, so that uniform routing gives 1 for every k (transformers' Mixtral gives k).
    Lesson: notebooks/17_experts.ipynb
    """
    if logits.shape != chosen.shape or logits.ndim != 2:
        raise ValueError(
            f"logits {tuple(logits.shape)} and chosen {tuple(chosen.shape)} must both be (M, E)"
        )
    p = logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(dim=-1)
    f = chosen.to(p.dtype).sum(dim=0) / chosen.sum().clamp(min=1)  # (E,), sums to 1
    return logits.shape[1] * (f * p.mean(dim=0)).sum()


def z_loss(logits: Tensor) -> Tensor:
    """Keep the logits of the router small, where rounding does little harm.

        loss = mean over tokens of (log sum_e exp(logit_e))^2

    Args:
        logits: of the router, (M, E).

    Returns:
        A scalar; smallest where all logits of a token are -log E.

    Source: Zoph et al. 2022 (ST-MoE), arXiv:2202.08906, eq. 5.
    Lesson: notebooks/17_experts.ipynb
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return wide.logsumexp(dim=-1).square().mean()
