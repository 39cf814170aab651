"""Cross-entropy by hand, against torch, its gradient; its fast twin; bits per byte."""

import dataclasses
import math

import pytest
import torch
from torch.nn import functional as F

from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.objectives import bits_per_byte, causal_loss, cross_entropy, fast_cross_entropy

CLOSE = {"rtol": 1e-12, "atol": 1e-12}
BOTH = pytest.mark.parametrize("loss", [cross_entropy, fast_cross_entropy])


def case(shape=(3, 4), V=7, spread=3.0, ignored=-100):
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(*shape, V, generator=g, dtype=torch.float64) * spread
    targets = torch.randint(0, V, shape, generator=g)
    targets.view(-1)[::3] = ignored
    return logits.requires_grad_(), targets


@BOTH
def test_by_hand(loss):
    logits = torch.tensor([[math.log(3), 0.0], [0.0, 0.0]], dtype=torch.float64)
    targets = torch.tensor([0, 1])
    wanted = [math.log(4 / 3), math.log(2)]
    assert loss(logits, targets, reduction="none").tolist() == pytest.approx(wanted, abs=1e-15)
    assert loss(logits, targets, reduction="sum").item() == pytest.approx(sum(wanted), abs=1e-15)
    assert loss(logits, targets).item() == pytest.approx(sum(wanted) / 2, abs=1e-15)


@BOTH
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("ignored", [-100, 0, 2])
@pytest.mark.parametrize("shape", [(12,), (3, 4), (2, 3, 2)])
def test_equals_torch_in_value_and_gradient(loss, reduction, ignored, shape):
    logits, targets = case(shape, ignored=ignored)
    options = {"ignore_index": ignored, "reduction": reduction}
    ours = loss(logits, targets, **options)
    theirs = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), **options)
    theirs = theirs.view(ours.shape)
    torch.testing.assert_close(ours, theirs, **CLOSE)
    above = torch.randn(ours.shape, dtype=torch.float64)
    got, wanted = (torch.autograd.grad(value, logits, above)[0] for value in (ours, theirs))
    torch.testing.assert_close(got, wanted, **CLOSE)


@BOTH
def test_the_gradient_is_p_minus_y(loss):
    logits, _ = case()
    targets = torch.full((3, 4), 5)
    (gradient,) = torch.autograd.grad(loss(logits, targets, reduction="sum"), logits)
    y = F.one_hot(targets, 7).double()
    torch.testing.assert_close(gradient, logits.detach().softmax(-1) - y, **CLOSE)


@BOTH
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_a_batch_without_answers_gives_zero_and_zero_gradient(loss, reduction):
    logits, targets = case()
    value = loss(logits, torch.full_like(targets, -100), reduction=reduction)
    assert value.count_nonzero() == 0
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    assert gradient.abs().max() == 0


@BOTH
def test_neither_overflows_nor_loses_digits(loss):
    logits = torch.tensor([[1e4, 1e4 - 1, 0.0]])
    wanted = 1 + math.log1p(math.exp(-1))
    assert loss(logits, torch.tensor([1])).item() == pytest.approx(wanted, rel=1e-6)
    assert loss(logits, torch.tensor([2])).item() == pytest.approx(1e4 + wanted - 1, rel=1e-6)
    never = torch.tensor([[0.0, 0.0, -math.inf]])
    assert loss(never, torch.tensor([0])).item() == pytest.approx(math.log(2))


@BOTH
def test_uniform_logits_cost_ln_v_and_sums_run_in_float32(loss):
    value = loss(torch.zeros(4, 4096, dtype=torch.bfloat16), torch.arange(4))
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(math.log(4096), rel=1e-6)


@BOTH
def test_a_shift_of_all_logits_changes_nothing(loss):
    logits, targets = case()
    torch.testing.assert_close(loss(logits + 5, targets), loss(logits, targets), **CLOSE)


@BOTH
def test_wrong_shapes_and_reductions_are_refused(loss):
    logits, targets = case()
    with pytest.raises(ValueError, match=r"\(3, 4, 7\) and \(4, 3\)"):
        loss(logits, targets.T)
    with pytest.raises(ValueError, match="got 'median'"):
        loss(logits, targets, reduction="median")


@pytest.mark.parametrize("bad", [7, -1, -99])
def test_targets_that_are_no_ids_are_refused(bad):
    logits, targets = case()
    targets[1, 1] = bad
    with pytest.raises(ValueError, match=f"target {bad} is not an id.*0 to 6.*ignore_index=-100"):
        cross_entropy(logits, targets)


def test_targets_must_be_int64():
    logits, targets = case()
    with pytest.raises(ValueError, match=r"got torch\.int32"):
        cross_entropy(logits, targets.int())


CONFIG = DecoderConfig(
    vocab_size=50,
    d_model=16,
    n_layers=1,
    context=8,
    attention=AttentionConfig(2),
    feedforward=FeedForwardConfig("swiglu", 24),
    init_std=0.3,
)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("vocab_size", [50, 128])
def test_causal_loss_is_the_mean_over_next_tokens(tied, vocab_size):
    torch.manual_seed(0)
    config = dataclasses.replace(CONFIG, tie_embeddings=tied, vocab_size=vocab_size)
    model = Decoder(config, dtype=torch.float64)
    text = torch.randint(0, vocab_size, (3, 9))
    x, y = text[:, :-1], text[:, 1:].clone()
    y[0, :3] = -100
    wanted = cross_entropy(model(x), y)
    for through in (model, lambda ids: model(ids)):  # the fused way, and any callable
        value = causal_loss(through, x, y)
        torch.testing.assert_close(value, wanted, **CLOSE)
        got = torch.autograd.grad(value, list(model.parameters()))
        torch.testing.assert_close(
            got, torch.autograd.grad(cross_entropy(model(x), y), list(model.parameters())), **CLOSE
        )
    with torch.no_grad():
        torch.testing.assert_close(causal_loss(model, x, y), wanted.detach(), **CLOSE)


def test_causal_loss_calls_a_model_that_has_hooks():
    model = Decoder(CONFIG)
    x = torch.zeros(1, 4, dtype=torch.long)
    calls = []
    handle = model.register_forward_hook(lambda *_: calls.append(1))
    causal_loss(model, x, x)
    handle.remove()
    handle = model.register_forward_pre_hook(lambda *_: calls.append(2))
    causal_loss(model, x, x)
    handle.remove()
    causal_loss(model, x, x)
    assert calls == [1, 2]


def test_causal_loss_refuses_different_shapes():
    x = torch.zeros(2, 4, dtype=torch.long)
    with pytest.raises(ValueError, match=r"\(2, 4\) and \(2, 3\)"):
        causal_loss(Decoder(CONFIG), x, x[:, 1:])


def test_bits_per_byte_by_hand():
    assert bits_per_byte(math.log(256) * 10, 10) == pytest.approx(8.0, abs=1e-14)
    assert bits_per_byte(math.log(2) * 3, 6) == pytest.approx(0.5, abs=1e-15)
    assert bits_per_byte(0.0, 1) == 0.0


@pytest.mark.parametrize(
    ("nll", "n_bytes", "words"),
    [
        (1.0, 0, "n_bytes must be at least 1, got 0"),
        (1.0, -2, "got -2"),
        (-0.5, 3, r"not negative, got -0\.5"),
        (math.inf, 3, "finite and not negative, got inf"),
        (math.nan, 3, "got nan"),
    ],
)
def test_bits_per_byte_refuses_what_is_no_loss(nll, n_bytes, words):
    with pytest.raises(ValueError, match=words):
        bits_per_byte(nll, n_bytes)
