"""Sampling by definition, by hand, by statistics, and against transformers' own filters."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from transformers import TopKLogitsWarper, TopPLogitsWarper

from minillm.inference import filtered_probabilities, generate, sample_next, stream
from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    PositionConfig,
)


def logits_of(*p):
    return torch.tensor(p, dtype=torch.float64).log()


# ---- the distribution --------------------------------------------------------------------------


def test_temperature_by_hand():
    p = filtered_probabilities(logits_of(0.2, 0.8), temperature=0.5)  # squares, normalised
    torch.testing.assert_close(p, torch.tensor([0.04, 0.64], dtype=torch.float64) / 0.68)
    p = filtered_probabilities(logits_of(0.2, 0.8))
    torch.testing.assert_close(p, torch.tensor([0.2, 0.8], dtype=torch.float64))
    assert p.dtype == torch.float64


def test_temperature_zero_is_one_hot_on_the_first_of_equals():
    z = torch.tensor([[1.0, 3.0, 3.0], [5.0, 5.0, 1.0]])
    p = filtered_probabilities(z, temperature=0.0)
    assert p.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert sample_next(z, temperature=0.0).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("top_k", "kept"),
    [(1, [0, 1, 0, 0]), (2, [0, 5 / 8, 3 / 8, 0]), (4, None), (9, None), (None, None)],
)
def test_top_k_by_hand(top_k, kept):
    p = filtered_probabilities(logits_of(0.1, 0.5, 0.3, 0.1), top_k=top_k)
    torch.testing.assert_close(p, torch.tensor(kept or [0.1, 0.5, 0.3, 0.1], dtype=torch.float64))


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [
        (1e-9, [0, 1, 0, 0]),  # at least one
        (0.499, [0, 1, 0, 0]),
        (0.51, [0, 5 / 7, 0, 2 / 7]),
        (0.7, [0, 5 / 7, 0, 2 / 7]),
        (0.71, [0.15 / 0.85, 0.5 / 0.85, 0, 0.2 / 0.85]),  # of the equal ones the smaller id
        (1.0, None),
    ],
)
def test_top_p_by_hand(top_p, kept):
    p = filtered_probabilities(logits_of(0.15, 0.5, 0.15, 0.2), top_p=top_p)
    torch.testing.assert_close(p, torch.tensor(kept or [0.15, 0.5, 0.15, 0.2], dtype=torch.float64))


def test_top_p_is_reached_by_an_equal_sum():
    assert filtered_probabilities(torch.zeros(4), top_p=0.5).tolist() == [0.5, 0.5, 0, 0]
    assert filtered_probabilities(torch.zeros(4), top_p=0.75).count_nonzero() == 3


def test_ties_go_to_the_smaller_id_everywhere():
    z = torch.zeros(3, 1000)
    for how in ({"top_k": 10}, {"top_p": 0.0099999}):
        p = filtered_probabilities(z, **how)
        assert p.count_nonzero() == 30
        assert torch.all(p[:, :10] > 0)


def test_top_p_comes_after_top_k():
    z = logits_of(0.4, 0.3, 0.2, 0.1)  # of two left the first has 4/7 > 0.5, of four only 0.4
    both = filtered_probabilities(z, top_k=2, top_p=0.5)
    assert both.tolist() == [1, 0, 0, 0]
    torch.testing.assert_close(
        filtered_probabilities(z, top_p=0.5)[1], torch.tensor(3 / 7, dtype=torch.float64)
    )


def test_temperature_comes_before_top_p():
    z = logits_of(0.5, 0.3, 0.2)
    assert filtered_probabilities(z, top_p=0.55).count_nonzero() == 2
    assert filtered_probabilities(z, top_p=0.55, temperature=0.5).count_nonzero() == 1


@given(st.integers(0, 10_000), st.integers(1, 40), st.floats(0.01, 1.0))
@settings(max_examples=50, deadline=None)
def test_equals_the_filters_of_transformers(seed, k, top_p):
    z = torch.randn(3, 30, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    theirs = TopPLogitsWarper(top_p)(None, TopKLogitsWarper(min(k, 30))(None, z)).softmax(dim=-1)
    ours = filtered_probabilities(z, top_k=k, top_p=top_p)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(ours.sum(-1), torch.ones(3, dtype=torch.float64))


def test_huge_logits_and_minus_infinity():
    z = torch.tensor([1e30, 1e30, -math.inf])
    assert filtered_probabilities(z).tolist() == [0.5, 0.5, 0]
    assert filtered_probabilities(torch.tensor([-math.inf, 2.0]), temperature=0.3).tolist() == [
        0,
        1,
    ]


# ---- drawing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{}, {"temperature": 0.6}, {"top_k": 3}, {"top_p": 0.8}])
def test_draws_follow_the_distribution(how):
    z = logits_of(0.05, 0.3, 0.25, 0.1, 0.3)
    g = torch.Generator().manual_seed(5)
    ids = sample_next(z.expand(20_000, 5), generator=g, **how)
    counts = torch.bincount(ids, minlength=5).numpy()
    p = filtered_probabilities(z, **how).numpy()
    assert counts[p == 0].sum() == 0
    assert chisquare(counts[p > 0], 20_000 * p[p > 0]).pvalue > 0.01
    flat = (p + 0.02) / (p + 0.02).sum()  # two percent off would be seen
    assert chisquare(counts, 20_000 * flat).pvalue < 1e-3


def test_rows_are_drawn_apart_and_shapes_kept():
    z = torch.full((2, 3, 4), -math.inf)
    for i in range(2):
        for j in range(3):
            z[i, j, (i + j) % 4] = 0.0
    assert sample_next(z).tolist() == [[0, 1, 2], [1, 2, 3]]
    assert sample_next(z, temperature=0).tolist() == [[0, 1, 2], [1, 2, 3]]
    assert sample_next(torch.zeros(7)).shape == ()


def test_the_seed_decides():
    z = torch.zeros(200)
    draws = [sample_next(z, generator=torch.Generator().manual_seed(s)).item() for s in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"temperature": -0.1}, "temperature must be finite and not negative, got -0.1"),
        ({"temperature": math.inf}, "got inf"),
        ({"temperature": math.nan}, "got nan"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"top_p": 0.0}, r"top_p must lie in \(0, 1\], got 0.0"),
        ({"top_p": 1.1}, "got 1.1"),
        ({"top_k": 0, "temperature": 0.0}, "top_k must be at least 1, got 0"),
    ],
)
def test_settings_out_of_range(how, words):
    with pytest.raises(ValueError, match=words):
        filtered_probabilities(torch.zeros(3), **how)
    with pytest.raises(ValueError, match=words):
        sample_next(torch.zeros(3), **how)


@pytest.mark.parametrize("bad", [[math.nan, 1.0], [math.inf, 0.0], [-math.inf, -math.inf]])
def test_broken_logits_are_refused(bad):
    for temperature in (0.0, 1.0):
        with pytest.raises(ValueError, match="NaN, an infinity, or no finite entry"):
            sample_next(torch.tensor([[0.0, 1.0], bad]), temperature=temperature)


# ---- generate ----------------------------------------------------------------------------------

SHAPES = {
    "llama": {},
    "gqa": {"n_kv_heads": 2},
    "mqa": {"n_kv_heads": 1},
    "wide heads": {"head_width": 6},
}


def decoder(kind="rope", dtype=torch.float64, context=40, seed=0, **heads):
    torch.manual_seed(seed)
    config = DecoderConfig(
        vocab_size=41,
        d_model=16,
        n_layers=2,
        context=context,
        attention=AttentionConfig(n_heads=4, **heads),
        feedforward=FeedForwardConfig(kind="swiglu", width=24),
        position=PositionConfig(kind=kind),
        init_std=0.4,
    )
    return Decoder(config, dtype=dtype)


def prompts(B=3, T=5, seed=1):
    return torch.randint(0, 41, (B, T), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("heads", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("kind", ["rope", "learned", "sinusoidal", "alibi", "none"])
def test_cached_equals_uncached(kind, heads):
    model, ids = decoder(kind, **heads), prompts()
    for how in ({}, {"temperature": 0.8, "top_k": 9, "top_p": 0.9, "seed": 4}):
        a = generate(model, ids, 30, **how)
        b = generate(model, ids, 30, use_cache=False, **how)
        assert torch.equal(a, b)
    assert torch.equal(a[:, :5], ids)
    assert a.shape == (3, 35)
    assert len(a.unique()) > 10  # the text is not one token again and again


def test_greedy_by_hand():
    model, ids = decoder(), prompts(1)
    out = ids
    for _ in range(6):
        out = torch.cat([out, model(out)[:, -1].argmax(-1, keepdim=True)], dim=1)
    assert torch.equal(generate(model, ids, 6), out)


def test_rows_do_not_disturb_one_another():
    model, ids = decoder(), prompts()
    together = generate(model, ids, 12)
    apart = torch.cat([generate(model, row[None], 12) for row in ids])
    assert torch.equal(together, apart)


class Script(torch.nn.Module):
    """A model that says 1, 2, 3, ... after the last token, whatever came before."""

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, ids):
        return torch.nn.functional.one_hot((ids + 1) % 10, 10).float()


def test_stop_ids_end_each_row_by_itself():
    ids = torch.tensor([[4], [1], [6]])
    how = {"use_cache": False}
    out = generate(Script(), ids, 6, stop_ids=[5, 9], **how)
    assert out.tolist() == [[4, 5, 5, 5, 5], [1, 2, 3, 4, 5], [6, 7, 8, 9, 9]]
    out = generate(Script(), ids, 6, stop_ids={5, 9}, pad_id=0, **how)
    assert out.tolist() == [[4, 5, 0, 0, 0], [1, 2, 3, 4, 5], [6, 7, 8, 9, 0]]
    assert generate(Script(), ids, 6, stop_ids=(5, 9), **how).shape == (3, 5)  # all have ended
    assert generate(Script(), ids, 2, stop_ids=[5], **how).tolist() == [
        [4, 5, 5],
        [1, 2, 3],
        [6, 7, 8],
    ]
    prompt = torch.tensor([[5]])  # a stop id of the prompt stops nothing
    assert generate(Script(), prompt, 3, stop_ids=[5], **how).tolist() == [[5, 6, 7, 8]]


def test_stopped_rows_do_not_change_the_others():
    model, ids = decoder(), prompts()
    free = generate(model, ids, 20)
    stop = int(free[0, 9])
    for use_cache in (True, False):
        out = generate(model, ids, 20, stop_ids=[stop], use_cache=use_cache)
        for row, before in zip(out, free, strict=True):
            end = next((i for i in range(5, 25) if before[i] == stop), 24)
            assert torch.equal(row[: end + 1], before[: end + 1][: out.shape[1]])
            assert (row[end + 1 :] == stop).all()


def test_the_seed_decides_the_text():
    model, ids = decoder(), prompts()
    one, same, other = (generate(model, ids, 15, temperature=1.0, seed=s) for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    generate(model, ids, 5, temperature=1.0, seed=1)
    assert torch.equal(torch.get_rng_state(), before)  # a seed leaves torch's own generator alone
    generate(model, ids, 5, temperature=1.0)
    assert not torch.equal(torch.get_rng_state(), before)


def test_stream_hands_out_what_generate_appends():
    model, ids = decoder(), prompts(1)
    whole = generate(model, ids, 12)[0, 5:].tolist()
    assert list(stream(model, ids, 12)) == whole
    assert list(stream(model, ids[0].tolist(), 12)) == whole
    assert list(stream(model, ids[0], 12, use_cache=False)) == whole
    stop = whole[3]
    assert list(stream(model, ids, 12, stop_ids=[stop])) == whole[: whole.index(stop) + 1]
    drawn = generate(model, ids, 9, temperature=0.9, top_k=7, top_p=0.8, seed=2)[0, 5:].tolist()
    assert list(stream(model, ids, 9, temperature=0.9, top_k=7, top_p=0.8, seed=2)) == drawn
    first = next(stream(model, ids, 12))  # lazily: no need to wait for the rest
    assert first == whole[0]
    with pytest.raises(ValueError, match=r"one prompt, got ids of shape \(3, 5\)"):
        next(stream(model, prompts(), 3))


def test_no_tokens_and_full_context():
    model, ids = decoder(), prompts()
    assert torch.equal(generate(model, ids, 0), ids)
    assert generate(model, ids, 35).shape == (3, 40)  # exactly the context
    for use_cache in (True, False):
        with pytest.raises(ValueError, match=r"5 tokens and 36 new ones do not fit .* of 40"):
            generate(model, ids, 36, use_cache=use_cache)


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (torch.zeros(3, dtype=torch.long), r"got \(3,\)"),
        (torch.zeros(2, 0, dtype=torch.long), r"got \(2, 0\)"),
    ],
)
def test_prompts_must_be_there(ids, words):
    with pytest.raises(ValueError, match=words):
        generate(decoder(), ids, 3)


def test_other_refusals():
    with pytest.raises(ValueError, match="max_new_tokens must not be negative, got -1"):
        generate(decoder(), prompts(), -1)
    with pytest.raises(ValueError, match="Script has no cache; pass use_cache=False"):
        generate(Script(), torch.tensor([[1]]), 3)
    with pytest.raises(ValueError, match="top_k must be at least 1"):
        generate(decoder(), prompts(), 0, top_k=0)  # even where nothing is drawn


def test_no_gradients_and_training_can_go_on():
    model, ids = decoder(), prompts()
    out = generate(model, ids, 5)
    assert not out.requires_grad
    model(out).sum().backward()  # what decoding has left behind does not stand in the way
    assert torch.is_grad_enabled()
