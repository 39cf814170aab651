"""Memory of one rank, predicted from the config: data, tensor and pipeline parallel, ZeRO 1 to 3.

The state of training a weight in mixed precision has 16 bytes: 2 for the weight, 2 for its
gradient, and 12 for the optimizer (the weight once more in float32, m and v). Data parallelism
copies all of them to each rank; ZeRO cuts them in pieces, one kind after another:

    ddp      2 + 2 + 12               stage 2  2 + (2 + 12) / N
    stage 1  2 + 2 + 12 / N           stage 3  (2 + 2 + 12) / N

Tensor parallelism cuts the matrices of a layer, pipeline parallelism the stack of layers. What a
rank then holds is a thinner and shorter decoder; ZeRO cuts that further.

Shape letters: B batch of a rank, T positions, D model width, V vocabulary.
"""

from dataclasses import dataclass, replace
from typing import Literal

from minillm.distributed.recompute import Policy
from minillm.distributed.recompute_cost import recompute_ledger
from minillm.model import DecoderConfig
from minillm.model.config import count_matrix_parameters, count_padding, count_parameters
from minillm.train.memory import MemoryLedger, memory_ledger

Sharding = Literal["ddp", "zero1", "zero2", "zero3"]
SHARDINGS = ("ddp", "zero1", "zero2", "zero3")


@dataclass(frozen=True)
class Formats:
    """Bytes a weight of each kind of state.

    Attributes:
        weight, gradient: 2 and 2 in mixed precision, 4 and 4 in float32.
        optimizer: 12 in mixed precision (float32 weight, m, v), 8 in float32 (m, v).
        activation: bytes of an activation.
    """

    weight: int = 2
    gradient: int = 2
    optimizer: int = 12
    activation: int = 2

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < (0 if name == "optimizer" else 1):
                raise ValueError(f"formats.{name} is too small: {value}")

    @property
    def total(self) -> int:
        """Bytes of state a weight, on a single rank."""
        return self.weight + self.gradient + self.optimizer


MIXED = Formats()
FLOAT32 = Formats(4, 4, 8, 4)


