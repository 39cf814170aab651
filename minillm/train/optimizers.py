"""From settings to an optimizer: which kind, and which parameters decay."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from minillm.train.adafactor import Adafactor
from minillm.train.adam import Adam
from minillm.train.by_hand import check_betas, check_memory, check_not_negative, check_positive
from minillm.train.lion import Lion
from minillm.train.muon import Muon, muon_groups
from minillm.train.optimizer import AdamW
from minillm.train.sgd import SGD

Kind = Literal["adamw", "sgd", "adam", "adafactor", "palm", "lion", "muon"]
KINDS = ("adamw", "sgd", "adam", "adafactor", "palm", "lion", "muon")


@dataclass(frozen=True)
class OptimizerConfig:
    """How the weights are moved.

    Attributes:
        lr: the largest learning rate, reached at the end of the warm-up. Good values differ by
            kind: about a tenth of AdamW's for Lion, 0.02 for Muon, and for "adafactor" and
            "palm" a share of the size of the weights, 0.01.
        betas: memory of the mean and of the mean square of the gradient. Lion's second is nearer
            to 0.99. Not read by "sgd", "adafactor" and "palm".
        eps: added to the root in the denominator, where there is one.
        weight_decay: share of each decayed weight that is taken away a step, times lr. For "adam"
            it is L2 inside the gradient instead, which is not the same (lesson 20a).
        kind: "adamw", "sgd", "adam", "adafactor", "palm" (Adafactor, not factored, with a mean),
            "lion", or "muon" (matrices; AdamW moves all else).
        momentum: of "sgd" and "muon", and memory of the mean for "palm".
        adamw_lr: largest rate of what Muon leaves to AdamW; None means lr / 10.
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.1
    kind: Kind = "adamw"
    momentum: float = 0.9
    adamw_lr: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"optimizer.kind must be one of {', '.join(KINDS)}; got {self.kind!r}")
        check_betas(self.betas)
        check_not_negative(lr=self.lr, weight_decay=self.weight_decay)
        check_positive(eps=self.eps)
        check_memory(momentum=self.momentum)
        if self.adamw_lr is not None:
            check_not_negative(adamw_lr=self.adamw_lr)


def parameter_groups(
    model: nn.Module, weight_decay: float, *, skip: Iterable[str] = ()
) -> list[dict[str, Any]]:
    """Split the parameters into those that decay and those that do not.

    Matrices decay, the embedding too (it is the output matrix where the two are tied). Gains of
    norms and biases do not: pulling a gain towards 0 would switch its feature off.

    Args:
        model: any module; parameters that are frozen are left out.
        weight_decay: of the first group.
        skip: parts of names that must not decay either, such as "embedding".

    Returns:
        Two groups, {"params", "weight_decay"}, for AdamW or any optimizer of torch. A group
        without parameters is left out.

    Source: Radford et al. 2018 (GPT), section 4.1; Brown et al. 2020, arXiv:2005.14165, appendix B.
    Lesson: notebooks/20a_adamw.ipynb
    """
    skip = tuple(skip)
    decay: list[Tensor] = []
    keep: list[Tensor] = []
    for name, param in model.named_parameters():
        if param.requires_grad:
            exempt = param.ndim < 2 or any(part in name for part in skip)
            (keep if exempt else decay).append(param)
    groups: list[dict[str, Any]] = [
        {"params": decay, "weight_decay": weight_decay},
        {"params": keep, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def make_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Build the optimizer of a model, with the groups of parameter_groups (muon_groups for Muon).

    Args:
        model: whose parameters to train.
        config: the settings.

    Returns:
        The optimizer; AdamW unless the settings name another.

    Raises:
        ValueError: if no parameter of the model can be trained.

    Lesson: notebooks/20a_adamw.ipynb
    """
    c = config
    groups = parameter_groups(model, c.weight_decay)
    if not groups:
        raise ValueError("nothing to train: no parameter of the model requires a gradient")
    if c.kind == "adamw":
        return AdamW(groups, lr=c.lr, betas=c.betas, eps=c.eps)
    if c.kind == "lion":
        return Lion(groups, lr=c.lr, betas=c.betas)
    if c.kind == "sgd":
        return SGD(groups, lr=c.lr, momentum=c.momentum)
    if c.kind == "adam":
        for group in groups:
            group["l2"] = group.pop("weight_decay")
        return Adam(groups, lr=c.lr, betas=c.betas, eps=c.eps)
    if c.kind == "muon":
        other = c.lr / 10 if c.adamw_lr is None else c.adamw_lr
        groups = muon_groups(model, lr=c.lr, weight_decay=c.weight_decay, adamw_lr=other)
        return Muon(groups, momentum=c.momentum, betas=c.betas, eps=c.eps)
    palm = c.kind == "palm"
    beta1 = c.momentum if palm else 0.0
    return Adafactor(groups, lr=c.lr, relative=False, factored=not palm, beta1=beta1)
