"""The proof: one run with every method and several numbers of ranks has the same losses.

On threads for all settings, and on 2 and 4 processes for every method. The bounds are those of the
contract: 1e-9 relative in float64 and 1e-5 in float32, over 20 steps.
"""

import functools
import os

import pytest

from minillm.distributed.links import step_bytes
from minillm.distributed.processes import run_processes
from minillm.distributed.same_run import METHODS, train_together
from minillm.distributed.threads import run_threads
from minillm.distributed.zero import state_bytes
from tests.distributed import process_work
from tests.distributed.same_model import N_PARAMS, rows, run_of

BOUNDS = {"float64": 1e-9, "float32": 1e-5}


@functools.cache
def alone(dtype):
    (told,) = run_threads(1, train_together, run_of(dtype=dtype), *rows(), "naive")
    assert told.losses[-1] < told.losses[0] - 0.1  # it learns: there is something to agree on
    return told


def gap(losses, expected):
    return max(abs(a - b) / abs(b) for a, b in zip(losses, expected, strict=True))


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("method", METHODS)
def test_two_ranks_have_the_losses_of_one(dtype, method):
    one = alone(dtype)
    for told in run_threads(2, train_together, run_of(dtype=dtype), *rows(), method):
        assert gap(told.losses, one.losses) <= BOUNDS[dtype]
        assert gap(told.norms, one.norms) <= 100 * BOUNDS[dtype]
        assert (told.weights - one.weights).abs().max() <= 1e3 * BOUNDS[dtype]


@pytest.mark.parametrize("method", METHODS)
def test_accumulation_on_two_ranks(method):
    one = alone("float64")
    for told in run_threads(2, train_together, run_of(n_micro=2), *rows(), method):
        assert gap(told.losses, one.losses) <= 1e-9


@pytest.mark.parametrize("method", ["overlap", "zero2"])
def test_micro_batches_weigh_by_their_targets(method):
    """Rank 0's first micro-batch has a quarter of the targets that its second has."""
    x, y = rows()
    y[0::8], y[2::8, :7] = -100, -100
    (one,) = run_threads(1, train_together, run_of(steps=4), x, y, "naive")
    for told in run_threads(2, train_together, run_of(steps=4, n_micro=2), x, y, method):
        assert gap(told.losses, one.losses) <= 1e-12


FEW = METHODS[2:]  # the first two send so many small messages that they take half of the time


@pytest.mark.parametrize(
    ("size", "dtype", "methods"),
    [
        (2, "float64", METHODS),
        (2, "float32", METHODS),
        (4, "float64", FEW),
        pytest.param(4, "float64", METHODS[:2], marks=pytest.mark.slow),
        pytest.param(4, "float32", METHODS, marks=pytest.mark.slow),
    ],
)
@pytest.mark.dist
@pytest.mark.skipif(os.name == "nt", reason="run_processes is for Linux and macOS")
def test_processes_have_the_losses_of_one(size, dtype, methods):
    one = alone(dtype)
    told = run_processes(size, process_work.every_method, run_of(dtype=dtype), *rows(), methods)
    for rank in range(size):
        for method in methods:
            assert gap(told[rank][method].losses, one.losses) <= BOUNDS[dtype], (rank, method)
    held = {m: told[0][m].held_bytes for m in methods}
    b = 8 if dtype == "float64" else 4
    sizes = {"weight": b, "gradient": b, "state": 2 * b}
    for method in methods:
        stage = int(method[-1]) if "zero" in method else 0
        stage = 2 if stage == 1 else stage  # when weights move, stage 1 has its shard of gradients
        assert held[method] == pytest.approx(state_bytes(stage, N_PARAMS, size, **sizes), rel=0.01)


@pytest.mark.dist
@pytest.mark.skipif(os.name == "nt", reason="run_processes is for Linux and macOS")
def test_torchs_own_data_parallel_has_them_too():
    """PAR-001 against the library: all targets count, since it averages the ranks' means."""
    x, y = rows()
    y = x.roll(-1, 1)
    run = run_of(steps=5)
    (one,) = run_threads(1, train_together, run, x, y, "naive")
    for losses in run_processes(2, process_work.torch_ddp, run, x, y):
        assert gap(losses, one.losses) <= 1e-9


def test_bytes_a_step():
    """PAR-014: counted, not derived. The root is gathered once, so the whole is under 1.5."""
    run = run_of(steps=2)
    ddp = run_threads(4, train_together, run, *rows(), "buckets")[0]
    assert ddp.sent_bytes[-1] == pytest.approx(step_bytes("ddp", 8 * N_PARAMS, 4), rel=0.01)
    few = {"rel": 0.02}  # padding, and the one number of the norm
    for method in ("zero1", "zero2"):
        told = run_threads(4, train_together, run, *rows(), method)[0]
        assert told.sent_bytes[-1] == pytest.approx(ddp.sent_bytes[-1], **few)
    told = run_threads(4, train_together, run, *rows(), "zero3")[0]
    root = 128 * 16 + 16  # the padded table, and the last norm
    full = step_bytes("zero3", 8 * (N_PARAMS - root), 4) + step_bytes("ddp", 8 * root, 4)
    assert told.sent_bytes[-1] == pytest.approx(full, **few)
    # with 2 micro-batches: DDP pays once, stage 3 twice
    twice = run_threads(4, train_together, run_of(steps=2, n_micro=2), *rows(), "overlap")[0]
    assert twice.sent_bytes[-1] == ddp.sent_bytes[-1]
    twice = run_threads(4, train_together, run_of(steps=2, n_micro=2), *rows(), "zero3")[0]
    assert twice.sent_bytes[-1] == pytest.approx(2 * full, **few)


def test_few_messages():
    run = run_of(steps=2, bucket_bytes=10**9)
    sent = {m: run_threads(2, train_together, run, *rows(), m)[0].n_messages[-1] for m in METHODS}
    assert sent["buckets"] == sent["overlap"] == 2
    assert sent["naive"] > 20 * sent["buckets"]


@pytest.mark.parametrize(
    ("change", "size", "method", "words"),
    [
        ({}, 1, "zero4", "method must be one of naive, .*zero3; got 'zero4'"),
        ({}, 3, "naive", "8 rows cannot be shared out evenly among 3 ranks.*a multiple of 3"),
        ({"n_micro": 3}, 2, "naive", "among 2 ranks with 3 micro-batches each.*a multiple of 6"),
        ({"steps": 21}, 1, "naive", "at least 21 x 8 rows"),
    ],
)
def test_bad_input(change, size, method, words):
    with pytest.raises(ValueError, match=words):
        run_threads(size, train_together, run_of(**change), *rows(), method)


def test_bad_settings():
    with pytest.raises(ValueError, match="dtype must be float64 or float32, got 'bfloat16'"):
        run_of(dtype="bfloat16")
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        run_of(steps=0)


def test_threads_draw_the_same_weights():
    """torch's generator is shared by threads: nobody may draw from it while another does."""
    run = run_of(steps=1)
    told = [run_threads(4, train_together, run, *rows(), "naive") for _ in range(3)]
    assert len({t.losses[0] for ranks in told for t in ranks}) == 1
