"""How many numbers each optimizer keeps for a parameter, counted from shapes alone."""

import math
from collections.abc import Iterable

import torch
from torch import nn

STATES = (
    "sgd", "momentum", "adagrad", "rmsprop", "adam", "adamw", "lion", "muon",
    "adafactor", "adafactor_momentum", "adafactor_unfactored", "palm",
)  # fmt: skip
PER_NUMBER = {  # numbers for each number of the parameter, whatever its shape
    "sgd": 0, "momentum": 1, "adagrad": 1, "rmsprop": 1, "adam": 2, "adamw": 2, "lion": 1,
    "adafactor_unfactored": 1, "palm": 2,
}  # fmt: skip


def state_numbers(kind: str, shape: Iterable[int]) -> int:
    """Count the numbers that an optimizer keeps for one parameter.

        sgd 0 · momentum, adagrad, rmsprop, lion nm · adam, adamw 2 nm
        muon nm for a matrix, else 2 nm (AdamW moves it)
        adafactor n + m for a matrix, and nm for what is none; with a mean, nm more
        palm (Adafactor, not factored, with a mean) 2 nm

    Args:
        kind: one of STATES.
        shape: of the parameter; of more than two axes, Adafactor factors the last two.

    Returns:
        Numbers. The step count of a parameter is not among them.

    Raises:
        ValueError: if kind is not one of STATES.

    Source: Shazeer and Stern 2018, arXiv:1804.04235, section 3; Chowdhery et al. 2022 (PaLM),
        arXiv:2204.02311, section 5.
    Lesson: notebooks/20b_adafactor.ipynb
    """
    if kind not in STATES:
        raise ValueError(f"kind must be one of {', '.join(STATES)}; got {kind!r}")
    shape = tuple(shape)
    n = math.prod(shape)
    if kind in PER_NUMBER:
        return PER_NUMBER[kind] * n
    if kind == "muon":
        return n if len(shape) == 2 else 2 * n
    squares = n
    if len(shape) >= 2:
        squares = math.prod(shape[:-1]) + math.prod(shape[:-2]) * shape[-1]
    return squares + (n if kind == "adafactor_momentum" else 0)


def model_state_numbers(
    kind: str, model: nn.Module, *, skip: Iterable[str] = ("embedding", "head", "position")
) -> int:
    """Count the numbers that an optimizer keeps for all parameters of a model that are trained.

    Args:
        kind: one of STATES.
        model: any module.
        skip: parts of names that Muon leaves to AdamW; see muon_groups.

    Returns:
        Numbers; times 4 they are bytes, in float32.

    Raises:
        ValueError: if kind is not one of STATES.

    Lesson: notebooks/20b_adafactor.ipynb
    """
    skip = tuple(skip)
    total = 0
    for name, p in model.named_parameters():
        if p.requires_grad:
            to_adamw = kind == "muon" and any(part in name for part in skip)
            total += state_numbers("adamw" if to_adamw else kind, p.shape)
    return total


def live_numbers(optimizer: torch.optim.Optimizer) -> int:
    """Count the numbers in the tensors that an optimizer holds now.

    Args:
        optimizer: any that has made at least one step.

    Returns:
        Numbers, without tensors of a single number (torch keeps step counts in such).
    """
    states = optimizer.state.values()
    tensors = [t for state in states for t in state.values() if isinstance(t, torch.Tensor)]
    return sum(t.numel() for t in tensors if t.ndim > 0)
