"""Which layers of a model are meant: linear layers, by the ends of their names."""

from collections.abc import Iterable

from torch import nn


def find_targets(model: nn.Module, targets: str | Iterable[str]) -> list[str]:
    """Name the linear layers that targets mean, in the order of the model.

    Args:
        model: any module. Of a layer that has an adapter, the layer as a whole is meant.
        targets: ends of names, "q" or "attention.q" or a whole name, or several of them; "all"
            means every linear layer but the output matrix.

    Returns:
        Their full names.

    Raises:
        ValueError: if a target matches no linear layer, or there is no target.

    Lesson: notebooks/31_lora.ipynb
    """
    inside = {f"{path}." for path, m in model.named_modules() if _is_wrapper(m)}
    layers = [
        path
        for path, module in model.named_modules(remove_duplicate=False)
        if path and _is_linear(module) and not any(path.startswith(outer) for outer in inside)
    ]
    if targets == "all":
        return [path for path in layers if path.split(".")[-1] not in ("head", "lm_head")]
    wanted = [targets] if isinstance(targets, str) else list(targets)
    for target in wanted or [""]:
        if not any(_ends(path, target) for path in layers):
            leaves = ", ".join(dict.fromkeys(path.split(".")[-1] for path in layers))
            raise ValueError(f"no linear layer ends in {target!r}; there are: {leaves}")
    return [path for path in layers if any(_ends(path, target) for target in wanted)]


def widths(layer: nn.Module) -> tuple[int, int]:
    """Give d_in and d_out of a linear layer, ours, torch's or a quantised one."""
    for names in (("d_in", "d_out"), ("in_features", "out_features")):
        found = [getattr(layer, name, None) for name in names]
        if all(isinstance(n, int) for n in found):
            return int(found[0]), int(found[1])  # type: ignore[arg-type]
    raise ValueError(
        f"{type(layer).__name__} has no d_in and d_out (nor in_features and out_features); "
        "LoRA adapts linear layers"
    )


def _is_linear(module: nn.Module) -> bool:
    """Whether a module is a linear layer: it knows its widths and has no parts."""
    if _is_wrapper(module):
        return True
    try:
        widths(module)
    except ValueError:
        return False
    return not any(True for _ in module.children())


def _ends(path: str, target: str) -> bool:
    return bool(target) and f".{path}".endswith(f".{target}")


def _is_wrapper(module: nn.Module) -> bool:
    """Whether a linear layer lies inside: a LoRALinear, or what is made like it."""
    inner = isinstance(getattr(module, "base", None), nn.Module)
    return inner and isinstance(getattr(module, "d_in", None), int)
