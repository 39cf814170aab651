"""Seconds of a step of a plan: computing, and what the links add that nothing hides.

One free number, the share of its peak that a card reaches inside a block; all else is counted.
"""

from dataclasses import dataclass

from minillm.distributed.card_bytes import Held, stage_parameters
from minillm.distributed.hardware import ring_share
from minillm.distributed.layout import Axis
from minillm.distributed.plan import Job, Plan
from minillm.distributed.sharded_ledger import MIXED, Formats
from minillm.model.config import count_matrix_parameters, flops_per_token


@dataclass(frozen=True)
class Assumptions:
    """What a bill takes for granted.

    Attributes:
        kernel_share: share of the peak inside a block; the one number that has to be measured.
        formats: bytes of each parameter's weight, gradient and optimizer state.
        room: share of a card's memory that may be planned; the rest is for buffers, fragmentation.
        overlap: the data axis talks while the backward pass runs, and keys and values travel while
            attention runs.
    """

    kernel_share: float = 0.6
    formats: Formats = MIXED
    room: float = 0.9
    overlap: bool = True

    def __post_init__(self) -> None:
        if not (0 < self.kernel_share <= 1 and 0 < self.room <= 1):
            raise ValueError(
                f"shares must be over 0 and at most 1, got {self.kernel_share}, {self.room}"
            )


@dataclass(frozen=True)
class Time:
    """Seconds of a step.

    Attributes:
        compute: of the slowest stage, all its micro batches.
        tensor: its all-reduces over the tensor axis.
        context: keys and values on the ring, what attention does not hide of it.
        experts: its all-to-alls.
        messages: its messages to the neighbouring stages.
        bubble: what the pipeline waits while it fills and empties.
        data: what is left of gradients and weights on the data axis after overlap.
        optimizer: reading and writing the states.
    """

    compute: float
    tensor: float
    context: float
    experts: float
    messages: float
    bubble: float
    data: float
    optimizer: float

    @property
    def total(self) -> float:
        """The step."""
        return sum(vars(self).values())


