"""The memory ledger: what a training step keeps, predicted from the config alone.

It counts live tensors, not what the system lends the process: the allocator, torch itself and
short-lived temporaries come on top. A test counts the tensors of a real step and holds the
prediction to within 10 %.

Shape letters: B batch, T positions, D model width, N and K query and key heads, H head width,
    F feed-forward width, V vocabulary, E experts.
"""

from dataclasses import dataclass

from minillm.model import DecoderConfig
from minillm.model.config import count_matrix_parameters, count_padding, count_parameters


@dataclass(frozen=True)
class MemoryLedger:
    """Bytes that a training step holds, by what they are for.

    Attributes:
        parameters: the weights, padding of the vocabulary included.
        gradients: one number a weight.
        optimizer: AdamW's m and v, two numbers a weight.
        activations: what the blocks keep for the backward pass.
        loss: what the output matrix and the cross-entropy keep.
        copies: the matrices of the blocks once more in 16 bits, which autocast keeps until the
            backward pass; 0 without autocast.
    """

    parameters: int
    gradients: int
    optimizer: int
    activations: int
    loss: int
    copies: int = 0

    @property
    def total(self) -> int:
        """All of it, bytes. An upper bound: activations shrink while the gradients grow."""
        weights = self.parameters + self.gradients + self.optimizer + self.copies
        return weights + self.activations + self.loss

    def __str__(self) -> str:
        rows = [("parameters", self.parameters), ("gradients", self.gradients)]
        rows += [("optimizer", self.optimizer), ("activations", self.activations)]
        rows += [("copies", self.copies)] if self.copies else []
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
    autocast: bool = False,
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
        autocast: products run in bfloat16 while the weights stay in float32, as the loop's
            precision "bfloat16" does; bytes_per_activation is not read then.

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
    wide, narrow = _kept(config, T, autocast)
    each = 2 if autocast else bytes_per_activation
    kept = n_tokens * ((4 if autocast else each) * wide + each * narrow)
    kept += config.n_layers * bias_numbers(config, T) * each
    copies = 2 * count_matrix_parameters(config) if autocast else 0
    if fused_loss:  # its own gradients, of the features and of the output matrix
        loss = n_tokens * D * (4 if autocast else each) + V * D * bytes_per_weight
    else:  # logits, and the features, which the output matrix reads
        features = n_tokens + (V if autocast else 0)  # and a copy of the matrix
        loss = 4 * n_tokens * V + each * features * D
    optimizer = optimizer_numbers * weights
    return MemoryLedger(weights, weights, optimizer, kept, loss, copies)


def activation_numbers(config: DecoderConfig, context: int | None = None) -> int:
    """Count the numbers that the stack keeps for each token until the backward pass.

        a norm:        its input and its output, D each; RMSNorm its middle result, D, as well;
                       the output of the last one counts to the loss, which reads it
        attention:     attention_numbers
        feed-forward:  2 F plain, 4 F gated
        k experts:     k times that, their inputs and outputs, 2 D each, and 4 E of the router

    Args:
        config: the model.
        context: T; None means config.context.

    Returns:
        Numbers a token, over all layers and the final norm. What ALiBi keeps, bias_numbers, is no
        matter of tokens and not among them.

    Lesson: notebooks/22a_ledger.ipynb
    """
    return sum(_kept(config, config.context if context is None else context, autocast=False))


def attention_numbers(config: DecoderConfig, T: int) -> int:
    """Count the numbers that one attention keeps for each token between its projections.

        q, k, v, the average, and a sum for each head:      2 N H + 2 K H + N
        RoPE or T5: the average once more, as it is copied  N H
        a window, or T5's bias: the mask, in full           N T
        the readable attention: weights, keys and values    4 N H + 2 N T in place of all that
        for all query heads

    Args:
        config: the model.
        T: tokens in a sequence.

    Returns:
        Numbers a token. Copied is where the heads do not lie in memory as the next product wants
        them: rotated queries have another order than queries that are still a view.

    Lesson: notebooks/22a_ledger.ipynb
    """
    return _heads(config, T) + config.attention.n_heads


def bias_numbers(config: DecoderConfig, T: int) -> int:
    """Count the numbers that one attention keeps for the whole batch: ALiBi's, N T T, if fast."""
    a = config.attention
    keeps = config.position.kind == "alibi" and a.implementation == "fast"
    return a.n_heads * T * T if keeps else 0


def _kept(config: DecoderConfig, T: int, autocast: bool) -> tuple[int, int]:
    """Numbers a token that the stack keeps: those in the weights' format, and in the products'.

    Under autocast each product makes a 16-bit copy of its input and keeps that; without it the
    products that read one norm share its output.
    """
    f, D = config.feedforward, config.d_model
    norm = 2 * D + 1 if config.norm.kind == "rmsnorm" else D + 2  # without its output
    n_norms = {"sandwich": 4}.get(config.norm.place, 1 if config.parallel else 2)
    outside = config.norm.ends_the_stack + config.norm.embedding
    wide = config.n_layers * n_norms * norm + outside * norm
    wide += config.n_layers * config.attention.n_heads  # the sums of the softmax
    inputs = (3 if f.experts is None else 4) + (2 if f.n_matrices == 3 else 1)
    narrow = config.n_layers * (_heads(config, T) + _inner(config))
    if autocast:
        narrow += config.n_layers * inputs * D
    else:
        wide += config.n_layers * D * (1 if config.parallel else 2)
    return wide, narrow


def _heads(config: DecoderConfig, T: int) -> int:
    a, H = config.attention, config.head_width
    if a.implementation == "readable":
        return 4 * a.n_heads * H + 2 * a.n_heads * T - a.n_heads
    kind = config.position.kind
    masked = kind == "t5" or (a.window is not None and kind != "alibi")
    average = (2 if kind in ("rope", "t5") else 1) * H + (T if masked else 0)
    return a.n_heads * (H + average) + 2 * a.key_heads * H


def _inner(config: DecoderConfig) -> int:
    f, e = config.feedforward, config.feedforward.experts
    one = (4 if f.n_matrices == 3 else 2) * f.width
    if e is None:
        return one
    return e.n_active * one + 2 * e.top_k * config.d_model + 4 * e.n_experts
