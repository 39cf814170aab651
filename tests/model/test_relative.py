"""T5's buckets: by hand, against transformers, and what the bias does in a decoder."""

import dataclasses

import pytest
import torch

from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig, KVCache
from minillm.model.position import PositionConfig
from minillm.model.relative import RelativeBias, relative_bucket

CONFIG = DecoderConfig(
    50, 24, 2, 16, AttentionConfig(4), FeedForwardConfig("swiglu", 32),
    position=PositionConfig("t5", n_buckets=8, max_distance=20), init_std=0.2,
)  # fmt: skip
IDS = torch.randint(0, 50, (2, 12), generator=torch.Generator().manual_seed(0))


def test_buckets_by_hand():
    d = torch.tensor([-3, 0, 1, 7, 8, 9, 12, 16, 64, 127, 128, 10_000])
    one_way = relative_bucket(d, n_buckets=16, max_distance=128)
    # eight exact ones; then 8 + floor(log2(d / 8) * 2)
    assert one_way.tolist() == [0, 0, 1, 7, 8, 8, 9, 10, 14, 15, 15, 15]
    both = relative_bucket(d, n_buckets=16, max_distance=128, both_ways=True)
    # four exact ones a side, then 4 + floor(log(d / 4) / log(32) * 4); upper half to the right
    assert both.tolist() == [11, 0, 1, 4, 4, 4, 5, 5, 7, 7, 7, 7]


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize(("n_buckets", "max_distance"), [(32, 128), (8, 20), (64, 1000)])
def test_buckets_equal_transformers(both_ways, n_buckets, max_distance):
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5")
    distance = torch.arange(-1500, 1500)
    theirs = t5.T5Attention._relative_position_bucket(
        -distance, bidirectional=both_ways, num_buckets=n_buckets, max_distance=max_distance
    )
    ours = relative_bucket(
        distance, n_buckets=n_buckets, max_distance=max_distance, both_ways=both_ways
    )
    assert torch.equal(ours, theirs)
    assert ours.unique().numel() == n_buckets - (1 if both_ways else 0)


def test_buckets_grow_with_distance():
    d = torch.arange(0, 300)
    bucket = relative_bucket(d)
    assert (bucket.diff() >= 0).all()
    assert bucket[0] == 0
    assert bucket[-1] == 31


def test_the_bias_is_read_from_the_table():
    bias = RelativeBias(3, PositionConfig("t5", n_buckets=8, max_distance=20), dtype=torch.float64)
    out = bias(torch.arange(5, 7), torch.arange(7))
    assert out.shape == (3, 2, 7)
    for t in (0, 1):
        for s in range(7):
            bucket = relative_bucket(torch.tensor(5 + t - s), n_buckets=8, max_distance=20)
            assert torch.equal(out[:, t, s], bias.table.weight[bucket])


@torch.no_grad()
def test_a_decoder_with_them_equals_its_cache_and_knows_distance_only():
    torch.manual_seed(0)
    model = Decoder(CONFIG, dtype=torch.float64)
    logits = model(IDS)
    cache = KVCache(CONFIG, 2, 12, torch.float64)
    parts = [model(part, cache=cache) for part in IDS.split([5, 1, 6], dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), logits, rtol=0, atol=1e-12)
    hidden = torch.ones(12, 12, dtype=torch.bool)
    hidden[6:, :6] = False
    alone = model(IDS[:, 6:])
    torch.testing.assert_close(model(IDS, mask=hidden)[:, 6:], alone, rtol=0, atol=1e-12)
    model.relative.table.weight.zero_()
    none = dataclasses.replace(CONFIG, position=PositionConfig("none"))
    blind = Decoder(none, dtype=torch.float64)
    blind.load_state_dict(
        {k: v for k, v in model.state_dict().items() if not k.startswith("relative")}
    )
    torch.testing.assert_close(model(IDS), blind(IDS), rtol=0, atol=1e-12)
    assert (logits - blind(IDS)).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_buckets": 6}, "multiple of 4, got 6"),
        ({"n_buckets": 0}, "got 0"),
        ({"max_distance": 16}, "more than n_buckets / 2 = 16, got 16"),
        ({"rotary_share": 0.0}, r"above 0 and at most 1, got 0\.0"),
        ({"rotary_share": 1.5}, r"got 1\.5"),
    ],
)
def test_wrong_configs_are_refused_by_name(settings, words):
    with pytest.raises(ValueError, match=words):
        PositionConfig(**settings)
