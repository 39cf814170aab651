"""Bytes on the fullest card of a plan: what its stage, its slices and its ZeRO stage leave."""

import math
from dataclasses import dataclass

from minillm.distributed.plan import Job, Plan
from minillm.distributed.schedules import stored
from minillm.distributed.sharded_ledger import MIXED, SHARDINGS, Formats, rank_state
from minillm.model.config import count_matrix_parameters


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
class Held:
    """Parameters of a stage on one card, before ZeRO.

    Attributes:
        dense: what all data ranks have: attention, plain layers, routers, tables.
        experts: what D C / e of them have: E / e experts of each layer.
    """

    dense: float
    experts: float = 0.0

    @property
    def total(self) -> float:
        """Both."""
        return self.dense + self.experts


def card_memory(
    job: Job, plan: Plan, stage: int, blocks: tuple[int, ...], formats: Formats = MIXED
) -> Memory:
    """Count the bytes on a card of one stage.

    Args:
        job, plan: as for bill.
        stage: which, from 0.
        blocks: of each stage, from blocks_per_stage.
        formats: bytes a weight.

    Returns:
        The bytes.

    Source: Rajbhandari et al. 2019, arXiv:1910.02054, section 5; Korthikanti et al. 2022,
        arXiv:2205.05198, sections 4 and 5.
    Lesson: notebooks/23_parallel.ipynb
    """
    held = stage_parameters(job, plan, stage, blocks)
    copies = plan.layout.data * plan.layout.context
    sharding = SHARDINGS[plan.zero]
    state = [0.0, 0.0, 0.0]
    for n, ranks in ((held.dense, copies), (held.experts, copies // plan.experts)):
        if n:
            parts = rank_state(math.ceil(n), ranks, sharding, formats)
            state = [a + b for a, b in zip(state, parts, strict=True)]
    if plan.zero == 3:  # the block at work, and the next one on its way
        state[0] += 2 * formats.weight * block_parameters(job, plan).total
    waiting = stored(plan.layout.pipeline, plan.n_micro(job), plan.chunks, stage)
    activations = block_activations(job, plan) * blocks[stage] * waiting
    if plan.recompute == "full":  # the block at work is there as a whole
        activations += block_activations(job, plan, recompute="selective")
    logits = 0.0
    if stage == len(blocks) - 1:
        logits = 6 * plan.n_tokens(job) * job.model.padded_vocab_size / plan.layout.tensor
    return Memory(state[0], state[1], state[2], activations, logits)


def block_activations(job: Job, plan: Plan, *, recompute: str | None = None) -> float:
    """Bytes that one block keeps of one micro batch until its backward pass, on one card.

        T B D (10 + 24 / t + 5 N T / (D t)) / c for a plain block with F = 4 D, in 16 bits

    The last term is the attention scores, gone with recompute "selective". The 10 is the norms and
    the inputs of the two halves, which sequence parallelism divides by t as well. With "full" only
    the block's input is kept, 2 T B D. With experts each token has the inner units of those that it
    uses, and its copies on the way there and back.

    Args:
        job, plan: as for bill.
        recompute: instead of the plan's.

    Returns:
        Bytes.

    Source: Korthikanti et al. 2022, arXiv:2205.05198, section 4, eqs. 1 to 4, table 2; the parts
        of a gated layer, of shared key heads and of experts counted in the same way.
    Lesson: notebooks/23_parallel.ipynb
    """
    model, t, D = job.model, plan.layout.tensor, job.model.d_model
    a, f = model.attention, model.feedforward
    how = plan.recompute if recompute is None else recompute
    tokens = plan.n_tokens(job)
    whole = t if plan.sequence else 1
    if how == "full":
        return 2 * tokens * D / whole
    heads = 2 * model.head_width * (2 * a.n_heads + 2 * a.key_heads)
    inner = 2 * (4 if f.n_matrices == 3 else 2) * f.width
    travels = 0.0
    if f.experts is not None:
        inner *= f.experts.n_active
        travels = 4 * D * f.experts.top_k / whole
    scores = 5 * a.n_heads * job.context if how == "none" else 0
    return tokens * (10 * D / whole + travels + (heads + inner + scores) / t)


def block_parameters(job: Job, plan: Plan) -> Held:
    """Parameters of one block on one card, before ZeRO."""
    model, f = job.model, job.model.feedforward
    each = count_matrix_parameters(model) / model.n_layers
    among = 0.0
    if f.experts is not None:
        among = float(f.experts.n_experts * f.n_matrices * model.d_model * f.width)
    t = plan.layout.tensor
    return Held((each - among) / t, among / t / plan.experts)


def stage_parameters(job: Job, plan: Plan, stage: int, blocks: tuple[int, ...]) -> Held:
    """Parameters of a stage on one card: its blocks, and the tables at both ends, over t."""
    model, last = job.model, len(blocks) - 1
    table = model.padded_vocab_size * model.d_model
    tables = (stage == 0) + (stage == last)
    if last == 0 and model.tie_embeddings:
        tables = 1
    each = block_parameters(job, plan)
    dense = blocks[stage] * each.dense + tables * table / plan.layout.tensor
    return Held(dense, blocks[stage] * each.experts)
