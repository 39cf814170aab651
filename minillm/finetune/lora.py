"""LoRA: leave a matrix as it is, and learn a thin correction beside it.

    y = x W^T + (alpha / r) (x A^T) B^T         W (O, I) frozen,  A (r, I),  B (O, r),  r small

- B starts at zero, so that the adapted model is the base model, to the last bit, until it learns.
- The correction is a matrix of rank r at most. It can be added to W once and for all: merge.py.
- A layer can hold several adapters of different names; switch.py says which of them speak.
- Nothing here touches the model's code: a Linear is replaced by a layer that holds it. Everything
  trained is an ordinary parameter, so that FSDP cuts it like any other.

Shape letters: O outputs (d_out) and I inputs (d_in) of a matrix, r rank.
"""

from collections.abc import Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from minillm.finetune.low_rank import LowRank
from minillm.finetune.targets import find_targets, widths

Model = TypeVar("Model", bound=nn.Module)


class LoRALinear(nn.Module):
    """A linear layer that stays as it is, and the adapters beside it.

        y = base(x) + sum over active adapters of  weight_n scale_n (x A_n^T) B_n^T

    Args:
        base: a Linear of ours or of torch, or any layer that knows its widths (d_in and d_out, or
            in_features and out_features), a quantised one for example. Its parameters are frozen.
        rank, alpha, stable, dropout: of the first adapter; see LowRank.
        name: of the first adapter.
        dtype: of A and B; None means that of the base, and float32 where that has 16 bits or is
            no floating number: small steps would be rounded away.

    Attributes:
        base: the layer.
        adapters: name: LowRank.
        active: name: weight, of those that speak.
        merged: whether they are added to the base's matrix now (merge.py).

    Raises:
        ValueError: if a setting is wrong, or the widths of base are not known.

    Cost: that of the base and of the active adapters. In the backward pass the base costs half as
        much as it would if it were trained: there is no gradient of W.
    Source: Hu et al. 2021, arXiv:2106.09685, equation 3.
    Lesson: notebooks/31_lora.ipynb
    """

    original: Tensor | None

    def __init__(
        self,
        base: nn.Module,
        rank: int,
        alpha: float,
        *,
        stable: bool = False,
        dropout: float = 0.0,
        name: str = "default",
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.d_in, self.d_out = widths(base)
        self.base = base.requires_grad_(False)
        self.adapters = nn.ModuleDict()
        self.active: dict[str, float] = {}
        self.rows: tuple[str | None, ...] | None = None  # which adapter reads which row
        self._learning: list[nn.Parameter] = []  # what merge has stopped
        self.register_buffer("original", None, persistent=False)  # W, while merged
        self.register_state_dict_pre_hook(_refuse_merged)
        self.add(name, rank, alpha, stable=stable, dropout=dropout, dtype=dtype)

    def add(
        self,
        name: str,
        rank: int,
        alpha: float,
        *,
        stable: bool = False,
        dropout: float = 0.0,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Put one more adapter beside the others, and let it alone be active.

        Raises:
            ValueError: if the name is taken, empty or has a dot in it; or the layer is merged.
        """
        if name in self.adapters:
            raise ValueError(f"there is an adapter {name!r} already; take another name")
        if not name or "." in name or hasattr(self.adapters, name):
            raise ValueError(f"{name!r} cannot be the name of an adapter: no dots, not empty")
        self.refuse_merged("add an adapter")
        like = _tensor_of(self.base)
        options: dict[str, Any] = {"stable": stable, "dropout": dropout, "device": like.device}
        options["dtype"] = dtype or _adapter_dtype(like.dtype)
        self.adapters[name] = self.make_adapter(rank, alpha, **options)
        self.active = {name: 1.0}

    def make_adapter(self, rank: int, alpha: float, **options: Any) -> LowRank:
        """Make what stands beside the matrix; a variant of LoRA makes something else."""
        return LowRank(self.d_in, self.d_out, rank, alpha, **options)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., I) to (..., O)."""
        y: Tensor = self.base(x)
        if self.merged:
            return y
        if self.rows is not None:
            return self._row_by_row(x, y)
        for name, weight in self.active.items():
            said: Tensor = self.adapters[name](x)
            y = y + (said if weight == 1 else weight * said).to(y.dtype)
        return y

    def _row_by_row(self, x: Tensor, y: Tensor) -> Tensor:
        """Let each row of the batch, the first axis, ask its own adapter."""
        if self.rows is None or len(self.rows) != x.shape[0]:
            n = 0 if self.rows is None else len(self.rows)
            raise ValueError(f"{n} names for {x.shape[0]} rows; give one name (or None) a row")
        for name in dict.fromkeys(self.rows):
            if name is not None and name in self.adapters:
                mine = [i for i, one in enumerate(self.rows) if one == name]
                here = torch.tensor(mine, device=x.device)
                y = y.index_add(0, here, self.adapters[name](x[here]).to(y.dtype))
        return y

    @property
    def merged(self) -> bool:
        """Whether the active adapters are in the base's matrix now."""
        return self.original is not None

    @property
    def weight(self) -> Tensor:
        """The matrix that the layer amounts to, (O, I): W, and the active corrections."""
        weight = self.matrix()
        if self.merged or not self.active:
            return weight
        return self.adapted(weight).to(weight.dtype)

    @property
    def bias(self) -> Tensor | None:
        """The base's bias, (O,), or None."""
        return getattr(self.base, "bias", None)

    def matrix(self) -> Tensor:
        """Give W, (O, I), as it stands in the base."""
        weight = self.base.weight
        assert isinstance(weight, Tensor)
        return weight

    def adapter(self, name: str) -> LowRank:
        """Give an adapter by its name."""
        found = self.adapters[name]
        assert isinstance(found, LowRank)
        return found

    def adapted(self, weight: Tensor) -> Tensor:
        """Add the active corrections to a matrix, (O, I), in the precision of the adapters."""
        for name, share in self.active.items():
            weight = weight + share * self.adapter(name).update()  # the wider dtype of the two
        return weight

    def choose(self, active: dict[str, float]) -> None:
        """Let these adapters speak, each with its weight."""
        self.active = active

    def assign(self, rows: tuple[str | None, ...] | None) -> None:
        """Give each row of a batch an adapter of its own; None: `active` counts again."""
        self.rows = rows

    def drop(self, name: str) -> None:
        """Take one adapter away."""
        del self.adapters[name]
        self.active.pop(name, None)

    @torch.no_grad()
    def merge(self) -> None:
        """Add the active corrections to W, and keep the old W; see merge.merge_adapters."""
        weight = self.matrix()
        new, self.original = self.weight, weight.detach().clone()
        self._learning = [p for p in self.adapters.parameters() if p.requires_grad]
        for param in self._learning:
            param.requires_grad_(False)
        weight.copy_(new)

    @torch.no_grad()
    def unmerge(self) -> None:
        """Put the old W back; see merge.unmerge_adapters."""
        assert self.original is not None
        self.matrix().copy_(self.original)
        self.original = None
        for param in self._learning:
            param.requires_grad_(True)

    def refuse_merged(self, wish: str) -> None:
        """Refuse what would go wrong while the adapters are part of the base's matrix."""
        if self.merged:
            raise ValueError(f"cannot {wish} while adapters are merged; unmerge_adapters first")

    def extra_repr(self) -> str:
        """Say the state when the module is printed."""
        return f"active={list(self.active)}, merged={self.merged}"


def apply_lora(
    model: Model,
    targets: str | Iterable[str] = ("q", "v"),
    *,
    rank: int = 8,
    alpha: float = 16.0,
    stable: bool = False,
    dropout: float = 0.0,
    name: str = "default",
    layer: type[LoRALinear] = LoRALinear,
) -> Model:
    """Put an adapter beside every matrix that is named, and freeze all else.

    Args:
        model: changed in place. A Decoder, or any model made of Linear layers.
        targets: ends of the names of linear layers, "q" or "attention.q" or a whole name; "all"
            means every linear layer but the output matrix. Called again with another `name`, it
            puts a second adapter beside the first; then only the new one is active and trained.
        rank, alpha, stable, dropout: see LowRank. A and B are drawn from torch's generator, in the
            order of the layers: torch.manual_seed beforehand makes them repeatable.
        name: of the adapter.
        layer: LoRALinear, or a variant of it such as DoRALinear.

    Returns:
        The model itself.

    Raises:
        ValueError: if a target matches no linear layer, or a setting is wrong.

    Source: Hu et al. 2021, arXiv:2106.09685, section 7.1 (which matrices: query and value).
    Lesson: notebooks/31_lora.ipynb
    """
    found = find_targets(model, targets)
    for earlier in lora_layers(model).values():
        earlier.refuse_merged("add an adapter")
    model.requires_grad_(False)
    made: dict[nn.Module, LoRALinear] = {}  # a layer that stands in two places stays one
    settings: dict[str, Any] = {"stable": stable, "dropout": dropout, "name": name}
    for path in found:
        old = model.get_submodule(path)
        if isinstance(old, LoRALinear):
            if old not in made.values():
                old.add(rank=rank, alpha=alpha, **settings)
                made[old] = old
        else:
            if old not in made:
                made[old] = layer(old, rank, alpha, **settings).train(old.training)
            model.set_submodule(path, made[old])
    for each in lora_layers(model).values():
        each.choose({name: 1.0} if name in each.adapters else {})
        if name in each.adapters:
            each.adapters[name].train(each.training).requires_grad_(True)
    return model


def lora_layers(model: nn.Module) -> dict[str, LoRALinear]:
    """The layers of a model that have adapters, by their names."""
    return {path: m for path, m in model.named_modules() if isinstance(m, LoRALinear)}


def _tensor_of(layer: nn.Module) -> Tensor:
    for tensor in (*layer.parameters(), *layer.buffers()):
        return tensor
    raise ValueError(f"{type(layer).__name__} holds no tensor, so that there is nothing to adapt")


def _adapter_dtype(dtype: torch.dtype) -> torch.dtype:
    wide = dtype.is_floating_point and torch.finfo(dtype).bits >= 32
    return dtype if wide else torch.float32


def _refuse_merged(layer: nn.Module, _prefix: str, _keep_vars: bool) -> None:
    if isinstance(layer, LoRALinear):
        layer.refuse_merged("save the weights, which would count the update twice,")
