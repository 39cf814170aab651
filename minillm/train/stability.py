"""What keeps a run from going off: clipping, and a stop that says where it went wrong."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor


class NotFiniteError(ValueError):
    """A loss or a gradient is infinite or not a number; the weights have not been touched.

    Attributes:
        batch: pairs (x, y) of ids, (B, T), that the step had read; None outside of train.
    """

    batch: list[tuple[Tensor, Tensor]] | None = None


@torch.no_grad()
def clip_grad_norm(
    params: Iterable[Tensor] | Iterable[tuple[str, Tensor]], max_norm: float
) -> Tensor:
    """Shorten the gradient of all parameters together, if it is longer than max_norm.

        norm = sqrt(sum over all entries of g^2);    g = g max_norm / norm   if norm > max_norm

    Gradients that are short enough are not touched at all, bit for bit.

    Args:
        params: parameters, or (name, parameter) pairs as from named_parameters(), so that an
            error can say the name. Those without a gradient count for nothing.
        max_norm: the longest that is let through; math.inf only measures.

    Returns:
        The norm before clipping, a scalar, in float32 (float64 if a gradient is).

    Raises:
        ValueError: if max_norm is not positive.
        NotFiniteError: if the norm is infinite or not a number. It names the first parameter at
            fault, and no gradient is changed, so that one can look.

    Cost: 2 FLOPs a parameter, 1 more where it clips.
    Source: Pascanu et al. 2013, arXiv:1211.5063, algorithm 1.
    Lesson: notebooks/20a_adamw.ipynb
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm must be positive, got {max_norm}; math.inf does not clip")
    named = [item if isinstance(item, tuple) else ("", item) for item in params]
    grads = [(name, p.grad) for name, p in named if p.grad is not None]
    if not grads:
        return torch.tensor(0.0)
    norms = [_norm(g) for _, g in grads]
    total = torch.linalg.vector_norm(torch.stack([n.to(norms[0].device) for n in norms]))
    if not math.isfinite(total):
        raise NotFiniteError(_blame(grads, norms))
    if total > max_norm:
        for _, g in grads:
            g.mul_((max_norm / total).to(g.device))
    return total


def _norm(grad: Tensor) -> Tensor:
    wide = torch.promote_types(grad.dtype, torch.float32)
    return torch.linalg.vector_norm(grad, dtype=wide)


def _blame(grads: list[tuple[str, Tensor]], norms: list[Tensor]) -> str:
    for i, (name, g) in enumerate(grads):
        if not math.isfinite(norms[i]):
            n_bad = int((~torch.isfinite(g)).sum())
            who = name or f"parameter {i} of shape {tuple(g.shape)}"
            what = f"{n_bad} of {g.numel()} entries" if n_bad else "its norm"
            return (
                f"the gradient of {who} is not finite ({what}); lower the learning rate, or look "
                "for a division by zero, a logarithm of zero, or too small a data type"
            )
    return "the norm of the whole gradient is not finite, though each parameter's is"
