"""What a plan costs on each card: bytes and seconds, part by part, and the two utilisations.

The time model has one free number, the share of its peak that a card reaches inside a block. All
else is counted: FLOPs, bytes on links, the bubble. It knows nothing of jitter, data loading and
failures, so it is an upper bound with its weakness in one place.
"""

from dataclasses import dataclass

from minillm.distributed.hardware import ring_share
from minillm.distributed.plan import Job, Plan, blocks_per_stage
from minillm.distributed.stages import step_time
from minillm.model.config import count_matrix_parameters, flops_per_token


@dataclass(frozen=True)
class Assumptions:
    """What the bill takes for granted.

    Attributes:
        kernel_share: share of the peak inside a block; the one number that has to be measured.
        weight_bytes, gradient_bytes, optimizer_bytes: for each parameter; 2, 2 and 12 is mixed
            precision with Adam (Rajbhandari et al. 2019, arXiv:1910.02054, section 3.1).
        room: share of a card's memory that may be planned; the rest is for buffers, fragmentation.
        overlap: the data axis talks while the backward pass runs.
    """

    kernel_share: float = 0.6
    weight_bytes: float = 2
    gradient_bytes: float = 2
    optimizer_bytes: float = 12
    room: float = 0.9
    overlap: bool = True

    def __post_init__(self) -> None:
        if not (0 < self.kernel_share <= 1 and 0 < self.room <= 1):
            raise ValueError(
                f"shares must be over 0 and at most 1, got {self.kernel_share}, {self.room}"
            )


