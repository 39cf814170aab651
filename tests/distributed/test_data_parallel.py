"""Data parallelism on threads: the gradient of all ranks is that of one, sent in few messages."""

import copy
import threading

import pytest
import torch
from torch import nn

from minillm.distributed import data_parallel
from minillm.distributed.data_parallel import (
    GradientSync,
    make_buckets,
    same_weights,
    sum_gradients,
    sum_in_buckets,
    target_share,
)
from minillm.distributed.group import PeerError
from minillm.distributed.threads import run_threads
from minillm.model import Decoder
from minillm.objectives import causal_loss
from tests.distributed.same_model import CONFIG, rows

torch.manual_seed(0)
BASE = Decoder(CONFIG, dtype=torch.float64)
X, Y = rows(8)


def gradients(model):
    return [p.grad.clone() for p in model.parameters()]


def whole_batch():
    model = copy.deepcopy(BASE)
    causal_loss(model, X, Y).backward()
    return gradients(model)


def backward(group, model, n_micro=1, sync=None, wrong=None):
    """Passes over this rank's rows; `wrong` says at which pass the gradients are summed instead."""
    x, y = X[group.rank :: group.size], Y[group.rank :: group.size]
    n_targets = int((y != -100).sum())
    a_target = target_share(group, n_targets) / n_targets
    for k, (a, b) in enumerate(zip(x.chunk(n_micro), y.chunk(n_micro), strict=True)):
        loss = a_target * int((b != -100).sum()) * causal_loss(model, a, b)
        if sync is None:
            loss.backward()
        else:
            with sync.only(k == (n_micro - 1 if wrong is None else wrong)):
                loss.backward()


