"""What recomputation saves and costs, predicted from the config: kept bytes, the peak, FLOPs.

Shape letters: B batch, T positions, D model width, N and K query and key heads, H head width,
    F feed-forward width, V vocabulary.
"""

from dataclasses import dataclass, replace

from minillm.distributed.recompute import POLICIES, Policy
from minillm.model import DecoderConfig
from minillm.model.config import count_matrix_parameters, flops_per_token
from minillm.objectives.fused import CHUNK_NUMBERS, CHUNK_ROWS
from minillm.train.ledger import step_flops
from minillm.train.memory import (
    MemoryLedger,
    activation_numbers,
    attention_numbers,
    bias_numbers,
    memory_ledger,
)


def recompute_ledger(
    config: DecoderConfig,
    batch_size: int,
    context: int | None = None,
    *,
    policy: Policy = "block",
    every: int = 1,
    bytes_per_number: int = 4,
) -> MemoryLedger:
    """Predict the memory of a training step that recomputes: memory_ledger with less activations.

    Kept for each token and recomputed part, in place of its notes:

        block        its input, D
        attention    nothing more: its input, the output of a norm, is kept anyway
        feedforward  likewise

    ALiBi's table, the same for all blocks, is an input as well.

    Args:
        config: the model, without experts.
        batch_size: B.
        context: T; None means config.context.
        policy, every: as in recomputing.
        bytes_per_number: of weights, activations and optimizer: 4 for float32.

    Returns:
        The ledger; its activations are what lives between the forward and the backward pass. What
        a part notes when it runs again is not among them: see step_peak.

    Raises:
        ValueError: if the policy is unknown, every is smaller than 1, or there are experts.

    Source: Korthikanti et al. 2022, arXiv:2205.05198, section 5, with this package's operations.
    Lesson: notebooks/22a_ledger.ipynb
    """
    T = config.context if context is None else context
    n_parts = recomputed_blocks(config, policy, every)
    plain = memory_ledger(
        config,
        batch_size,
        T,
        bytes_per_weight=bytes_per_number,
        bytes_per_activation=bytes_per_number,
    )
    saved = n_parts * _saved_numbers(config, batch_size, T, policy)
    if n_parts and policy != "feedforward":
        saved -= bias_numbers(config, T)  # an input of all of them
    return replace(plain, activations=plain.activations - saved * bytes_per_number)


