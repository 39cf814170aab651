"""Data parallelism: every rank holds the whole model, reads other data, and shares its gradient.

The ladder:

- sum_gradients: when the backward pass is done, one all-reduce for each parameter.
- sum_in_buckets: the same in a few large messages, since each message has a price of its own.
- GradientSync: the messages go while the backward pass still computes; hooks start them.

The gradients are *summed*. That is the gradient of the mean loss over all targets of all ranks, if
each rank weighs its loss by target_share, its share of the targets. (To average the ranks' mean
losses is right only where all ranks have equally many targets.)

None of it changes the model: it is applied from outside, and the loop of lesson 20 stays.
"""

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from minillm.distributed.collectives import all_reduce, broadcast
from minillm.distributed.group import Group

BUCKET_BYTES = 25 * 2**20  # as torch's DistributedDataParallel, bucket_cap_mb=25


def same_weights(group: Group, model: nn.Module, root: int = 0) -> None:
    """Copy all parameters and buffers of one rank to all others, as a run must begin.

    Args:
        group: the ranks.
        model: the same module on all ranks; overwritten on all but root.
        root: whose weights count.

    Raises:
        PeerError: if the models differ in a shape.

    Lesson: notebooks/22b_zero.ipynb
    """
    for tensor in [*model.parameters(), *model.buffers()]:
        broadcast(group, tensor.detach(), root)


def target_share(group: Group, n_targets: int) -> float:
    """Tell which share of the targets of all ranks this rank has.

        share * mean loss of the rank, summed over ranks = mean loss over all targets

    Args:
        group: the ranks.
        n_targets: of this rank in this step; positions with target -100 do not count.

    Returns:
        A number in [0, 1]; 1 / N where all have equally many. 0 if nobody has a target.

    Raises:
        ValueError: if n_targets is negative.

    Lesson: notebooks/22b_zero.ipynb
    """
    if n_targets < 0:
        raise ValueError(f"n_targets cannot be negative, got {n_targets}")
    total = all_reduce(group, torch.tensor([n_targets], dtype=torch.float64)).item()
    return n_targets / total if total else 0.0


def sum_gradients(group: Group, params: Iterable[Tensor]) -> None:
    """Add up the gradients of all ranks, one parameter after the other: naive data parallelism.

    A parameter without a gradient counts as zero on this rank, so that all ranks join in.

    Args:
        group: the ranks.
        params: in the same order on all ranks.

    Cost: an all-reduce a parameter, 2 (N-1) messages each; 2 (N-1)/N V bytes in all.
    Source: Li et al. 2020, "PyTorch Distributed", arXiv:2006.15704, section 3.2.1.
    Lesson: notebooks/22b_zero.ipynb
    """
    for param in params:
        if param.requires_grad:
            all_reduce(group, _gradient(param))


def make_buckets(params: Iterable[Tensor], bucket_bytes: int = BUCKET_BYTES) -> list[list[Tensor]]:
    """Put parameters into buckets, last first, as that is about the order of their gradients.

    Args:
        params: of the model, in its order; frozen ones are left out.
        bucket_bytes: a bucket is closed before it would hold more. A larger parameter gets a
            bucket of its own. A bucket holds one dtype.

    Returns:
        Lists of parameters; each of those that train is in one of them.

    Raises:
        ValueError: if bucket_bytes is below 1.

    Source: Li et al. 2020, arXiv:2006.15704, section 3.2.3 (reverse order of the parameters).
    Lesson: notebooks/22b_zero.ipynb
    """
    if bucket_bytes < 1:
        raise ValueError(f"bucket_bytes must be at least 1, got {bucket_bytes}")
    buckets: list[list[Tensor]] = []
    filled = 0
    for param in reversed([p for p in params if p.requires_grad]):
        size = param.numel() * param.element_size()
        fits = buckets and buckets[-1][0].dtype == param.dtype and filled + size <= bucket_bytes
        if not fits:
            buckets.append([])
            filled = 0
        buckets[-1].append(param)
        filled += size
    return buckets


def sum_bucket(group: Group, bucket: list[Tensor]) -> None:
    """Add up the gradients of the parameters of a bucket over all ranks, in one all-reduce."""
    grads = [_gradient(param) for param in bucket]
    flat = all_reduce(group, torch.cat([grad.reshape(-1) for grad in grads]))
    for grad, summed in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
        grad.copy_(summed.view(grad.shape))


def sum_in_buckets(
    group: Group, params: Iterable[Tensor], bucket_bytes: int = BUCKET_BYTES
) -> None:
    """Do what sum_gradients does in few messages.

    Cost: 2 (N-1) messages a bucket; the bytes of sum_gradients. A copy of a bucket's gradients.
    Lesson: notebooks/22b_zero.ipynb
    """
    for bucket in make_buckets(params, bucket_bytes):
        sum_bucket(group, bucket)


