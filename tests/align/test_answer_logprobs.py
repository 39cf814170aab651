"""Log-probabilities of answers: against loops over single rows, padding, and by-hand sums."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from minillm.align.answer_logprobs import (
    EncodedPair,
    encode_pair,
    lay_pairs,
    pair_sums,
    response_logprobs,
    response_logprobs_and_entropy,
    target_logprobs,
)
from minillm.finetune.talks import Example, lay_rows, unpack_rows
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.tokenizer import course_tokenizer

CONFIG = DecoderConfig(
    vocab_size=12,
    d_model=16,
    n_layers=2,
    context=16,
    attention=AttentionConfig(n_heads=2),
    feedforward=FeedForwardConfig(kind="swiglu", width=16),
)
BEGIN, FILL = 7, 9


def decoder(seed=0, dtype=torch.float64):
    torch.manual_seed(seed)
    return Decoder(CONFIG, dtype=dtype)


def row(*marked):
    return Example((BEGIN, *(abs(i) for i in marked)), (False, *(i < 0 for i in marked)))


PAIRS = [
    EncodedPair(row(1, 2, -3, -4, 8), row(1, 2, -5, -6, -6, 8)),
    EncodedPair(row(4, -1, -1), row(4, -2)),
]


def alone(model, example, temperature=1.0):
    """log p of every learned token of a row, read with nothing around it."""
    ids = torch.tensor([example.ids])
    logp = (model(ids[:, :-1]) / temperature).log_softmax(-1)[0]
    places = [t for t in range(1, len(example)) if example.learned[t]]
    return {t: logp[t - 1, example.ids[t]] for t in places}, {
        t: -(logp[t - 1].exp() * logp[t - 1]).sum() for t in places
    }


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_each_number_stands_where_its_token_stands(temperature):
    model = decoder()
    ids, mask = lay_pairs(PAIRS, pad=FILL)
    found, spread = response_logprobs_and_entropy(model, ids, mask, temperature=temperature)
    assert found.shape == ids.shape
    assert found.dtype == torch.float64
    examples = [p.chosen for p in PAIRS] + [p.rejected for p in PAIRS]
    for n, example in enumerate(examples):
        with torch.no_grad():
            wanted, entropy = alone(model, example, temperature)
        for t in range(ids.shape[1]):
            assert found[n, t].item() == pytest.approx(float(wanted.get(t, 0.0)), abs=1e-12)
            assert spread[n, t].item() == pytest.approx(float(entropy.get(t, 0.0)), abs=1e-12)
    assert torch.equal(response_logprobs(model, ids, mask, temperature=temperature), found)


def test_gradients_are_those_of_the_rows_alone():
    model = decoder()
    ids, mask = lay_pairs(PAIRS, pad=FILL)
    ours = torch.autograd.grad(response_logprobs(model, ids, mask).sum(), model.parameters())
    rows = [p.chosen for p in PAIRS] + [p.rejected for p in PAIRS]
    wanted = sum(sum(alone(model, e)[0].values()) for e in rows)
    theirs = torch.autograd.grad(wanted, model.parameters())
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_left_padding_with_documents_changes_nothing():
    model = decoder()
    ids, mask = lay_pairs(PAIRS, pad=FILL)
    documents = torch.ones_like(ids)
    left, left_mask = ids.clone(), mask.clone()
    for n, example in enumerate([p.chosen for p in PAIRS] + [p.rejected for p in PAIRS]):
        gap = ids.shape[1] - len(example)
        left[n], left_mask[n] = ids[n].roll(gap), mask[n].roll(gap)
        documents[n, :gap] = 0
    found = response_logprobs(model, left, left_mask, documents=documents)
    there = response_logprobs(model, ids, mask)
    torch.testing.assert_close(found[left_mask], there[mask])
    without = response_logprobs(model, left, left_mask)
    assert (without[left_mask] - there[mask]).abs().max() > 1e-4


class Bigram(nn.Module):
    """Logits from the last token alone; no Decoder."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(12, 12)

    def forward(self, ids):
        return self.table(ids)


def test_any_model_of_logits_will_do():
    model = Bigram()
    ids, mask = lay_pairs(PAIRS, pad=FILL)
    found = response_logprobs(model, ids, mask)
    table = model.table.weight.log_softmax(-1)
    assert found[0, 3].item() == pytest.approx(table[2, 3].item())
    assert found[0].sum().item() == pytest.approx((table[2, 3] + table[3, 4]).item())
    with pytest.raises(ValueError, match="documents need a Decoder, got Bigram"):
        response_logprobs(model, ids, mask, documents=torch.ones_like(ids))


def test_float16_logits_are_widened():
    class Half(Bigram):
        def forward(self, ids):
            return self.table(ids).half()

    ids, mask = lay_pairs(PAIRS, pad=FILL)
    assert response_logprobs(Half(), ids, mask).dtype == torch.float32


