"""Change a model from outside: freeze it, count what is trained, put other parts in its places.

Every method of lessons 31 and 32 begins in the same way: the weights that were learned stand
still, and something small is added. Here is what they share. A part is replaced by a wrapper that
holds it, never changed by a hook: whoever looks at the types of a model's parts sees the change.
"""

from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

from torch import nn

from minillm.model import MixtureOfExperts

Part = TypeVar("Part", bound=nn.Module)


def freeze(model: nn.Module) -> nn.Module:
    """Make every parameter stand still.

    Args:
        model: any module; changed in place.

    Returns:
        The same model.

    Lesson: notebooks/32_peft.ipynb
    """
    for param in model.parameters():
        param.requires_grad_(False)
    return model


def count_trainable(model: nn.Module) -> int:
    """Count the numbers that an optimizer would move.

    Args:
        model: any module. A parameter that two parts share counts once.

    Returns:
        The count; for a model without frozen parameters it includes the padding of the vocabulary.

    Lesson: notebooks/32_peft.ipynb
    """
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def named_places(model: nn.Module, targets: Collection[str]) -> list[str]:
    """Find the parts whose last name is one of the targets.

    Args:
        model: any module.
        targets: last names, such as "q" for blocks.0.attention.q.

    Returns:
        Full names, in the order of the model.

    Raises:
        ValueError: if there is no target, or one of them is nowhere in the model.

    Lesson: notebooks/32_peft.ipynb
    """
    if isinstance(targets, str) or not targets:
        raise ValueError(f"targets must be several names, such as ('q', 'v'); got {targets!r}")
    names = [n for n, _ in model.named_modules() if n.rpartition(".")[2] in targets]
    missing = set(targets) - {n.rpartition(".")[2] for n in names}
    if missing:
        known = sorted({n.rpartition(".")[2] for n, _ in model.named_modules() if n})
        raise ValueError(
            f"the model has no part named {', '.join(sorted(missing))}; it has {', '.join(known)}"
        )
    return names


def swap(
    model: nn.Module, targets: Collection[str], make: Callable[[nn.Module], nn.Module]
) -> list[str]:
    """Put a new part in the place of each part whose last name is one of the targets.

    Args:
        model: any module; changed in place.
        targets: last names, such as ("q", "v").
        make: takes the part that was there and returns the one that takes its place, usually a
            wrapper around it. All places are found before the first is changed.

    Returns:
        The full names of the places, in the order of the model.

    Raises:
        ValueError: if a target is nowhere in the model.

    Lesson: notebooks/32_peft.ipynb
    """
    return replace(model, named_places(model, targets), make)


def replace(
    model: nn.Module, names: Iterable[str], make: Callable[[nn.Module], nn.Module]
) -> list[str]:
    """Put a new part in each of the named places; as swap, with full names."""
    names = list(names)
    for name in names:
        model.set_submodule(name, make(model.get_submodule(name)))
    return names


def parts_of(model: nn.Module, kind: type[Part]) -> Iterable[tuple[str, Part]]:
    """Walk through the parts of a kind, with their names, in the order of the model."""
    return ((name, part) for name, part in model.named_modules() if isinstance(part, kind))


def refuse_experts(model: nn.Module) -> None:
    """Raise a ValueError for a model with experts: it reads their matrices past their layers."""
    if any(isinstance(part, MixtureOfExperts) for part in model.modules()):
        raise ValueError("this does not reach the experts of a mixture; take a model without them")
