"""Training on pairs: the loss of a batch, what moves, and a run that was killed."""

import math

import pytest
import torch

from minillm.align.answer_logprobs import EncodedPair, lay_pairs, response_logprobs
from minillm.align.direct import ipo_loss, kto_loss, orpo_loss, simpo_loss
from minillm.align.direct_training import (
    METHODS,
    DirectConfig,
    direct_loss,
    pair_stats,
    prefer,
    reference_of,
)
from minillm.align.dpo import dpo_loss
from minillm.align.pair_batches import PairBatches
from minillm.finetune.talks import Example
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.train import OptimizerConfig, TrainConfig, checkpointer, make_optimizer, resume
from minillm.train.batch_ramp import LinearRamp

BEGIN, FILL = 7, 9
CONFIG = DecoderConfig(
    vocab_size=12,
    d_model=16,
    n_layers=1,
    context=12,
    attention=AttentionConfig(n_heads=2),
    feedforward=FeedForwardConfig(kind="swiglu", width=16),
)
STEPS = TrainConfig(
    steps=6, batch_size=2, context=10, log_every=0, save_every=3, precision="float32"
)
OPTIMIZER = OptimizerConfig(lr=1e-2)


def row(*marked):
    return Example((BEGIN, *(abs(i) for i in marked)), (False, *(i < 0 for i in marked)))


PAIRS = [
    EncodedPair(row(1, 2, -3, -4, 8), row(1, 2, -5, -6, -6, 8)),
    EncodedPair(row(4, -1, -1), row(4, -2)),
    EncodedPair(row(5, -3), row(5, -6, -6)),
    EncodedPair(row(6, 6, -3, -1), row(6, 6, -2, -5)),
]


