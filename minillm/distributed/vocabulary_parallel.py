"""The two tables of a language model, spread over the vocabulary.

Logits are the largest tensor of a step, B T V numbers. Here no rank ever holds them all: each has
those of its own entries, and the ranks exchange three numbers a position, not V.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minillm.distributed.collectives import all_gather, all_reduce
from minillm.distributed.conjugate import enter, leave, own_part
from minillm.distributed.group import Group
from minillm.model import Decoder


class VocabularyEmbedding(nn.Module):
    """An embedding table of which this rank holds the rows r V/N to (r + 1) V/N - 1.

    Ids of other ranks give zeros here; the sum over all ranks is the row.

    Args:
        weight: the whole table, (V, D); the same on all ranks.
        group: the ranks.

    Raises:
        ValueError: if the rows cannot be shared out equally.

    Cost: an all-reduce of (..., D) forward.
    Source: Shoeybi et al. 2019, arXiv:1909.08053, section 3.
    Lesson: notebooks/23_parallel.ipynb
    """

    def __init__(self, weight: Tensor, group: Group) -> None:
        super().__init__()
        self.group = group
        mine = own_part(weight.detach(), group.rank, group.size, 0).clone()
        self.weight = nn.Parameter(mine)
        self.first = group.rank * mine.shape[0]

    def forward(self, ids: Tensor) -> Tensor:
        """Map ids (...) of the whole vocabulary to rows (..., D)."""
        here = ids - self.first
        other = (here < 0) | (here >= self.weight.shape[0])
        rows = F.embedding(here.masked_fill(other, 0), self.weight)
        return leave(rows.masked_fill(other[..., None], 0.0), self.group)


def vocabulary_cross_entropy(
    logits: Tensor, targets: Tensor, group: Group, *, ignore_index: int = -100
) -> Tensor:
    """Average the surprise at each target when each rank has the logits of its own entries.

        loss = log sum_ranks sum_v exp(z_v - top) + top - z_target

    The ranks exchange, for each position: the largest logit, the sum of exponentials, and the
    target's logit, which one of them has. The gradient p - y needs no exchange at all.

    Args:
        logits: of this rank's entries, (..., V / N); -inf for entries that pad the vocabulary.
        targets: ids of the whole vocabulary, (...), int64; the same on all ranks.
        group: the ranks, in the order of their entries.
        ignore_index: positions with this target count for nothing.

    Returns:
        Nats a token, a scalar, the same on all ranks; 0 if no position counts.

    Raises:
        ValueError: if the shapes do not fit, or a target is no entry of any rank.

    Cost: three messages of M numbers in place of one of M V.
    Source: Shoeybi et al. 2019, arXiv:1909.08053, section 3 (the fused cross entropy).
    Lesson: notebooks/23_parallel.ipynb
    """
    if logits.shape[:-1] != targets.shape:
        raise ValueError(
            f"logits (..., V/N) and targets (...) do not fit: got {tuple(logits.shape)} and "
            f"{tuple(targets.shape)}"
        )
    V = logits.shape[-1] * group.size
    wrong = targets[(targets != ignore_index) & ((targets < 0) | (targets >= V))]
    if len(wrong):
        raise ValueError(f"target {int(wrong[0])} is not in [0, {V})")
    rows = logits.reshape(-1, logits.shape[-1])
    loss: Tensor = _CrossEntropy.apply(rows, targets.reshape(-1), group, ignore_index)
    return loss


def parallel_loss(model: Decoder, x: Tensor, y: Tensor, group: Group) -> Tensor:
    """causal_loss of a decoder whose tables were cut by split_decoder.

    Args:
        model: after split_decoder with vocabulary=True.
        x: token ids, (B, T), the same on all ranks.
        y: the same text one position later; -100 where a position does not count.
        group: the tensor ranks.

    Returns:
        Nats a token, a scalar, the same on all ranks.

    Raises:
        ValueError: if the model's output matrix has rows of length 1 (norm.head).

    Lesson: notebooks/23_parallel.ipynb
    """
    if model.config.norm.head:
        raise ValueError("norm.head needs whole rows on one rank's own terms; not supported")
    weight = (model.embedding if model.head is None else model.head).weight
    z = F.linear(enter(model.features(x), group), weight)  # (B, T, rows / N)
    entries = torch.arange(z.shape[-1]) + group.rank * z.shape[-1]
    padding = entries.to(z.device) >= model.config.vocab_size
    return vocabulary_cross_entropy(z.masked_fill(padding, -torch.inf), y, group)


class _CrossEntropy(torch.autograd.Function):
    """Keeps the probabilities of this rank's entries for the backward pass."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, targets: Tensor, group: Group, ignore: int) -> Tensor:
        wide = z.to(torch.promote_types(z.dtype, torch.float32))
        M, n = wide.shape
        tops = all_gather(group, wide.amax(dim=-1)).view(group.size, M)
        top = tops.amax(dim=0)  # (M,)
        p = (wide - top[:, None]).exp()  # (M, n)
        total = all_reduce(group, p.sum(dim=-1))
        counts = targets != ignore
        here = targets - group.rank * n
        mine = counts & (here >= 0) & (here < n)
        index = here.masked_fill(~mine, 0)[:, None]
        own = (wide - top[:, None]).gather(1, index)[:, 0]
        target = all_reduce(group, torch.where(mine, own, 0.0))
        share = counts.to(wide.dtype) / counts.sum().clamp(min=1)
        p /= total[:, None]
        ctx.save_for_backward(p, index, mine, share)
        ctx.dtype = z.dtype
        return ((total.log() - target) * share).sum()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor, None, None, None]:
        p, index, mine, share = ctx.saved_tensors
        grad = p.scatter_add(1, index, -mine[:, None].to(p.dtype))  # p - y
        return (grad * (share * above)[:, None]).to(ctx.dtype), None, None, None
