"""What a step of LoRA keeps in memory, predicted from the config: where the saving is, where not.

    weights      the base, in as many bytes as one likes, and A and B in float32
    gradients    of A and B alone                     \\  here LoRA saves: 12 bytes for each weight
    optimizer    m and v of A and B alone             /   of the base with AdamW in float32
    activations  nearly all of them: the chain rule still goes through every layer

Why a few activations go: the input of a frozen matrix is needed for its gradient only, and that is
not asked for. It stays where an adapter reads it.

Shape letters: B batch, T positions, D model width, N query heads, H head width, F inner width,
    V vocabulary, L layers, r rank.
"""

from collections.abc import Collection

from minillm.finetune.budget import count_trained
from minillm.model import DecoderConfig
from minillm.model.config import count_matrix_parameters, count_padding, count_parameters
from minillm.train.memory import MemoryLedger, attention_numbers


def lora_ledger(
    config: DecoderConfig,
    targets: Collection[str],
    rank: int,
    batch_size: int,
    context: int | None = None,
    *,
    bytes_per_weight: int = 4,
    bytes_per_matrix: float | None = None,
    bytes_per_activation: int = 4,
    optimizer_numbers: int = 2,
) -> MemoryLedger:
    """Predict the memory of a training step with LoRA; memory_ledger is the one without.

    Args:
        config: the model: pre-norm, fast attention, no experts.
        targets: last names of the matrices that have an adapter, as in apply_lora.
        rank: r.
        batch_size: B.
        context: T; None means config.context.
        bytes_per_weight: of the frozen base.
        bytes_per_matrix: of the matrices of the blocks, if they have a format of their own; NF4
            with its scales is a little over half a byte. None: as the rest.
        bytes_per_activation: of what the backward pass needs.
        optimizer_numbers: for each trained number; 2 for AdamW.

    Returns:
        The ledger, bytes; the loss is causal_loss of a bare Decoder.

    Raises:
        ValueError: if the model is of another kind, a target is no matrix of a block, or a size is
            not positive.

    Source: Hu et al. 2021, arXiv:2106.09685, section 4.2 (no optimizer states for the frozen part).
    Lesson: notebooks/31_lora.ipynb
    """
    T = config.context if context is None else context
    sizes = (rank, batch_size, T, bytes_per_weight, bytes_per_activation)
    if min(sizes) < 1 or optimizer_numbers < 0 or (bytes_per_matrix or 1) <= 0:
        raise ValueError(f"sizes must be positive, got {sizes} and {bytes_per_matrix}")
    adapters = 4 * count_trained("lora", config, rank, targets=targets)
    base = (count_parameters(config) + count_padding(config)) * bytes_per_weight
    if bytes_per_matrix is not None:
        base += round(count_matrix_parameters(config) * (bytes_per_matrix - bytes_per_weight))
    kept = batch_size * T * lora_activation_numbers(config, targets, rank, T)
    loss = batch_size * T * config.d_model  # the gradient of the features; none of the matrix
    return MemoryLedger(
        parameters=base + adapters,
        gradients=adapters,
        optimizer=optimizer_numbers * adapters,
        activations=kept * bytes_per_activation,
        loss=loss * bytes_per_activation,
    )


def lora_activation_numbers(
    config: DecoderConfig, targets: Collection[str], rank: int, context: int | None = None
) -> int:
    """Count the numbers that a pass keeps for each token until the backward pass.

        a norm:        its input, D; its output only where an adapter reads it
        attention:     attention_numbers; without the copy that the output projection reads, unless
                       that has an adapter
        feed-forward:  3 F gated, F plain; F more if `down` has an adapter
        an adapter:    r

    Below the lowest adapter nothing learns, and nothing is kept: the norm of the first block, and
    more of that block if its adapters sit higher up.

    Args:
        config, targets, rank, context: as in lora_ledger.

    Returns:
        Numbers a token, over all layers and the final norm.

    Raises:
        ValueError: if the model is of another kind.

    Lesson: notebooks/31_lora.ipynb
    """
    a, place = config.attention, config.norm.place
    if place != "pre" or config.parallel or config.norm.embedding or a.implementation != "fast":
        raise ValueError(
            "LoRA's activations are counted for pre-norm models with fast attention, got "
            f"place={place!r}, parallel={config.parallel}, implementation={a.implementation!r}"
        )
    T = config.context if context is None else context
    first = _block(config, set(targets), T, learns_below=False)
    others = (config.n_layers - 1) * _block(config, set(targets), T, learns_below=True)
    return first + others + _norm(config) + config.n_layers * rank * len(set(targets))


def _norm(config: DecoderConfig) -> int:
    """What a norm needs of a token: its input, and one number or two."""
    return config.d_model + (1 if config.norm.kind == "rmsnorm" else 2)


def _block(config: DecoderConfig, targets: set[str], T: int, *, learns_below: bool) -> int:
    """What one block keeps of a token, without the r of each adapter."""
    D, F, heads = config.d_model, config.feedforward.width, attention_numbers(config, T)
    average = config.attention.n_heads * config.head_width
    if config.position.kind in ("rope", "t5") and "out" not in targets:
        heads -= average  # the copy, which only the output projection reads
    gated = config.feedforward.n_matrices == 3
    learns = learns_below
    n = _norm(config) * learns + D * bool(targets & {"q", "k", "v"})
    learns |= bool(targets & {"q", "k", "v"})
    n += heads if learns else average * ("out" in targets)
    learns |= "out" in targets
    n += _norm(config) * learns + D * bool(targets & {"gate", "up"})
    through_gate, through_up = learns or "gate" in targets, learns or "up" in targets
    n += F * through_up + 2 * F * through_gate if gated else F * through_up
    return n + F * ("down" in targets)
