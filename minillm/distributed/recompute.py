"""Recomputation: forget what a part of the model computed, and compute it again when needed.

- checkpoint runs a part without noting anything for the backward pass but its inputs. When the
  gradient arrives, the part runs a second time, now with notes, and hands the gradient on.
- The second run must be the first once more: the random generators are set to what they were
  (dropout), the same formats are used (autocast), and weights that changed since are refused.
- recomputing puts this around the blocks of a model, or one part of each block, from outside: the
  model does not know of it. What it saves and costs is counted in recompute_cost.py.

A cache is filled once, so parts that fill one run plainly; so do passes without gradients.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from minillm.model.moe import mixtures

Policy = Literal["none", "attention", "feedforward", "block"]
POLICIES = ("none", "attention", "feedforward", "block")


def checkpoint(
    part: Callable[..., Tensor],
    *args: Any,
    parameters: Iterable[Tensor] | None = None,
    **kwargs: Any,
) -> Tensor:
    """Run a part so that only its inputs are kept until the backward pass.

        forward    y = part(x)                      kept: x
        backward   y = part(x) once more, then      dx, dw = gradients of y at what arrives

    Args:
        part: a module, or a function, that returns one tensor.
        args, kwargs: for the part; the tensors among them get their gradients.
        parameters: the weights that the part reads; None means those of the module, none of a
            function.

    Returns:
        y, with the gradients that part(*args) has, to the last bit; an input that several parts
        share gets the same sum, which may be rounded otherwise.

    Raises:
        ValueError: if the part returns anything but a tensor.
        RuntimeError: in the backward pass, if a weight has been changed in between.

    Cost: one more forward pass of the part, so 4/3 of its arithmetic. A second derivative is not
        available.
    Source: Chen et al. 2016, arXiv:1604.06174, section 4.
    Lesson: notebooks/22a_ledger.ipynb
    """
    if parameters is None:
        parameters = part.parameters() if isinstance(part, nn.Module) else ()
    weights = tuple(p for p in parameters if p.requires_grad)
    leaves, shape = tree_flatten((args, kwargs))
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
    tensors = [leaves[i] for i in places]
    rest = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]

    def again(given: Sequence[Tensor]) -> Tensor:
        filled = list(rest)
        for i, tensor in zip(places, given, strict=True):
            filled[i] = tensor
        some, named = tree_unflatten(filled, shape)
        y = part(*some, **named)
        if not isinstance(y, Tensor):
            raise ValueError(f"a checkpointed part must return one tensor, got {type(y).__name__}")
        return y

    y: Tensor = _Recompute.apply(again, len(tensors), *tensors, *weights)
    return y


class _Recompute(torch.autograd.Function):
    """Forward without notes; backward runs the part again and differentiates it.

    The weights are inputs as well, so that their gradients arrive like all others: also when no
    input needs one, and also when gradients are asked for by torch.autograd.grad.
    """

    @staticmethod
    def forward(ctx: Any, again: Callable[..., Tensor], n_inputs: int, *tensors: Tensor) -> Tensor:
        inputs, weights = tensors[:n_inputs], tensors[n_inputs:]
        ctx.again, ctx.surroundings = again, Surroundings(inputs)
        ctx.weights, ctx.versions = weights, [w._version for w in weights]
        ctx.save_for_backward(*inputs)
        return again(inputs)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor | None, ...]:
        if [w._version for w in ctx.weights] != ctx.versions:
            raise RuntimeError(
                "a weight was changed between the forward pass and its recomputation, which would "
                "give another result; call backward before the optimizer's step"
            )
        inputs = [t.detach().requires_grad_(t.requires_grad) for t in ctx.saved_tensors]
        with ctx.surroundings.restored(), torch.enable_grad():
            # Views, since autocast would cast a leaf once for all who read it, and gradients that
            # met in 16 bits would be rounded otherwise than in a plain run.
            y = ctx.again([t.view_as(t) for t in inputs])
        wanted = [t for t in (*inputs, *ctx.weights) if t.requires_grad]
        found = iter(torch.autograd.grad(y, wanted, above, allow_unused=True))
        each = [next(found) if t.requires_grad else None for t in (*inputs, *ctx.weights)]
        return (None, None, *each)


class Surroundings:
    """What a run depends on besides its inputs: random generators, and the formats of autocast.

    Args:
        tensors: whose devices' generators are noted; that of the CPU always is.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        kinds = {t.device.type for t in tensors} | {"cpu"}
        self.cards = sorted({t.device.index for t in tensors if t.device.type == "cuda"})
        self.cpu_state = torch.get_rng_state()
        self.card_states = [torch.cuda.get_rng_state(i) for i in self.cards]
        self.formats = [
            (kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind))
            for kind in sorted(kinds)
        ]

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Within, all is as it was noted; afterwards, as it was before."""
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng(devices=self.cards))
            torch.set_rng_state(self.cpu_state)
            for card, state in zip(self.cards, self.card_states, strict=True):
                torch.cuda.set_rng_state(state, card)
            for kind, dtype, enabled in self.formats:
                cast: AbstractContextManager[Any] = torch.autocast(
                    kind, dtype=dtype, enabled=enabled
                )
                stack.enter_context(cast)
            yield


def checkpoint_chain(
    parts: Sequence[Callable[[Tensor], Tensor]], x: Tensor, segment: int
) -> Tensor:
    """Run modules one after another, and keep only what enters every segment-th of them.

    Kept are n / k inputs, and k layers' notes while a segment is run again: n / k + k, which is
    smallest, 2 sqrt(n), at k = sqrt(n).

    Args:
        parts: modules, each from a tensor to a tensor.
        x: input of the first.
        segment: k, how many are recomputed together.

    Returns:
        What the last one says.

    Raises:
        ValueError: if segment is smaller than 1.

    Source: Chen et al. 2016, arXiv:1604.06174, section 4 (the square root of n).
    Lesson: notebooks/22a_ledger.ipynb
    """
    if segment < 1:
        raise ValueError(f"segment must be at least 1, got {segment}")
    for start in range(0, len(parts), segment):
        some = list(parts[start : start + segment])
        weights = [w for p in some if isinstance(p, nn.Module) for w in p.parameters()]
        x = checkpoint(partial(_in_turn, some), x, parameters=weights)
    return x


def _in_turn(parts: Sequence[Callable[[Tensor], Tensor]], x: Tensor) -> Tensor:
    for part in parts:
        x = part(x)
    return x


@contextmanager
def recomputing(model: nn.Module, policy: Policy = "block", *, every: int = 1) -> Iterator[None]:
    """Recompute parts of a model's blocks for as long as the context lasts.

        none         nothing
        attention    the attention of a block, with its projections
        feedforward  the feed-forward layer of a block
        block        the whole block

    Args:
        model: has `blocks`, each with `attention` and `feedforward`, as a Decoder has.
        policy: which part of a block.
        every: of the blocks, those numbered 0, every, 2 every, ... are recomputed.

    Raises:
        ValueError: if the policy is unknown, every is smaller than 1, or experts would be
            recomputed: their router's loss reads notes of the first run, which has none.

    Source: per part: Korthikanti et al. 2022, arXiv:2205.05198, section 5 (selective).
    Lesson: notebooks/22a_ledger.ipynb
    """
    parts = _chosen(model, policy, every)
    try:
        for part in parts:
            part.forward = partial(_forward, part, part.forward)
        yield
    finally:
        for part in parts:
            part.__dict__.pop("forward", None)


def _chosen(model: nn.Module, policy: Policy, every: int) -> list[nn.Module]:
    """The modules that are to be recomputed."""
    if policy not in POLICIES:
        raise ValueError(f"policy must be one of {', '.join(POLICIES)}; got {policy!r}")
    if every < 1:
        raise ValueError(f"every must be at least 1, got {every}")
    if policy == "none":
        return []
    blocks: list[Any] = list(model.blocks)[::every]  # type: ignore[arg-type]
    parts = blocks if policy == "block" else [getattr(block, policy) for block in blocks]
    if any(mixtures(part) for part in parts):
        raise ValueError(
            f"policy {policy!r} would recompute experts, and router_loss would have no gradient; "
            "take policy 'attention'"
        )
    if any("forward" in part.__dict__ for part in parts):
        raise ValueError("the model is recomputing already; leave the first context before")
    return parts


def _forward(part: nn.Module, forward: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
    """What a part does in place of its forward."""
    if not torch.is_grad_enabled() or kwargs.get("remember") is not None:
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, parameters=part.parameters(), **kwargs)
