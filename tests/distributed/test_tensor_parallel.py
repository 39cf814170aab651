"""A decoder over two and four ranks against the same decoder on one: loss and every gradient."""

import copy

import pytest
import torch

from minillm.distributed.conjugate import own_part
from minillm.distributed.tensor_parallel import columns, rows, split_decoder
from minillm.distributed.threads import run_threads
from minillm.distributed.vocabulary_parallel import parallel_loss
from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    NormConfig,
    PositionConfig,
)
from minillm.model.layers import Linear
from minillm.objectives import causal_loss

LLAMA = {"kind": "swiglu", "norm": "rmsnorm", "position": "rope"}
GPT = {"kind": "gelu", "norm": "layernorm", "position": "learned", "bias": True}


def decoder(kind, norm, position, *, bias=False, kv=4, tie=True, place="pre", layers=2):
    torch.manual_seed(23)
    config = DecoderConfig(
        vocab_size=300,  # 84 rows of padding, all on the last rank
        d_model=16,
        n_layers=layers,
        context=16,
        attention=AttentionConfig(4, kv, bias=bias),
        feedforward=FeedForwardConfig(kind, 24, bias=bias),
        norm=NormConfig(norm, 1e-5, place=place),
        position=PositionConfig(position),
        tie_embeddings=tie,
        init_std=0.2,
    )
    model = Decoder(config, dtype=torch.float64)
    for p in model.parameters():
        if p.ndim == 1:  # norms and biases that matter
            p.data += 0.3 * torch.randn_like(p)
    return model


def texts():
    own = torch.Generator().manual_seed(1)  # ranks are threads here: the global one is shared
    x, y = torch.randint(300, (2, 2, 8), generator=own)
    y[0, 3] = -100
    return x, y


def on_a_rank(group, model, sequence):
    mine = copy.deepcopy(model)
    axes = split_decoder(mine, group, sequence=sequence)
    loss = parallel_loss(mine, *texts(), group)
    forward = group.mark()
    loss.backward()
    n = sum(p.numel() for p in mine.parameters())
    grads = {name: p.grad for name, p in mine.named_parameters()}
    return loss.item(), axes, grads, forward, group.mark(), n


@pytest.mark.parametrize("sequence", [False, True])
@pytest.mark.parametrize(
    ("made", "n"),
    [
        (LLAMA | {"kv": 2}, 2),
        (LLAMA | {"tie": False}, 4),
        (GPT, 2),
        (GPT | {"position": "sinusoidal", "tie": False}, 2),
        (LLAMA | {"place": "sandwich"}, 2),
        (LLAMA, 1),
    ],
)
def test_ranks_equal_one_process(made, n, sequence):
    model = decoder(**made)
    loss = causal_loss(model, *texts())
    loss.backward()
    for r, (found, axes, grads, *_) in enumerate(run_threads(n, on_a_rank, model, sequence)):
        assert found == pytest.approx(loss.item(), abs=1e-12)
        assert set(grads) == {name for name, _ in model.named_parameters()}
        for name, p in model.named_parameters():
            want = own_part(p.grad, r, n, axes[name]) if name in axes else p.grad
            torch.testing.assert_close(grads[name], want, rtol=0, atol=1e-9, msg=name)


def test_bytes_and_parameters():
    model = decoder(**LLAMA)
    whole = sum(p.numel() for p in model.parameters())
    norms = sum(p.numel() for p in model.parameters() if p.ndim == 1)
    (*_, forward, both, n), _ = run_threads(2, on_a_rank, model, False)
    assert n == (whole - norms) / 2 + norms
    # two all-reduces of B T D a block and one for the embedding; half of a vector is sent twice;
    # then three numbers a position for the loss
    width, positions = 2 * 8 * 16 * 8, 2 * 8 * 8
    assert forward.n_bytes == (2 * 2 + 1) * width + 3 * positions
    # backward two a block, and one at the output matrix
    assert both.since(forward).n_bytes == (2 * 2 + 1) * width
    # the same bytes with sequence parallelism, but for its two ends and the norms
    (*_, seq_forward, _, _), _ = run_threads(2, on_a_rank, model, True)
    assert seq_forward.n_bytes == forward.n_bytes + width / 2  # join at the end


def halves(group, up, down, x):
    """A feed-forward layer by hand: f, columns, act, rows, g."""
    from minillm.distributed.conjugate import enter, leave

    up, down, x = copy.deepcopy(up), copy.deepcopy(down), x.clone().requires_grad_()
    columns(up, group)
    rows(down, group)
    mark = group.mark()
    y = leave(down(torch.relu(up(enter(x, group)))), group)
    sent = group.traffic.since(mark).n_bytes
    y.sum().backward()
    return y.detach(), x.grad, sent


def test_a_layer_by_hand_needs_one_all_reduce():
    torch.manual_seed(3)
    up, down = Linear(6, 8, bias=True, dtype=torch.float64), Linear(8, 6, dtype=torch.float64)
    torch.nn.init.normal_(up.bias)
    x = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    want = down(torch.relu(up(x)))
    want.sum().backward()
    for y, grad, sent in run_threads(2, halves, up, down, x.detach()):
        torch.testing.assert_close(y, want, rtol=0, atol=1e-12)
        torch.testing.assert_close(grad, x.grad, rtol=0, atol=1e-12)
        assert sent == 5 * 6 * 8  # 2 (N - 1) / N of the output, N = 2


@pytest.mark.parametrize(
    ("changed", "n", "words"),
    [
        ({"kv": 1}, 2, "2 ranks cannot share out key heads=1"),
        ({"kv": 4}, 3, "3 ranks cannot share out heads=4"),
        ({"position": "alibi"}, 2, "position.kind 'alibi' is not supported"),
    ],
)
def test_what_cannot_be_split_is_refused(changed, n, words):
    model = decoder(**(LLAMA | changed))
    with pytest.raises(ValueError, match=words):
        run_threads(n, on_a_rank, model, False)


def test_a_bias_on_rows_is_refused():
    def work(group):
        rows(Linear(4, 4, bias=True), group)

    with pytest.raises(ValueError, match="added once a rank"):
        run_threads(2, work)
