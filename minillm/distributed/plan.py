"""What is to be trained, where, and how it is spread: Job, Plan, and the rules they have to keep.

A rule is a reason to refuse a plan before anything is computed: heads that cannot be shared out,
layers that do not fill the stages, cards that would stand idle.
"""

from dataclasses import dataclass
from typing import Literal

from minillm.distributed.hardware import Cluster
from minillm.distributed.layout import Layout
from minillm.distributed.stages import equal_stages, even_stages
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
        layout: data x pipeline x tensor.
        micro_batch: sequences that one copy of the model takes at once.
        zero: stage of ZeRO over the data axis: 0 nothing, 1 optimizer, 2 and gradients, 3 and
            weights are shared out.
        recompute: what the backward pass computes anew: "none"; "selective": the attention scores,
            as FlashAttention does; "full": everything but each block's input.
        sequence: the norms are spread over the tensor axis along the sequence.
        uneven: stages may hold different numbers of blocks.
    """

    layout: Layout
    micro_batch: int = 1
    zero: int = 0
    recompute: Recompute = "selective"
    sequence: bool = False
    uneven: bool = False

    def __post_init__(self) -> None:
        if self.micro_batch < 1 or self.zero not in (0, 1, 2, 3):
            raise ValueError(
                f"micro_batch must be at least 1 and zero 0 to 3, got {self.micro_batch}, "
                f"{self.zero}"
            )
        if self.recompute not in ("none", "selective", "full"):
            raise ValueError(f"recompute: none, selective or full; got {self.recompute!r}")

    def __str__(self) -> str:
        a = self.layout
        words = f"DP {a.data} x PP {a.pipeline} x TP {a.tensor}, micro batch {self.micro_batch}"
        return f"{words}, ZeRO-{self.zero}, recompute {self.recompute}"

    def n_micro(self, job: Job) -> int:
        """Micro batches that each copy of the model takes in a step."""
        return job.batch_size // (self.layout.data * self.micro_batch)


def blocks_per_stage(n_layers: int, n_stages: int, *, uneven: bool = False) -> list[int] | None:
    """Share the blocks out over the stages.

    Equal stages if n_stages divides n_layers. If it divides n_layers + 2, the embedding and the
    output matrix count as a block each, and the first and the last stage hold one block fewer:
    BLOOM's way, 72 = 12 x 6. Otherwise as even as it goes, if that is allowed, with the shorter
    stages at the end, where the output matrix is.

    Args:
        n_layers: blocks of the model.
        n_stages: of the pipeline.
        uneven: allow stages that differ.

    Returns:
        Blocks of each stage; None if there is no such way.

    Source: BigScience 2022, train/tr11-176B-ml/README.md of github.com/bigscience-workshop/
        bigscience ("Architecture").
    Lesson: notebooks/23_parallel.ipynb
    """
    if n_stages > n_layers:
        return None
    if n_stages in equal_stages(n_layers, n_stages):
        return [n_layers // n_stages] * n_stages
    each, rest = divmod(n_layers + 2, n_stages)
    if rest == 0 and each > 1:
        return [each - 1, *[each] * (n_stages - 2), each - 1]
    return even_stages(n_layers, n_stages) if uneven else None


def broken_rule(job: Job, plan: Plan) -> str | None:
    """Say which rule a plan breaks, and what would keep it.

    Args:
        job: what is to be trained.
        plan: how.

    Returns:
        A sentence; None if the plan keeps all rules. Memory is not among them: see bill.py.

    Lesson: notebooks/23_parallel.ipynb
    """
    layout, model, cluster = plan.layout, job.model, job.cluster
    if layout.world_size != cluster.n_cards:
        return f"uses {layout.world_size} of {cluster.n_cards} cards"
    if model.attention.n_heads % layout.tensor or model.feedforward.width % layout.tensor:
        return f"{model.attention.n_heads} heads cannot be shared by TP {layout.tensor}"
    if layout.tensor > cluster.cards_per_machine:
        return (
            f"TP {layout.tensor} leaves the machine of {cluster.cards_per_machine} cards: two "
            "all-reduces a block and pass over the slow link"
        )
    if blocks_per_stage(model.n_layers, layout.pipeline, uneven=plan.uneven) is None:
        return _no_stages(model.n_layers, layout.pipeline)
    if job.batch_size % (layout.data * plan.micro_batch):
        return f"a batch of {job.batch_size} is no multiple of DP x micro batch"
    if plan.zero >= 2 and layout.pipeline > 1:
        return (
            f"ZeRO-{plan.zero} with a pipeline would move gradients or weights for every micro "
            "batch; take ZeRO-1"
        )
    if plan.zero and layout.data == 1:
        return "ZeRO shares out over the data axis, which has one rank"
    return None


def _no_stages(n_layers: int, n_stages: int) -> str:
    possible = [p for p in range(1, n_layers + 1) if blocks_per_stage(n_layers, p) is not None]
    below = [p for p in possible if p <= n_stages]
    if n_stages > n_layers:
        return f"{n_layers} blocks cannot fill {n_stages} stages"
    parts = even_stages(n_layers, n_stages)
    return (
        f"{n_layers} blocks do not fill {n_stages} equal stages; equal ones: "
        f"{', '.join(map(str, below))}; uneven: {parts.count(parts[0])} of {parts[0]} and "
        f"{parts.count(parts[-1])} of {parts[-1]}"
    )