def rank_state(
    n_parameters: int, n_ranks: int, sharding: Sharding, formats: Formats = MIXED
) -> tuple[int, int, int]:
    """Divide the state of training over the ranks of a data-parallel group.

    A piece has ceil(n / N) weights: the last one is filled up, so that all are equal.

    Args:
        n_parameters: of the model, or of what tensor and pipeline parallelism leave of it.
        n_ranks: N, of the data-parallel group.
        sharding: "ddp" (nothing is cut), or "zero1" (optimizer), "zero2" (gradients too), "zero3"
            (weights too).
        formats: bytes a weight.

    Returns:
        Bytes of weights, gradients and optimizer on one rank.

    Raises:
        ValueError: if the sharding is unknown, or a count is smaller than 1.

    Source: Rajbhandari et al. 2019 (ZeRO), arXiv:1910.02054, section 5 and figure 1.
    Lesson: notebooks/22b_zero.ipynb
    """
    if sharding not in SHARDINGS:
        raise ValueError(f"sharding must be one of {', '.join(SHARDINGS)}; got {sharding!r}")
    if min(n_parameters, n_ranks) < 1:
        raise ValueError(
            f"counts must be at least 1, got n_parameters={n_parameters}, n_ranks={n_ranks}"
        )
    stage = SHARDINGS.index(sharding)
    piece = -(-n_parameters // n_ranks)
    held = [piece if stage >= first else n_parameters for first in (3, 2, 1)]
    return held[0] * formats.weight, held[1] * formats.gradient, held[2] * formats.optimizer


def rank_config(config: DecoderConfig, *, tensor: int = 1, pipeline: int = 1) -> DecoderConfig:
    """Describe what one rank of a tensor- and pipeline-parallel model holds, as a decoder.

    Heads, feed-forward width and vocabulary divided by `tensor`, layers by `pipeline`; the width of
    the model and of a head stay, and norms are copied to all ranks.

    Args:
        config: the whole model, dense.
        tensor: ranks that share a layer.
        pipeline: stages.

    Returns:
        The decoder of a rank; of a pipeline, that of a stage in the middle has no embedding, which
        rank_parameters takes off.

    Raises:
        ValueError: if heads, width or layers cannot be divided, or there are experts.

    Source: Shoeybi et al. 2019 (Megatron-LM), arXiv:1909.08053, section 3.
    Lesson: notebooks/23_parallel.ipynb
    """
    a, f = config.attention, config.feedforward
    if min(tensor, pipeline) < 1:
        raise ValueError(f"ranks must be at least 1, got tensor={tensor}, pipeline={pipeline}")
    if f.experts is not None:
        raise ValueError("experts are divided by expert parallelism, which this ledger does not do")
    for what, n, parts in (
        ("n_heads", a.n_heads, tensor),
        ("key heads", a.key_heads, tensor),
        ("feedforward.width", f.width, tensor),
        ("n_layers", config.n_layers, pipeline),
    ):
        if n % parts:
            raise ValueError(f"{parts} ranks cannot share {what}={n} equally; take a divisor of it")
    heads = replace(
        a,
        n_heads=a.n_heads // tensor,
        n_kv_heads=a.key_heads // tensor,
        head_width=config.head_width,
    )
    return replace(
        config,
        attention=heads,
        feedforward=replace(f, width=f.width // tensor),
        n_layers=config.n_layers // pipeline,
        vocab_size=-(-config.vocab_size // tensor),
    )


def rank_parameters(
    config: DecoderConfig, *, tensor: int = 1, pipeline: int = 1, stage: int = 0
) -> int:
    """Count the weights of one rank, padding of the vocabulary included.

    Args:
        config: the whole model.
        tensor, pipeline: as in rank_config.
        stage: which of the pipeline; the first has the embedding (and learned positions), the last
            the final norm and the output matrix, a copy of the embedding if that is tied.

    Returns:
        Numbers.

    Raises:
        ValueError: if the stage is not there, or as rank_config.

    Lesson: notebooks/23_parallel.ipynb
    """
    if not 0 <= stage < pipeline:
        raise ValueError(f"stage must lie in 0 to {pipeline - 1}, got {stage}")
    thin = rank_config(config, tensor=tensor, pipeline=pipeline)
    whole = count_parameters(thin) + count_padding(thin)
    if pipeline == 1:
        return whole
    table = thin.padded_vocab_size * thin.d_model
    norm = thin.d_model * (1 if thin.norm.kind == "rmsnorm" else 2)
    first = table + norm * thin.norm.embedding
    if thin.position.kind == "learned":
        first += thin.context * thin.d_model
    last = table + norm * thin.norm.ends_the_stack
    blocks = whole - first - last + (table if thin.tie_embeddings else 0)
    return blocks + (first if stage == 0 else 0) + (last if stage == pipeline - 1 else 0)


def rank_ledger(
    config: DecoderConfig,
    batch_size: int,
    context: int | None = None,
    *,
    data: int = 1,
    tensor: int = 1,
    pipeline: int = 1,
    sharding: Sharding = "ddp",
    policy: Policy = "none",
    formats: Formats = MIXED,
) -> MemoryLedger:
    """Predict the memory of the fullest rank.

    Activations: those of its layers, with heads, inner width and vocabulary divided by `tensor`;
    norms and residual sums are copied. Under 1F1B the first stage holds those of `pipeline` batches
    at once, which together are as many as the whole stack holds of one.

    Args:
        config: the whole model, dense.
        batch_size: B, sequences of one micro-batch of a rank.
        context: T; None means config.context.
        data, tensor, pipeline: sizes of the three groups.
        sharding: as in rank_state, over the data-parallel group.
        policy: what is recomputed, as in recomputing.
        formats: bytes a weight and activation.

    Returns:
        The ledger of the fullest rank, that of the first or the last stage.

    Raises:
        ValueError: as rank_state and rank_config.

    Source: Rajbhandari et al. 2019, arXiv:1910.02054; Narayanan et al. 2021, arXiv:2104.04473,
        section 2.2 (batches in flight); Korthikanti et al. 2022, arXiv:2205.05198, section 4.2.
    Lesson: notebooks/22a_ledger.ipynb
    """
    thin = rank_config(config, tensor=tensor, pipeline=pipeline)
    ends = _activation_bytes(thin, batch_size, context, policy, formats.activation)
    loss = memory_ledger(
        thin,
        batch_size,
        context,
        bytes_per_weight=formats.activation,
        bytes_per_activation=formats.activation,
    ).loss
    stages = []
    for stage in sorted({0, pipeline - 1}):
        n = rank_parameters(config, tensor=tensor, pipeline=pipeline, stage=stage)
        kept, last = (pipeline - stage) * ends[0], stage == pipeline - 1
        kept += (pipeline * ends[1] if stage == 0 else 0) + (ends[2] if last else 0)
        state = rank_state(n, data, sharding, formats)
        stages.append(MemoryLedger(*state, kept, loss if last else 0))
    return max(stages, key=lambda ledger: ledger.total)


def _activation_bytes(
    thin: DecoderConfig, batch_size: int, context: int | None, policy: Policy, size: int
) -> tuple[int, int, int]:
    """What one micro-batch keeps in a rank's blocks, in a norm before them, in one behind them."""
    how = {"policy": policy, "bytes_per_number": size}
    one, two = (
        recompute_ledger(replace(thin, n_layers=n), batch_size, context, **how).activations  # type: ignore[arg-type]
        for n in (1, 2)
    )
    norms = (thin.norm.embedding, thin.norm.ends_the_stack)
    each = (2 * one - two) // max(1, sum(norms))
    return thin.n_layers * (two - one), each * norms[0], each * norms[1]


def largest_layer_bytes(config: DecoderConfig, formats: Formats = MIXED) -> int:
    """Bytes of the weights that a rank of ZeRO-3 gathers for the layer it works on.

    Args:
        config: the model.
        formats: bytes a weight.

    Returns:
        Bytes of the largest of a block's matrices together, and the embedding.

    Lesson: notebooks/22b_zero.ipynb
    """
    block = count_matrix_parameters(config) // config.n_layers
    return formats.weight * max(block, config.padded_vocab_size * config.d_model)
