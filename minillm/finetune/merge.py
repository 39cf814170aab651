"""Add adapters to the matrices that they correct, and take them out again.

While merged, the model does exactly the work of the base model: nothing slows it down. Unmerging
gives the old matrix back to the last bit, as it was kept; subtracting the update instead would
leave a rounding behind, and with 16-bit weights a large one. fold_adapters keeps nothing: the
result is a plain model again, whose files everybody can read.
"""

from typing import TypeVar

from torch import nn

from minillm.finetune.lora import LoRALinear, lora_layers
from minillm.finetune.token_rows import token_rows

Model = TypeVar("Model", bound=nn.Module)


def merge_adapters(model: nn.Module) -> None:
    """Add the active adapters to the matrices that they correct, W <- W + sum of updates.

    Args:
        model: with adapters. Its gradients are switched off while it is merged: an update of
            A and B would change nothing.

    Raises:
        ValueError: if there is no adapter, or a matrix is not of floating numbers (a quantised
            base: fold into a dequantised copy instead).

    Cost: 2 O I r FLOPs a matrix, once; and the old matrices, kept until unmerge_adapters.
    Source: Hu et al. 2021, arXiv:2106.09685, section 4.1 ("No Additional Inference Latency").
    Lesson: notebooks/31_lora.ipynb
    """
    layers = _layers(model)
    for path, layer in layers.items():
        _check_mergeable(path, layer)
    for layer in layers.values():
        if not layer.merged:
            layer.merge()


def unmerge_adapters(model: nn.Module) -> None:
    """Give the base its own matrices back, bit for bit; what learned before learns again.

    Raises:
        ValueError: if there is no adapter.

    Lesson: notebooks/31_lora.ipynb
    """
    for layer in _layers(model).values():
        if layer.merged:
            layer.unmerge()


def fold_adapters(model: Model) -> Model:
    """Merge for good: a plain model without adapters, with parts and names as before.

    Args:
        model: with adapters; changed in place. All its parameters can be trained again.

    Returns:
        The model itself.

    Raises:
        ValueError: as merge_adapters.

    Lesson: notebooks/31_lora.ipynb
    """
    merge_adapters(model)
    for table in token_rows(model).values():
        table.fold()
    return _unwrapped(model)


def drop_adapters(model: Model) -> Model:
    """Take all adapters off: the base model as it was, its parameters free to be trained.

    Raises:
        ValueError: if there is no adapter.

    Lesson: notebooks/31_lora.ipynb
    """
    unmerge_adapters(model)
    return _unwrapped(model)


def _unwrapped(model: Model) -> Model:
    for path, layer in model.named_modules(remove_duplicate=False):
        if isinstance(layer, LoRALinear):
            model.set_submodule(path, layer.base)
    for path, table in token_rows(model).items():
        model.set_submodule(path, table.base)
    return model.requires_grad_(True)


def _layers(model: nn.Module) -> dict[str, LoRALinear]:
    layers = lora_layers(model)
    if not layers:
        raise ValueError("the model has no adapters; apply_lora puts them in")
    return layers


def _check_mergeable(path: str, layer: LoRALinear) -> None:
    weight = layer.base._parameters.get("weight")
    if weight is None or not weight.is_floating_point():
        raise ValueError(
            f"{path} has no matrix of floating numbers to add an update to "
            f"({type(layer.base).__name__}); dequantise the base first"
        )