def step_seconds(job: Job, plan: Plan, assume: Assumptions, blocks: tuple[int, ...]) -> Time:
    """Add up the seconds of a step.

        m max_s t_s + (sum_s t_s - max_s t_s) / v + what the data axis adds + the optimizer

    t_s is the time of a micro batch on stage s; the second term is the bubble.

    Args:
        job, plan: as for bill.
        assume: what is taken for granted.
        blocks: of each stage, from blocks_per_stage.

    Returns:
        The seconds, part by part.

    Source: Narayanan et al. 2021, arXiv:2104.04473, section 3.
    Lesson: notebooks/23_parallel.ipynb
    """
    layout, m = plan.layout, plan.n_micro(job)
    flops, table = _block_flops(job, plan), 6 * job.model.vocab_size * job.model.d_model
    speed = job.cluster.card.peak * assume.kernel_share * layout.tensor
    compute = [n * flops * plan.n_tokens(job) / speed for n in blocks]
    compute[-1] += table * plan.n_tokens(job) / speed
    tensor, ring, travel = _tensor(job, plan), _ring(job, plan, assume), _travel(job, plan)
    message = _messages(job, plan)
    stages = [
        c + n * (tensor + ring + travel) + message for c, n in zip(compute, blocks, strict=True)
    ]
    s = max(range(len(stages)), key=stages.__getitem__)
    held = max(
        (stage_parameters(job, plan, i, blocks) for i in range(len(blocks))),
        key=lambda h: h.total,
    )
    copies = layout.data * layout.context
    own = held.dense / copies + held.experts / (copies // plan.experts)
    return Time(
        m * compute[s],
        m * blocks[s] * tensor,
        m * blocks[s] * ring,
        m * blocks[s] * travel,
        m * message,
        (sum(stages) - stages[s]) / plan.chunks,
        _exposed(job, plan, assume, held, stages[s]),
        30 * (own if plan.zero else held.total) / job.cluster.card.bandwidth,
    )


def recomputed_flops(job: Job, plan: Plan) -> float:
    """FLOPs a token and block that the backward pass does once more."""
    model = job.model
    attention = 4 * model.attention.n_heads * model.head_width * job.context
    if plan.recompute == "full":
        return 2 * count_matrix_parameters(model, active=True) / model.n_layers + attention
    return attention if plan.recompute == "selective" else 0.0


def _block_flops(job: Job, plan: Plan) -> float:
    """FLOPs a token and block, recomputation included."""
    model = job.model
    table = 6 * model.vocab_size * model.d_model
    own = (flops_per_token(model, context=job.context) - table) / model.n_layers
    return own + recomputed_flops(job, plan)


def _width(job: Job, plan: Plan) -> float:
    """Bytes of a card's part of a micro batch between blocks, whole along the tensor axis."""
    return 2.0 * plan.n_tokens(job) * job.model.d_model


def _tensor(job: Job, plan: Plan) -> float:
    """Two all-reduces a block and pass; recomputing all is one more pass."""
    reduces = 6 if plan.recompute == "full" else 4
    return reduces * ring_share(plan.layout.tensor) * _width(job, plan) / job.cluster.card.link


def _ring(job: Job, plan: Plan, assume: Assumptions) -> float:
    """Keys and values once around forward, they and their gradients backward."""
    c, model = plan.layout.context, job.model
    if c == 1:
        return 0.0
    numbers = 2 * plan.n_tokens(job) * model.attention.key_heads * model.head_width
    size = 3 * (c - 1) * 2 * numbers / plan.layout.tensor
    seconds = size / _link(job, plan, "context")
    attention = 12 * model.attention.n_heads * model.head_width * job.context
    speed = job.cluster.card.peak * assume.kernel_share * plan.layout.tensor
    hidden = attention * plan.n_tokens(job) / speed
    return max(0.0, seconds - hidden) if assume.overlap else seconds


def _travel(job: Job, plan: Plan) -> float:
    """Tokens to their experts and back, forward and backward; once more if all is recomputed."""
    e, among = plan.experts, job.model.feedforward.experts
    if e == 1 or among is None:
        return 0.0
    layout = plan.layout
    size = _width(job, plan) * among.top_k * (e - 1) / e
    size /= layout.tensor if plan.sequence else 1
    block = e * layout.context * layout.tensor
    fast = job.cluster.cards_per_machine % block == 0
    link = job.cluster.card.link if fast else job.cluster.between
    return (6 if plan.recompute == "full" else 4) * size / link


def _messages(job: Job, plan: Plan) -> float:
    """A micro batch passes every stage v times each way; between norms it may be shared out."""
    if plan.layout.pipeline == 1:
        return 0.0
    width = _width(job, plan) / (plan.layout.tensor if plan.sequence else 1)
    return 2 * plan.chunks * width / _link(job, plan, "pipeline")


def _exposed(job: Job, plan: Plan, assume: Assumptions, held: Held, micro_seconds: float) -> float:
    """Seconds of the data axis that no computation hides."""
    copies = plan.layout.data * plan.layout.context
    if copies == 1:
        return 0.0
    link = _link(job, plan, "data" if plan.layout.data > 1 else "context")
    size = ring_share(copies) * held.dense + ring_share(copies // plan.experts) * held.experts
    size *= assume.formats.gradient
    m = plan.n_micro(job)
    if plan.zero < 3:  # once a step: behind the last backward pass, two thirds of a micro batch
        seconds, hidden = size / link, micro_seconds * 2 / 3
    else:  # weights twice and gradients once for each micro batch, behind all of it
        seconds, hidden = m * 1.5 * size / link, m * micro_seconds
    return max(0.0, seconds - hidden) if assume.overlap else seconds


def _link(job: Job, plan: Plan, axis: Axis) -> float:
    """The slowest link that a group of an axis has to use, bytes/s."""
    inside = plan.layout.inside(axis, job.cluster.cards_per_machine)
    return job.cluster.card.link if inside else job.cluster.between
