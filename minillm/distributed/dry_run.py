"""A training step without numbers: every tensor has its shape and its bytes, and no memory.

Torch can run a program on fake tensors, which know shape, format and device, and hold nothing. So
the bytes of a step of a model of 176 billion parameters are counted on a laptop: by the operations
that the step really does, not by a formula. A test holds the count equal to that of a real step.

The ids are not looked at (they have no values), so the model is run past its check of them. Experts
choose by value, which is why a mixture of experts cannot be run dry.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from minillm.model import Decoder, DecoderConfig
from minillm.objectives.fused import linear_cross_entropy
from minillm.train import AdamW
from minillm.train.live_memory import LiveMemory
from minillm.train.precision import autocast

Around = Callable[[nn.Module], AbstractContextManager[None]]


@dataclass(frozen=True)
class Measured:
    """Bytes of live tensors in one training step, the first of a run.

    Attributes:
        parameters: the weights.
        kept: what is alive after the forward pass, besides the weights: kept for the backward pass.
        peak: the most that is alive, besides the weights, in forward and backward pass.
        gradients: what is alive after the backward pass, besides the weights.
        optimizer: what is alive after the update, besides weights and gradients.
        update_peak: the most that is alive in the update, besides the weights.
    """

    parameters: int
    kept: int
    peak: int
    gradients: int
    optimizer: int
    update_peak: int


def dry_run(
    config: DecoderConfig,
    batch_size: int,
    context: int | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    precision: str = "float32",
    around: Around | None = None,
) -> Measured:
    """Count the live bytes of a training step of a model of any size.

    Args:
        config: the model, without experts.
        batch_size: B.
        context: T; None means config.context.
        dtype: of the weights.
        precision: "float32" or "bfloat16", of autocast, as in TrainConfig.
        around: a context for the step, given the model: recomputing is one.

    Returns:
        Bytes.

    Raises:
        ValueError: if the model has experts, or a size is not positive.

    Cost: some milliseconds an operation: seconds for 80 layers, whatever their width.
    Lesson: notebooks/22a_ledger.ipynb
    """
    T = config.context if context is None else context
    if config.feedforward.experts is not None:
        raise ValueError("experts choose by value, and a dry run has none; count a dense model")
    if min(batch_size, T) < 1:
        raise ValueError(f"sizes must be at least 1, got batch_size={batch_size}, context={T}")
    model = Decoder(config, device="meta", dtype=dtype)
    with FakeTensorMode():
        _fake_weights(model)
        ids = torch.zeros(batch_size, T, dtype=torch.long)
        with nullcontext() if around is None else around(model):
            return measure_step(model, ids, precision=precision)


def measure_step(model: Decoder, ids: Tensor, *, precision: str = "float32") -> Measured:
    """Do one training step, and count the bytes of its live tensors.

    Args:
        model: a Decoder, real or fake; its weights move.
        ids: token ids, (B, T); they are their own targets, which does not matter to memory.
        precision: "float32" or "bfloat16", of autocast.

    Returns:
        Bytes. Tensors that existed before, such as the ids, do not count.

    Lesson: notebooks/22a_ledger.ipynb
    """
    weights = list(model.parameters())
    optimizer = AdamW(weights)
    with LiveMemory() as memory:
        with autocast(precision):
            x = model.run(model.embedding(ids))
            loss = linear_cross_entropy(x, model.output_matrix(), ids)
        del x
        kept = memory.live
        loss.backward()
        del loss
        gradients, peak = memory.live, memory.peak
        memory.peak = 0
        optimizer.step()
        after, update_peak = memory.live, memory.peak
    size = sum(p.numel() * p.element_size() for p in weights)
    return Measured(size, kept, peak, gradients, after - gradients, update_peak)


def _fake_weights(model: nn.Module) -> None:
    """Put a fake tensor in the place of each weight; a Decoder has no weight in two places."""
    for module in model.modules():
        for name, p in module._parameters.items():
            if p is not None:
                module._parameters[name] = nn.Parameter(torch.empty(p.shape, dtype=p.dtype))
