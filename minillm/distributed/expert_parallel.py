"""Expert parallelism: each rank owns some experts, and tokens travel to them and back.

Two all-to-alls a layer: one takes every token to the ranks of its experts, one brings back what
they said. An expert's weights live on one rank only and get the gradients of the tokens of all
ranks there, so they are *not* summed over the ranks; the router and all else is.

Shape letters: M tokens of this rank, D model width, E experts, R ranks, P room of a message.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from minillm.distributed.collectives import all_gather
from minillm.distributed.conjugate import swap
from minillm.distributed.group import Group
from minillm.model.routing import Routing


def travel_to_experts(
    x: Tensor, routing: Routing, experts: Sequence[nn.Module], group: Group
) -> Tensor:
    """Compute moe.gathered with the experts spread over the ranks.

    Args:
        x: this rank's tokens, (M, D).
        routing: of these tokens, over all E experts.
        experts: the E / R experts that this rank owns: those from r E / R on.
        group: the ranks.

    Returns:
        y, (M, D), as if all experts were here.

    Raises:
        ValueError: if the ranks do not own all experts together.

    Cost: two all-to-alls forward and two backward. Each message has the room of the fullest one,
        for our all-to-all sends equal parts; real systems send unequal ones, or drop tokens.
    Source: Lepikhin et al. 2020 (GShard), arXiv:2006.16668, section 3.
    Lesson: notebooks/23_parallel.ipynb
    """
    E, R = routing.kept.shape[1], group.size
    if len(experts) * R != E:
        raise ValueError(f"{R} ranks with {len(experts)} experts each do not own {E} experts")
    each = E // R
    asked = routing.kept.sum(dim=0)  # (E,)
    counts = all_gather(group, asked).view(R, R, each)  # from rank, to rank, its expert
    room = int(counts.sum(dim=-1).max())
    expert_of, token_of = routing.kept.T.nonzero(as_tuple=True)  # sorted by expert: (n,)
    place = _places(expert_of // each, R)  # of each pair in the message to its rank: (n,)
    parts = x.new_zeros(R, room, x.shape[1])
    parts = parts.index_put((expert_of // each, place), x[token_of])
    arrived = swap(parts, group)  # (R, P, D)
    said = _ask(arrived, counts[:, group.rank], experts)
    back = swap(said, group)[expert_of // each, place]  # (n, D)
    weight = routing.weights[token_of, expert_of, None].to(x.dtype)
    return torch.zeros_like(x).index_add(0, token_of, back * weight)


def _places(rank_of: Tensor, n_ranks: int) -> Tensor:
    """0, 1, 2, ... within each run of equal ranks."""
    starts = torch.searchsorted(rank_of, torch.arange(n_ranks, device=rank_of.device))
    return torch.arange(len(rank_of), device=rank_of.device) - starts[rank_of]


def _ask(arrived: Tensor, counts: Tensor, experts: Sequence[nn.Module]) -> Tensor:
    """Let each expert of this rank answer the tokens that came for it, where they lie.

    An expert is called even if none came: a rank whose answers hung on no input and no weight would
    have no backward pass, and the others would wait for it in theirs, forever.
    """
    ends = counts.cumsum(dim=1)  # (R, E / R)
    rows = torch.arange(arrived.shape[1], device=arrived.device)
    said = torch.zeros_like(arrived)
    for e, expert in enumerate(experts):
        mine = (rows >= (ends[:, e] - counts[:, e])[:, None]) & (rows < ends[:, e, None])  # (R, P)
        said = said.index_put(mine.nonzero(as_tuple=True), expert(arrived[mine]))
    return said