def close(got, expected):
    return max((a - b).abs().max().item() for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("how", ["naive", "buckets", "overlap"])
@pytest.mark.parametrize("n_micro", [1, 2])
def test_summed_gradients_are_those_of_the_whole_batch(size, how, n_micro):
    def work(group):
        model = copy.deepcopy(BASE)
        sync = GradientSync(group, model, bucket_bytes=8000) if how == "overlap" else None
        backward(group, model, n_micro, sync)
        if sync is not None:
            sync.wait()
        elif how == "naive":
            sum_gradients(group, model.parameters())
        else:
            sum_in_buckets(group, model.parameters(), 8000)
        return gradients(model)

    expected = whole_batch()
    for got in run_threads(size, work):
        assert close(got, expected) < 1e-14


def test_means_of_means_would_be_wrong():
    """Rank 0 of 2 has 8 targets and rank 1 has 32: the same weight for both is another loss."""

    def work(group):
        model = copy.deepcopy(BASE)
        causal_loss(model, X[group.rank :: 2], Y[group.rank :: 2]).backward()
        sum_gradients(group, model.parameters())
        return [g / 2 for g in gradients(model)]

    assert close(run_threads(2, work)[0], whole_batch()) > 1e-3


def test_shares_of_targets():
    def work(group):
        return target_share(group, [8, 32, 0][group.rank]), target_share(group, 0)

    assert run_threads(3, work) == [(0.2, 0.0), (0.8, 0.0), (0.0, 0.0)]
    with pytest.raises(ValueError, match="n_targets cannot be negative, got -1"):
        run_threads(1, lambda group: target_share(group, -1))


def test_ranks_begin_with_the_weights_of_one():
    def work(group):
        model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
        with torch.no_grad():
            for x in [*model.parameters(), *model.buffers()]:
                x.fill_(group.rank)
        same_weights(group, model, 1)
        return [x.unique().tolist() for x in [*model.parameters(), *model.buffers()]]

    assert run_threads(3, work) == [[[1]] * 7] * 3


# --- accumulation: once, at the end


def synchronised(n_micro, wrong=None):
    """Gradients, syncs and messages of two ranks after a step of n_micro passes."""

    def work(group):
        model = copy.deepcopy(BASE)
        sync = GradientSync(group, model, bucket_bytes=8000)
        before = group.mark()
        backward(group, model, n_micro, sync, wrong)
        sync.wait()
        return gradients(model), sync.n_syncs, group.traffic.since(before), len(sync.buckets)

    return run_threads(2, work)


def test_accumulated_gradients_are_summed_once():
    for n_micro in (1, 4):
        for got, n_syncs, traffic, n_buckets in synchronised(n_micro):
            assert close(got, whole_batch()) < 1e-14
            assert n_syncs == 1
            assert traffic.n_messages == 2 * n_buckets + 2  # and two for the share of the targets


def test_summing_after_the_first_pass_lets_ranks_drift_apart():
    """The bug that training loops have had, e.g. modelscope/FunASR, pull request 3472."""
    (a, *_), (b, *_) = synchronised(4, wrong=0)
    assert close(a, b) > 1e-3
    assert close(a, whole_batch()) > 1e-3


def test_a_second_sum_in_one_step_is_refused():
    """Gradients that are summed twice count the first pass N times."""

    def work(group):
        model = copy.deepcopy(BASE)
        GradientSync(group, model)
        for _ in range(2):
            causal_loss(model, X, Y).backward()

    with pytest.raises(RuntimeError, match=r"second backward pass .* only\(last=False\)"):
        run_threads(1, work)


def test_a_step_without_a_sum_is_refused():
    def work(group):
        model = copy.deepcopy(BASE)
        sync = GradientSync(group, model)
        with sync.only(last=False):
            causal_loss(model, X, Y).backward()
        sync.wait()

    with pytest.raises(RuntimeError, match=r"no gradient was summed .* only\(last=True\)"):
        run_threads(2, work)


# --- buckets and overlap


def test_buckets_by_hand():
    sizes = [5, 1, 4, 8, 2, 2]
    params = [nn.Parameter(torch.zeros(n)) for n in sizes]
    params[2].requires_grad_(False)
    params.append(nn.Parameter(torch.zeros(1, dtype=torch.float64)))
    buckets = make_buckets(params, 16)  # 4 numbers of float32
    assert [[p.numel() for p in b] for b in buckets] == [[1], [2, 2], [8], [1], [5]]
    assert buckets[1][0] is params[5]  # last first
    assert len(make_buckets(params[:2], 10**9)) == 1
    with pytest.raises(ValueError, match="bucket_bytes must be at least 1, got 0"):
        make_buckets(params, 0)


def test_fewer_messages_for_the_same_bytes():
    def work(group):
        told = []
        for how in (sum_gradients, lambda g, p: sum_in_buckets(g, p, 10**9)):
            model = copy.deepcopy(BASE)
            causal_loss(model, X, Y).backward()
            before = group.mark()
            how(group, list(model.parameters()))
            told.append(group.traffic.since(before))
        return told

    naive, buckets = run_threads(2, work)[0]
    assert naive.n_bytes == buckets.n_bytes  # 2 ranks divide each parameter here
    assert naive.n_messages == 2 * len(list(BASE.parameters()))
    assert buckets.n_messages == 2


def test_sending_begins_before_the_backward_pass_ends(monkeypatch):
    """The bucket of the last layers is summed while the gradient of the first is not there yet."""
    begun = threading.Event()
    plain = data_parallel.sum_bucket

    def told(group, bucket):
        plain(group, bucket)
        begun.set()

    monkeypatch.setattr(data_parallel, "sum_bucket", told)

    def work(group):
        layers = nn.Sequential(*(nn.Linear(4, 4) for _ in range(4)))
        sync = GradientSync(group, layers, bucket_bytes=80)
        seen = []
        layers[0].weight.register_hook(lambda grad: seen.append(begun.wait(20)))
        layers(torch.ones(2, 4)).sum().backward()
        sync.wait()
        return seen, sync.order

    assert run_threads(2, work) == [([True], [0, 1, 2, 3])] * 2


def test_a_parameter_that_one_rank_did_not_use():
    """Its gradient counts as zero there, and the ranks send the same buckets in the same order."""

    def work(group):
        model = nn.ModuleList(nn.Linear(2, 2, bias=False) for _ in range(3))
        sync = GradientSync(group, model, bucket_bytes=16)
        used = model if group.rank else [model[0], model[2]]
        sum(layer(torch.ones(1, 2)).sum() for layer in used).backward()
        sync.wait()
        return [p.grad.sum().item() for p in model.parameters()]

    assert run_threads(2, work) == [[8.0, 4.0, 8.0]] * 2


def test_hooks_are_taken_off():
    def work(group):
        model = copy.deepcopy(BASE)
        GradientSync(group, model).close()
        before = group.mark()
        causal_loss(model, X, Y).backward()
        return group.traffic.since(before).n_messages

    assert run_threads(2, work) == [0, 0]


def test_nothing_to_share():
    model = nn.Linear(2, 2).requires_grad_(False)
    with pytest.raises(ValueError, match="no parameter of the model requires a gradient"):
        run_threads(1, lambda group: GradientSync(group, model))


def test_a_rank_that_fails_is_told_by_wait():
    def work(group):
        model = copy.deepcopy(BASE)
        sync = GradientSync(group, model)
        if group.rank == 1:
            return
        causal_loss(model, X, Y).backward()
        with pytest.raises(PeerError, match=r"waited 0\.5 s for rank 1"):
            sync.wait()

    run_threads(2, work, timeout=0.5)