class GradientSync:
    """Sum the gradients bucket by bucket while the backward pass still runs.

    A hook on each parameter notes when its gradient is there. When a bucket is full, a second
    thread sends it round the ring. Buckets go in their fixed order, even if a later one is full
    first: else two ranks could send different buckets to one another.

        sync = GradientSync(group, model)
        for x, y in micro_batches:                # k of them
            last = ...
            with sync.only(last):                 # the first k-1 stay on this rank
                loss(model, x, y).backward()
        sync.wait();  optimizer.step()

    Args:
        group: the ranks. Nobody else may use it between backward and wait.
        model: gets the weights of rank 0, and hooks; else it stays as it is.
        bucket_bytes: see make_buckets.

    Attributes:
        n_syncs: how many times the gradients have been summed.
        order: numbers of the buckets in the order in which they filled in the last pass.
        filled_at: when each bucket was full in that pass, by its number; time.perf_counter.
        talked: start and end of the sums, in the order of the buckets, by the same clock.

    Raises:
        ValueError: if no parameter trains.

    Source: Li et al. 2020, arXiv:2006.15704, section 3.2.3 and algorithm 1.
    Lesson: notebooks/22b_zero.ipynb
    """

    def __init__(self, group: Group, model: nn.Module, *, bucket_bytes: int = BUCKET_BYTES) -> None:
        self.group = group
        self.buckets = make_buckets(model.parameters(), bucket_bytes)
        if not self.buckets:
            raise ValueError("no parameter of the model requires a gradient: nothing to share")
        same_weights(group, model)
        self.n_syncs = 0
        self.order: list[int] = []
        self.filled_at: dict[int, float] = {}
        self.talked: list[tuple[float, float]] = []
        self._on = True
        self._thread: threading.Thread | None = None
        self._work: queue.Queue[list[Tensor] | None] = queue.Queue()
        self._error: BaseException | None = None
        self._hooks: list[Any] = []
        self._reset()
        for number, bucket in enumerate(self.buckets):
            for param in bucket:
                hook = param.register_post_accumulate_grad_hook(self._noting(number))
                self._hooks.append(hook)

    @contextmanager
    def only(self, last: bool) -> Iterator[None]:
        """Let a backward pass inside sum the gradients (last=True), or only add to this rank's.

        With accumulation all passes but the last of a step must have last=False: a second sum
        would count what the first has summed N times. (torch averages; there a sum in each pass
        is right and costs k times as much.) To sum after the *first* only is the bug that some
        published loops had: the ranks then drift apart.
        """
        before, self._on = self._on, last
        try:
            yield
        finally:
            self._on = before

    def wait(self) -> None:
        """Wait until all gradients are summed; call it before the gradients are used.

        Buckets that did not fill, as some parameters had no gradient, are sent now. Without a
        backward pass that syncs it raises, as the ranks would step with different gradients.

        Raises:
            RuntimeError: if no backward pass since the last wait was to be summed.
            PeerError: if a rank did not answer.
        """
        if self._thread is None:
            raise RuntimeError(
                "no gradient was summed since the last wait(): the last backward pass of a step "
                "must run with only(last=True)"
            )
        while self._next < len(self.buckets):
            self._send_next()
        self._work.put(None)
        self._thread.join()
        error, self._error, self._thread = self._error, None, None
        self._reset()
        if error is not None:
            raise error
        self.n_syncs += 1

    def close(self) -> None:
        """Take the hooks off the model."""
        for hook in self._hooks:
            hook.remove()

    def _reset(self) -> None:
        self._missing = [len(bucket) for bucket in self.buckets]
        self._next = 0

    def _noting(self, number: int) -> Any:
        def note(param: Tensor) -> None:
            if not self._on:
                return
            if self._thread is None:
                self.order, self.filled_at, self.talked = [], {}, []
                self._thread = threading.Thread(target=self._sum_all, daemon=True)
                self._thread.start()
            self._missing[number] -= 1
            if self._missing[number] < 0:
                raise RuntimeError(
                    "a second backward pass was to be summed before wait(): with accumulation run "
                    "all but the last under only(last=False)"
                )
            if self._missing[number] == 0:
                self.order.append(number)
                self.filled_at[number] = time.perf_counter()
            while self._next < len(self.buckets) and self._missing[self._next] <= 0:
                self._send_next()

        return note

    def _send_next(self) -> None:
        self._work.put(self.buckets[self._next])
        self._next += 1

    def _sum_all(self) -> None:
        """What the second thread does: it sums what it is given, until None."""
        while (bucket := self._work.get()) is not None:
            if self._error is None:
                start = time.perf_counter()
                try:
                    sum_bucket(self.group, bucket)
                    self.talked.append((start, time.perf_counter()))
                except BaseException as error:  # told to the caller by wait()
                    self._error = error


def _gradient(param: Tensor) -> Tensor:
    if param.grad is None:
        param.grad = torch.zeros_like(param)
    return param.grad
