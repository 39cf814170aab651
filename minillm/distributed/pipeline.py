"""A pipeline that runs: each rank holds some blocks and does its work in the order of a schedule.

The schedules are those of schedules.py, the very lists that timeline.py puts on the clock. What a
rank sends forward is the activations between two blocks, and backward their gradient: B T D numbers
a micro batch, however many parameters the blocks have. So a pipeline can do with slow links.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from minillm.distributed.collectives import all_reduce
from minillm.distributed.group import Group, Sending
from minillm.distributed.schedules import Work
from minillm.model import Decoder
from minillm.objectives.causal import fast_cross_entropy


class DecoderStage(nn.Module):
    """Some blocks of a decoder, with the embedding before the first and the head after the last.

    Args:
        model: the whole decoder; its parts are used, not copied.
        first, end: blocks first to end - 1.

    Raises:
        ValueError: if there are no such blocks.

    Lesson: notebooks/23_parallel.ipynb
    """

    def __init__(self, model: Decoder, first: int, end: int) -> None:
        super().__init__()
        n = len(model.blocks)
        if not 0 <= first < end <= n:
            raise ValueError(f"stage needs 0 <= first < end <= {n}, got {first} to {end}")
        self.is_first, self.is_last = first == 0, end == n
        self.blocks = model.blocks[first:end]
        self.embedding = model.embedding if self.is_first else None
        self.position = model.position if self.is_first else None
        self.embedding_norm = model.embedding_norm if self.is_first else None
        self.final_norm = model.final_norm if self.is_last else None
        self.head = (model.head or model.embedding) if self.is_last else None
        self._model = [model]  # in a list, so that its parameters are not this module's

    def forward(self, x: Tensor) -> Tensor:
        """Map ids (B, T), or features (B, T, D) of the stage before, to features or logits."""
        (model,) = self._model
        if self.embedding is not None:
            x = model._place(self.embedding(x), None, 0)
        rotation, bias = model._rotation(x, None, 0), model._score_bias(x, 0)
        for block in self.blocks:
            x = block(x, None, causal=True, bias=bias, rotation=rotation)
        if self.final_norm is None:
            return x
        y: Tensor = model.logits(self.final_norm(x))
        return y


@dataclass
class Ran:
    """What a rank has to tell after a step.

    Attributes:
        loss: the mean over the micro batches on the last stage; None on the others.
        peak: the most micro batches whose graph it held at once.
    """

    loss: float | None
    peak: int


def run_pipeline(
    group: Group,
    stage: nn.Module,
    order: Sequence[Work],
    inputs: Sequence[Tensor],
    targets: Sequence[Tensor],
    *,
    width: int,
) -> Ran:
    """Do one step of a pipeline: all forward and backward passes of this rank's stage.

    Gradients add up in the parameters, as for the mean loss over all micro batches. Rank s is
    stage s. Sends do not wait, or two neighbours that send to each other would wait forever.

    Args:
        group: the ranks of the pipeline.
        stage: this rank's; maps ids or features to features or logits.
        order: this rank's work, from gpipe or one_f_one_b.
        inputs: ids of each micro batch, (B, T); read on the first stage, for their shape on all.
        targets: ids one position later, (B, T); read on the last stage.
        width: D, of the features between stages.

    Returns:
        The loss, where it is known, and the peak.

    Raises:
        ValueError: if the work has several chunks a stage, or there are not equally many inputs
            and targets as micro batches.

    Source: Huang et al. 2018 (GPipe), arXiv:1811.06965, section 2.2.
    Lesson: notebooks/23_parallel.ipynb
    """
    n_micro = sum(work.kind == "forward" for work in order)
    if any(work.chunk for work in order):
        raise ValueError("run_pipeline runs one chunk a stage; interleaved schedules only simulate")
    if not len(inputs) == len(targets) == n_micro:
        raise ValueError(
            f"{n_micro} micro batches need as many inputs and targets, got {len(inputs)} and "
            f"{len(targets)}"
        )
    rank = _Rank(group, stage, width, next(stage.parameters()).dtype)
    total, peak = 0.0, 0
    for work in order:
        i = work.micro
        if work.kind == "forward":
            rank.forward(i, inputs[i])
            peak = max(peak, len(rank.held))
        else:
            total += rank.backward(i, targets[i], n_micro)
    for sending in rank.sent:
        sending.wait()
    return Ran(total if rank.last else None, peak)


def sum_tied(group: Group, model: Decoder) -> None:
    """Sum the gradients of a table that the first and the last stage both hold.

    Tied, the embedding and the output matrix are one parameter with two uses, and the uses are now
    on two ranks. Without this sum the two copies drift apart after the first step.

    Args:
        group: the ranks of the pipeline.
        model: this rank's whole decoder, whose table's gradient is summed in place.

    Lesson: notebooks/23_parallel.ipynb
    """
    if model.head is not None or group.size == 1:
        return
    weight = model.embedding.weight
    grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
    total = all_reduce(group, grad.clone())
    if group.rank in (0, group.size - 1):
        weight.grad = total


class _Rank:
    """One rank at work: what it holds, and what is on its way."""

    def __init__(self, group: Group, stage: nn.Module, width: int, dtype: torch.dtype) -> None:
        self.group, self.stage, self.width, self.dtype = group, stage, width, dtype
        self.first, self.last = group.rank == 0, group.rank == group.size - 1
        self.held: dict[int, tuple[Tensor, Tensor]] = {}
        self.sent: list[Sending] = []

    def forward(self, i: int, ids: Tensor) -> None:
        x = ids
        if not self.first:
            x = torch.empty(*ids.shape, self.width, dtype=self.dtype)
            self.group.receive(x, self.group.rank - 1)
            x.requires_grad_()
        y = self.stage(x)
        self.held[i] = x, y
        if not self.last:
            self._send(y.detach(), self.group.rank + 1)

    def backward(self, i: int, targets: Tensor, n_micro: int) -> float:
        x, y = self.held.pop(i)
        loss = 0.0
        if self.last:
            share = fast_cross_entropy(y, targets) / n_micro
            share.backward()
            loss = share.item()
        else:
            y.backward(self.group.receive(torch.empty_like(y), self.group.rank + 1))
        if not self.first:
            assert x.grad is not None
            self._send(x.grad, self.group.rank - 1)
        return loss

    def _send(self, x: Tensor, to: int) -> None:
        self.sent.append(self.group.start_send(x, to))
