"""Muon: a matrix moves along the nearest orthogonal matrix, so that all directions move alike.

- newton_schulz brings the singular values of a matrix near 1 by products of matrices alone. Its
  quintic is chosen for a steep start, not for an exact end: after five rounds they lie between
  about 0.7 and 1.2.
- Only the matrices between the layers are moved so. Embedding, output matrix, gains and biases go
  to AdamW: muon_groups splits a model, and the class Muon does both.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from minillm.train.by_hand import ByHand, check_memory, check_not_negative, check_positive
from minillm.train.optimizer import adamw_step

QUINTIC = (3.4445, -4.7750, 2.0315)
SCALES = ("original", "match_adamw")


def newton_schulz(
    g: Tensor,
    *,
    rounds: int = 5,
    coefficients: tuple[float, float, float] = QUINTIC,
    dtype: torch.dtype | None = torch.bfloat16,
    eps: float = 1e-7,
) -> Tensor:
    """Bring all singular values of a matrix near 1, and leave its singular vectors.

        X = g / |g|;        each round:  A = X X^T,   X = a X + (b A + c A A) X

    A round maps a singular value s to a s + b s^3 + c s^5. With coefficients (1.5, -0.5, 0) it is
    the classical iteration, which ends at 1 exactly but starts slowly.

    Args:
        g: a matrix, (n, m).
        rounds: how often; 5 is usual.
        coefficients: a, b, c.
        dtype: to compute in; None means g's. bfloat16 is what Muon uses: what is wanted is a
            direction, and the values are inexact anyhow.
        eps: the norm that g is divided by is at least this.

    Returns:
        The matrix, (n, m), in g's dtype.

    Raises:
        ValueError: if g is not a matrix, or rounds is negative.

    Cost: rounds (4 n^2 m + 2 n^3) FLOPs for n <= m: the small side is the one that is squared.
    Source: Jordan et al. 2024, kellerjordan.github.io/posts/muon; Liu et al. 2025,
        arXiv:2502.16982, section 2.1.
    Lesson: notebooks/20b_adafactor.ipynb
    """
    if g.ndim != 2:
        raise ValueError(f"newton_schulz needs a matrix, got shape {tuple(g.shape)}")
    if rounds < 0:
        raise ValueError(f"rounds must not be negative, got {rounds}")
    a, b, c = coefficients
    x = g.to(dtype or g.dtype)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / x.norm().clamp(min=eps)  # the largest singular value is at most the norm
    for _ in range(rounds):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if tall else x).to(g.dtype)


def muon_scale(shape: torch.Size | tuple[int, ...], scale: str = "original") -> float:
    """Give the factor of a matrix's step, which an orthogonal matrix of its shape needs.

        "original":     sqrt(max(1, n / m))
        "match_adamw":  0.2 sqrt(max(n, m)), so that the root mean square of a step is 0.2, about
                        what AdamW's is, and its learning rate can be kept

    Args:
        shape: (n, m).
        scale: which of the two.

    Returns:
        The factor.

    Raises:
        ValueError: if scale is neither.

    Source: Jordan et al. 2024 (original); Liu et al. 2025, arXiv:2502.16982, section 2.2.
    Lesson: notebooks/20b_adafactor.ipynb
    """
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}")
    n, m = shape
    return math.sqrt(max(1, n / m)) if scale == "original" else 0.2 * math.sqrt(max(n, m))


def muon_step(
    param: Tensor,
    grad: Tensor,
    m: Tensor,
    *,
    lr: float,
    momentum: float = 0.95,
    nesterov: bool = True,
    weight_decay: float = 0.0,
    rounds: int = 5,
    scale: str = "original",
    exact: bool = False,
) -> None:
    """Move one matrix by one step, in place; param and m change.

        m = momentum m + (1 - momentum) grad
        d = momentum m + (1 - momentum) grad  if nesterov, else m
        param = param (1 - lr weight_decay) - lr muon_scale newton_schulz(d)

    Args:
        param: a matrix, (n, m).
        grad: its gradient, same shape.
        m: running mean of the gradient, same shape; zeros before the first step.
        lr: the learning rate.
        momentum: memory of m, in [0, 1).
        nesterov: look one step ahead.
        weight_decay: share of each weight that is taken away a step, times lr.
        rounds: as in newton_schulz.
        scale: as in muon_scale.
        exact: compute newton_schulz in grad's own dtype, not in bfloat16.

    Cost: the state is as large as the weights, half of Adam's; FLOPs as in newton_schulz, a few
        per cent of a training step where many tokens share it.
    Source: as newton_schulz.
    Lesson: notebooks/20b_adafactor.ipynb
    """
    m.lerp_(grad, 1 - momentum)
    direction = grad.lerp(m, momentum) if nesterov else m
    direction = newton_schulz(direction, rounds=rounds, dtype=None if exact else torch.bfloat16)
    param.mul_(1 - lr * weight_decay)
    param.add_(direction, alpha=-lr * muon_scale(param.shape, scale))


class Muon(ByHand):
    """Muon for the matrices of a model, AdamW for all else; see muon_groups.

    Args:
        params: matrices, or groups. A group with "orthogonal": False is moved by adamw_step, with
            its own lr, betas, eps and weight_decay.
        lr, momentum, nesterov, weight_decay, rounds, scale, exact: as in muon_step.
        betas, eps: of the groups that AdamW moves.

    Raises:
        ValueError: if a setting is out of range, or an orthogonal group holds what is no matrix.

    Source: as muon_step; the split as muon_groups.
    Lesson: notebooks/20b_adafactor.ipynb
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-2,
        momentum: float = 0.95,
        *,
        nesterov: bool = True,
        weight_decay: float = 0.0,
        rounds: int = 5,
        scale: str = "original",
        exact: bool = False,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
    ) -> None:
        defaults: dict[str, Any] = {
            "lr": lr,
            "momentum": momentum,
            "nesterov": nesterov,
            "rounds": rounds,
        }
        defaults |= {"weight_decay": weight_decay, "scale": scale, "exact": exact}
        super().__init__(params, {**defaults, "betas": betas, "eps": eps, "orthogonal": True})

    def check(self, group: dict[str, Any]) -> None:
        """See ByHand."""
        check_not_negative(lr=group["lr"], weight_decay=group["weight_decay"])
        check_memory(momentum=group["momentum"], beta1=group["betas"][0], beta2=group["betas"][1])
        check_positive(eps=group["eps"])
        muon_scale((1, 1), group["scale"])
        for p in group["params"]:
            if group["orthogonal"] and p.ndim != 2:
                raise ValueError(
                    f"Muon moves matrices, got a parameter of shape {tuple(p.shape)}: put it in a "
                    'group with "orthogonal": False, as muon_groups does'
                )

    def fresh(self, param: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        """See ByHand."""
        m = {"m": torch.zeros_like(param)}
        return m if group["orthogonal"] else {**m, "v": torch.zeros_like(param)}

    def move(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: Any) -> None:
        """See ByHand."""
        how = {k: group[k] for k in ("lr", "weight_decay")}
        if group["orthogonal"]:
            how |= {k: group[k] for k in ("momentum", "nesterov", "rounds", "scale", "exact")}
            muon_step(param, grad, state["m"], **how)
        else:
            how |= {k: group[k] for k in ("betas", "eps")}
            adamw_step(param, grad, state["m"], state["v"], step=state["step"], **how)


def muon_groups(
    model: nn.Module,
    *,
    lr: float,
    weight_decay: float,
    adamw_lr: float,
    skip: Iterable[str] = ("embedding", "head", "position"),
) -> list[dict[str, Any]]:
    """Split the parameters of a model into those for Muon and those for AdamW.

    Muon gets the matrices, but for tables and the output matrix. Its author leaves those to AdamW:
    for the embedding that follows from a theory of norms, for the output matrix from trials alone.

    Args:
        model: any module; frozen parameters are left out.
        lr: of the matrices.
        weight_decay: of the matrices, and of the tables.
        adamw_lr: of all else.
        skip: parts of names that are not for Muon, whatever their shape.

    Returns:
        Groups for Muon: matrices; tables; gains and biases, which do not decay. Those without
        parameters are left out.

    Raises:
        ValueError: if no parameter of the model can be trained.

    Source: Jordan et al. 2024, kellerjordan.github.io/posts/muon; Liu et al. 2025,
        arXiv:2502.16982, section 2.1.
    Lesson: notebooks/20b_adafactor.ipynb
    """
    skip = tuple(skip)
    matrices: list[Tensor] = []
    tables: list[Tensor] = []
    vectors: list[Tensor] = []
    for name, p in model.named_parameters():
        if p.requires_grad:
            named = any(part in name for part in skip)
            (vectors if p.ndim < 2 else matrices if p.ndim == 2 and not named else tables).append(p)
    adamw = {"orthogonal": False, "lr": adamw_lr}
    groups: list[dict[str, Any]] = [
        {"params": matrices, "orthogonal": True, "lr": lr, "weight_decay": weight_decay},
        {"params": tables, **adamw, "weight_decay": weight_decay},
        {"params": vectors, **adamw, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if not groups:
        raise ValueError("nothing to train: no parameter of the model requires a gradient")
    return groups
