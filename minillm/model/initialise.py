"""Where the weights of a model start, all in one place."""

import torch
from torch import nn

from minillm.model.config import DecoderConfig
from minillm.model.layers import Embedding, Linear
from minillm.model.norm import LayerNorm, RMSNorm, deepnorm_constants

BACK_TO_X = (".out", ".down")
SCALED_BY_BETA = (".v", ".out", ".gate", ".up", ".down")


@torch.no_grad()
def initialise(model: nn.Module, config: DecoderConfig) -> None:
    """Set every weight of a model to its start, in place, from torch's random generator.

        embedding, learned positions, head, routers  normal, spread init_std
        projections to q, k, v; gate, up             normal, spread init_std
        projections back to x: out, down             normal, spread init_std / sqrt(2 n_layers)
        biases                                       0
        gains of the norms                           1
        rows that pad the vocabulary                 0

    2 n_layers sub-layers add to the residual stream; dividing by the root of their number keeps
    the spread of the sum from growing with depth. With norm.place "deep" the matrices of the blocks
    start as DeepNorm wants it: spread sqrt(2 / (d_in + d_out)), times beta but for q and k.

    Args:
        model: a Decoder, or another module of the same parts; on the meta device nothing happens.
        config: init_std, the number of layers and the place of the norms.

    Source: Radford et al. 2019 (GPT-2), section 2.3; Wang et al. 2022 (DeepNet),
        arXiv:2203.00555, figure 2.
    Lesson: notebooks/09_attention.ipynb
    """
    if next(model.parameters()).is_meta:
        return
    for name, module in model.named_modules():
        if isinstance(module, Linear | Embedding):
            nn.init.normal_(module.weight, std=_spread(name, module, config))
        elif isinstance(module, RMSNorm | LayerNorm):
            nn.init.ones_(module.weight)
        bias = getattr(module, "bias", None)
        if bias is not None:
            nn.init.zeros_(bias)
    for name, parameter in model.named_parameters():
        if name in ("embedding.weight", "head.weight"):
            parameter[config.vocab_size :] = 0


def _spread(name: str, module: Linear | Embedding, config: DecoderConfig) -> float:
    """The standard deviation of the weights of a matrix."""
    if config.norm.place == "deep" and isinstance(module, Linear) and "blocks." in name:
        beta = deepnorm_constants(config.n_layers)[1] if name.endswith(SCALED_BY_BETA) else 1.0
        return beta * float((2 / (module.d_in + module.d_out)) ** 0.5)
    residual = (2 * config.n_layers) ** -0.5 if name.endswith(BACK_TO_X) else 1.0
    return config.init_std * residual
