"""Master weights: the model computes in bfloat16, the optimizer adds up in float32.

bfloat16 has 8 digits: 256 + 1 is 256. A step of less than a 512th of a weight is lost altogether,
and steps late in training are far smaller than that. So every weight is kept twice.

    bfloat16 weight 2 bytes + bfloat16 gradient 2 + float32 master 4 + AdamW's m and v 8 = 16

which is what float32 alone takes (4 + 4 + 8): mixed precision saves activations, not these.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


def repeated_sum(start: float, addend: float, times: int, dtype: torch.dtype) -> float:
    """Add the same number again and again, and round after each time.

    Args:
        start: the first value.
        addend: what is added.
        times: how often.
        dtype: the sum is kept in.

    Returns:
        The end. In bfloat16, 256 plus one, a hundred times, is 256.

    Raises:
        ValueError: if times is negative.

    Lesson: notebooks/21_stability.ipynb
    """
    if times < 0:
        raise ValueError(f"times must not be negative, got {times}")
    total, each = torch.tensor(start, dtype=dtype), torch.tensor(addend, dtype=dtype)
    for _ in range(times):
        total = total + each
    return float(total)


class MasterWeights:
    """Let an optimizer work on float32 copies of the weights, and round them into the model.

        masters = MasterWeights(model, lambda params: AdamW(params, lr=1e-3))
        loss.backward();  masters.step();  masters.zero_grad()

    Args:
        model: its parameters may have any dtype; those in float32 are copied too.
        make: called with the masters, in the order of model.parameters(); returns an optimizer.

    Attributes:
        masters: float32 parameters, one for each trained parameter of the model.
        optimizer: what make has returned; holds the state, and works on the masters.

    Raises:
        ValueError: if no parameter of the model is trained.

    Cost: 4 bytes a weight more than the model has.
    Source: Micikevicius et al. 2018, arXiv:1710.03740, section 3.1.
    Lesson: notebooks/21_stability.ipynb
    """

    def __init__(
        self, model: nn.Module, make: Callable[[list[nn.Parameter]], torch.optim.Optimizer]
    ) -> None:
        self._params = [p for p in model.parameters() if p.requires_grad]
        if not self._params:
            raise ValueError("nothing to train: no parameter of the model requires a gradient")
        self.masters = [nn.Parameter(p.detach().to(torch.float32, copy=True)) for p in self._params]
        self.optimizer = make(self.masters)

    @torch.no_grad()
    def gather(self) -> None:
        """Copy the model's gradients to the masters, in float32; unscale and clip them there."""
        for p, master in zip(self._params, self.masters, strict=True):
            master.grad = None if p.grad is None else p.grad.to(torch.float32, copy=True)

    @torch.no_grad()
    def step(self, *, gathered: bool = False) -> None:
        """Move the masters and round them into the model.

        Args:
            gathered: gather was called before, and the masters' gradients shall stay as they are.
        """
        if not gathered:
            self.gather()
        self.optimizer.step()
        self.publish()

    @torch.no_grad()
    def publish(self) -> None:
        """Round the masters into the model's weights."""
        for p, master in zip(self._params, self.masters, strict=True):
            p.copy_(master)

    def zero_grad(self) -> None:
        """Forget the gradients of model and masters."""
        for p in (*self._params, *self.masters):
            p.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Return masters and optimizer state; the rounded weights alone would not do."""
        return {
            "masters": [m.detach().clone() for m in self.masters],
            "optimizer": self.optimizer.state_dict(),
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state, in the model too.

        Raises:
            ValueError: if it holds another number of masters, or of other shapes.
        """
        shapes = [tuple(m.shape) for m in state["masters"]]
        here = [tuple(m.shape) for m in self.masters]
        if shapes != here:
            raise ValueError(f"this state has masters of shapes {shapes}, the model {here}")
        for master, kept in zip(self.masters, state["masters"], strict=True):
            master.copy_(kept)
        self.optimizer.load_state_dict(state["optimizer"])
        self.publish()


def mixed_precision_bytes(*, compute: int, master: int, moments: int = 2) -> int:
    """Count the bytes of a weight with all that training keeps for it.

        weight and gradient in `compute` bytes, a master in `master`, moments in 4 each

    Args:
        compute: bytes of a number in the model, 2 for bfloat16, 4 for float32.
        master: bytes of the master; 0 if there is none.
        moments: numbers that the optimizer keeps, 2 for AdamW.

    Returns:
        Bytes a weight: 16 for bfloat16 with masters, and 16 for float32.

    Raises:
        ValueError: if a size is negative, or compute is not positive.

    Source: Rajbhandari et al. 2020 (ZeRO), arXiv:1910.02054, section 3.1.
    Lesson: notebooks/21_stability.ipynb
    """
    if compute < 1 or master < 0 or moments < 0:
        raise ValueError(
            f"sizes must make sense, got compute={compute}, master={master}, moments={moments}"
        )
    return 2 * compute + master + 4 * moments


def moved_share(before: Iterable[Tensor], after: Iterable[Tensor]) -> float:
    """Give the share of all entries that are not what they were.

    Args:
        before: tensors.
        after: the same ones later, in the same order.

    Returns:
        A share in [0, 1].

    Raises:
        ValueError: if there is nothing to compare.

    Lesson: notebooks/21_stability.ipynb
    """
    pairs = list(zip(before, after, strict=True))
    total = sum(a.numel() for a, _ in pairs)
    if total == 0:
        raise ValueError("there are no entries to compare")
    return sum(int((a != b).sum()) for a, b in pairs) / total
