"""Output matrix and cross-entropy in one, so that the table of all logits is never stored.

The logits of a batch are the largest tensor of a small model's training step: B T V numbers, and
as many again for their gradient. Here they are made a few rows at a time and used at once, for the
loss and for the gradient alike, while they are still in the processor's cache.

Shape letters: M rows (B T), D model width, V vocabulary size.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

CHUNK_NUMBERS = 2**20  # logits at a time: 4 MiB of float32
CHUNK_ROWS = 128  # at least so many rows, or the matrix products become inefficient


def linear_cross_entropy(
    x: Tensor, weight: Tensor, targets: Tensor, *, ignore_index: int = -100
) -> Tensor:
    """Average the surprise at each target, given features and the output matrix.

        loss = cross_entropy(x W^T, targets)

    Args:
        x: features, (..., D).
        weight: W, (V, D).
        targets: token ids, (...), int64; ignore_index where a position does not count.
        ignore_index: positions with this target count for nothing.

    Returns:
        Nats a token, a scalar; 0 with gradient 0 if no position counts. The gradient flows to x
        and to W, once: a second derivative is not available.

    Raises:
        ValueError: if the shapes do not fit.

    Cost: 6 M V D FLOPs with the gradients, which are computed on the way forward; memory for
        max(2**20, 128 V) logits in place of M V.
    Source: the idea is Liger Kernel's fused linear cross-entropy, Hsu et al. 2024,
        arXiv:2410.10989, section 3.2.
    Lesson: notebooks/22a_ledger.ipynb
    """
    if x.shape[:-1] != targets.shape or x.shape[-1] != weight.shape[-1]:
        raise ValueError(
            f"x (..., D), weight (V, D) and targets (...) do not fit: got {tuple(x.shape)}, "
            f"{tuple(weight.shape)} and {tuple(targets.shape)}"
        )
    rows = x.reshape(-1, x.shape[-1])  # (M, D)
    loss: Tensor = _LinearCrossEntropy.apply(rows, weight, targets.reshape(-1), ignore_index)
    return loss


class _LinearCrossEntropy(torch.autograd.Function):
    """The loop over chunks; d loss / d logits = (p - y) / count needs nothing from above."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, targets: Tensor, ignore: int) -> Tensor:
        counts = targets != ignore  # (M,)
        wide = torch.promote_types(x.dtype, torch.float32)
        share = counts.to(wide) / counts.sum().clamp(min=1)  # (M,)
        index = targets.masked_fill(~counts, 0)[:, None]  # (M, 1)
        need_x, need_w = ctx.needs_input_grad[:2]
        grad_x = torch.empty_like(x) if need_x else None
        grad_w = torch.zeros_like(weight) if need_w else None
        loss = torch.zeros((), device=x.device, dtype=wide)
        mixed = x.dtype != weight.dtype or torch.is_autocast_enabled(x.device.type)
        n_rows = max(CHUNK_ROWS, CHUNK_NUMBERS // weight.shape[0])
        for start in range(0, x.shape[0], n_rows):
            here = slice(start, start + n_rows)
            z = F.linear(x[here], weight).to(wide)  # (n, V)
            log_p = z.log_softmax(dim=-1)
            loss -= (log_p.gather(1, index[here])[:, 0] * share[here]).sum()
            if grad_x is None and grad_w is None:
                continue
            grad = log_p.exp_()  # p, in place of log p: (n, V)
            grad.scatter_add_(1, index[here], -torch.ones_like(grad[:, :1]))  # p - y
            grad = grad.mul_(share[here, None]).to(x.dtype)
            if grad_x is not None:
                grad_x[here] = grad @ weight
            if grad_w is not None and mixed:
                grad_w += grad.mT @ x[here]
            elif grad_w is not None:
                grad_w.addmm_(grad.mT, x[here])  # no temporary; but autocast passes it by
        ctx.save_for_backward(grad_x, grad_w)
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor | None, ...]:
        grad_x, grad_w = ctx.saved_tensors
        scaled = (None if g is None else g * above.to(g.dtype) for g in (grad_x, grad_w))
        return (*scaled, None, None)
