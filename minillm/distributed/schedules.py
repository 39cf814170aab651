"""Pipeline schedules: in which order each stage of a pipeline does its work.

A pipeline cuts the model into p stages and the batch into m micro batches. A schedule is a list
for each stage; who waits for whom follows from the order and is worked out in timeline.py.

- gpipe: all forward passes, then all backward passes.
- one_f_one_b: backward as soon as possible, so that few micro batches wait in memory.
- interleaved: the same with v chunks of layers on each stage, which makes the bubble v times
  smaller and the messages v times more.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["forward", "backward"]


@dataclass(frozen=True)
class Work:
    """One pass of one micro batch through one chunk of layers.

    Attributes:
        kind: "forward" or "backward".
        micro: which micro batch, from 0.
        chunk: which of the stage's chunks of layers, from 0; always 0 if it has one.
    """

    kind: Kind
    micro: int
    chunk: int = 0


Orders = list[list[Work]]
"""For each stage what it does, first thing first."""


def gpipe(n_stages: int, n_micro: int) -> Orders:
    """Order all forward passes before all backward passes.

    Args:
        n_stages: p.
        n_micro: m.

    Returns:
        For each stage its work: m forward passes, then m backward passes, last one first.

    Raises:
        ValueError: if a number is not positive.

    Source: Huang et al. 2018 (GPipe), arXiv:1811.06965, section 2.3.
    Lesson: notebooks/23_parallel.ipynb
    """
    _check(n_stages, n_micro)
    forward = [Work("forward", i) for i in range(n_micro)]
    backward = [Work("backward", i) for i in reversed(range(n_micro))]
    return [forward + backward for _ in range(n_stages)]


def one_f_one_b(n_stages: int, n_micro: int) -> Orders:
    """Order one forward, one backward, after as many forward passes as a stage needs to start.

    Stage s (from 0) begins with p - 1 - s forward passes, as many as there are stages behind it.
    Then it takes turns. So at most p - s micro batches wait in its memory, however many there are.

    Args:
        n_stages: p.
        n_micro: m.

    Returns:
        For each stage its work.

    Raises:
        ValueError: if a number is not positive.

    Source: Narayanan et al. 2020 (PipeDream-2BW), arXiv:2006.09503, section 3.2
        (PipeDream-Flush); Narayanan et al. 2021, arXiv:2104.04473, section 2.2.1.
    Lesson: notebooks/23_parallel.ipynb
    """
    _check(n_stages, n_micro)
    forward = [Work("forward", i) for i in range(n_micro)]
    backward = [Work("backward", i) for i in range(n_micro)]
    return [_turns(forward, backward, n_stages - 1 - s) for s in range(n_stages)]


def interleaved(n_stages: int, n_micro: int, n_chunks: int) -> Orders:
    """Order one forward, one backward, over several chunks of layers a stage.

    Chunk c of stage s holds the layers of part c p + s of the p v parts of the model, so a micro
    batch passes all stages v times. Micro batches go in groups of p: a group through chunk 0,
    then the same group through chunk 1, and so on; then the next group.

    Args:
        n_stages: p, at least 2.
        n_micro: m, a multiple of p.
        n_chunks: v. With 1 it is one_f_one_b with a longer start; use that.

    Returns:
        For each stage its work.

    Raises:
        ValueError: if a number is not positive, there is one stage only, or p does not divide m.

    Source: Narayanan et al. 2021, arXiv:2104.04473, section 2.2.2.
    Lesson: notebooks/23_parallel.ipynb
    """
    _check(n_stages, n_micro)
    if n_chunks < 1 or n_stages < 2:
        raise ValueError(
            f"interleaving needs at least 2 stages and 1 chunk, got n_stages={n_stages}, "
            f"n_chunks={n_chunks}"
        )
    if n_micro % n_stages:
        raise ValueError(
            f"interleaving needs n_micro to be a multiple of n_stages, got {n_micro} and {n_stages}"
        )
    steps = [
        (group + i, chunk)
        for group in range(0, n_micro, n_stages)
        for chunk in range(n_chunks)
        for i in range(n_stages)
    ]
    forward = [Work("forward", i, c) for i, c in steps]
    backward = [Work("backward", i, n_chunks - 1 - c) for i, c in steps]
    start = [2 * (n_stages - 1 - s) + (n_chunks - 1) * n_stages for s in range(n_stages)]
    return [_turns(forward, backward, min(n, len(forward))) for n in start]


def bubble_share(n_stages: int, n_micro: int, n_chunks: int = 1) -> float:
    """Derive the share of its time that a stage stands idle.

        bubble = (p - 1) / (v m + p - 1)

    A stage works for m (f + b). It waits while the first micro batch comes down the stages before
    it, and while the last gradient comes back through them: p - 1 passes each way of one chunk,
    (p - 1) (f + b) / v. The share is of the whole step; Narayanan et al. state the idle time as a
    share of the working time, (p - 1) / (v m), which can be over 1.

    Args:
        n_stages: p.
        n_micro: m.
        n_chunks: v, 1 for GPipe and 1F1B.

    Returns:
        The share, 0 to 1; it does not depend on f and b.

    Raises:
        ValueError: if a number is not positive.

    Source: Huang et al. 2018, arXiv:1811.06965, section 2.3; Narayanan et al. 2021,
        arXiv:2104.04473, sections 2.2.1 and 2.2.2.
    Lesson: notebooks/23_parallel.ipynb
    """
    _check(n_stages, n_micro)
    if n_chunks < 1:
        raise ValueError(f"n_chunks must be at least 1, got {n_chunks}")
    return (n_stages - 1) / (n_chunks * n_micro + n_stages - 1)


def stored(n_stages: int, n_micro: int, n_chunks: int = 1, stage: int = 0) -> float:
    """Derive how many micro batches wait in a stage's memory at most, under 1F1B.

        v = 1: min(m, p - s)          v > 1: min(m v, 2 (p - 1 - s) + (v - 1) p + 1) / v

    One more than the forward passes that a stage starts with; a chunk counts 1/v. The first stage
    of an interleaved pipeline stores p + (p - 1)/v: up to twice as many as without chunks.

    Args:
        n_stages: p.
        n_micro: m.
        n_chunks: v.
        stage: s, from 0.

    Returns:
        Micro batches, in units of what the whole stage keeps of one.

    Raises:
        ValueError: if a number is not positive, or the stage is not one of them.

    Source: Korthikanti et al. 2022, arXiv:2205.05198, section 4.2.3.
    Lesson: notebooks/23_parallel.ipynb
    """
    _check(n_stages, n_micro)
    if n_chunks < 1 or not 0 <= stage < n_stages:
        raise ValueError(
            f"n_chunks must be at least 1 and stage 0 to {n_stages - 1}, got {n_chunks}, {stage}"
        )
    behind = n_stages - 1 - stage
    start = behind if n_chunks == 1 else 2 * behind + (n_chunks - 1) * n_stages
    return min(n_micro * n_chunks, start + 1) / n_chunks


def weight_versions(scheme: str, n_stages: int, stage: int = 0) -> int:
    """Count the versions of its weights that a stage keeps at once.

        gpipe, flush (1F1B with a flush): 1      pipedream: p - s      2bw: 2

    Without a flush at the end of the batch there is no bubble, but a micro batch's backward pass
    would meet weights that have moved since its forward pass. PipeDream keeps the old ones for
    every micro batch on its way, 2BW collects gradients and so gets by with two.

    Args:
        scheme: "gpipe", "flush", "pipedream" or "2bw".
        n_stages: p.
        stage: s, from 0.

    Returns:
        Versions.

    Raises:
        ValueError: if the scheme is unknown or the stage is not one of them.

    Source: Narayanan et al. 2019 (PipeDream), arXiv:1806.03377, section 3.3; Narayanan et al.
        2020 (PipeDream-2BW), arXiv:2006.09503, section 3.
    Lesson: notebooks/23_parallel.ipynb
    """
    if not 0 <= stage < n_stages:
        raise ValueError(f"stage must be 0 to {n_stages - 1}, got {stage}")
    versions = {"gpipe": 1, "flush": 1, "pipedream": n_stages - stage, "2bw": 2}
    if scheme not in versions:
        raise ValueError(f"scheme must be one of {', '.join(versions)}; got {scheme!r}")
    return versions[scheme]


def _turns(forward: list[Work], backward: list[Work], start: int) -> list[Work]:
    """Some forward passes, then one forward and one backward in turns, then what is left."""
    start = min(start, len(forward))
    work = forward[:start]
    for i in range(start, len(forward)):
        work += [forward[i], backward[i - start]]
    return work + backward[len(forward) - start :]


def _check(n_stages: int, n_micro: int) -> None:
    if min(n_stages, n_micro) < 1:
        raise ValueError(
            f"n_stages and n_micro must be at least 1, got n_stages={n_stages}, n_micro={n_micro}"
        )