@dataclass(frozen=True)
class Memory:
    """Bytes on the fullest card."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float

    @property
    def total(self) -> float:
        """All of it."""
        return sum(vars(self).values())


@dataclass(frozen=True)
class Time:
    """Seconds of a step.

    Attributes:
        compute: of the slowest stage, all its micro batches.
        tensor: its all-reduces over the tensor axis.
        messages: its messages to the neighbouring stages.
        bubble: what the pipeline waits while it fills and empties.
        data: what is left of gradients and weights on the data axis after overlap.
        optimizer: reading and writing the states.
    """

    compute: float
    tensor: float
    messages: float
    bubble: float
    data: float
    optimizer: float

    @property
    def total(self) -> float:
        """The step."""
        return sum(vars(self).values())


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
    blocks = blocks_per_stage(job.model.n_layers, plan.layout.pipeline, uneven=plan.uneven)
    n_micro = plan.n_micro(job)
    if blocks is None or n_micro < 1:
        raise ValueError(f"ask broken_rule first: {plan} has stages {blocks}, {n_micro} batches")
    stages = range(len(blocks))
    memory = max((_memory(job, plan, assume, s, blocks) for s in stages), key=lambda m: m.total)
    time = _time(job, plan, assume, blocks)
    n_tokens = job.batch_size * job.context
    seconds = time.total * job.cluster.n_cards
    mfu = flops_per_token(job.model, context=job.context) * n_tokens
    hfu = mfu + _recomputed(job, plan) * job.model.n_layers * n_tokens
    peak = seconds * job.cluster.card.peak
    return Bill(memory, time, mfu / peak, hfu / peak, n_tokens / seconds)


def block_activations(job: Job, plan: Plan) -> float:
    """Bytes that one block keeps of one micro batch until its backward pass, on one card.

        T B D (10 + 24 / t + 5 N T / (D t)) for a plain block with F = 4 D, in 16 bits

    The last term is the attention scores, gone with recompute "selective". The 10 is the norms and
    the inputs of the two halves, which sequence parallelism divides by t as well. With "full" only
    the block's input is kept, 2 T B D.

    Args:
        job, plan: as for bill.

    Returns:
        Bytes.

    Source: Korthikanti et al. 2022, arXiv:2205.05198, section 4, eqs. 1 to 4, table 2; the parts
        of a gated layer and of shared key heads counted in the same way.
    Lesson: notebooks/23_parallel.ipynb
    """
    model, t, D = job.model, plan.layout.tensor, job.model.d_model
    a, f = model.attention, model.feedforward
    tokens = plan.micro_batch * job.context
    whole = t if plan.sequence else 1
    if plan.recompute == "full":
        return 2 * tokens * D / whole
    heads = 2 * model.head_width * (2 * a.n_heads + 2 * a.key_heads)
    inner = 2 * (4 if f.n_matrices == 3 else 2) * f.width
    scores = 5 * a.n_heads * job.context if plan.recompute == "none" else 0
    return tokens * (10 * D / whole + (heads + inner + scores) / t)


def stage_parameters(job: Job, plan: Plan, stage: int, blocks: list[int]) -> float:
    """Parameters of a stage on one card: its blocks, and the tables at both ends, over t."""
    model, last = job.model, len(blocks) - 1
    table = model.padded_vocab_size * model.d_model
    tables = (stage == 0) + (stage == last)
    if last == 0 and model.tie_embeddings:
        tables = 1
    each = count_matrix_parameters(model) / model.n_layers
    return (blocks[stage] * each + tables * table) / plan.layout.tensor


def _memory(job: Job, plan: Plan, assume: Assumptions, stage: int, blocks: list[int]) -> Memory:
    n, d, t = stage_parameters(job, plan, stage, blocks), plan.layout.data, plan.layout.tensor
    shared = [1 if plan.zero < level else d for level in (3, 2, 1)]
    weights = assume.weight_bytes * n / shared[0]
    block = assume.weight_bytes * count_matrix_parameters(job.model) / job.model.n_layers / t
    if plan.zero == 3:
        weights += 2 * block  # the block at work, and the next one on its way
    waiting = min(plan.n_micro(job), plan.layout.pipeline - stage)
    activations = block_activations(job, plan) * blocks[stage] * waiting
    if plan.recompute == "full":  # the block at work is there as a whole
        whole = Plan(plan.layout, plan.micro_batch, recompute="selective", sequence=plan.sequence)
        activations += block_activations(job, whole)
    tokens = plan.micro_batch * job.context
    logits = 6 * tokens * job.model.padded_vocab_size / t if stage == len(blocks) - 1 else 0
    return Memory(
        weights,
        assume.gradient_bytes * n / shared[1],
        assume.optimizer_bytes * n / shared[2],
        activations,
        logits,
    )


def _recomputed(job: Job, plan: Plan) -> float:
    """FLOPs a token and block that the backward pass does once more."""
    model = job.model
    attention = 4 * model.attention.n_heads * model.head_width * job.context
    if plan.recompute == "full":
        return 2 * count_matrix_parameters(model, active=True) / model.n_layers + attention
    return attention if plan.recompute == "selective" else 0.0


def _time(job: Job, plan: Plan, assume: Assumptions, blocks: list[int]) -> Time:
    cluster, layout, model = job.cluster, plan.layout, job.model
    m, tokens = plan.n_micro(job), plan.micro_batch * job.context
    table = 6 * model.vocab_size * model.d_model
    block = (flops_per_token(model, context=job.context) - table) / model.n_layers
    block += _recomputed(job, plan)
    speed = cluster.card.peak * assume.kernel_share * layout.tensor
    width = 2 * tokens * model.d_model  # bytes of a micro batch between blocks
    reduces = 6 if plan.recompute == "full" else 4
    each = reduces * ring_share(layout.tensor) * width / cluster.card.link
    message = 2 * width / _link(job, plan, "pipeline") if layout.pipeline > 1 else 0.0
    compute = [n * block * tokens / speed for n in blocks]
    compute[-1] += table * tokens / speed
    tensor = [n * each for n in blocks]
    stages = [c + x + message for c, x in zip(compute, tensor, strict=True)]
    slowest = max(range(len(stages)), key=stages.__getitem__)
    n = max(stage_parameters(job, plan, s, blocks) for s in range(len(blocks)))
    states = 30 * n / (layout.data if plan.zero else 1)
    return Time(
        m * compute[slowest],
        m * tensor[slowest],
        m * message,
        step_time(stages, m) - m * stages[slowest],
        _exposed(job, plan, assume, n, m, stages[slowest]),
        states / cluster.card.bandwidth,
    )


def _exposed(
    job: Job, plan: Plan, assume: Assumptions, n: float, m: int, micro_seconds: float
) -> float:
    """Seconds of the data axis that no computation hides."""
    d = plan.layout.data
    if d == 1:
        return 0.0
    link, size = _link(job, plan, "data"), assume.gradient_bytes * n
    if plan.zero < 3:  # once a step: behind the last backward pass, two thirds of a micro batch
        seconds, hidden = ring_share(d) * size / link, micro_seconds * 2 / 3
    else:  # weights twice and gradients once for each micro batch, behind all of it
        seconds, hidden = m * 1.5 * ring_share(d) * size / link, m * micro_seconds
    return max(0.0, seconds - hidden) if assume.overlap else seconds


def _link(job: Job, plan: Plan, axis: str) -> float:
    """The slowest link that a group of an axis has to use, bytes/s."""
    inside = {
        "tensor": plan.layout.tensor,
        "data": plan.layout.data * plan.layout.tensor,
        "pipeline": plan.layout.world_size,
    }[axis]
    one_machine = inside <= job.cluster.cards_per_machine
    return job.cluster.card.link if one_machine else job.cluster.between
