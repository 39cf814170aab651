"""What a plan costs on each card: bytes and seconds, part by part, and the two utilisations.

The time model has one free number, the share of its peak that a card reaches inside a block. All
else is counted: FLOPs, bytes on links, the bubble. It knows nothing of jitter, data loading and
failures. With the default share it is some 15 % too fast for some published runs and as much too
slow for others (see published.py and the lesson): good for ranking plans that differ by more.
"""

from dataclasses import dataclass

from minillm.distributed.card_bytes import Memory, card_memory
from minillm.distributed.card_seconds import Assumptions, Time, recomputed_flops, step_seconds
from minillm.distributed.plan import Job, Plan, blocks_per_stage
from minillm.model.config import flops_per_token


@dataclass(frozen=True)
class Bill:
    """What a plan costs.

    Attributes:
        memory: bytes on the fullest card.
        time: seconds of a step.
        mfu: model FLOPs a second as a share of the peak of all cards: what is learned from.
        hfu: the same with the FLOPs of recomputation: what the cards do.
        tokens_per_second: for each card.
    """

    memory: Memory
    time: Time
    mfu: float
    hfu: float
    tokens_per_second: float


def bill(job: Job, plan: Plan, assume: Assumptions | None = None) -> Bill:
    """Add up what a plan costs.

    Args:
        job: what is to be trained.
        plan: one that breaks no rule.
        assume: what is taken for granted.

    Returns:
        The bill. Whether it fits is for the caller to say: memory.total against the card's.

    Raises:
        ValueError: if the stages cannot be filled, or there is no whole micro batch.

    Source: time: Narayanan et al. 2021, arXiv:2104.04473, section 3; activations: Korthikanti et
        al. 2022, arXiv:2205.05198, sections 4 and 5; the two utilisations: the same, section 6.3.
    Lesson: notebooks/23_parallel.ipynb
    """
    assume = assume or Assumptions()
    blocks = blocks_per_stage(
        job.model.n_layers, plan.layout.pipeline, chunks=plan.chunks, uneven=plan.uneven
    )
    n_micro = plan.n_micro(job)
    if blocks is None or n_micro < 1:
        raise ValueError(f"ask broken_rule first: {plan} has stages {blocks}, {n_micro} batches")
    stages = (
        card_memory(job, plan, s, blocks, assume.formats)
        for s in sorted({0, 1 % len(blocks), len(blocks) - 1})
    )
    memory = max(stages, key=lambda m: m.total)
    time = step_seconds(job, plan, assume, blocks)
    n_tokens = job.batch_size * job.context
    seconds = time.total * job.cluster.n_cards
    mfu = flops_per_token(job.model, context=job.context) * n_tokens
    hfu = mfu + recomputed_flops(job, plan) * job.model.n_layers * n_tokens
    peak = seconds * job.cluster.card.peak
    return Bill(memory, time, mfu / peak, hfu / peak, n_tokens / seconds)
