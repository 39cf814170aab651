"""What the processes of test_processes.py and test_same_run.py do; they import it from here."""

import os
import signal
import time

import torch
import torch.distributed as dist

from minillm.distributed.collectives import (
    all_gather,
    all_reduce,
    all_to_all,
    broadcast,
    naive_all_reduce,
    reduce_scatter,
)
from minillm.distributed.same_run import METHODS, train_together


def against_gloo(group):
    """Our collectives and gloo's on the same whole numbers; True where they agree."""
    N, r = group.size, group.rank
    x = torch.arange(4.0 * N) * (r + 1)
    told = {}

    theirs = x.clone()
    dist.all_reduce(theirs)
    told["all_reduce"] = torch.equal(all_reduce(group, x.clone()), theirs)
    told["naive_all_reduce"] = torch.equal(naive_all_reduce(group, x.clone()), theirs)
    told["reduce_scatter"] = torch.equal(reduce_scatter(group, x), theirs.chunk(N)[r])

    parts = [torch.empty(4 * N) for _ in range(N)]
    dist.all_gather(parts, x)
    told["all_gather"] = torch.equal(all_gather(group, x), torch.cat(parts))

    theirs = x.clone()
    dist.broadcast(theirs, N - 1)
    told["broadcast"] = torch.equal(broadcast(group, x.clone(), N - 1), theirs)

    mine = all_to_all(group, list(x.chunk(N)))
    pieces = [None] * N
    dist.all_gather_object(pieces, [p.tolist() for p in x.chunk(N)])
    told["all_to_all"] = [m.tolist() for m in mine] == [pieces[q][r] for q in range(N)]
    return told, group.traffic.n_bytes


def all_types(group):
    """Tensors of every dtype, of no and of several axes, empty and not contiguous."""
    other = 1 - group.rank
    kinds = (torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool)
    sent = [torch.tensor([[1, 0, 1], [0, 1, 1]]).to(k) for k in kinds]
    sent += [torch.tensor(3.0), torch.empty(0, 2), torch.arange(6.0).view(2, 3).T]
    sent += [torch.arange(n, dtype=torch.uint8) for n in (4015, 4016, 4017)]  # fits, fits, not
    sent += [torch.arange(6000.0).view(60, 100).T]
    ok = []
    for x in sent:
        into = torch.zeros(x.T.shape).to(x.dtype).T if x.ndim == 2 else torch.zeros_like(x)
        ok.append(torch.equal(group.exchange(x, other, into, other), x))
    return ok


def send_first(group):
    other = 1 - group.rank
    x = torch.full((2**18,), float(group.rank))
    sending = group.start_send(x, other)
    got = group.receive(torch.empty_like(x), other)
    sending.wait()
    return [got.mean().item(), len(got), group.traffic.n_bytes]


def talk(group):
    print("hello from", group.rank)
    print("no end of line", end="")
    return {"rank": group.rank, "tensor": torch.full((2,), group.rank, dtype=torch.bfloat16)}


def missed(group):
    """Rank 0 fails first, because of what happens to rank 1."""
    dist.barrier()
    if group.rank == 1:
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)
    raise RuntimeError("rank 1 does not answer")


def killed(group):
    if group.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    all_reduce(group, torch.ones(4))


def exits(group):
    if group.rank == 2:
        os._exit(7)
    all_reduce(group, torch.ones(4))


def raises(group):
    if group.rank == 0:
        raise KeyError("the reason")
    all_reduce(group, torch.ones(4))


def sleeps(group):
    if group.rank == 1:
        time.sleep(600)
    all_reduce(group, torch.ones(4))


def other_shape(group, n):
    all_reduce(group, torch.ones(2 * n if group.rank else n))


def complex_number(group):
    group.send(torch.ones(1, dtype=torch.complex64), 1 - group.rank)


def every_method(group, run, x, y, methods=METHODS):
    """Train with each method, one after the other."""
    return {method: train_together(group, run, x, y, method) for method in methods}


def torch_ddp(group, run, x, y):
    """The losses of torch's own DistributedDataParallel; all ranks have as many targets."""
    from minillm.model import Decoder
    from minillm.objectives import causal_loss
    from minillm.train import clip_grad_norm, make_optimizer

    torch.manual_seed(run.seed)
    model = Decoder(run.config, dtype=getattr(torch, run.dtype))
    optimizer = make_optimizer(model, run.optimizer)
    wrapped = torch.nn.parallel.DistributedDataParallel(model)
    losses = []
    for s in range(run.steps):
        rows = slice(s * run.batch_size + group.rank, (s + 1) * run.batch_size, group.size)
        loss = causal_loss(wrapped, x[rows], y[rows])
        loss.backward()
        clip_grad_norm(model.parameters(), run.clip)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(all_reduce(group, loss.detach().double() / group.size).item())
    return losses
