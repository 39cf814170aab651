"""AdaLoRA: an update in the form of an SVD, whose singular values have to earn their place.

    y = x W^T + (alpha / r) x Q^T diag(lambda) P^T        P: (d_out, r), lambda: (r,), Q: (r, d_in)

- Each triplet (a column of P, its lambda, a row of Q) is worth something; the worth of all triplets
  of all matrices is compared, and the least lose their lambda. So ranks move to where they matter.
- P and Q keep training when their lambda is zero; what was cut may come back at a later step.
- They are only kept near to orthogonal, by a term in the loss; no SVD is ever computed.
- Sensitivities are buffers of the layers, so that a checkpoint of the model holds all there is.

Shape letters: d_in, d_out widths of a matrix, r its rank at the start.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minillm.finetune.parts import freeze, parts_of, refuse_experts, replace
from minillm.finetune.targets import find_targets
from minillm.model import Decoder
from minillm.model.layers import Linear

TRAINED = ("left", "values", "right")


class SVDLinear(nn.Module):
    """A frozen linear layer and an update P diag(lambda) Q, which is zero at the start.

        y = base(x) + (alpha / r) x Q^T diag(lambda) P^T

    Args:
        base: the layer, with d_in and d_out.
        rank: r.
        alpha: the update is multiplied by alpha / r.

    Attributes:
        left, values, right: P, lambda and Q.

    Raises:
        ValueError: if the rank is smaller than 1 or larger than a width.

    Cost: r (d_in + d_out + 1) numbers.
    Source: Zhang et al. 2023, arXiv:2303.10512, section 3.1.
    Lesson: notebooks/32_peft.ipynb
    """

    def __init__(self, base: Linear, rank: int, alpha: float) -> None:
        super().__init__()
        d_in, d_out = base.d_in, base.d_out
        if not 1 <= rank <= min(d_in, d_out):
            raise ValueError(f"rank must lie in 1 to {min(d_in, d_out)}, got {rank}")
        self.base, self.d_in, self.d_out = base, d_in, d_out
        self.rank, self.scale = rank, alpha / rank
        new = base.weight.detach()  # for the device and the precision
        self.left = nn.Parameter(new.new_empty(d_out, rank).normal_(std=0.02))
        self.values = nn.Parameter(new.new_zeros(rank))
        self.right = nn.Parameter(new.new_empty(rank, d_in).normal_(std=0.02))
        for name in TRAINED:
            shape = getattr(self, name).shape
            self.register_buffer(f"{name}_sensitivity", new.new_zeros(shape))
            self.register_buffer(f"{name}_uncertainty", new.new_zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., d_in) to (..., d_out)."""
        inner = F.linear(x, self.right) * (self.scale * self.values)  # (..., r)
        y: Tensor = self.base(x) + F.linear(inner, self.left)
        return y

    def delta(self) -> Tensor:
        """Give the update as a matrix, (d_out, d_in)."""
        return self.scale * (self.left * self.values) @ self.right

    @torch.no_grad()
    def merged(self) -> Linear:
        """Add the update to the layer, and give it back; the wrapper is done with."""
        self.base.weight.add_(self.delta())
        return self.base

    def penalty(self) -> Tensor:
        """Say how far P and Q are from orthogonal, a scalar: |P^T P - I|^2 + |Q Q^T - I|^2."""
        eye = torch.eye(self.rank, device=self.left.device, dtype=self.left.dtype)
        left, right = self.left.mT @ self.left - eye, self.right @ self.right.mT - eye
        return left.square().sum() + right.square().sum()

    @torch.no_grad()
    def observe(self, beta1: float, beta2: float) -> None:
        """Take the sensitivity |w g| of every number into the running means."""
        for name in TRAINED:
            param = getattr(self, name)
            if param.grad is None:
                raise ValueError("no gradient to observe: call after backward, before zero_grad")
            now = (param * param.grad).abs()
            mean = getattr(self, f"{name}_sensitivity")
            mean.mul_(beta1).add_(now, alpha=1 - beta1)
            spread = getattr(self, f"{name}_uncertainty")
            spread.mul_(beta2).add_((now - mean).abs(), alpha=1 - beta2)

    def scores(self) -> Tensor:
        """Give the worth of each triplet, (r,): s(lambda_i) + mean s(P_i) + mean s(Q_i)."""
        s = {n: getattr(self, f"{n}_sensitivity") * getattr(self, f"{n}_uncertainty")
             for n in TRAINED}  # fmt: skip
        worth: Tensor = s["values"] + s["left"].mean(dim=0) + s["right"].mean(dim=1)
        return worth