def decoder(seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    return Decoder(CONFIG, dtype=dtype)


def batches(batch_size=2, pairs=PAIRS):
    return PairBatches(pairs, batch_size, 10, pad=FILL, seed=1)


def settings_of(method):
    extra = {"kto": {"desirable_weight": 1.3}, "simpo": {"gamma": 0.4}, "dpo": {}}
    return DirectConfig(method, beta=0.3, **extra.get(method, {}))


def wanted(method, model, ref, pairs):
    """The loss from sums and means of single rows."""

    def logp(m, example):
        ids = torch.tensor([example.ids])
        learned = torch.tensor([example.learned])
        return response_logprobs(m, ids, learned).sum()

    sides = [[p.chosen for p in pairs], [p.rejected for p in pairs]]
    here = [torch.stack([logp(model, e) for e in side]) for side in sides]
    there = [torch.stack([logp(ref, e) for e in side]).detach() for side in sides]
    n = [torch.tensor([sum(e.learned) for e in side]) for side in sides]
    if method == "dpo":
        return dpo_loss(*here, *there, beta=0.3)
    if method == "ipo":
        means = [x / k for x, k in zip([*here, *there], [*n, *n], strict=True)]
        return ipo_loss(*means, tau=0.3)
    if method == "orpo":
        return orpo_loss(here[0] / n[0], here[1] / n[1], weight=0.3)
    if method == "simpo":
        return simpo_loss(here[0] / n[0], here[1] / n[1], beta=0.3, gamma=0.4)
    rows = [*sides[0], *sides[1]]
    others = []
    for k, example in enumerate(rows):
        above = rows[k - 1]
        prompt = example.ids[: example.learned.index(True)]
        answer = tuple(i for i, m in zip(above.ids, above.learned, strict=True) if m)
        marks = (False,) * len(prompt) + (True,) * len(answer)
        others.append(Example((*prompt, *answer), marks))
    gaps = [float((logp(model, e) - logp(ref, e)).detach()) for e in others]
    z = max(0.0, sum(gaps) / len(gaps))
    good = torch.tensor([True] * len(pairs) + [False] * len(pairs))
    return kto_loss(torch.cat(here), torch.cat(there), good, z, beta=0.3, desirable_weight=1.3)


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_has_the_loss_of_its_rows_alone(method):
    model, ref = decoder(1, torch.float64), decoder(2, torch.float64)
    source = batches(batch_size=3)
    x, y = next(source)
    asked = [next(p for p in PAIRS if p.chosen.ids[1] == first) for first in x[:3, 1].tolist()]
    loss = direct_loss(model, x, y, config=settings_of(method), ref_model=ref, pad=FILL)
    expected = wanted(method, model, ref, asked)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    ours = torch.autograd.grad(loss, model.parameters())
    theirs = torch.autograd.grad(expected, model.parameters())
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def learned(method="dpo", model=None, ref=None, config=STEPS, **loop):
    model = decoder() if model is None else model
    ref = reference_of(model) if ref is None else ref
    seen = []
    loop = {"optimizer": OPTIMIZER, "log": seen.append, "progress": False, **loop}
    prefer(model, batches(), config, settings_of(method), ref_model=ref, **loop)
    return [r["loss"] for r in seen], model, ref


@pytest.mark.parametrize("method", METHODS)
def test_it_learns_to_prefer(method):
    config = TrainConfig(steps=25, batch_size=2, context=10, log_every=0, precision="float32")
    losses, model, ref = learned(method, config=config)
    if method == "dpo":
        assert losses[0] == pytest.approx(math.log(2), abs=1e-6)
    before = pair_stats(reference_of(ref), ref, PAIRS, pad=FILL)
    assert (before.accuracy, before.margin) == (0.5, 0)
    after = pair_stats(model, ref, PAIRS, pad=FILL, batch_size=3)
    assert after.accuracy == 1
    assert after.margin > 0
    assert after.chosen > after.rejected


def test_the_reference_stands_still():
    _, model, ref = learned()
    start = decoder()
    for p, q in zip(ref.parameters(), start.parameters(), strict=True):
        assert torch.equal(p, q)
        assert not p.requires_grad
    assert any(
        not torch.equal(p, q) for p, q in zip(model.parameters(), start.parameters(), strict=True)
    )
    assert not ref.training


def test_killed_and_gone_on_with_is_the_undisturbed_run(tmp_path):
    whole, end, ref = learned()
    save, first = checkpointer(tmp_path / "last"), []

    class Kill(Exception):
        pass

    def killed(model, optimizer, state):
        save(model, optimizer, state)
        raise Kill

    with pytest.raises(Kill):
        learned(save=killed, log=first.append)
    torch.manual_seed(99)  # whatever happens in between
    again, order, rest = decoder(5), batches(), []
    moving = make_optimizer(again, OPTIMIZER)
    state = resume(tmp_path / "last", again, moving, order)
    prefer(
        again,
        order,
        STEPS,
        settings_of("dpo"),
        ref_model=ref,
        optimizer=moving,
        state=state,
        log=rest.append,
        progress=False,
    )
    assert [r["loss"] for r in first + rest] == whole
    mine, theirs = again.state_dict(), end.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_pair_stats_do_not_depend_on_the_batches():
    model, ref = decoder(1, torch.float64), decoder(2, torch.float64)
    found = [pair_stats(model, ref, PAIRS, pad=FILL, batch_size=n) for n in (1, 3, 8)]
    for other in found[1:]:
        assert other.margin == pytest.approx(found[0].margin)
    ids, mask = lay_pairs(PAIRS, pad=FILL)
    gap = (response_logprobs(model, ids, mask) - response_logprobs(ref, ids, mask)).sum(1)
    assert found[0].chosen == pytest.approx(gap[:4].mean().item())
    assert found[0].rejected == pytest.approx(gap[4:].mean().item())


X, Y = next(batches(batch_size=1))
RAMP = TrainConfig(steps=2, batch_size=2, context=10, ramp=LinearRamp(24, 48, 100))


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: DirectConfig("ppo"), "method must be one of dpo, ipo, .*; got 'ppo'"),
        (lambda: DirectConfig(beta=0), "beta must be positive"),
        (lambda: DirectConfig("ipo", label_smoothing=0.1), "label_smoothing=0.1 is read by dpo"),
        (lambda: DirectConfig("dpo", gamma=1), "gamma=1 is read by simpo only"),
        (lambda: DirectConfig("orpo", undesirable_weight=2), "undesirable_weight=2 .* kto only"),
        (
            lambda: direct_loss(decoder(), X, Y, config=DirectConfig("dpo")),
            "dpo compares with a reference",
        ),
        (
            lambda: direct_loss(decoder(), X[:1], Y[:1], config=DirectConfig("orpo")),
            "the chosen rows and then the rejected",
        ),
        (
            lambda: direct_loss(decoder(), X, Y, config=DirectConfig("kto"), ref_model=decoder(1)),
            "two pairs or more",
        ),
        (lambda: prefer(decoder(), batches(), STEPS, DirectConfig("ipo")), "ipo compares with"),
        (
            lambda: learned(config=TrainConfig(accumulate=2)),
            "whole batch in one pass; set train.accumulate=1",
        ),
        (lambda: learned(config=RAMP), "whole batch in one pass"),
        (lambda: pair_stats(decoder(), decoder(), [], pad=FILL), "no pair to measure"),
    ],
)
def test_bad_input(action, words):
    with pytest.raises(ValueError, match=words):
        action()


def test_the_model_is_not_its_own_reference():
    model = decoder()
    with pytest.raises(ValueError, match="the model itself, which moves"):
        learned(model=model, ref=model)
