"""The ledger of the first step: predicted and counted, within a tenth, for many models."""

import itertools
import warnings
from dataclasses import replace

import pytest
import torch

from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    NormConfig,
    PositionConfig,
)
from minillm.model.routing import ExpertsConfig
from minillm.objectives import causal_loss
from minillm.train import OptimizerConfig, TrainConfig, make_optimizer, train
from minillm.train.ledger import (
    Entry,
    LedgerWarning,
    StepLedger,
    optimizer_kind,
    step_flops,
    step_memory,
    storage_bytes,
)
from minillm.train.live_memory import LiveMemory
from minillm.train.optimizers import KINDS

V, D, T, B = 250, 32, 64, 4


def shape(**more):
    basics = {
        "attention": AttentionConfig(n_heads=4),
        "feedforward": FeedForwardConfig(kind="swiglu", width=80),
    }
    return DecoderConfig(V, D, 2, T, **{**basics, **more})


def experts(kind="swiglu", **more):
    return FeedForwardConfig(kind=kind, width=80, experts=ExpertsConfig(n_experts=4, **more))


SHAPES = {
    "plain": shape(),
    "grouped queries, gelu": shape(
        attention=AttentionConfig(n_heads=4, n_kv_heads=2),
        feedforward=FeedForwardConfig(kind="gelu", width=128),
    ),
    "one key head, layernorm": shape(
        attention=AttentionConfig(n_heads=4, n_kv_heads=1), norm=NormConfig(kind="layernorm")
    ),
    "output matrix of its own": shape(tie_embeddings=False),
    "parallel": shape(parallel=True),
    "post-norm": shape(norm=NormConfig(place="post")),
    "learned positions": shape(position=PositionConfig(kind="learned")),
    "experts": shape(feedforward=experts()),
    "experts, one shared": shape(feedforward=experts("gelu", top_k=1, n_shared=1)),
}


def batches(n, size=B):
    ids = torch.randint(0, V, (n, size, T + 1), generator=torch.Generator().manual_seed(0))
    return [(rows[:, :-1], rows[:, 1:]) for rows in ids]


def first_record(config, **more):
    """Train for one step with the ledger on; its record."""
    told = {"steps": 1, "batch_size": B, "context": T, "precision": "float32", "log_every": 0}
    optimizer = more.pop("optimizer", None)
    how = TrainConfig(**{**told, "ledger": True, **more})
    torch.manual_seed(0)
    records = []
    train(
        Decoder(config), batches(how.accumulate), how,
        optimizer=optimizer, log=records.append, progress=False,
    )  # fmt: skip
    return records[0]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", SHAPES)
def test_within_ten_percent(name, precision):
    with warnings.catch_warnings():
        warnings.simplefilter("error", LedgerWarning)
        ledger = first_record(SHAPES[name], precision=precision)["ledger"]
    assert set(ledger) == {"FLOPs", "bytes"}
    for found in ledger.values():
        assert found["predicted"] == pytest.approx(found["measured"], rel=0.1)


def test_operations_are_exact_where_all_is_products():
    for name in ("plain", "grouped queries, gelu", "output matrix of its own"):
        found = first_record(SHAPES[name])["ledger"]["FLOPs"]
        assert found["measured"] == found["predicted"]


def test_operations_by_hand():
    config = SHAPES["plain"]
    matrices = 2 * (4 * D * D + 3 * D * 80) + V * D
    attention = 2 * D * T * (12 + 2)  # 2 layers, N H = D; 12 as in the papers, 2 done twice
    assert step_flops(config, 10, T) == 10 * (6 * matrices + attention)
    readable = replace(config, attention=AttentionConfig(n_heads=4, implementation="readable"))
    assert step_flops(readable, 10, T) == 10 * (6 * matrices + 2 * D * T * 12)
    found = first_record(readable)["ledger"]["FLOPs"]
    assert found["predicted"] == pytest.approx(found["measured"], rel=0.01)


def test_accumulation_multiplies_the_operations_and_not_the_memory():
    one = first_record(SHAPES["plain"])["ledger"]
    three = first_record(SHAPES["plain"], accumulate=3)["ledger"]
    for which in ("predicted", "measured"):
        assert three["FLOPs"][which] == 3 * one["FLOPs"][which]
        assert three["bytes"][which] == pytest.approx(one["bytes"][which], rel=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_every_optimizer_is_predicted(kind):
    optimizer = OptimizerConfig(kind=kind, lr=1e-3)
    found = first_record(SHAPES["plain"], optimizer=optimizer)["ledger"]["bytes"]
    assert found["predicted"] == pytest.approx(found["measured"], rel=0.02)


def test_the_state_of_the_optimizer_is_in_it():
    model = Decoder(SHAPES["plain"])
    none = step_memory(model, B, T, precision="float32").total
    adamw = make_optimizer(model, OptimizerConfig())
    with_it = step_memory(model, B, T, precision="float32", optimizer=adamw).total
    assert with_it - none == 2 * storage_bytes(model.parameters())
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    assert optimizer_kind(sgd) == "sgd"
    assert optimizer_kind(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)) == "momentum"
    assert optimizer_kind(torch.optim.Rprop(model.parameters())) is None
    assert optimizer_kind(None) is None


