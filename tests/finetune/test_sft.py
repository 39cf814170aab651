"""Fine-tuning: the loss against every talk alone, weights against brute force, and the loop."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from minillm.finetune.lora import apply_lora
from minillm.finetune.sft import (
    NORMALISE,
    answer_loss,
    chat_loss,
    fine_tune,
    target_weights,
)
from minillm.finetune.talks import ChatBatches, Example, lay_rows, unpack_rows
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.objectives import causal_loss
from minillm.train import (
    OptimizerConfig,
    TrainConfig,
    checkpointer,
    make_optimizer,
    resume,
)
from minillm.train.batch_ramp import LinearRamp

BEGIN, FILL = 7, 9
CONFIG = DecoderConfig(
    vocab_size=12,
    d_model=16,
    n_layers=2,
    context=16,
    attention=AttentionConfig(n_heads=2),
    feedforward=FeedForwardConfig(kind="swiglu", width=16),
)
STEPS = TrainConfig(
    steps=6, batch_size=2, context=12, log_every=0, save_every=3, precision="float32", seed=3
)


def example(*marked):
    return Example((BEGIN, *(abs(i) for i in marked)), (False, *(i < 0 for i in marked)))


TALKS = [
    example(1, -2, 8, 3, -4, -5),
    example(5, -6),
    example(2, 2, -1, -1, -1, 8),
    example(4, -3, -3, 8, -2),
    example(6, -5, -4),
]


def decoder(seed=0, dtype=torch.float64):
    torch.manual_seed(seed)
    return Decoder(CONFIG, dtype=dtype)


def batches(found=TALKS, batch_size=2, context=12, **kw):
    return ChatBatches(found, batch_size, context, **{"start": BEGIN, "pad": FILL, "seed": 1, **kw})


def alone(model, found):
    """The surprise at each learned token of one talk, read with nothing around it."""
    ids = torch.tensor([found.ids])
    nll = -model(ids[:, :-1]).log_softmax(-1).gather(-1, ids[:, 1:, None])[0, :, 0]
    return [nll[t] for t in range(len(nll)) if found.learned[t + 1]]


def wanted(model, normalise):
    """The definition, talk by talk."""
    per_talk = [alone(model, e) for e in TALKS]
    if normalise == "sum":
        return sum(sum(each) for each in per_talk)
    if normalise == "tokens":
        return sum(sum(each) for each in per_talk) / sum(map(len, per_talk))
    if normalise == "examples":
        return sum(sum(each) / len(each) for each in per_talk) / len(per_talk)
    answers = []
    for talk, each in zip(TALKS, per_talk, strict=True):
        answer = []
        rest = list(each)
        for t, learned in enumerate(talk.learned):
            answer += [rest.pop(0)] if learned else []
            if answer and (not learned or t == len(talk) - 1):
                answers.append(sum(answer) / len(answer))
                answer = []
    assert len(answers) == 7
    return sum(answers) / len(answers)


@pytest.mark.parametrize("packing", ["pad", "best_fit", "first_fit"])
@pytest.mark.parametrize("normalise", NORMALISE)
def test_packed_and_padded_rows_have_the_loss_of_talks_alone(packing, normalise):
    model = decoder()
    rows = lay_rows(TALKS, 13, packing, pad=FILL)
    x, y = unpack_rows(rows)
    loss = chat_loss(model, x, y, start=BEGIN, normalise=normalise)
    expected = wanted(model, normalise)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)  # weights are float32
    ours = torch.autograd.grad(loss, model.parameters())
    theirs = torch.autograd.grad(expected, model.parameters())
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_without_the_mask_the_loss_would_be_another():
    model = decoder()
    x, y = unpack_rows(lay_rows(TALKS, 13, "best_fit", pad=FILL))
    assert abs(causal_loss(model, x, y) - chat_loss(model, x, y, start=BEGIN)) > 1e-4
    padded = unpack_rows(lay_rows(TALKS, 13, "pad", pad=FILL))
    assert causal_loss(model, *padded) == chat_loss(model, *padded, start=BEGIN)


targets = st.integers(1, 3).flatmap(
    lambda B: st.integers(1, 8).flatmap(
        lambda T: st.lists(
            st.lists(st.tuples(st.booleans(), st.booleans()), min_size=T, max_size=T),
            min_size=B,
            max_size=B,
        )
    )
)


@given(targets)
@settings(deadline=None, max_examples=80)
def test_weights_against_brute_force(marks):
    """Of each place: is it learned, and does a talk begin here?"""
    learned = [[mark for mark, _ in row] for row in marks]
    documents = torch.tensor([[begins for _, begins in row] for row in marks]).cumsum(1)
    y = torch.where(torch.tensor(learned), 3, -100)
    talks, answers = {}, {}
    for b, row in enumerate(learned):
        run = 0
        for t, is_learned in enumerate(row):
            run += is_learned and (t == 0 or not row[t - 1])
            if is_learned:
                talks.setdefault((b, int(documents[b, t])), []).append((b, t))
                answers.setdefault((b, run), []).append((b, t))
    for normalise, groups in (("examples", talks), ("answers", answers)):
        expected = torch.zeros(y.shape)
        for places in groups.values():
            for b, t in places:
                expected[b, t] = 1 / (len(groups) * len(places))
        found = target_weights(y, documents, normalise)
        torch.testing.assert_close(found, expected)
    for normalise in ("tokens", "answers", "examples"):
        total = target_weights(y, documents, normalise).sum().item()
        assert total == pytest.approx(float(any(map(any, learned))), abs=1e-6)
    assert target_weights(y, documents, "sum").sum() == sum(map(sum, learned))


@pytest.mark.parametrize("normalise", NORMALISE)
def test_a_batch_without_an_answer_moves_nothing(normalise):
    model = decoder()
    x = torch.tensor([[BEGIN, 1, 2]])
    loss = chat_loss(model, x, torch.full_like(x, -100), start=BEGIN, normalise=normalise)
    assert loss == 0
    loss.backward()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


class Bigram(nn.Module):
    """Logits from the last token alone; no Decoder."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(12, 12)

    def forward(self, ids):
        return self.table(ids)


