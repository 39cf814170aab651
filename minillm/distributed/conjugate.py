"""Communication inside the forward pass, and what it turns into in the backward pass.

A rank of a tensor-parallel layer holds part of the work; at its edges tensors are summed, gathered
or cut. Autograd does not see the other ranks, so each edge says itself what its gradient is:

    name             forward                     backward                    Megatron's name
    enter            nothing                     sum over ranks              f
    leave            sum over ranks              nothing                     g
    cut              own part along an axis      gather                      scatter
    join             gather along an axis        own part                    gather
    gather_inside    gather along an axis        sum, own part               g-bar
    scatter_sum      sum, own part               gather                      g with sequence
    swap             part q to rank q            the same                    (experts)

Each is the transpose of the one it is paired with: that is what a backward pass is.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from minillm.distributed.collectives import all_gather, all_reduce, all_to_all, reduce_scatter
from minillm.distributed.group import Group

Step = Callable[[Tensor], Tensor]


def enter(x: Tensor, group: Group) -> Tensor:
    """Give every rank the same input; its gradient is the sum of what each rank found.

    Args:
        x: the same on all ranks, any shape.
        group: the tensor ranks.

    Returns:
        x.

    Cost: nothing forward; an all-reduce of x backward.
    Source: Shoeybi et al. 2019, arXiv:1909.08053, section 3 (f).
    Lesson: notebooks/23_parallel.ipynb
    """
    return _edge(x, _keep, _sum(group))


def leave(x: Tensor, group: Group) -> Tensor:
    """Sum what each rank has computed; the gradient of a sum goes to every summand as it is.

    Args:
        x: one summand a rank, any shape.
        group: the tensor ranks.

    Returns:
        The sum, the same on all ranks.

    Cost: an all-reduce of x forward; nothing backward.
    Source: Shoeybi et al. 2019, arXiv:1909.08053, section 3 (g).
    Lesson: notebooks/23_parallel.ipynb
    """
    return _edge(x, _sum(group), _keep)


def cut(x: Tensor, group: Group, axis: int) -> Tensor:
    """Keep this rank's part of what all ranks have; its gradient is put together again.

    Args:
        x: the same on all ranks.
        group: the ranks.
        axis: of x; its length must be a multiple of the ranks.

    Returns:
        Part r of N along the axis.

    Raises:
        ValueError: if the axis cannot be cut into equal parts.

    Lesson: notebooks/23_parallel.ipynb
    """
    return _edge(x, _own(group, axis), _gather(group, axis))


def join(x: Tensor, group: Group, axis: int) -> Tensor:
    """Put the parts of all ranks together; what follows is the same on all ranks.

    So the gradient is the same on all ranks, too, and each takes its own part of it. Where each
    rank does something else with the result, use gather_inside.

    Args, Returns, Raises: the inverse of cut.

    Lesson: notebooks/23_parallel.ipynb
    """
    return _edge(x, _gather(group, axis), _own(group, axis))


def gather_inside(x: Tensor, group: Group, axis: int) -> Tensor:
    """Put the parts of all ranks together at the door of a tensor-parallel layer.

    Each rank finds a share of the gradient of the whole: they are summed, and each keeps its part.

    Args:
        x: part r of N along the axis.
        group: the tensor ranks.
        axis: of x.

    Returns:
        The whole.

    Cost: an all-gather forward, a reduce-scatter backward: together one all-reduce.
    Source: Korthikanti et al. 2022, arXiv:2205.05198, section 4.2.2.
    Lesson: notebooks/23_parallel.ipynb
    """
    return _edge(x, _gather(group, axis), _sum_part(group, axis))


def scatter_sum(x: Tensor, group: Group, axis: int) -> Tensor:
    """Sum what each rank has computed, and keep this rank's part of the sum.

    Args:
        x: one summand a rank.
        group: the tensor ranks.
        axis: along which to cut.

    Returns:
        Part r of N of the sum.

    Raises:
        ValueError: if the axis cannot be cut into equal parts.

    Cost: a reduce-scatter forward, an all-gather backward.
    Source: Korthikanti et al. 2022, arXiv:2205.05198, section 4.2.2.
    Lesson: notebooks/23_parallel.ipynb
    """
    return _edge(x, _sum_part(group, axis), _gather(group, axis))


def swap(x: Tensor, group: Group) -> Tensor:
    """Send part q of x to rank q, and get one of each; the gradients go the same way back.

    Args:
        x: N parts, (N, ...); x[q] is for rank q.
        group: the ranks.

    Returns:
        (N, ...); part q came from rank q.

    Cost: an all-to-all forward and one backward.
    Lesson: notebooks/23_parallel.ipynb
    """

    def step(x: Tensor) -> Tensor:
        return torch.stack(all_to_all(group, list(x.contiguous())))

    return _edge(x, step, step)


def own_part(x: Tensor, rank: int, size: int, axis: int) -> Tensor:
    """Part `rank` of `size` equal parts of a tensor along an axis, without gradient tricks.

    Raises:
        ValueError: if the axis cannot be cut into equal parts.
    """
    if x.shape[axis] % size:
        raise ValueError(
            f"axis {axis} of a tensor of {tuple(x.shape)} cannot be cut into {size} equal parts"
        )
    return x.chunk(size, dim=axis)[rank]


class _Edge(torch.autograd.Function):
    """One step forward, another backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, forward: Step, backward: Step) -> Tensor:
        ctx.back = backward
        return forward(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor, None, None]:
        return ctx.back(above), None, None


def _edge(x: Tensor, forward: Step, backward: Step) -> Tensor:
    y: Tensor = _Edge.apply(x, forward, backward)
    return y


def _keep(x: Tensor) -> Tensor:
    return x.view_as(x)


def _sum(group: Group) -> Step:
    return lambda x: all_reduce(group, x.clone(memory_format=torch.contiguous_format))


def _own(group: Group, axis: int) -> Step:
    return lambda x: own_part(x, group.rank, group.size, axis).contiguous()


def _gather(group: Group, axis: int) -> Step:
    def step(x: Tensor) -> Tensor:
        parts = all_gather(group, x.contiguous().reshape(-1)).view(group.size, *x.shape)
        return torch.cat(list(parts), dim=axis)

    return step


def _sum_part(group: Group, axis: int) -> Step:
    def step(x: Tensor) -> Tensor:
        parts = [own_part(x, r, group.size, axis) for r in range(group.size)]
        flat = torch.cat([p.reshape(-1) for p in parts])
        return reduce_scatter(group, flat).view(parts[0].shape)

    return step
