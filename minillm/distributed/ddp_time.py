"""How long a step of data parallelism takes, predicted by events.

The prediction knows the link (latency, bandwidth), the sizes of the buckets, and how long a rank
computes until each bucket is full. It uses the two streams of step_time.py: one computes, one
talks. ddp_clock.py measures the same step.
"""

from collections.abc import Sequence

from minillm.distributed.links import Link, seconds
from minillm.distributed.step_time import COMPUTE, TALK, Task


def ddp_tasks(
    forward: float,
    backward: Sequence[float],
    bucket_bytes: Sequence[float],
    link: Link,
    n_ranks: int,
    *,
    overlap: bool = True,
) -> list[Task]:
    """List the work of a step of data parallelism on one rank, up to the summed gradients.

    Forward; then, bucket by bucket from the last layer, a piece of the backward pass; each full
    bucket goes round the ring, in order, while the next piece is computed.

    Args:
        forward: seconds of the forward pass.
        backward: seconds of the pieces of the backward pass, one a bucket.
        bucket_bytes: of the gradients in each bucket.
        link: of each rank.
        n_ranks: N.
        overlap: False: nothing is sent before the backward pass is over.

    Returns:
        The tasks, for step_time.run_tasks. Names of communication begin with "talk".

    Raises:
        ValueError: if there is no bucket, the lists differ in length, or a number is out of range.

    Source: Li et al. 2020, "PyTorch Distributed", arXiv:2006.15704, section 3.2.3.
    Lesson: notebooks/22b_zero.ipynb
    """
    if not backward or len(backward) != len(bucket_bytes):
        raise ValueError(
            "needs a time and a size for each bucket, and at least one bucket; got "
            f"{len(backward)} times and {len(bucket_bytes)} sizes"
        )
    if min(forward, *backward) < 0:
        raise ValueError(f"times must not be negative, got {forward} and {list(backward)}")
    tasks = [Task("forward", COMPUTE, forward)]
    talks = []
    for k, (time_, size) in enumerate(zip(backward, bucket_bytes, strict=True)):
        tasks.append(Task(f"backward {k}", COMPUTE, time_, (tasks[-1].name,)))
        after = f"backward {k if overlap else len(backward) - 1}"
        talks.append(Task(f"talk {k}", TALK, seconds("all_reduce", size, n_ranks, link), (after,)))
    return tasks + talks