def test_an_optimizer_that_is_not_known_is_left_out_of_both(new_model, counting):
    config = SHAPES["plain"]
    model = Decoder(config)
    records = []
    train(
        model, batches(1), TrainConfig(1, B, T, precision="float32", ledger=True),
        optimizer=torch.optim.Rprop(model.parameters(), lr=1e-3), log=records.append,
        progress=False,
    )  # fmt: skip
    found = records[0]["ledger"]["bytes"]
    assert found["predicted"] == pytest.approx(found["measured"], rel=0.02)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["plain", "grouped queries, gelu", "one key head, layernorm"])
def test_what_the_hooks_see_is_what_stays_alive(name, precision):
    """Another way to count: the storages that a forward pass has made and that are still there."""
    model = Decoder(SHAPES[name])
    ((x, y),) = batches(1)
    causal_loss(model, x, y).backward()  # what is made once, and stays
    narrow = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")
    with narrow, LiveMemory() as memory:
        loss = causal_loss(model, x, y)
        alive = memory.live
    loss.backward()
    ledger = step_memory(model, B, T, precision=precision)
    kept = ledger.activations + ledger.loss + ledger.copies
    assert kept == pytest.approx(alive, rel=0.05)
    assert (ledger.copies > 0) == (precision == "bfloat16")


# ---- what a run shows --------------------------------------------------------------------------


def test_only_the_first_step_of_a_session_is_counted():
    records = []
    how = TrainConfig(3, B, T, precision="float32", ledger=True)
    torch.manual_seed(0)
    train(Decoder(SHAPES["plain"]), batches(3), how, log=records.append, progress=False)
    assert ["ledger" in r for r in records] == [True, False, False]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_counting_changes_no_bit(precision):
    ends = []
    for ledger in (True, False):
        torch.manual_seed(0)
        model, records = Decoder(SHAPES["plain"]), []
        how = TrainConfig(3, B, T, precision=precision, ledger=ledger)
        train(model, batches(3), how, log=records.append, progress=False)
        ends.append(([r["loss"] for r in records], [p.tolist() for p in model.parameters()]))
    assert ends[0] == ends[1]


def test_a_line_says_it(capsys):
    torch.manual_seed(0)
    how = TrainConfig(1, B, T, precision="float32", log_every=0, ledger=True)
    train(Decoder(SHAPES["plain"]), batches(1), how)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "predicted" in line]
    told = first_record(SHAPES["plain"])["ledger"]
    assert line == "step 1/1 | " + "; ".join(
        f"{told[what]['predicted']:.4g} {what} predicted, {told[what]['measured']:.4g} counted"
        for what in ("FLOPs", "bytes")
    )


def test_without_the_switch_nothing_is_counted():
    assert "ledger" not in first_record(SHAPES["plain"], ledger=False)


def test_a_gap_is_a_warning_with_both_numbers():
    slow = shape(feedforward=experts(top_k=1, implementation="readable"))
    with pytest.warns(LedgerWarning) as w:
        found = first_record(slow)["ledger"]
    assert str(w[0].message).startswith("the ledger is off by ")
    assert found["FLOPs"]["predicted"] < 0.7 * found["FLOPs"]["measured"]
    assert f"{found['FLOPs']['predicted']:.4g}" in str(w[0].message)
    assert f"{found['FLOPs']['measured']:.4g} counted" in str(w[0].message)


@pytest.mark.parametrize(("predicted", "gap"), [(100, 0.0), (110, 0.1), (80, 0.2)])
def test_the_gap_of_an_entry(predicted, gap):
    entry = Entry("FLOPs", predicted, 100)
    assert entry.gap == pytest.approx(gap)
    assert str(entry) == f"{predicted} FLOPs predicted, 100 counted"


def test_it_needs_a_bare_decoder(new_model):
    wrapped = torch.nn.Sequential(new_model())
    with pytest.raises(ValueError, match=r"bare Decoder, got Sequential: set train\.ledger=False"):
        StepLedger(wrapped, "float32")
    how = TrainConfig(1, B, T, precision="float32", ledger=True)
    with pytest.raises(ValueError, match=r"set train\.ledger=False"):
        train(wrapped, batches(1), how, progress=False)


def test_cases_differ():
    """Each shape of the table is another memory or another number of operations."""
    seen = {
        (step_flops(c, 1, T), step_memory(Decoder(c), B, T, precision="bfloat16").total)
        for c in SHAPES.values()
    }
    assert len(seen) == len(SHAPES)
    assert all(a != b for a, b in itertools.pairwise(sorted(seen)))
