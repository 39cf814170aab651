"""The study of converted heads: what its arms share, and what a conversion starts from."""

import torch

from minillm.model import count_parameters, kv_bytes_per_token
from minillm.recipes.small import MAX_FLOPS
from minillm.recipes.studies import heads_uptraining as study


def test_arms_differ_in_key_value_heads_only():
    multi = study.model_config(8)
    for heads in (2, 1):
        few = study.model_config(heads)
        assert few.feedforward == multi.feedforward
        assert few.attention.n_heads == 8
        missing = 2 * 2 * 64 * 8 * (8 - heads)  # layers, keys and values, D, H
        assert count_parameters(multi) - count_parameters(few) == missing
        assert kv_bytes_per_token(multi) == 8 // heads * kv_bytes_per_token(few)
    wide = study.model_config(1, study.WIDE)
    assert abs(count_parameters(wide) / count_parameters(multi) - 1) < 0.002


def test_every_run_stays_below_the_limit():
    most = round(study.STEPS * (1 + study.SHARES[0] / 100))
    assert study.recipe(most, study.LR).flops < MAX_FLOPS
    assert study.recipe(34, study.UP_LR).warmup_steps == 5
    assert study.recipe(680, study.LR).warmup_steps == 20


def test_a_conversion_leaves_the_original_alone(monkeypatch):
    torch.manual_seed(0)
    model = study.Decoder(study.model_config(8))
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    monkeypatch.setattr(study, "original", lambda seed: model)
    text = torch.arange(300).numpy() % 250
    monkeypatch.setattr(study, "texts", lambda: (text, ["a test"]))
    monkeypatch.setattr(study, "STEPS", 20)
    for arm in ("mha", "mqa_mean", "gqa_random"):
        settings = study.JOB.arms[arm]
        first, again = study.convert(settings, 1), study.convert(settings, 1)
        assert first.config.attention.key_heads == settings["n_kv_heads"]
        for name, weight in first.state_dict().items():
            assert torch.equal(weight, again.state_dict()[name])
        study.up_train(first, 10, 1)
        assert not torch.equal(first.embedding.weight, again.embedding.weight)
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())
    fresh = [
        study.convert(study.JOB.arms["mqa_random"], seed).blocks[0].attention.k.weight
        for seed in (1, 2)
    ]
    assert not torch.equal(*fresh)