def test_any_model_can_learn_from_padded_rows():
    model = Bigram()
    x, y = unpack_rows(lay_rows(TALKS, 13, "pad", pad=FILL))
    loss = chat_loss(model, x, y, start=BEGIN)
    assert loss.item() == pytest.approx(causal_loss(model, x, y).item(), rel=1e-6)
    x, y = unpack_rows(lay_rows(TALKS, 13, "best_fit", pad=FILL))
    with pytest.raises(ValueError, match="Bigram cannot keep apart; take packing 'pad'"):
        chat_loss(model, x, y, start=BEGIN)


def losses(config=STEPS, model=None, **loop):
    seen = []
    model = decoder(dtype=torch.float32) if model is None else model
    loop = {"optimizer": OptimizerConfig(lr=1e-2), "progress": False, **loop}
    fine_tune(model, batches(), config, log=seen.append, **loop)
    return [record["loss"] for record in seen], model


def test_it_learns_the_answers():
    config = TrainConfig(steps=60, batch_size=2, context=12, log_every=0, precision="float32")
    found, model = losses(config, optimizer=OptimizerConfig(lr=2e-2))
    assert found[-1] < 0.5 * found[0]
    start = decoder(dtype=torch.float32)
    loss = partial(chat_loss, model, start=BEGIN)
    before = answer_loss(TALKS, partial(chat_loss, start, start=BEGIN), pad=FILL)
    assert answer_loss(TALKS, loss, pad=FILL) < 0.5 * before


def test_accumulation_is_one_big_batch():
    """Two passes of a step weigh by their targets, so that the tokens of the step count alike."""
    halves, _ = losses(TrainConfig(steps=1, batch_size=2, accumulate=2, context=12, log_every=0))
    seen = []
    fine_tune(
        decoder(dtype=torch.float32),
        batches(batch_size=4),
        TrainConfig(steps=1, batch_size=4, context=12, log_every=0),
        log=seen.append,
        progress=False,
    )
    assert seen[0]["loss"] == pytest.approx(halves[0], rel=1e-6)


@pytest.mark.parametrize("lora", [False, True])
def test_killed_and_gone_on_with_is_the_undisturbed_run(tmp_path, lora):
    def made():
        model = decoder(dtype=torch.float32)
        return apply_lora(model, rank=2, dropout=0.2) if lora else model

    whole, end = losses(model=made())
    save, first = checkpointer(tmp_path / "last"), []

    class Kill(Exception):
        pass

    def killed(model, optimizer, state):
        save(model, optimizer, state)
        raise Kill

    with pytest.raises(Kill):
        fine_tune(
            made(),
            batches(),
            STEPS,
            optimizer=OptimizerConfig(lr=1e-2),
            save=killed,
            log=first.append,
            progress=False,
        )
    torch.manual_seed(99)  # whatever happens in between
    again, order = made(), batches()
    moving = make_optimizer(again, OptimizerConfig(lr=1e-2))
    state = resume(tmp_path / "last", again, moving, order)
    rest = []
    fine_tune(again, order, STEPS, optimizer=moving, state=state, log=rest.append, progress=False)
    assert [r["loss"] for r in first + rest] == whole
    mine, theirs = again.state_dict(), end.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_only_what_requires_a_gradient_moves():
    model = apply_lora(decoder(dtype=torch.float32), rank=2)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    losses(model=model)
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {name for name, p in model.named_parameters() if p.requires_grad}
    assert all("adapters" in name for name in moved)


def test_the_mean_over_all_answers_does_not_depend_on_the_batches():
    model = decoder()
    loss = partial(chat_loss, model, start=BEGIN)
    expected = wanted(model, "tokens").item()
    for batch_size in (1, 2, 9):
        found = answer_loss(TALKS, loss, pad=FILL, batch_size=batch_size)
        assert found == pytest.approx(expected, rel=1e-12)


RAMP = TrainConfig(steps=2, batch_size=2, context=12, ramp=LinearRamp(24, 48, 100))


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: losses(normalise="mean"), "must be one of tokens, answers.*got 'mean'"),
        (
            lambda: losses(TrainConfig(accumulate=2), normalise="answers"),
            "'answers' needs the whole batch in one pass.*accumulate=1",
        ),
        (lambda: losses(RAMP, normalise="sum"), "'sum' needs the whole batch"),
        (lambda: answer_loss([], lambda x, y: x, pad=FILL), "no answer to measure"),
        (
            lambda: target_weights(torch.zeros(1, 1), torch.zeros(1, 1), "x"),
            "must be one of tokens",
        ),
    ],
)
def test_bad_input(action, words):
    with pytest.raises(ValueError, match=words):
        action()
