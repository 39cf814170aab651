"""Every answer written down: the list, its probabilities, and the exact gradient."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.align.answer_logprobs import response_logprobs
from minillm.align.enumeration import (
    answer_probabilities,
    every_answer,
    exact_objective,
    flat_gradient,
    lay_answers,
)
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig

V, STOP = 4, 3
CONFIG = DecoderConfig(
    vocab_size=V,
    d_model=8,
    n_layers=1,
    context=8,
    attention=AttentionConfig(n_heads=2),
    feedforward=FeedForwardConfig(kind="swiglu", width=8),
    init_std=0.5,
)


def decoder(seed=0):
    torch.manual_seed(seed)
    return Decoder(CONFIG, dtype=torch.float64)


@given(st.integers(1, 4), st.integers(1, 4), st.sets(st.integers(0, 3), max_size=4))
@settings(deadline=None, max_examples=25)
def test_the_list_is_complete_and_has_nothing_twice(vocab_size, n, stops):
    """Against all sequences of n tokens, cut behind the first stop id."""
    stops = {s for s in stops if s < vocab_size}
    expected = set()
    for sequence in itertools.product(range(vocab_size), repeat=n):
        end = next((i + 1 for i, token in enumerate(sequence) if token in stops), n)
        expected.add(sequence[:end])
    assert every_answer(vocab_size, n, stops) == sorted(expected)


def test_probabilities_sum_to_1_and_are_products():
    model = decoder()
    answers = every_answer(V, 3, [STOP])
    ids, mask = lay_answers([1, 2], answers)
    p = answer_probabilities(model, ids, mask)
    assert p.sum().item() == pytest.approx(1, abs=1e-12)
    which = answers.index((0, 2, STOP))
    by_hand = 1.0
    for start, token in (([1, 2], 0), ([1, 2, 0], 2), ([1, 2, 0, 2], STOP)):
        by_hand *= model(torch.tensor([start]))[0, -1].softmax(-1)[token].item()
    assert p[which].item() == pytest.approx(by_hand)


def test_the_gradient_is_that_of_finite_differences():
    model = decoder()
    ids, mask = lay_answers([1], every_answer(V, 2, [STOP]))
    g = torch.Generator().manual_seed(1)
    rewards = torch.randn(len(ids), generator=g, dtype=torch.float64)
    ref = response_logprobs(decoder(5), ids, mask).sum(1).detach()

    def objective():
        logp = response_logprobs(model, ids, mask).sum(1)
        return exact_objective(logp, rewards, ref_logprobs=ref, kl_coef=0.3)

    found = flat_gradient(objective(), model)
    place, step = 0, 1e-6
    for param in model.parameters():
        for i in range(0, param.numel(), 17):
            flat = param.data.view(-1)
            before = flat[i].item()
            with torch.no_grad():
                flat[i] = before + step
                up = objective().item()
                flat[i] = before - step
                down = objective().item()
                flat[i] = before
            assert found[place + i].item() == pytest.approx((up - down) / (2 * step), abs=1e-7)
        place += param.numel()
    assert found.abs().max() > 1e-3
    assert all(p.grad is None for p in model.parameters())


def test_the_price_of_leaving_is_the_kl():
    model, other = decoder(), decoder(5)
    ids, mask = lay_answers([1], every_answer(V, 3, [STOP]))
    p = response_logprobs(model, ids, mask).sum(1)
    q = response_logprobs(other, ids, mask).sum(1)
    kl = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=p), torch.distributions.Categorical(logits=q)
    )
    paid = exact_objective(p, torch.zeros_like(p), ref_logprobs=q, kl_coef=2.0)
    assert paid.item() == pytest.approx(-2 * kl.item())
    assert exact_objective(p, torch.full_like(p, 7.0)).item() == pytest.approx(7)


def test_a_number_that_does_not_matter_has_gradient_0():
    model = decoder()
    value = model.embedding.weight[:V].sum()
    found = flat_gradient(value, model)
    assert len(found) == sum(p.numel() for p in model.parameters())
    assert found.sum() == V * 8


def test_bad_input():
    with pytest.raises(ValueError, match="at least 1, got vocab_size=0"):
        every_answer(0, 2)
    with pytest.raises(ValueError, match=r"stop ids \[4\] must lie in 0 to 3"):
        every_answer(4, 2, [4])
    with pytest.raises(ValueError, match=r"vocab_size=10\).*max_new_tokens=6"):
        every_answer(10, 6)
    with pytest.raises(ValueError, match="must not be empty"):
        lay_answers([1], [(1,), ()])
    with pytest.raises(ValueError, match="must not be empty"):
        lay_answers([], [(1,)])
    half = torch.tensor([0.5, 0.25]).log()
    with pytest.raises(ValueError, match=r"sum to 0\.75"):
        exact_objective(half, torch.zeros(2))
    whole = torch.tensor([0.5, 0.5]).log()
    with pytest.raises(ValueError, match="kl_coef=1 needs ref_logprobs"):
        exact_objective(whole, torch.zeros(2), kl_coef=1)
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        exact_objective(whole, torch.zeros(3))
    assert math.isclose(exact_objective(whole, torch.tensor([1.0, 3.0])).item(), 2, rel_tol=1e-6)
