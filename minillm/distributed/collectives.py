"""Collectives by hand: operations in which all ranks take part, from send and receive alone.

Each is called by all ranks, in the same order, with tensors of the same shape and dtype. On a ring
each rank sends to the next, r + 1, and receives from the one before, r - 1 (modulo N), so that all
links are busy at once. V is the size of the vector in bytes; bytes are what *one* rank sends:

    reduce_scatter   (N-1)/N V     every rank ends with one N-th of the sum
    all_gather       (N-1)/N V     every rank ends with the parts of all
    all_reduce      2(N-1)/N V     the first, then the second: every rank ends with the sum
    broadcast        log2(N) V     at most; a tree
    all_to_all       (N-1)/N V     rank r's part q goes to rank q, as part r

At large N an all-reduce costs 2 V a rank, however many ranks there are.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from minillm.distributed.group import Group


@torch.no_grad()
def naive_all_reduce(group: Group, x: Tensor) -> Tensor:
    """Sum a tensor over all ranks, in place: all send to rank 0, which sends the sum to all.

    Cost: rank 0 receives and sends (N-1) V; all others wait for its link. Compare all_reduce.

    Args:
        group: the ranks.
        x: any shape; of the same shape and dtype on all ranks.

    Returns:
        x, now the sum.

    Raises:
        PeerError: if a rank does not answer, or its shape or dtype differs.

    Lesson: notebooks/22b_zero.ipynb
    """
    if group.rank == 0:
        other = torch.empty_like(x)
        for source in range(1, group.size):
            x += group.receive(other, source)
        for to in range(1, group.size):
            group.send(x, to)
    else:
        group.send(x, 0)
        group.receive(x, 0)
    return x


@torch.no_grad()
def reduce_scatter(group: Group, x: Tensor) -> Tensor:
    """Sum a vector over all ranks; each keeps one N-th of the sum, rank r the r-th part.

    In round k of N-1, rank r sends the part r - 1 - k and receives the part r - 2 - k, to which it
    adds its own. A part thus goes once around the ring, and arrives summed at its owner.

    Args:
        group: the ranks.
        x: a vector, (n,); N divides n. It is not changed.

    Returns:
        Part r of the sum, (n / N,).

    Raises:
        ValueError: if x is no vector, or N does not divide n.
        PeerError: if a rank does not answer, or its shape or dtype differs.

    Cost: N-1 messages of V/N bytes a rank: (N-1)/N V.
    Source: Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of
        workstations", J. Parallel Distrib. Comput. 69.
    Lesson: notebooks/22b_zero.ipynb
    """
    N, r = group.size, group.rank
    parts = list(x.detach().clone().view(N, _part(group, x)))
    incoming = torch.empty_like(parts[0])
    for k in range(N - 1):
        out, mine = (r - 1 - k) % N, (r - 2 - k) % N
        group.exchange(parts[out], (r + 1) % N, incoming, (r - 1) % N)
        parts[mine] += incoming
    return parts[r].clone()


@torch.no_grad()
def all_gather(group: Group, part: Tensor, into: Tensor | None = None) -> Tensor:
    """Put the parts of all ranks one after another, on every rank.

    In round k of N-1, rank r hands on the part r - k, which it has just got (its own at first).

    Args:
        group: the ranks.
        part: a vector, (m,).
        into: where to write, (N m,); None makes it. part may be a slice of it.

    Returns:
        The parts by rank, (N m,).

    Raises:
        ValueError: if part is no vector, or into has another size.
        PeerError: if a rank does not answer, or its shape or dtype differs.

    Cost: N-1 messages of V/N bytes a rank, where V is the size of the result: (N-1)/N V.
    Lesson: notebooks/22b_zero.ipynb
    """
    N, r = group.size, group.rank
    _vector(part)
    if into is None:
        into = part.new_empty(N * len(part))
    if into.shape != (N * len(part),):
        raise ValueError(
            f"{N} parts of {len(part)} numbers do not fit into a tensor of {tuple(into.shape)}"
        )
    parts = into.detach().view(N, -1) if into.numel() else [into] * N
    parts[r].copy_(part)
    for k in range(N - 1):
        out, coming = (r - k) % N, (r - k - 1) % N
        group.exchange(parts[out], (r + 1) % N, parts[coming], (r - 1) % N)
    return into


@torch.no_grad()
def all_reduce(group: Group, x: Tensor) -> Tensor:
    """Sum a tensor over all ranks, in place, on a ring: a reduce-scatter, then an all-gather.

    The tensor is filled up with zeros until N divides its size, for the time of the call.
    All ranks get the same bits, since each part is summed on one rank only.

    Args:
        group: the ranks.
        x: any shape; of the same shape and dtype on all ranks.

    Returns:
        x, now the sum.

    Raises:
        PeerError: if a rank does not answer, or its shape or dtype differs.

    Cost: 2 (N-1) messages of V/N bytes a rank: 2 (N-1)/N V.
    Source: Patarasuk and Yuan 2009 (see reduce_scatter); Sergeev and Del Balso 2018 (Horovod),
        arXiv:1802.05799, section 3.
    Lesson: notebooks/22b_zero.ipynb
    """
    if group.size == 1:
        return x
    flat = padded(x.detach().reshape(-1), group.size)
    summed = all_gather(group, reduce_scatter(group, flat))
    x.copy_(summed[: x.numel()].view(x.shape))
    return x


@torch.no_grad()
def broadcast(group: Group, x: Tensor, root: int = 0) -> Tensor:
    """Copy a tensor of one rank to all others, in place, down a tree.

    In each round every rank that has it sends it to one that does not: 1, 2, 4, ... have it.

    Args:
        group: the ranks.
        x: any shape; overwritten on all ranks but root.
        root: whose tensor it is.

    Returns:
        x, now root's.

    Raises:
        ValueError: if root is no rank of the group.
        PeerError: if a rank does not answer, or its shape or dtype differs.

    Cost: ceil(log2 N) rounds of V bytes; the root sends in each of them.
    Lesson: notebooks/22b_zero.ipynb
    """
    N = group.size
    if not 0 <= root < N:
        raise ValueError(f"root must be a rank in [0, {N}), got {root}")
    place = (group.rank - root) % N  # as if root were rank 0
    have = 1
    while have < N:
        if place < have and place + have < N:
            group.send(x, (place + have + root) % N)
        elif have <= place < 2 * have:
            group.receive(x, (place - have + root) % N)
        have *= 2
    return x


@torch.no_grad()
def all_to_all(group: Group, parts: Sequence[Tensor]) -> list[Tensor]:
    """Give each rank a part of its own, and get one of each: a transposition of parts.

    In round k, rank r sends to r + k and receives from r - k. Mixtures of experts send tokens so.

    Args:
        group: the ranks.
        parts: N tensors of one shape and dtype; parts[q] is for rank q.

    Returns:
        N tensors; the q-th came from rank q.

    Raises:
        ValueError: if there are not N parts, or their shapes or dtypes differ.
        PeerError: if a rank does not answer, or its shape or dtype differs.

    Cost: N-1 messages of V/N bytes a rank, where V is the size of all parts: (N-1)/N V.
    Lesson: notebooks/22b_zero.ipynb
    """
    N, r = group.size, group.rank
    if len(parts) != N:
        raise ValueError(f"all_to_all needs a part for each of {N} ranks, got {len(parts)}")
    if any(p.shape != parts[0].shape or p.dtype != parts[0].dtype for p in parts):
        shapes = ", ".join(str(tuple(p.shape)) for p in parts)
        raise ValueError(f"the parts must be of one shape and dtype, got {shapes}")
    got = [torch.empty_like(p) for p in parts]
    got[r].copy_(parts[r])
    for k in range(1, N):
        to, source = (r + k) % N, (r - k) % N
        group.exchange(parts[to], to, got[source], source)
    return got


def barrier(group: Group) -> None:
    """Wait until all ranks are here.

    In round k each rank tells the one 2^k ahead; after log2 N rounds all have heard of all.

    Raises:
        PeerError: if a rank does not come within the timeout.
    """
    step, here = 1, torch.zeros(1)
    while step < group.size:
        r, N = group.rank, group.size
        group.exchange(here, (r + step) % N, torch.zeros(1), (r - step) % N)
        step *= 2


def padded(flat: Tensor, n_parts: int) -> Tensor:
    """Fill a vector up with zeros until n_parts divides its length; the same one if it does."""
    missing = -len(flat) % n_parts
    return flat if not missing else torch.cat([flat, flat.new_zeros(missing)])


def _vector(x: Tensor) -> None:
    if x.ndim != 1:
        raise ValueError(f"expected a vector, got a tensor of shape {tuple(x.shape)}")


def _part(group: Group, x: Tensor) -> int:
    _vector(x)
    if len(x) % group.size:
        raise ValueError(
            f"the world size {group.size} does not divide the {len(x)} numbers of the vector; "
            "fill it up first, with collectives.padded"
        )
    return len(x) // group.size
