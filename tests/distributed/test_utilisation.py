"""MFU and HFU of published runs: which is which."""

import pytest

from minillm.distributed import published
from minillm.distributed.recompute_cost import recompute_flops
from minillm.distributed.utilisation import from_flops, from_tokens, readings
from minillm.model.config import count_parameters, flops_per_token
from minillm.model.presets import PRESETS
from minillm.train.flops import GPU_PEAKS

PEAK = GPU_PEAKS["A100"]


def test_bloom_is_half_of_the_hardware_and_three_eighths_of_the_model():
    (found,) = readings(published.bloom()).values()
    assert found.hfu == pytest.approx(156 / 312)
    assert found.mfu == pytest.approx(0.375, abs=0.005)
    assert found.mfu > 0.375  # the output matrix is not computed twice


def test_baichuan_is_left_open_in_both_directions():
    found = readings(published.baichuan())
    assert set(found) == {f"{c}, {p}" for c in ("hardware", "model") for p in ("none", "block")}
    assert found["model, block"].mfu == pytest.approx(182 / 312)
    assert found["hardware, block"].hfu == pytest.approx(182 / 312)
    assert found["hardware, block"].mfu < found["hardware, none"].mfu
    six_n = 6 * count_parameters(PRESETS["baichuan_7b"]())
    assert 182e12 / six_n == pytest.approx(4333, rel=0.01)  # PAR-018, without attention


def test_llama_took_three_weeks_and_used_half():
    found = readings(published.llama_65b())
    assert found["tokens, none"].mfu == found["tokens, block"].mfu
    assert found["tokens, none"].mfu == pytest.approx(0.49, abs=0.01)
    assert found["tokens, block"].hfu > found["tokens, none"].hfu
    days = 1.4e12 / (2048 * published.llama_65b().tokens_per_second) / 86_400
    assert days == pytest.approx(21, abs=0.5)  # as the paper says


def test_the_two_ways_invert_each_other():
    config = PRESETS["llama_7b"]()
    a = from_tokens(config, 3000.0, PEAK, policy="block")
    for counts, share in (("hardware", a.hfu), ("model", a.mfu)):
        b = from_flops(config, share * PEAK, PEAK, counts=counts, policy="block")
        assert (b.mfu, b.hfu, b.tokens_per_second) == pytest.approx((a.mfu, a.hfu, 3000.0))
    extra = recompute_flops(config) / flops_per_token(config)
    assert a.hfu / a.mfu == pytest.approx(1 + extra)
    plain = from_tokens(config, 3000.0, PEAK)
    assert plain.mfu == plain.hfu == a.mfu


def test_a_longer_context_is_more_work_a_token():
    config = PRESETS["llama_7b"]()
    short, long = (from_tokens(config, 3000.0, PEAK, context=t) for t in (512, 4096))
    assert short.mfu < long.mfu
    again = from_tokens(config, 3000.0, PEAK, context=512, policy="block")
    extra = recompute_flops(config, 512) / flops_per_token(config, context=512)
    assert again.hfu / again.mfu == pytest.approx(1 + extra)


def test_bad_input():
    config = PRESETS["llama_7b"]()
    with pytest.raises(ValueError, match="counts must be 'hardware' or 'model', got 'not said'"):
        from_flops(config, 1e12, PEAK, counts="not said")
    with pytest.raises(ValueError, match="reports no speed of GLM-130B"):
        readings(published.glm())
    with pytest.raises(ValueError, match="utilisation of"):
        from_tokens(config, 1e6, PEAK)