def recomputed_blocks(config: DecoderConfig, policy: Policy, every: int = 1) -> int:
    """Count the blocks of which something is recomputed.

    Args:
        config: the model, without experts.
        policy, every: as in recomputing.

    Raises:
        ValueError: if the policy is unknown, every is smaller than 1, or there are experts.
    """
    if policy not in POLICIES:
        raise ValueError(f"policy must be one of {', '.join(POLICIES)}; got {policy!r}")
    if every < 1:
        raise ValueError(f"every must be at least 1, got {every}")
    if config.feedforward.experts is not None and policy != "none":
        raise ValueError("experts are not recomputed here, so nothing is predicted for them")
    return 0 if policy == "none" else -(-config.n_layers // every)


def block_numbers(config: DecoderConfig, context: int) -> int:
    """Count the numbers a token that one block keeps: what one more layer adds."""
    two, one = (replace(config, n_layers=n) for n in (2, 1))
    return activation_numbers(two, context) - activation_numbers(one, context)


def _saved_numbers(config: DecoderConfig, batch_size: int, T: int, policy: Policy) -> int:
    """Numbers that one recomputed part does not keep."""
    f, n_tokens, bias = config.feedforward, batch_size * T, bias_numbers(config, T)
    if policy == "block":
        return n_tokens * (block_numbers(config, T) - config.d_model) + bias
    if policy == "attention":
        return n_tokens * attention_numbers(config, T) + bias
    inner = (4 if f.n_matrices == 3 else 2) * f.width
    return n_tokens * inner if policy == "feedforward" else 0


def recompute_flops(
    config: DecoderConfig, context: int | None = None, *, policy: Policy = "block", every: int = 1
) -> int:
    """Count the FLOPs a token that are done a second time, beyond flops_per_token.

        block        one forward pass of the block: 2 (weights of its matrices) + 4 N H T
        attention    2 (weights of its projections) + 4 N H T
        feedforward  2 (weights of its matrices)

    Args:
        config: the model.
        context: T; None means config.context.
        policy, every: as in recomputing.

    Returns:
        FLOPs a token. The output matrix is never among them: it is no part of a block.

    Lesson: notebooks/22a_ledger.ipynb
    """
    T = config.context if context is None else context
    a, f, D = config.attention, config.feedforward, config.d_model
    attention = 4 * D * config.head_width * (a.n_heads + a.key_heads)
    attention += 4 * a.n_heads * config.head_width * T
    inner = 2 * f.n_matrices * D * f.width
    each = {"none": 0, "attention": attention, "feedforward": inner, "block": attention + inner}
    return recomputed_blocks(config, policy, every) * each[policy]


def hardware_flops(
    config: DecoderConfig, context: int | None = None, *, policy: Policy = "block", every: int = 1
) -> int:
    """Count the FLOPs a token that the machine does: those of the model, and those done twice.

    Args:
        config: the model.
        context: T; None means config.context.
        policy, every: as in recomputing.

    Returns:
        FLOPs a token: what step_flops counts (a fused attention computes its scores twice by
        itself), and recompute_flops.

    Lesson: notebooks/22a_ledger.ipynb
    """
    T = config.context if context is None else context
    return step_flops(config, 1, T) + recompute_flops(config, T, policy=policy, every=every)


def time_share(
    config: DecoderConfig, context: int | None = None, *, policy: Policy = "block"
) -> float:
    """Say how much longer a step takes if time is FLOPs: 1/3 at most, less with an output matrix.

    Args:
        config: the model.
        context: T; None means config.context.
        policy: as in recomputing.

    Returns:
        recompute_flops / flops_per_token.

    Lesson: notebooks/22a_ledger.ipynb
    """
    return recompute_flops(config, context, policy=policy) / flops_per_token(
        config, context=context
    )


@dataclass(frozen=True)
class Peak:
    """The most bytes that live at once in the moments of a step, weights not counted.

    Attributes:
        backward: when the backward pass begins: activations, and the loss's gradients twice.
        end: when it ends: all gradients, and those of a tied embedding twice more.
        update: in the update: gradients, the optimizer's state, and AdamW's roots.
        state: of the optimizer, which from the second step on lives in all moments.
    """

    backward: int
    end: int
    update: int
    state: int

    @property
    def first(self) -> int:
        """The peak of the first step, in which the optimizer's state comes last."""
        return max(self.backward, self.end, self.update)

    @property
    def steady(self) -> int:
        """The peak of every later step."""
        return max(self.backward + self.state, self.end + self.state, self.update)


def _end_norm(config: DecoderConfig) -> int:
    """Numbers a token that the norm at the end of the stack keeps."""
    kept = 2 * config.d_model + 1 if config.norm.kind == "rmsnorm" else config.d_model + 2
    return kept if config.norm.ends_the_stack else 0


def step_peak(
    config: DecoderConfig,
    batch_size: int,
    context: int | None = None,
    *,
    policy: Policy = "block",
    every: int = 1,
    bytes_per_number: int = 4,
) -> Peak:
    """Predict the most that lives at once: the ledger, with what is temporary.

    The loss holds its two gradients and works on some rows of logits, twice; when the backward pass
    begins it makes both gradients once more, times what arrives from above. From block to block
    its notes go and its gradients come, so the first or the last is the worst. An output matrix of
    rows of length 1 takes four times its size to go back through that norm. A recomputed block
    comes back in full first, and each block works with some tensors beyond its notes: 3 D numbers
    a token, and F, or 2 F if it is gated.

    Args:
        config: the model, without experts.
        batch_size: B.
        context: T; None means config.context.
        policy, every: as in recomputing.
        bytes_per_number: 4 for float32.

    Returns:
        The peaks.

    Lesson: notebooks/22a_ledger.ipynb
    """
    T = config.context if context is None else context
    how = {"policy": policy, "every": every, "bytes_per_number": bytes_per_number}
    ledger = recompute_ledger(config, batch_size, T, **how)  # type: ignore[arg-type]
    tokens = batch_size * T * bytes_per_number
    again = min(1, recomputed_blocks(config, policy, every))
    again *= _saved_numbers(config, batch_size, T, policy) * bytes_per_number
    f, D, V = config.feedforward, config.d_model, config.vocab_size
    work = (2 if f.n_matrices == 3 else 1) * f.width + 3 * D
    logits = 4 * V * min(batch_size * T, max(CHUNK_ROWS, CHUNK_NUMBERS // V))
    table = V * D * bytes_per_number
    norm = 4 * table if config.norm.head else 0
    in_loss = max(ledger.loss, 2 * logits + tokens * D, norm) + ledger.activations + ledger.loss
    notes = ledger.activations - tokens * _end_norm(config)  # gone before the last block's turn
    matrices = count_matrix_parameters(config) * bytes_per_number
    done = matrices * (config.n_layers - 1) // config.n_layers
    there = max(notes, notes // config.n_layers + done)  # at the last block, at the first
    in_block = there + table + again + tokens * (D + work)
    end = ledger.gradients + (2 * table if config.tie_embeddings else 0)
    update = ledger.gradients + ledger.optimizer + ledger.parameters
    return Peak(max(in_loss, in_block), end, update, ledger.optimizer)
