"""Lesson 23's proof on two real processes: tensor, pipeline and ring equal to one process."""

import copy

import pytest
import torch

from minillm.distributed.processes import run_processes
from minillm.distributed.ring_attention import zigzag
from minillm.distributed.schedules import one_f_one_b
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.model import attention as attention_of
from minillm.objectives import causal_loss

SHAPE = {"vocab_size": 100, "d_model": 16, "n_layers": 2, "context": 8, "init_std": 0.2}
N_MICRO, LR, STEPS = 4, 0.1, 3


def work(group, shape, state, xs, ys, whole, orders):
    """Self-contained, so that its source can travel to the processes."""
    import torch

    from minillm.distributed.pipeline import DecoderStage, run_pipeline, sum_tied
    from minillm.distributed.ring_attention import ring_attention, zigzag
    from minillm.distributed.tensor_parallel import split_decoder
    from minillm.distributed.vocabulary_parallel import parallel_loss
    from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig

    def decoder():
        parts = {"attention": AttentionConfig(4), "feedforward": FeedForwardConfig("swiglu", 24)}
        model = Decoder(DecoderConfig(**shape, **parts), dtype=torch.float64)
        model.load_state_dict(state)
        return model

    def steps(model, step):
        losses = []
        for _ in range(3):
            losses.append(step())
            with torch.no_grad():
                for p in model.parameters():
                    if p.grad is not None:
                        p -= 0.1 * p.grad
                    p.grad = None
        return losses

    def tensor_step(model):
        loss = parallel_loss(model, torch.cat(xs), torch.cat(ys), group)
        loss.backward()
        return loss.item()

    def pipeline_step(model, stage):
        ran = run_pipeline(group, stage, orders[group.rank], xs, ys, width=16)
        sum_tied(group, model)
        return ran.loss

    split = {}
    for sequence in (False, True):
        model = decoder()
        split_decoder(model, group, sequence=sequence)
        split[sequence] = steps(model, lambda model=model: tensor_step(model))
    model = decoder()
    stage = DecoderStage(model, group.rank, group.rank + 1)
    piped = steps(model, lambda: pipeline_step(model, stage))
    at = zigzag(whole[0].shape[2], group.size)[group.rank]
    q, k, v = (t[:, :, at].clone().requires_grad_() for t in whole)
    out = ring_attention(q, k, v, at, group)
    out.square().sum().backward()
    return split, piped, [out.detach(), q.grad, k.grad, v.grad]


@pytest.mark.dist
def test_two_processes_equal_one():
    torch.manual_seed(23)
    parts = {"attention": AttentionConfig(4), "feedforward": FeedForwardConfig("swiglu", 24)}
    model = Decoder(DecoderConfig(**SHAPE, **parts), dtype=torch.float64)
    state = copy.deepcopy(model.state_dict())
    xs, ys = (list(torch.randint(100, (2 * N_MICRO, 6)).split(2)) for _ in range(2))
    whole = [torch.randn(1, 2, 16, 4, dtype=torch.float64) for _ in range(3)]

    losses = []
    for _ in range(STEPS):
        loss = causal_loss(model, torch.cat(xs), torch.cat(ys))
        model.zero_grad()
        loss.backward()
        losses.append(loss.item())
        with torch.no_grad():
            for p in model.parameters():
                p -= LR * p.grad
    inputs = [t.clone().requires_grad_() for t in whole]
    want = attention_of(*inputs, causal=True)
    wanted = [want.detach(), *torch.autograd.grad(want.square().sum(), inputs)]

    work.__module__ = "__main__"  # as from a notebook
    orders = one_f_one_b(2, N_MICRO)
    found = run_processes(2, work, SHAPE, state, xs, ys, whole, orders, echo=None)
    assert losses[0] > losses[-1]
    assert found[1][1] == pytest.approx(losses, abs=1e-9)  # the last stage knows the loss
    for at, (split, _, ring) in zip(zigzag(16, 2), found, strict=True):
        assert split[False] == pytest.approx(losses, abs=1e-9)
        assert split[True] == pytest.approx(losses, abs=1e-9)
        for x, y in zip(ring, wanted, strict=True):
            torch.testing.assert_close(x, y[:, :, at], rtol=0, atol=1e-9)
