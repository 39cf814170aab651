"""The memory ledger: what a training step keeps, predicted from the config alone.

It counts live tensors, not what the system lends the process: the allocator, torch itself and
short-lived temporaries come on top. A test counts the tensors of a real step and holds the
prediction to within 10 %.

Shape letters: B batch, T positions, D model width, N and K query and key heads, H head width,
    F feed-forward width, V vocabulary.
"""

from dataclasses import dataclass

from minillm.model import DecoderConfig
from minillm.model.config import count_padding, count_parameters


@dataclass(frozen=True)
class MemoryLedger:
    """Bytes that a training step holds, by what they are for.

    Attributes:
        parameters: the weights, padding of the vocabulary included.
        gradients: one number a weight.
        optimizer: AdamW's m and v, two numbers a weight.
        activations: what the blocks keep for the backward pass.
        loss: what the output matrix and the cross-entropy keep.
    """

    parameters: int
    gradients: int
    optimizer: int
    activations: int
    loss: int

    @property
    def total(self) -> int:
        """All of it, bytes. An upper bound: activations shrink while the gradients grow."""
        return self.parameters + self.gradients + self.optimizer + self.activations + self.loss

    def __str__(self) -> str:
        rows = [("parameters", self.parameters), ("gradients", self.gradients)]
        rows += [("optimizer", self.optimizer), ("activations", self.activations)]
        rows += [("loss", self.loss), ("total", self.total)]
        return "\n".join(f"{name:<12}{n / 1e6:>12,.1f} MB" for name, n in rows)


def memory_ledger(
    config: DecoderConfig,
    batch_size: int,
    context: int | None = None,
    *,
    bytes_per_weight: int = 4,
    bytes_per_activation: int = 4,
    optimizer_numbers: int = 2,
    fused_loss: bool = True,
) -> MemoryLedger:
    """Predict the memory of a training step.

    Args:
        config: the model.
        batch_size: B, sequences in one forward pass; accumulation does not add to it.
        context: T; None means config.context.
        bytes_per_weight: of weights, gradients and the optimizer's numbers; 4 for float32.
        bytes_per_activation: 4 for float32, 2 for a model that is all bfloat16.
        optimizer_numbers: numbers an optimizer keeps a weight; 2 for AdamW, 0 for plain SGD.
        fused_loss: the loss is causal_loss of a bare Decoder, which never stores the logits;
            otherwise they count, (B, T, V) in float32.

    Returns:
        The ledger, bytes.

    Raises:
        ValueError: if a size is not positive, or optimizer_numbers is negative.

    Source: the method of Korthikanti et al. 2022, arXiv:2205.05198, section 4.1, with this
        package's own operations counted.
    Lesson: notebooks/22a_ledger.ipynb
    """
    T = config.context if context is None else context
    if min(batch_size, T, bytes_per_weight, bytes_per_activation) < 1 or optimizer_numbers < 0:
        raise ValueError(
            "sizes must be at least 1, got "
            f"batch_size={batch_size}, context={T}, bytes_per_weight={bytes_per_weight}, "
            f"bytes_per_activation={bytes_per_activation}, optimizer_numbers={optimizer_numbers}"
        )
    weights = (count_parameters(config) + count_padding(config)) * bytes_per_weight
    n_tokens, D, V = batch_size * T, config.d_model, config.vocab_size
    if fused_loss:  # its own gradients, of the features and of the output matrix
        loss = n_tokens * D * bytes_per_activation + V * D * bytes_per_weight
    else:
        loss = 4 * n_tokens * V
    kept = n_tokens * bytes_per_activation * activation_numbers(config, T)
    return MemoryLedger(weights, weights, optimizer_numbers * weights, kept, loss)


def activation_numbers(config: DecoderConfig, context: int | None = None) -> int:
    """Count the numbers that the stack keeps for each token until the backward pass.

        a norm:        its input and its output, D each; RMSNorm its middle result, D, as well
        attention:     q, k, v, the average twice (it is copied once): 3 N H + 2 K H, and N
        feed-forward:  2 F plain, 4 F gated

    The readable attention keeps the weights, 2 N T, and keys and values for all query heads.

    Args:
        config: the model.
        context: T; None means config.context.

    Returns:
        Numbers a token, over all layers and the final norm.

    Lesson: notebooks/22a_ledger.ipynb
    """
    T = config.context if context is None else context
    a, f, D, H = config.attention, config.feedforward, config.d_model, config.head_width
    norm = 3 * D + 1 if config.norm.kind == "rmsnorm" else 2 * D + 2
    heads = 3 * a.n_heads * H + 2 * a.key_heads * H + a.n_heads
    if a.implementation == "readable":
        heads = 4 * a.n_heads * H + 2 * a.n_heads * T
    inner = (4 if f.n_matrices == 3 else 2) * f.width
    last = norm if config.norm.place == "pre" else 0
    return config.n_layers * (2 * norm + heads + inner) + last