def test_targets_are_read_as_training_lays_them():
    model = decoder()
    examples = [row(1, 2, -3, -4), row(5, -6), row(-2, 3, -1, -1, -4)]
    x, y = unpack_rows(lay_rows(examples, 8, "pad", pad=FILL))
    found = target_logprobs(model, x, y)
    logp = model(x).log_softmax(-1)
    wanted = torch.where(y == -100, 0.0, logp.gather(-1, y.clamp(min=0)[..., None])[..., 0])
    torch.testing.assert_close(found, wanted)
    assert (found != 0).sum() == sum(sum(e.learned) for e in examples)
    x, y = x[:, :5], y[:, :5]  # a row whose last target is learned
    assert y[2, -1] != -100
    torch.testing.assert_close(target_logprobs(model, x, y)[2, -1], logp[2, 4, y[2, -1]])


@given(st.integers(1, 3), st.integers(2, 5), st.data())
@settings(deadline=None, max_examples=8)
def test_sums_are_log_probabilities(n, T, data):
    """Over all continuations of one token the probabilities add up to 1."""
    model = decoder(dtype=torch.float32)
    tokens = st.lists(st.integers(0, 11), min_size=T, max_size=T)
    ids = torch.tensor(data.draw(st.lists(tokens, min_size=n, max_size=n)))
    mask = torch.zeros(n, T, dtype=torch.bool)
    mask[:, -1] = True
    total = torch.zeros(n)
    for v in range(12):
        ids[:, -1] = v
        total += response_logprobs(model, ids, mask).sum(1).exp()
    torch.testing.assert_close(total, torch.ones(n))


def test_entropy_of_a_uniform_model_is_log_v():
    model = Bigram()
    nn.init.zeros_(model.table.weight)
    ids, mask = lay_pairs(PAIRS, pad=FILL)
    found, spread = response_logprobs_and_entropy(model, ids, mask)
    torch.testing.assert_close(found[mask], torch.full((int(mask.sum()),), -math.log(12)))
    torch.testing.assert_close(spread[mask], torch.full((int(mask.sum()),), math.log(12)))
    none = response_logprobs_and_entropy(model, ids, mask, entropy=False)[1]
    assert not none.any()


def test_chosen_rows_come_first():
    ids, mask = lay_pairs(PAIRS, pad=FILL)
    assert ids.tolist()[0] == [7, 1, 2, 3, 4, 8, 9]
    assert ids.tolist()[2] == [7, 1, 2, 5, 6, 6, 8]
    assert mask.tolist()[3] == [False, False, True, False, False, False, False]
    chosen, rejected = pair_sums(mask.double())
    assert chosen.tolist() == [2, 2]
    assert rejected.tolist() == [3, 1]


def test_a_pair_of_talks():
    tokenizer = course_tokenizer()
    prompt = [{"role": "user", "content": "Hi"}]
    pair = encode_pair(prompt, "Hello.", "No.", tokenizer)
    end = tokenizer.special_id("<|im_end|>")
    for side, text in ((pair.chosen, "Hello."), (pair.rejected, "No.")):
        learned = [i for i, m in zip(side.ids, side.learned, strict=True) if m]
        assert learned == [*tokenizer.encode(text), end]
        assert side.ids[0] == tokenizer.special_id("<|endoftext|>")
    assert len(pair) == max(len(pair.chosen), len(pair.rejected))
    talk = [*prompt, {"role": "assistant", "content": "A"}, {"role": "user", "content": "B"}]
    later = encode_pair(talk, "C", "D", tokenizer)
    assert sum(later.chosen.learned) == len(tokenizer.encode("C")) + 1  # the last answer only


IDS, MASK = lay_pairs(PAIRS, pad=FILL)
FIRST = MASK.clone()
FIRST[1, 0] = True
TALK = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: response_logprobs(decoder(), IDS, MASK.int()), "mask must be bool.*int32"),
        (lambda: response_logprobs(decoder(), IDS, MASK[:, 1:]), r"mask must be bool.*\(4, 6\)"),
        (lambda: response_logprobs(decoder(), IDS, FIRST), "nothing before it"),
        (lambda: response_logprobs(decoder(), IDS[:, :1], MASK[:, :1]), "nothing before it"),
        (
            lambda: response_logprobs(decoder(), IDS, MASK, temperature=0),
            "temperature must be positive and finite, got 0",
        ),
        (lambda: target_logprobs(decoder(), IDS, IDS[:, 1:]), r"\(4, 7\) and \(4, 6\)"),
        (lambda: lay_pairs([], pad=1), "no pair"),
        (lambda: pair_sums(torch.zeros(3, 2)), r"chosen rows and then the rejected; got \(3, 2\)"),
        (lambda: EncodedPair(row(1, -2), row(1, -2)), "chosen and rejected are equal"),
        (lambda: EncodedPair(row(1, -2), row(3, -4)), "answer different prompts"),
        (lambda: EncodedPair(row(1, 2), row(1, -2)), "the chosen answer has no token"),
        (lambda: EncodedPair(row(1, -2), row(1, 2)), "the rejected answer has no token"),
        (lambda: encode_pair(TALK, "A", "A", course_tokenizer()), "equal"),
        (lambda: encode_pair(TALK, "A", " ", course_tokenizer()), "the assistant says nothing"),
    ],
)
def test_bad_input(action, words):
    with pytest.raises(ValueError, match=words):
        action()
