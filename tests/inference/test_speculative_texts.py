"""Speculative decoding, the texts: greedy ids are generate's, drawn ones have its distribution."""

import math
from itertools import product

import pytest
import torch
from scipy.stats import chisquare

from minillm.inference import (
    NgramDraft,
    expected_tokens,
    filtered_probabilities,
    generate,
    speculative_generate,
)
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig, NormConfig

V, N = 3, 300  # vocabulary and number of texts, where they are counted


def tiny(seed, vocab_size=V, width=16, context=40, dtype=torch.float64, **changes):
    torch.manual_seed(seed)
    config = DecoderConfig(
        vocab_size=vocab_size,
        d_model=width,
        n_layers=1,
        context=context,
        attention=AttentionConfig(n_heads=2),
        feedforward=FeedForwardConfig("swiglu", 24),
        init_std=0.25,
        **changes,
    )
    return Decoder(config, dtype=dtype)


def prompt(T=5, vocab_size=V, seed=1):
    return torch.randint(0, vocab_size, (1, T), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("n_draft", [1, 2, 4, 9])
@pytest.mark.parametrize(
    "changes", [{}, {"norm": NormConfig("layernorm")}], ids=["fused", "cached"]
)
def test_greedy_ids_are_those_of_generate(n_draft, changes):
    model = tiny(0, 40, **changes)
    for draft in (tiny(5, 40, width=8), model, NgramDraft(3), NgramDraft(4, [[1, 2, 3] * 4])):
        for T in (1, 6):
            ids = prompt(T, 40)
            expected = generate(model, ids, 30)[0, T:].tolist()
            for use_cache in (True, False):
                out = speculative_generate(
                    model, draft, ids, 30, n_draft=n_draft, use_cache=use_cache
                )
                assert out.ids == expected
                assert out.n_accepted <= out.n_judged <= out.n_drafted
                assert out.n_passes + out.n_accepted == 30  # a token a pass, and the accepted
    assert speculative_generate(model, model, ids, 0).ids == []


def test_a_perfect_draft_is_always_right_and_saves_passes():
    model, ids = tiny(0, 40), prompt(6, 40)
    for how in ({}, {"temperature": 1.0, "seed": 2}, {"temperature": 0.7, "top_k": 3, "seed": 3}):
        out = speculative_generate(model, model, ids, 31, n_draft=5, **how)
        assert out.acceptance_rate == 1
        assert out.n_passes == 1 + 5  # 1 + 5 * 6 = 31
        assert len(out.ids) == 31


def test_stop_ids_end_it_in_the_middle_of_what_was_accepted():
    model, ids = tiny(0, 40), prompt(6, 40)
    how = {"temperature": 1.0, "seed": 2, "n_draft": 6}
    for draft in (model, tiny(3, 40)):
        free = speculative_generate(model, draft, ids, 20, **how).ids
        firsts = sorted({free.index(token) for token in free})
        assert len(firsts) > 10  # so stop ids come at all places of a pass
        for at in firsts[::2]:
            out = speculative_generate(model, draft, ids, 20, stop_ids=[free[at]], **how)
            assert out.ids == free[: at + 1]


def drawn(how, draft):
    model, ids = tiny(0), prompt()
    how = {"n_draft": 2, **how}
    return [tuple(speculative_generate(model, draft, ids, 4, seed=s, **how).ids) for s in range(N)]


@torch.no_grad()
def exact(model, n, how):
    """The probability of every text of n tokens behind the prompt."""
    ids, texts = prompt(), torch.tensor(list(product(range(V), repeat=n)))
    rows = torch.cat([ids.expand(len(texts), -1), texts], dim=1)
    p = filtered_probabilities(model(rows)[:, ids.shape[1] - 1 : -1], **how)
    chance = p.gather(-1, texts[..., None]).prod(dim=1)[:, 0]
    return {tuple(text.tolist()): c.item() for text, c in zip(texts, chance, strict=True)}


def p_value(texts, chances):
    """Of a chi-square test; what is expected less than five times is put together."""
    common = [text for text, c in chances.items() if N * c >= 5]
    counts = [texts.count(text) for text in common]
    expected = [N * chances[text] for text in common]
    if N - sum(expected) > 1:
        counts, expected = [*counts, N - sum(counts)], [*expected, N - sum(expected)]
    return chisquare(counts, expected).pvalue


@pytest.mark.parametrize("how", [{"temperature": 1.0}, {"temperature": 0.8, "top_k": 2}])
@pytest.mark.parametrize("kind", ["model", "table"])
def test_texts_are_drawn_from_the_models_distribution(how, kind):
    draft = tiny(4, width=8) if kind == "model" else NgramDraft(3, [[0, 1, 2] * 3])
    texts = drawn(how, draft)
    chances = exact(tiny(0), 4, how)
    assert all(chances[text] > 0 for text in set(texts))
    assert len(set(texts)) > 8
    assert p_value(texts, chances) > 0.01
    if kind == "model" and how["temperature"] == 1:  # the draft's own texts would be seen
        assert p_value(texts, exact(draft, 4, how)) < 1e-6


def test_the_acceptance_rate_is_the_overlap_of_p_and_q():
    """The mean of sum min(p, q): Leviathan et al., corollary 3.6."""
    model, draft, ids, overlaps, accepted = tiny(0), tiny(4, width=8), prompt(), [], 0
    for s in range(N):
        out = speculative_generate(model, draft, ids, 3, n_draft=1, seed=s, temperature=1.0)
        assert out.n_judged == 1  # the prompt's pass gives the first; one is drafted, one is left
        accepted += out.n_accepted
        with torch.no_grad():
            text = torch.cat([ids, torch.tensor([out.ids[:1]])], dim=1)
            p, q = (m(text)[0, -1].softmax(-1) for m in (model, draft))
        overlaps.append(torch.minimum(p, q).sum().item())
    alpha = sum(overlaps) / N
    assert 0.3 < alpha < 0.9
    assert abs(accepted / N - alpha) < 3 * math.sqrt(alpha * (1 - alpha) / N)


def test_expected_tokens_of_a_real_run():
    class Coin:
        """A draft that gives the right token with probability 0.7."""

        def __init__(self, right):
            self.right, self.random = right, torch.Generator().manual_seed(0)

        def propose(self, text, n):
            next_ = self.right[len(text) : len(text) + n]
            good = torch.rand(len(next_), generator=self.random) < 0.7
            return [v if g else (v + 1) % 40 for v, g in zip(next_, good, strict=True)], None

    model, ids = tiny(0, 40, context=600), prompt(6, 40)
    right = generate(model, ids, 590)[0].tolist()
    out = speculative_generate(model, Coin(right), ids, 590, n_draft=3)
    assert out.ids == right[6:]
    assert abs(590 / out.n_passes - expected_tokens(0.7, 3)) < 0.2  # 2.53; without the last: 2.19
    assert abs(out.acceptance_rate - 0.7) < 0.08


def test_the_seed_decides():
    model, draft, ids = tiny(0, 40), tiny(4, 40), prompt(6, 40)
    how = {"temperature": 1.0, "n_draft": 3}
    one, same, other = (
        speculative_generate(model, draft, ids, 20, seed=s, **how) for s in (1, 1, 2)
    )
    assert one == same
    assert one.ids != other.ids


@pytest.mark.parametrize(
    ("draft", "ids", "how", "words"),
    [
        (tiny(1, 41), prompt(), {}, "the model has a vocabulary of 3, the draft of 41"),
        (tiny(1), prompt(), {"n_draft": 0}, "n_draft must be at least 1, got 0"),
        (tiny(1), prompt(37), {}, "37 tokens and 4 new ones do not fit in the context of 40"),
        (tiny(1, context=8), prompt(), {}, "do not fit in the context of 8"),
        (tiny(1), prompt().repeat(2, 1), {}, r"one prompt, got ids of shape \(2, 5\)"),
        (tiny(1), prompt(), {"temperature": -1}, "temperature must be finite and not negative"),
        (tiny(1), prompt(), {"top_p": 0}, r"top_p must lie in \(0, 1\]"),
        (tiny(1), prompt(), {"max_new_tokens": -1}, "max_new_tokens must not be negative"),
    ],
)
def test_bad_input(draft, ids, how, words):
    with pytest.raises(ValueError, match=words):
        speculative_generate(tiny(0), draft, ids, **{"max_new_tokens": 4, **how})