@dataclass(frozen=True)
class RankSchedule:
    """How many triplets the whole model may keep, as training goes on.

        b(t) = initial                                              t <= warmup
        b(t) = target + (initial - target) (1 - u)^3                in between
        b(t) = target                                               t > total - final

    with u = (t - warmup) / (total - final - warmup).

    Attributes:
        initial: triplets at the start, of all matrices together.
        target: triplets at the end.
        total: steps of the training.
        warmup: steps before the first cut.
        final: steps at the end, before which the target is enforced, and during which nothing
            comes back.
        every: steps from one cut to the next.

    Source: Zhang et al. 2023, arXiv:2303.10512, section 3.3. The authors' code counts u as here.
    Lesson: notebooks/32_peft.ipynb
    """

    initial: int
    target: int
    total: int
    warmup: int = 0
    final: int = 0
    every: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.target <= self.initial:
            raise ValueError(f"target must lie in 1 to initial={self.initial}, got {self.target}")
        if self.warmup < 0 or self.final < 0 or self.warmup + self.final >= self.total:
            raise ValueError(
                f"warmup={self.warmup} and final={self.final} must leave steps of the "
                f"total={self.total} between them"
            )
        if self.every < 1:
            raise ValueError(f"every must be at least 1, got {self.every}")

    def budget(self, step: int) -> int:
        """Give b(t) after an update, counted from 1."""
        if step <= self.warmup:
            return self.initial
        if step > self.total - self.final:
            return self.target
        u = (step - self.warmup) / (self.total - self.final - self.warmup)
        return int(self.target + (self.initial - self.target) * (1 - u) ** 3)

    def cuts(self, step: int) -> bool:
        """Say whether the budget is enforced after this update."""
        if step <= self.warmup:
            return False
        return step >= self.total - self.final or step % self.every == 0


class RankAllocator:
    """Hand out the triplets of a model, by worth, after each update.

    Args:
        model: with SVDLinear parts.
        schedule: how many there are.
        beta1, beta2: memory of sensitivity and uncertainty.
        step: updates made so far, when a training is resumed.

    Raises:
        ValueError: if the model has no SVDLinear, or its triplets are not schedule.initial.

    Source: Zhang et al. 2023, arXiv:2303.10512, algorithm 1.
    Lesson: notebooks/32_peft.ipynb
    """

    def __init__(
        self,
        model: nn.Module,
        schedule: RankSchedule,
        *,
        beta1: float = 0.85,
        beta2: float = 0.85,
        step: int = 0,
    ) -> None:
        self.layers: dict[str, SVDLinear] = dict(parts_of(model, SVDLinear))
        n = sum(layer.rank for layer in self.layers.values())
        if n != schedule.initial:
            raise ValueError(f"the model has {n} triplets, the schedule begins {schedule.initial}")
        self.schedule, self.betas, self.step = schedule, (beta1, beta2), step

    def after_update(self) -> None:
        """Observe and cut; to be called after optimizer.step and before zero_grad."""
        self.step += 1
        s = self.schedule
        if self.step < s.total - s.final:
            for layer in self.layers.values():
                layer.observe(*self.betas)
        if s.cuts(self.step):
            self.cut(s.budget(self.step))

    @torch.no_grad()
    def cut(self, budget: int) -> None:
        """Set lambda to zero but for the `budget` triplets that are worth most."""
        worth = torch.cat([layer.scores() for layer in self.layers.values()])
        keep = torch.zeros_like(worth, dtype=torch.bool)
        keep[worth.argsort(descending=True, stable=True)[:budget]] = True
        sizes = [layer.rank for layer in self.layers.values()]
        for layer, kept in zip(self.layers.values(), keep.split(sizes), strict=True):
            layer.values.masked_fill_(~kept, 0.0)

    def attach(self, optimizer: torch.optim.Optimizer) -> Callable[[], None]:
        """Call after_update after every step of an optimizer; gives what detaches it again."""
        handle = optimizer.register_step_post_hook(lambda *_: self.after_update())
        return handle.remove

    def ranks(self) -> dict[str, int]:
        """Count the triplets that each matrix has now: lambda not zero."""
        return {n: int(layer.values.count_nonzero()) for n, layer in self.layers.items()}


def add_adalora(
    model: Decoder,
    targets: str | Iterable[str] = ("q", "v"),
    *,
    rank: int,
    alpha: float | None = None,
) -> Decoder:
    """Freeze a model and give an SVD-shaped update to its matrices.

    Args:
        model: a Decoder without experts; changed in place.
        targets: as in apply_lora.
        rank: r, of each matrix at the start; the paper takes 1.5 times the rank at the end.
        alpha: scale times r; None means r, a scale of 1.

    Returns:
        The model itself.

    Raises:
        ValueError: if a target is nowhere, or no Linear, or the rank does not fit.

    Source: Zhang et al. 2023, arXiv:2303.10512, section 3.1.
    Lesson: notebooks/32_peft.ipynb
    """
    refuse_experts(model)
    names = find_targets(model, targets)
    freeze(model)

    def updated(base: nn.Module) -> nn.Module:
        if not isinstance(base, Linear):
            raise ValueError(f"AdaLoRA updates Linear layers, got {type(base).__name__}")
        return SVDLinear(base, rank, float(rank if alpha is None else alpha))

    replace(model, names, updated)
    return model


def orthogonality(model: nn.Module) -> Tensor:
    """Add up the penalties of all updates; the loss gets gamma times this (the paper: 0.1 to 0.5).

    Args:
        model: with SVDLinear parts.

    Returns:
        A scalar: sum over matrices of |P^T P - I|^2 + |Q Q^T - I|^2.

    Raises:
        ValueError: if the model has no SVDLinear.

    Source: Zhang et al. 2023, arXiv:2303.10512, eq. 4. peft takes the mean of the norms instead,
        without the square.
    Lesson: notebooks/32_peft.ipynb
    """
    penalties = [part.penalty() for _, part in parts_of(model, SVDLinear)]
    if not penalties:
        raise ValueError("the model has no SVDLinear; call add_adalora first")
    return torch.stack(penalties).sum()
