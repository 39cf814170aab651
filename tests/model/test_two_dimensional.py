"""Two positions a token: against one position, by hand, and against ChatGLM's rule written out."""

import dataclasses

import pytest
import torch

from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig, PositionConfig
from minillm.model.rope import apply_rope, rope
from minillm.model.two_dimensional import TwoDimensionalDecoder, two_dimensional_angles

LEARNED = DecoderConfig(
    40, 16, 2, 12, AttentionConfig(2), FeedForwardConfig("swiglu", 16),
    position=PositionConfig("learned"), init_std=0.3,
)  # fmt: skip
ROPE = dataclasses.replace(LEARNED, position=PositionConfig("rope"))
IDS = torch.tensor([[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8]])
PLACES = torch.tensor(
    [[[0, 1, 2, 3, 1, 1], [0, 0, 0, 0, 1, 2]], [[0, 1, 2, 2, 2, 2], [0, 0, 0, 1, 2, 3]]]
)


def model(config):
    torch.manual_seed(0)
    return TwoDimensionalDecoder(config, dtype=torch.float64)


def test_both_halves_turn_by_their_own_position():
    """The rule of ChatGLM-6B: split q in two, turn each half by RoPE, join."""
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6, 16, dtype=torch.float64)  # (B, N, T, H)
    cos, sin = two_dimensional_angles(PLACES, 16)
    assert cos.shape == sin.shape == (2, 6, 8)
    found = apply_rope(x, cos, sin)
    order = torch.tensor([0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15])
    halves = x[..., order].chunk(2, dim=-1)  # pairs 0..3 (j, j + 8), then pairs 4..7
    turned = [rope(half, PLACES[:, i]) for i, half in enumerate(halves)]
    torch.testing.assert_close(found[..., order], torch.cat(turned, dim=-1))


def test_only_differences_of_both_positions_matter():
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 6, 16, dtype=torch.float64), torch.randn(2, 1, 6, 16).double()

    def scores(places):
        cos, sin = two_dimensional_angles(places, 16)
        return apply_rope(q, cos, sin) @ apply_rope(k, cos, sin).mT

    moved = PLACES + torch.tensor([5, 3])[:, None]
    torch.testing.assert_close(scores(moved), scores(PLACES))
    other = PLACES.clone()
    other[:, 1, 4] += 1
    assert not torch.allclose(scores(other), scores(PLACES))


def test_learned_adds_two_tables():
    two = model(LEARNED)
    with torch.no_grad():
        found = two(IDS, positions=PLACES, causal=True)
        one = Decoder(LEARNED, dtype=torch.float64)
        one.load_state_dict({k: v for k, v in two.state_dict().items() if "in_span" not in k})
        x = one.embedding(IDS) + two.position_in_span.weight[PLACES[:, 1]]
        expected = one.logits(one.run(x, positions=PLACES[:, 0]))
    torch.testing.assert_close(found, expected)
    assert two.n_parameters() == one.n_parameters() + 12 * 16


@pytest.mark.parametrize("config", [LEARNED, ROPE])
def test_both_positions_are_seen_and_the_mask_is(config):
    two = model(config)
    hidden = torch.ones(6, 6, dtype=torch.bool).tril()
    with torch.no_grad():
        before = two(IDS, positions=PLACES)
        for axis in (0, 1):
            other = PLACES.clone()
            other[:, axis, 5] += 1
            assert not torch.allclose(two(IDS, positions=other), before)
        masked = two(IDS, positions=PLACES, mask=hidden)
        assert not torch.allclose(masked, before)
        torch.testing.assert_close(masked, two(IDS, positions=PLACES, causal=True))
        shared, alone = two(IDS, positions=PLACES[0]), two(IDS[:1], positions=PLACES[:1])
        torch.testing.assert_close(shared[:1], alone)


def test_with_the_second_position_zero_and_rope():
    """A Decoder whose late pairs do not turn; here all positions are equal, so nothing turns."""
    two = model(ROPE)
    plain = Decoder(dataclasses.replace(ROPE, position=PositionConfig("none")), dtype=torch.float64)
    plain.load_state_dict(two.state_dict())
    same = torch.zeros(2, 6, dtype=torch.long)
    with torch.no_grad():
        torch.testing.assert_close(two(IDS, positions=same, causal=True), plain(IDS))


def test_the_second_table_starts_as_the_first():
    two = model(dataclasses.replace(LEARNED, d_model=64, context=200))
    spread = two.position_in_span.weight.std().item()
    assert abs(spread - 0.3) < 0.01
    assert all(p.requires_grad for p in two.parameters())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"position": PositionConfig("alibi")}, "must be 'learned' or 'rope', got 'alibi'"),
        ({"position": PositionConfig("rope"), "d_model": 12}, "multiple of 4, got 6"),
    ],
)
def test_config_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        TwoDimensionalDecoder(dataclasses.replace(LEARNED, **changes))


def test_positions_refused():
    two = model(LEARNED)
    with pytest.raises(ValueError, match=r"positions must be \(2, 2, 6\) or \(2, 6\)"):
        two(IDS, positions=PLACES[:, :1])
    with pytest.raises(ValueError, match="positions must lie in 0 to 11, got 0 to 12"):
        two(IDS, positions=torch.where(PLACES == 3, 12, PLACES))
    with pytest.raises(ValueError, match="got -1 to 3"):
        two(IDS, positions=torch.where(PLACES == 0, -1, PLACES))
    with pytest.raises(ValueError, match=r"must be \(..., 2, T\), got \(3, 5\)"):
        two_dimensional_angles(torch.zeros(3, 5), 8)
    for width in (6, 0):
        with pytest.raises(
            ValueError, match=f"multiple of 4, for two halves of pairs; got {width}"
        ):
            two_dimensional_angles(PLACES, width)
