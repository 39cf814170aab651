"""Several adapters beside one model: which of them speak, which learn, and to which row.

The base is in memory once. An adapter is some thousandths of it, so that one process can serve a
model for each task, or for each customer, and change between two sentences.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from torch import nn

from minillm.finetune.lora import lora_layers
from minillm.finetune.token_rows import token_rows

Names = str | Iterable[str] | Mapping[str, float]


def adapter_names(model: nn.Module) -> list[str]:
    """Name the adapters of a model, in the order in which they were added."""
    layers = lora_layers(model).values()
    return list(dict.fromkeys(name for layer in layers for name in layer.adapters))


def activate(model: nn.Module, names: Names, *, train: bool = False) -> None:
    """Choose the adapters that speak from now on.

        W + sum_n weight_n scale_n B_n A_n

    Args:
        model: with adapters, from apply_lora.
        names: one name, several (they are added up), a dict of names and weights, or () for none:
            then the model is the base model.
        train: whether the chosen ones learn; the others never do. With train=False nothing does.

    Raises:
        ValueError: if the model has no adapter of that name, or adapters are merged.

    Lesson: notebooks/31_lora.ipynb
    """
    weights = _weights(model, names)
    for layer in lora_layers(model).values():
        layer.refuse_merged("change the active adapters")
    for layer in lora_layers(model).values():
        layer.choose({n: w for n, w in weights.items() if n in layer.adapters})
        for name, adapter in layer.adapters.items():
            adapter.requires_grad_(train and name in weights)
    for table in token_rows(model).values():
        table.active = table.name in weights
        table.rows.requires_grad_(train and table.active)


@contextmanager
def using(model: nn.Module, names: Names) -> Iterator[None]:
    """Let other adapters speak for a while; who learns stays as it is.

    `with using(model, ()):` gives the base model back, as a reference to compare with.

    Args:
        model, names: as in activate.

    Raises:
        ValueError: as in activate.

    Lesson: notebooks/31_lora.ipynb
    """
    weights = _weights(model, names)
    layers = list(lora_layers(model).values())
    for layer in layers:
        layer.refuse_merged("change the active adapters")
    tables = list(token_rows(model).values())
    before = [layer.active for layer in layers], [table.active for table in tables]
    try:
        for layer in layers:
            layer.choose({n: w for n, w in weights.items() if n in layer.adapters})
        for table in tables:
            table.active = table.name in weights
        yield
    finally:
        for layer, adapters in zip(layers, before[0], strict=True):
            layer.active = adapters
        for table, active in zip(tables, before[1], strict=True):
            table.active = active


@contextmanager
def by_row(model: nn.Module, names: Sequence[str | None]) -> Iterator[None]:
    """Give each row of a batch an adapter of its own: one pass of the base for all of them.

    Args:
        model: with adapters.
        names: one for each row; None leaves the row to the base model.

    Raises:
        ValueError: if the model has no adapter of that name, adapters are merged, or rows of the
            vocabulary learn, which count for a whole batch; in the forward pass, if there are not
            as many rows as names.

    Source: Chen et al. 2023 (Punica), arXiv:2310.18547; Sheng et al. 2023 (S-LoRA),
        arXiv:2311.03285.
    Lesson: notebooks/31_lora.ipynb
    """
    _weights(model, [name for name in names if name is not None])
    if token_rows(model):
        raise ValueError("rows of the vocabulary were learned: they count for the whole batch")
    layers = list(lora_layers(model).values())
    for layer in layers:
        layer.refuse_merged("give each row an adapter")
    try:
        for layer in layers:
            layer.assign(tuple(names))
        yield
    finally:
        for layer in layers:
            layer.assign(None)


def remove_adapter(model: nn.Module, name: str) -> None:
    """Take an adapter away; the layers stay ready for others.

    Raises:
        ValueError: if there is no such adapter, or adapters are merged.
    """
    _weights(model, name)
    for layer in lora_layers(model).values():
        layer.refuse_merged("remove an adapter")
    for layer in lora_layers(model).values():
        if name in layer.adapters:
            layer.drop(name)
    for path, table in token_rows(model).items():
        if table.name == name:
            model.set_submodule(path, table.base)


def adapter_parameters(model: nn.Module, name: str | None = None) -> dict[str, nn.Parameter]:
    """The parameters of one adapter (None: of all), by their names in the model."""
    found: dict[str, nn.Parameter] = {}
    for path, layer in lora_layers(model).items():
        for key, param in layer.named_parameters():
            place = key.split(".")
            if place[0] != "base" and name in (None, place[1]):
                found[f"{path}.{key}"] = param
    for path, table in token_rows(model).items():
        if name in (None, table.name):
            found[f"{path}.rows"] = table.rows
    return found


def _weights(model: nn.Module, names: Names) -> dict[str, float]:
    """Bring names into the form {name: weight}, and refuse those that the model has not."""
    if isinstance(names, str):
        names = [names]
    weights = dict(names) if isinstance(names, Mapping) else dict.fromkeys(names, 1.0)
    known = adapter_names(model)
    for name in weights:
        if name not in known:
            raise ValueError(f"the model has no adapter {name!r}; it has {known or 'none at all'}")
    return weights
