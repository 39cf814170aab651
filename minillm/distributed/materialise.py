"""Give memory and a start to a model that was cut on the meta device.

The start must not depend on how many ranks there are. So every rank draws every matrix as a whole,
in the order and from the generator of the ordinary initialisation, keeps its own part, and lets the
rest go before the next is drawn. For 70 B parameters that is some minutes of drawing and never more
than one matrix of memory.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from minillm.model import DecoderConfig
from minillm.model.initialise import initialise


class _Part:
    """One layer of the model with whole weights, shown to `initialise` as if it were a model."""

    def __init__(self, name: str, layer: nn.Module, device: torch.device | str) -> None:
        self.name = name
        self.layer = object.__new__(type(layer))
        self.layer.__dict__ = {**layer.__dict__, "_modules": {}}
        self.layer._parameters = {
            key: None
            if p is None
            else nn.Parameter(torch.empty(p.shape, dtype=p.dtype, device=device))
            for key, p in layer._parameters.items()
        }

    def named_modules(self) -> Iterator[tuple[str, nn.Module]]:
        yield self.name, self.layer

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        for key, param in self.layer._parameters.items():
            if param is not None:
                yield f"{self.name}.{key}", param

    def parameters(self) -> Iterator[Tensor]:
        return (param for _, param in self.named_parameters())


def _plain(layer: nn.Module) -> dict[str, Tensor | None]:
    """The parameters of a layer in their whole shape, on the meta device."""
    return {
        key: None if p is None else torch.empty(p.shape, dtype=p.dtype, device="meta")
        for key, p in layer._parameters.items()
    }


@torch.no_grad()
def materialise(
    model: nn.Module, config: DecoderConfig, *, seed: int, device: torch.device | str
) -> None:
    """Allocate the parts of a sharded model and set them to the ordinary start.

        for each layer, in order:  whole = initialise(layer);  part = my share of whole

    Args:
        model: on the meta device, its parameters DTensors (or plain, if nothing is cut).
        config: what initialise goes by.
        seed: torch.manual_seed(seed) precedes the first draw.
        device: where the parts live, and where the whole matrices are drawn.

    Cost: every rank draws all numbers of the model once.
    Lesson: notebooks/24_fsdp.ipynb
    """
    if not next(model.parameters()).is_meta:
        raise ValueError("materialise fills a model of the meta device; this one has its weights")
    model.to_empty(device=device)
    torch.manual_seed(seed)
    for name, layer in model.named_modules():
        if not any(p is not None for p in layer._parameters.values()):
            continue
        whole = _Part(name, layer, device)
        initialise(whole, config)  # type: ignore[arg-type]
        for key, param in layer._parameters.items():
            if param is not None:
                _copy_share(param, whole.layer._parameters[key])  # type: ignore[arg-type]


def _copy_share(param: Tensor, values: Tensor) -> None:
    """Copy into a parameter its own part of the whole, without talking to anyone."""
    if not isinstance(param, DTensor):
        param.copy_(values)
        return
    mine = distribute_tensor(
        values.detach(), param.device_mesh, param.placements, src_data_rank=None
    )
    param.to_local().copy_(mine.to_local())
