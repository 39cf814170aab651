"""Embedding gradient shrink: the model computes as before, its table learns more slowly.

In GLM-130B the gradient of the embedding was orders of magnitude above the others early on, and
spiked some steps before the loss did. shrink_gradient is their one line; shrink_exactly does the
same without a rounding error in the forward pass.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


def shrink_gradient(x: Tensor, share: float) -> Tensor:
    """Let a value pass, and only a share of its gradient.

        share x + (1 - share) stop(x)              stop is detach(): a value without gradient

    In exact arithmetic the value is x. In floating point the sum of the two parts may differ from
    x in its last digit; shrink_exactly does not.

    Args:
        x: any shape.
        share: in [0, 1]; 0 freezes what x was computed from, 1 changes nothing.

    Returns:
        Same shape and dtype.

    Raises:
        ValueError: if share is not in [0, 1].

    Source: Zeng et al. 2023 (GLM-130B), arXiv:2210.02414, section 3 (share 0.1).
    Lesson: notebooks/21_stability.ipynb
    """
    _check(share)
    return x * share + x.detach() * (1 - share)


def shrink_exactly(x: Tensor, share: float) -> Tensor:
    """Do as shrink_gradient, with the value of x to the last bit.

    Args, Returns and Raises: those of shrink_gradient.

    Source: as shrink_gradient.
    Lesson: notebooks/21_stability.ipynb
    """
    _check(share)
    shrunk: Tensor = _Shrink.apply(x, share)
    return shrunk


class _Shrink(torch.autograd.Function):
    """The identity; backward it multiplies by a share."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, share: float) -> Tensor:
        ctx.share = share
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad * ctx.share, None


def shrink_embedding(embedding: nn.Module, share: float) -> RemovableHandle:
    """Shrink the gradient that reaches an embedding through its look-ups.

    Where the table is the output matrix too, the gradient that comes from there is not shrunk.

    Args:
        embedding: a module whose output is what it looked up.
        share: in [0, 1].

    Returns:
        A handle; its remove() ends the shrinking.

    Raises:
        ValueError: if share is not in [0, 1].

    Source: as shrink_gradient.
    Lesson: notebooks/21_stability.ipynb
    """
    _check(share)
    return embedding.register_forward_hook(lambda module, args, out: shrink_exactly(out, share))


def _check(share: float) -> None:
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1], got {share}; GLM-130B took 0.1")
