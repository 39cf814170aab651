"""A pipeline that runs against the model on one rank, and against its simulation."""

import copy

import pytest
import torch

from minillm.distributed.pipeline import DecoderStage, run_pipeline, sum_tied
from minillm.distributed.schedules import gpipe, interleaved, one_f_one_b
from minillm.distributed.threads import run_threads
from minillm.distributed.timeline import simulate
from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    NormConfig,
    PositionConfig,
)
from minillm.objectives import causal_loss


def decoder(position="rope", *, tie=True, embedding_norm=False, layers=4):
    torch.manual_seed(23)
    config = DecoderConfig(
        vocab_size=100,
        d_model=16,
        n_layers=layers,
        context=16,
        attention=AttentionConfig(4),
        feedforward=FeedForwardConfig("swiglu", 24),
        norm=NormConfig(embedding=embedding_norm),
        position=PositionConfig(position),
        tie_embeddings=tie,
        init_std=0.2,
    )
    return Decoder(config, dtype=torch.float64)


def texts(n_micro):
    torch.manual_seed(1)
    return [list(torch.randint(100, (2 * n_micro, 6)).split(2)) for _ in range(2)]


def on_a_rank(group, model, cuts, orders, xs, ys):
    mine = copy.deepcopy(model)
    stage = DecoderStage(mine, cuts[group.rank], cuts[group.rank + 1])
    mark = group.mark()
    ran = run_pipeline(group, stage, orders[group.rank], xs, ys, width=16)
    sent = group.traffic.since(mark)
    sum_tied(group, mine)
    return ran, {n: p.grad for n, p in mine.named_parameters() if p.grad is not None}, sent


@pytest.mark.parametrize("schedule", [gpipe, one_f_one_b])
@pytest.mark.parametrize(
    ("made", "cuts"),
    [
        ({}, [0, 2, 4]),
        ({}, [0, 1, 4]),
        ({"tie": False}, [0, 1, 2, 4]),
        ({"position": "learned"}, [0, 2, 4]),
        ({"position": "sinusoidal", "tie": False}, [0, 2, 4]),
        ({"position": "alibi", "embedding_norm": True}, [0, 2, 4]),
        ({}, [0, 4]),
    ],
)
def test_stages_equal_one_rank(made, cuts, schedule):
    model, n_micro = decoder(**made), 5
    xs, ys = texts(n_micro)
    loss = causal_loss(model, torch.cat(xs), torch.cat(ys))
    loss.backward()
    p = len(cuts) - 1
    orders = schedule(p, n_micro)
    clock, seen = simulate(orders), set()
    for s, (ran, grads, sent) in enumerate(run_threads(p, on_a_rank, model, cuts, orders, xs, ys)):
        assert ran.peak == clock.peak(s)
        assert (ran.loss is None) == (s < p - 1)
        seen |= set(grads)
        for name, grad in grads.items():
            want = model.get_parameter(name).grad
            torch.testing.assert_close(grad, want, rtol=0, atol=1e-9, msg=name)
        neighbours = (s > 0) + (s < p - 1)
        assert sent.n_bytes == neighbours * n_micro * 2 * 6 * 16 * 8
    assert ran.loss == pytest.approx(loss.item(), abs=1e-12)
    assert seen == {name for name, _ in model.named_parameters()}


def test_without_the_sum_a_tied_table_is_wrong():
    def forgot(group, model, cuts, orders, xs, ys):
        mine = copy.deepcopy(model)
        stage = DecoderStage(mine, cuts[group.rank], cuts[group.rank + 1])
        run_pipeline(group, stage, orders[group.rank], xs, ys, width=16)
        return mine.embedding.weight.grad

    model = decoder()
    xs, ys = texts(2)
    causal_loss(model, torch.cat(xs), torch.cat(ys)).backward()
    first, last = run_threads(2, forgot, model, [0, 2, 4], gpipe(2, 2), xs, ys)
    assert not torch.allclose(first, model.embedding.weight.grad)
    torch.testing.assert_close(first + last, model.embedding.weight.grad, rtol=0, atol=1e-12)


def test_a_stage_holds_its_own_parts_only():
    model = decoder(tie=False)
    names = [{n for n, _ in DecoderStage(model, a, a + 2).named_parameters()} for a in (0, 2)]
    assert "embedding.weight" in names[0] - names[1]
    assert "head.weight" in names[1] - names[0]
    assert sum(
        p.numel() for a in (0, 2) for p in DecoderStage(model, a, a + 2).parameters()
    ) == sum(p.numel() for p in model.parameters())


def test_errors():
    model = decoder()
    xs, ys = texts(2)
    with pytest.raises(ValueError, match="0 <= first < end <= 4, got 2 to 5"):
        DecoderStage(model, 2, 5)
    with pytest.raises(ValueError, match="2 micro batches need as many inputs and targets, got 1"):
        run_threads(2, on_a_rank, model, [0, 2, 4], gpipe(2, 2), xs[:1], ys)
    with pytest.raises(ValueError, match="one chunk a stage"):
        run_threads(2, on_a_rank, model, [0, 2, 4], interleaved(2, 2, 2), xs, ys)
