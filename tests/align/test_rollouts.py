"""Rollouts: log-probabilities against a plain pass, frequencies against the probabilities."""

import math

import pytest
import torch

from minillm.align.answer_logprobs import response_logprobs
from minillm.align.enumeration import answer_probabilities, every_answer, lay_answers
from minillm.align.rollouts import draw, rollout
from minillm.finetune.lora import apply_lora
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig

V, PAD, STOPS = 13, 12, (0, 1, 2)
PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 8, 9], [3, 3]] * 3


def decoder(seed=0, dtype=torch.float64, vocab_size=V):
    torch.manual_seed(seed)
    config = DecoderConfig(
        vocab_size=vocab_size,
        d_model=16,
        n_layers=2,
        context=16,
        attention=AttentionConfig(n_heads=2),
        feedforward=FeedForwardConfig(kind="swiglu", width=16),
        init_std=0.3,
    )
    return Decoder(config, dtype=dtype)


def rolled(model=None, prompts=PROMPTS, n=8, **more):
    more = {"pad_id": PAD, "stop_ids": STOPS, "seed": 3, **more}
    return rollout(decoder() if model is None else model, prompts, n, **more)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_log_probabilities_are_those_of_a_plain_pass(fast, temperature):
    model = decoder()
    found = rolled(model, fast=fast, temperature=temperature)
    expected = response_logprobs(model, found.ids, found.mask, temperature=temperature)
    torch.testing.assert_close(found.logprobs, expected, rtol=0, atol=1e-5)
    assert (found.logprobs[found.mask] < -0.01).any()
    assert not found.logprobs[~found.mask].any()


def test_how_rows_lie():
    found = rolled()
    assert found.prompts() == PROMPTS
    assert found.prompt_lengths.tolist() == [len(p) for p in PROMPTS]
    assert found.lengths.tolist() == [len(a) for a in found.answers()]
    assert len(set(found.lengths.tolist())) > 2
    for b, answer in enumerate(found.answers()):
        start, end = len(PROMPTS[b]), len(PROMPTS[b]) + len(answer)
        assert found.mask[b].nonzero()[:, 0].tolist() == list(range(start, end))
        assert set(found.ids[b, end:].tolist()) <= {PAD}
        stops = [i for i, token in enumerate(answer) if token in STOPS]
        assert stops == ([len(answer) - 1] if found.ended[b] else [])
        assert found.ended[b] or len(answer) == 8
    assert found.ended.any()
    assert not found.ended.all()
    assert found.mask.any(dim=0)[-1]  # no column of padding alone


def test_the_last_token_may_end_an_answer_and_a_row_may_end_at_once():
    found = rolled(n=1, prompts=[[4]] * 40)
    ends = torch.isin(found.ids[:, 1], torch.tensor(STOPS))
    assert found.ended.equal(ends)
    assert ends.any()
    assert not ends.all()


def test_without_stop_ids_every_answer_is_as_long_as_it_may():
    found = rolled(stop_ids=())
    assert found.lengths.tolist() == [8] * 12
    assert not found.ended.any()


def test_a_part_of_the_rows_says_what_it_says_among_all():
    whole, part = rolled(), rolled(prompts=PROMPTS[5:9], first_row=5)
    assert part.answers() == whole.answers()[5:9] == whole.rows(slice(5, 9)).answers()
    assert rolled(prompts=PROMPTS[5:9]).answers() != part.answers()
    assert whole.rows(slice(5, 9)).prompts() == PROMPTS[5:9]
    with pytest.raises(ValueError, match="first_row must not be negative, got -1"):
        rolled(first_row=-1)


def test_seed_and_row_say_it_all():
    """Who else is in the batch, and who has been dropped from it, changes nothing."""
    model = decoder()
    first, again, other = rolled(model), rolled(model), rolled(model, seed=4)
    assert first.ids.equal(again.ids)
    assert first.answers() != other.answers()
    longer = rolled(model, prompts=[*PROMPTS[:6], *[[7, 7, 7, 7, 7, 7]] * 6])
    assert longer.answers()[:6] == first.answers()[:6]
    assert rolled(model, prompts=PROMPTS[:5]).answers() == first.answers()[:5]
    assert rolled(model, fast=False).answers() == first.answers()
    torch.manual_seed(77)
    before = torch.get_rng_state()
    rolled(model)
    assert torch.get_rng_state().equal(before)


def test_frequencies_are_the_probabilities():
    model = decoder(vocab_size=4)
    answers = every_answer(4, 2, [3])
    p = answer_probabilities(model, *lay_answers([1, 2], answers))
    n = 4000
    found = rollout(model, [[1, 2]] * n, 2, pad_id=0, stop_ids=[3], seed=1)
    said = found.answers()
    for answer, expected in zip(answers, p.tolist(), strict=True):
        share = said.count(list(answer)) / n
        assert abs(share - expected) < 4.5 * math.sqrt(expected * (1 - expected) / n)


def test_draw_is_a_place_on_the_line():
    logp = torch.tensor([0.5, 0.0, 0.25, 0.25], dtype=torch.float64).log().expand(6, 4)
    places = torch.tensor([0.0, 0.4999, 0.5, 0.7499, 0.75, 1 - 2**-53], dtype=torch.float64)
    assert draw(logp, places).tolist() == [0, 0, 2, 2, 3, 3]
    rare = torch.tensor([[1.0, 1e-9]]).log()  # float32 would add it up to nothing
    assert draw(rare, torch.tensor([1 - 1e-10], dtype=torch.float64)) == 1
    last = torch.tensor([[0.3, 0.7, 0.0]]).log()
    assert draw(last, torch.tensor([1 - 2**-53], dtype=torch.float64)) == 1


def test_adapters_and_modes():
    model = decoder()
    apply_lora(model, rank=2, alpha=8.0, dropout=0.5)
    with torch.no_grad():
        for name, param in model.named_parameters():
            if name.endswith(".b"):
                param.normal_(std=0.5)
    model.train()
    found = rolled(model)
    assert model.training
    model.eval()
    expected = response_logprobs(model, found.ids, found.mask)  # no dropout when drawing
    torch.testing.assert_close(found.logprobs, expected, rtol=0, atol=1e-6)
    rolled(model)
    assert not model.training


def test_sixteen_bits_are_drawn_in_float32():
    found = rolled(decoder(dtype=torch.bfloat16))
    assert found.logprobs.dtype == torch.float32
    assert found.mask.any()


def test_bad_input():
    model = decoder()
    with pytest.raises(ValueError, match="no prompt to answer"):
        rolled(model, prompts=[])
    with pytest.raises(ValueError, match="prompt 1 is empty"):
        rolled(model, prompts=[[1], [], [2]])
    with pytest.raises(ValueError, match="max_new_tokens must be at least 1, got 0"):
        rolled(model, n=0)
    with pytest.raises(ValueError, match="context of 16; shorten the prompt"):
        rolled(model, n=12)
    for wrong in (0, -1, math.nan):
        with pytest.raises(ValueError, match="temperature must be positive"):
            rolled(model, temperature=wrong)
    model.train()
    with pytest.raises(ValueError, match="id 13 is not in the vocabulary"):
        rolled(model, prompts=[[13]])
    assert model.training  # also after an error
