"""What is to be trained, where, and how it is spread: Job, Plan, and the rules they have to keep.

A rule is a reason to refuse a plan before anything is computed: heads that cannot be shared out,
layers that do not fill the stages, cards that would stand idle.
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal

from minillm.distributed.hardware import Cluster
from minillm.distributed.layout import Layout
from minillm.distributed.stages import even_stages
from minillm.model import DecoderConfig

Recompute = Literal["none", "selective", "full"]


@dataclass(frozen=True)
class Job:
    """A training step that somebody wants.

    Attributes:
        name: for the report.
        model: the decoder.
        cluster: the cards.
        batch_size: sequences a step, over all cards.
        context: tokens a sequence.
    """

    name: str
    model: DecoderConfig
    cluster: Cluster
    batch_size: int
    context: int

    def __post_init__(self) -> None:
        if min(self.batch_size, self.context) < 1:
            raise ValueError(
                f"batch_size and context must be at least 1, got {self.batch_size}, {self.context}"
            )


@dataclass(frozen=True)
class Plan:
    """How a job is spread.

    Attributes:
        layout: data x pipeline x tensor x context.
        micro_batch: sequences that one copy of the model takes at once.
        zero: stage of ZeRO over the data and context axes: 0 nothing, 1 optimizer, 2 and gradients,
            3 and weights are shared out.
        recompute: what the backward pass computes anew: "none"; "selective": the attention scores,
            as FlashAttention does; "full": everything but each block's input.
        sequence: the norms are spread over the tensor axis along the sequence.
        uneven: stages may hold different numbers of blocks.
        chunks: v, pieces of the model a stage holds; more than 1 is an interleaved pipeline.
        experts: neighbours on the data axis that share out the experts of a layer.
    """

    layout: Layout
    micro_batch: int = 1
    zero: int = 0
    recompute: Recompute = "selective"
    sequence: bool = False
    uneven: bool = False
    chunks: int = 1
    experts: int = 1

    def __post_init__(self) -> None:
        if self.micro_batch < 1 or self.zero not in (0, 1, 2, 3):
            raise ValueError(
                f"micro_batch must be at least 1 and zero 0 to 3, got {self.micro_batch}, "
                f"{self.zero}"
            )
        if self.recompute not in ("none", "selective", "full"):
            raise ValueError(f"recompute: none, selective or full; got {self.recompute!r}")
        if min(self.chunks, self.experts) < 1:
            raise ValueError(
                f"chunks and experts must be at least 1, got {self.chunks}, {self.experts}"
            )

    def __str__(self) -> str:
        a = self.layout
        words = f"DP {a.data} x PP {a.pipeline} x TP {a.tensor}"
        words += f" x CP {a.context}" if a.context > 1 else ""
        words += f", EP {self.experts}" if self.experts > 1 else ""
        words += f", {self.chunks} chunks" if self.chunks > 1 else ""
        return f"{words}, micro batch {self.micro_batch}, ZeRO-{self.zero}, " + (
            f"recompute {self.recompute}"
        )

    def n_micro(self, job: Job) -> int:
        """Micro batches that each copy of the model takes in a step."""
        return job.batch_size // (self.layout.data * self.micro_batch)

    def n_tokens(self, job: Job) -> int:
        """Tokens of a micro batch that one card has."""
        return self.micro_batch * job.context // self.layout.context


@cache
def blocks_per_stage(
    n_layers: int, n_stages: int, *, chunks: int = 1, uneven: bool = False
) -> tuple[int, ...] | None:
    """Share the blocks out over the stages.

    The model is cut into p v parts, of which stage s holds s, s + p, s + 2 p, ... Equal parts if
    p v divides n_layers. If it divides n_layers + 2, the embedding and the output matrix count as a
    block each, and the first and the last part hold one block fewer: BLOOM's way, 72 = 12 x 6.
    Otherwise as even as it goes, if that is allowed, with the shorter parts at the end, where the
    output matrix is.

    Args:
        n_layers: blocks of the model.
        n_stages: p, of the pipeline.
        chunks: v, parts a stage.
        uneven: allow parts that differ.

    Returns:
        Blocks of each stage; None if there is no such way.

    Source: BigScience 2022, train/tr11-176B-ml/README.md of github.com/bigscience-workshop/
        bigscience ("Architecture").
    Lesson: notebooks/23_parallel.ipynb
    """
    n_parts = n_stages * chunks
    if n_parts > n_layers:
        return None
    each, rest = divmod(n_layers + 2, n_parts)
    if n_layers % n_parts == 0:
        parts = [n_layers // n_parts] * n_parts
    elif rest == 0 and each > 1:
        parts = [each - 1, *[each] * (n_parts - 2), each - 1]
    elif uneven:
        parts = even_stages(n_layers, n_parts)
    else:
        return None
    return tuple(sum(parts[s::n_stages]) for s in range(n_stages))


def broken_rule(job: Job, plan: Plan) -> str | None:
    """Say which rule a plan breaks, and what would keep it.

    Args:
        job: what is to be trained.
        plan: how.

    Returns:
        A sentence; None if the plan keeps all rules. Memory is not among them: see bill.py.

    Lesson: notebooks/23_parallel.ipynb
    """
    layout, cluster = plan.layout, job.cluster
    if layout.world_size != cluster.n_cards:
        return f"uses {layout.world_size} of {cluster.n_cards} cards"
    return (
        _shares(job, plan)
        or _stages(job, plan)
        or _batches(job, plan)
        or (_experts(job, plan) if plan.experts > 1 else None)
    )


def _shares(job: Job, plan: Plan) -> str | None:
    """What tensor and context ranks have to share out."""
    t, c, model = plan.layout.tensor, plan.layout.context, job.model
    a, width = model.attention, model.feedforward.width
    if a.n_heads % t or a.key_heads % t or width % t:
        return (
            f"{a.n_heads} heads, {a.key_heads} of keys, and {width} inner units cannot be shared "
            f"by TP {t}"
        )
    each = job.cluster.cards_per_machine
    if not plan.layout.inside("tensor", each):
        return (
            f"TP {t} leaves the machine of {each} cards: two all-reduces a block and pass over "
            "the slow link"
        )
    if c > 1 and job.context % (2 * c):
        return f"{job.context} positions cannot be cut into 2 x CP {c} pieces"
    if c > 1 and plan.recompute == "none":
        return f"CP {c} keeps no scores: take recompute selective"
    return None


def _stages(job: Job, plan: Plan) -> str | None:
    n, p, v = job.model.n_layers, plan.layout.pipeline, plan.chunks
    if blocks_per_stage(n, p, chunks=v, uneven=plan.uneven) is None:
        return _no_stages(n, p, v)
    if v > 1 and p == 1:
        return "chunks need a pipeline"
    return None


def _batches(job: Job, plan: Plan) -> str | None:
    layout = plan.layout
    if job.batch_size % (layout.data * plan.micro_batch):
        return f"a batch of {job.batch_size} is no multiple of DP x micro batch"
    if plan.chunks > 1 and plan.n_micro(job) % layout.pipeline:
        return f"{plan.n_micro(job)} micro batches are no multiple of PP, as chunks need"
    if plan.zero >= 2 and layout.pipeline > 1:
        return f"ZeRO-{plan.zero} with a pipeline reduces or gathers every micro batch; take ZeRO-1"
    if plan.zero and layout.data * layout.context == 1:
        return "ZeRO shares out over the data axis, which has one rank"
    return None


def _experts(job: Job, plan: Plan) -> str | None:
    e, among = plan.experts, job.model.feedforward.experts
    if among is None:
        return f"EP {e} needs a model with experts"
    if among.n_experts % e or plan.layout.data % e:
        return (
            f"EP {e} has to divide the {among.n_experts} experts and the {plan.layout.data} data "
            "ranks that share them"
        )
    return None


@cache
def _no_stages(n_layers: int, n_stages: int, chunks: int) -> str:
    n_parts = n_stages * chunks
    if n_parts > n_layers:
        return f"{n_layers} blocks cannot fill {n_parts} stages or chunks"
    possible = [p for p in range(1, n_parts) if blocks_per_stage(n_layers, p) is not None]
    parts = even_stages(n_layers, n_parts)
    return (
        f"{n_layers} blocks do not fill {n_parts} equal stages; equal ones: "
        f"{', '.join(map(str, possible))}; uneven: {parts.count(parts[0])} of {parts[0]} and "
        f"{parts.count(parts[-1])} of {parts[-1]}"
    )
