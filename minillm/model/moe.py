"""A mixture of experts in the place of a feed-forward layer: many layers, few for each token.

- readable: every expert computes for every token, and most of it is multiplied by zero. This is the
  definition.
- fast: the tokens of an expert are gathered, computed in one product, and added back. A test holds
  the two equal; the work falls by about E / k.

Parameters grow with the number of experts, the work for a token does not.

Shape letters: B batch, T positions, M = B T tokens, D model width, F inner width, E experts.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from minillm.model.feedforward import FeedForward, FeedForwardConfig
from minillm.model.layers import Linear
from minillm.model.routing import ExpertsConfig, Routing, balance_loss, route, z_loss

if TYPE_CHECKING:
    from collections.abc import Iterable


class MixtureOfExperts(nn.Module):
    """Send each token to a few of many feed-forward layers, and add up what they say.

        y = sum_e w_e(x) expert_e(x) + sum of the shared experts,    w from routing.route

    Args:
        d_model: D, width of the input and the output.
        config: kind and inner width F of each expert, and its `experts`.
        device, dtype: where the weights live, and in what precision.

    Attributes:
        last_logits: the router's logits of the last forward pass, (M, E), with their gradient.
        last_routing: what came of them.

    Raises:
        ValueError: if the config has no experts.

    Cost: (k + n_shared) times that of one expert, and 2 D E FLOPs a token for the router.
    Source: Shazeer et al. 2017, arXiv:1701.06538; Jiang et al. 2024 (Mixtral), arXiv:2401.04088;
        shared experts: Dai et al. 2024 (DeepSeekMoE), arXiv:2401.06066.
    Lesson: notebooks/17_experts.ipynb
    """

    def __init__(
        self,
        d_model: int,
        config: FeedForwardConfig,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if config.experts is None:
            raise ValueError("feedforward.experts is None; use FeedForward for one dense layer")

        def several(n: int) -> nn.ModuleList:
            return nn.ModuleList(
                FeedForward(d_model, config, device=device, dtype=dtype) for _ in range(n)
            )

        self.config: ExpertsConfig = config.experts
        self.router = Linear(d_model, self.config.n_experts, device=device, dtype=dtype)
        self.experts = several(self.config.n_experts)
        self.shared = several(self.config.n_shared)
        self.last_logits: Tensor | None = None
        self.last_routing: Routing | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) to (B, T, D)."""
        tokens = x.reshape(-1, x.shape[-1])  # (M, D)
        logits = self.router(tokens)  # (M, E)
        routing = route(logits, self.config)
        self.last_logits, self.last_routing = logits, routing
        combine = gathered if self.config.implementation == "fast" else every_expert
        y = combine(tokens, routing, self.experts)
        for expert in self.shared:
            y = y + expert(tokens)
        return y.view(x.shape)

    def __getstate__(self) -> dict[str, object]:
        """What a copy gets: all but the last pass, whose graph cannot be copied."""
        return self.__dict__ | {"last_logits": None, "last_routing": None}


def every_expert(x: Tensor, routing: Routing, experts: "Iterable[nn.Module]") -> Tensor:
    """Let every expert compute for every token, and weigh the results: the definition.

        y[m] = sum_e weights[m, e] expert_e(x[m])

    Args:
        x: tokens, (M, D).
        routing: weights (M, E).
        experts: E modules from (M, D) to (M, D).

    Returns:
        y, (M, D).

    Cost: E experts a token, of which E - k count for nothing.
    Lesson: notebooks/17_experts.ipynb
    """
    y = torch.zeros_like(x)
    for e, expert in enumerate(experts):
        y = y + routing.weights[:, e, None].to(x.dtype) * expert(x)
    return y


def gathered(x: Tensor, routing: Routing, experts: "Iterable[nn.Module]") -> Tensor:
    """Compute every_expert with each expert reading only its own tokens.

    Args, Returns as every_expert.

    Cost: k experts a token. An expert that nobody asks costs nothing.
    Lesson: notebooks/17_experts.ipynb
    """
    y = torch.zeros_like(x)
    for e, expert in enumerate(experts):
        (mine,) = routing.kept[:, e].nonzero(as_tuple=True)  # (n_e,)
        if len(mine):
            said = expert(x[mine]) * routing.weights[mine, e, None].to(x.dtype)
            y = y.index_add(0, mine, said)
    return y


def router_loss(model: nn.Module) -> Tensor:
    """Add up the losses of all routers of a model over its last forward pass.

        sum over layers of  balance_coef balance_loss + z_coef z_loss

    To be added to the loss of the text, before backward. objectives.routed_loss does it.

    Args:
        model: a Decoder, or any module with MixtureOfExperts inside.

    Returns:
        A scalar with gradients to the routers; 0 if there is no expert in the model.

    Raises:
        ValueError: if a mixture has not been run yet.

    Lesson: notebooks/17_experts.ipynb
    """
    total = torch.zeros(())
    for layer in mixtures(model):
        if layer.last_logits is None or layer.last_routing is None:
            raise ValueError("no forward pass yet: run the model before asking for router_loss")
        config, logits = layer.config, layer.last_logits
        if config.balance_coef:
            loss = config.balance_coef * balance_loss(logits, layer.last_routing.chosen)
            total = total.to(loss.device) + loss
        if config.z_coef:
            loss = config.z_coef * z_loss(logits)
            total = total.to(loss.device) + loss
    return total


def mixtures(model: nn.Module) -> list[MixtureOfExperts]:
    """The mixtures of experts of a model, from the first layer to the last."""
    return [module for module in model.modules() if isinstance(module, MixtureOfExperts)]
