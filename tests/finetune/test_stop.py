"""The probability of the end token, against a model whose probabilities are known."""

import math

import pytest
import torch
from torch import nn

from minillm.finetune.chat import prompt_ids, tokenize_chat
from minillm.finetune.stop import StopCurve, mean_by_distance, stop_curve, stop_probability
from minillm.tokenizer import course_tokenizer

TOKENIZER = course_tokenizer()
END = TOKENIZER.special_id("<|im_end|>")
TALK = [
    {"role": "user", "content": "Who?"},
    {"role": "assistant", "content": "It was Mia, who found it."},
]


class EndsAfter(nn.Module):
    """Gives the end token probability p behind one id, q behind all others; else uniform."""

    def __init__(self, last, p=0.9, q=0.01, vocab=TOKENIZER.n_vocab, end=END):
        super().__init__()
        self.last, self.p, self.q, self.vocab, self.end = last, p, q, vocab, end

    def forward(self, ids):
        end = torch.where(ids == self.last, self.p, self.q).double()  # (B, T)
        logits = torch.log((1 - end) / (self.vocab - 1))[..., None].repeat(1, 1, self.vocab)
        logits[..., self.end] = end.log()
        return logits + 3.0  # a constant changes nothing


def test_by_hand():
    model = EndsAfter(last=2, vocab=5, end=4)
    p = stop_probability(model, torch.tensor([[0, 2, 1], [2, 2, 3]]), 4)
    wanted = torch.tensor([[0.01, 0.9, 0.01], [0.9, 0.9, 0.01]])
    torch.testing.assert_close(p, wanted.double(), rtol=0, atol=1e-7)
    half = stop_probability(lambda ids: torch.zeros(1, 2, 4).half(), torch.ones(1, 2).long(), 0)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, torch.full((1, 2), 0.25))


def test_the_curve_of_an_answer_that_ends_well():
    said = TOKENIZER.encode(TALK[1]["content"])
    assert said.count(said[-1]) == 1
    curve = stop_curve(EndsAfter(said[-1]), TALK, TOKENIZER)
    assert len(curve.p) == len(said) + 1
    assert curve.at_end == pytest.approx(0.9)
    assert curve.early == pytest.approx(0.01, rel=1e-5)


def test_the_first_place_is_behind_the_opening():
    """A model that ends at once does so behind the last id of the prompt."""
    last = prompt_ids(TALK[:-1], TOKENIZER)[-1]
    curve = stop_curve(EndsAfter(last), TALK, TOKENIZER)
    assert curve.p[0] == pytest.approx(0.9)
    assert max(curve.p[1:]) == pytest.approx(0.01, rel=1e-5)


def test_the_places_are_those_whose_targets_are_learned():
    ids, mask = tokenize_chat(TALK, TOKENIZER)
    p = stop_probability(EndsAfter(ids[5]), torch.tensor([ids]), END)[0]
    learned = [p[t - 1].item() for t, m in enumerate(mask) if m]
    assert stop_curve(EndsAfter(ids[5]), TALK, TOKENIZER).p == pytest.approx(learned)


def test_the_talk_begins_as_in_training():
    """A model that tells from its first id whether a text has begun."""

    class Remembers(EndsAfter):
        def forward(self, ids):
            self.seen = ids
            return super().forward(ids)

    model = Remembers(1)
    curve = stop_curve(model, TALK, TOKENIZER)
    assert model.seen[0, 0] == TOKENIZER.special_id("<|endoftext|>")
    begun = model.seen
    assert stop_curve(model, TALK, TOKENIZER, start=None) == curve
    assert torch.equal(model.seen, begun[:, 1:])


def test_survival():
    curve = StopCurve((0.5, 0.0, 0.25))
    assert curve.survival == (1.0, 0.5, 0.5, 0.375)
    assert curve.at_end == 0.25
    assert curve.early == 0.5


def test_means_are_taken_from_the_end():
    curves = [StopCurve((0.2, 0.4, 0.8)), StopCurve((0.6, 1.0))]
    assert mean_by_distance(curves, 0) == [pytest.approx(0.9)]
    assert mean_by_distance(curves, 2) == pytest.approx([0.2, 0.5, 0.9])


def test_bad_input():
    model = EndsAfter(1, vocab=5, end=4)
    with pytest.raises(ValueError, match=r"ids must be \(B, T\)"):
        stop_probability(model, torch.ones(3).long(), 4)
    for end in (-1, 5):
        with pytest.raises(ValueError, match=f"end_id {end} is not in the vocabulary of 5"):
            stop_probability(model, torch.ones(1, 3).long(), end)
    for messages in ([], TALK[:1]):
        with pytest.raises(ValueError, match="must end with an answer"):
            stop_curve(model, messages, TOKENIZER)
    with pytest.raises(ValueError, match="before must not be negative"):
        mean_by_distance([], -1)
    with pytest.raises(ValueError, match="no answer is 2 tokens long"):
        mean_by_distance([StopCurve((0.1, 0.2))], 2)
    assert math.isclose(sum(mean_by_distance([StopCurve((0.1, 0.2))], 1)), 0.3)
