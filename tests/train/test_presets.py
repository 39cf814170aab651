"""Published recipes: the printed numbers, and what a small run keeps of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.train.presets import RECIPES, find_recipe, scaled

ADAMW = [name for name, recipe in RECIPES.items() if recipe.kind == "adamw"]


def test_llama_as_printed():
    r = find_recipe("llama_7b")
    assert (r.lr, r.betas, r.weight_decay, r.clip) == (3e-4, (0.9, 0.95), 0.1, 1.0)
    assert (r.warmup_steps, r.min_lr_ratio, r.batch_tokens) == (2000, 0.1, 4_000_000)
    assert r.steps * r.batch_tokens == 1.0e12  # its tokens
    big = find_recipe("llama_65b")
    assert big.lr == 1.5e-4
    assert big.steps * big.batch_tokens == 1.4e12


def test_baichuan2_as_printed():
    r = find_recipe("baichuan2_7b")
    assert (r.lr, r.betas, r.weight_decay, r.clip) == (2e-4, (0.9, 0.95), 0.1, 0.5)
    assert (r.warmup_steps, r.min_lr_ratio, r.eps, r.batch_tokens) == (2000, None, None, None)


def test_a_small_llama_keeps_the_ratios():
    optimizer, run = scaled("llama_7b", 1000, batch_size=8, context=64)
    assert (optimizer.kind, optimizer.lr, optimizer.betas) == ("adamw", 3e-4, (0.9, 0.95))
    assert (optimizer.eps, optimizer.weight_decay, run.clip) == (1e-8, 0.1, 1.0)
    assert (run.steps, run.batch_size, run.context, run.warmup_steps) == (1000, 8, 64, 20)
    assert run.lr_at(20, optimizer.lr) == 3e-4
    assert run.lr_at(1000, optimizer.lr) == pytest.approx(3e-5)
    assert scaled("llama_7b", 250_000, batch_size=8, context=64)[1].warmup_steps == 2000


def test_baichuan2_clips_at_half_and_a_rate_can_be_given():
    optimizer, run = scaled("baichuan2_7b", 300, batch_size=8, context=64, lr=0.01)
    assert (run.clip, optimizer.lr, run.warmup_steps) == (0.5, 0.01, 20)


@given(name=st.sampled_from(ADAMW), steps=st.integers(1, 10**6))
def test_warmup_fits_into_any_run(name, steps):
    _, run = scaled(name, steps, batch_size=1, context=1)
    assert run.warmup_steps >= min(20, steps // 10)
    assert run.warmup_steps <= max(20, 0.01 * steps)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_in_range(name):
    r = RECIPES[name]
    assert 0 < r.lr <= 0.01
    assert r.clip in (0.5, 1.0)
    assert "arXiv" in r.source or "/" in r.source
    assert (r.horizon is None) == (r.betas is None) == (r.kind == "palm")
    assert r.horizon is None or r.horizon == pytest.approx(20)
    if r.steps and r.warmup_steps:
        assert r.warmup_share == r.warmup_steps / r.steps


def test_refusals():
    with pytest.raises(ValueError, match="no recipe 'gpt9'; there are gpt3_175b"):
        find_recipe("gpt9")
    with pytest.raises(ValueError, match="palm_540b was not trained with AdamW"):
        scaled("palm_540b", 100, batch_size=1, context=1)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        scaled("llama_7b", 0, batch_size=1, context=1)
