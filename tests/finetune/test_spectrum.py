"""Spectra of updates: hand-made matrices, brute force, and the nearest matrix of a rank."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.finetune.spectrum import (
    effective_rank,
    low_rank,
    overlap,
    rank_for_share,
    spectrum,
    truncated,
    updates,
)


def matrix(rank=3, shape=(6, 9), seed=0):
    generator = torch.Generator().manual_seed(seed)
    left = torch.randn(shape[0], rank, generator=generator, dtype=torch.float64)
    return left @ torch.randn(rank, shape[1], generator=generator, dtype=torch.float64)


def test_a_diagonal_tells_its_entries():
    torch.testing.assert_close(
        spectrum(torch.diag(torch.tensor([1.0, -4.0, 2.0]))),
        torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64),
    )
    values = spectrum(matrix(3))
    assert (values[:3] > 0.1).all()
    assert (values[3:] < 1e-12).all()
    with pytest.raises(ValueError, match="needs a matrix"):
        spectrum(torch.ones(3))


def test_rank_for_share_by_hand():
    values = torch.tensor([3.0, 2.0, 1.0, 0.0])  # squares 9, 4, 1 of 14
    for share, rank in ((0.01, 1), (9 / 14, 1), (0.65, 2), (13 / 14, 2), (0.93, 3), (1, 3)):
        assert rank_for_share(values, share) == rank, share
    assert rank_for_share(torch.zeros(4)) == 0
    assert rank_for_share(torch.ones(10), 0.9) == 9
    for share in (0, 1.1, -1):
        with pytest.raises(ValueError, match="share must lie"):
            rank_for_share(values, share)
    for wrong in (torch.tensor([1.0, 2.0]), torch.tensor([1.0, -2.0])):
        with pytest.raises(ValueError, match="from the largest to the smallest"):
            rank_for_share(wrong)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.floats(0.1, 100))
def test_effective_rank_counts_equal_directions(k, scale):
    values = torch.cat([torch.full((k,), scale), torch.zeros(5)])
    assert effective_rank(values) == pytest.approx(k)


def test_effective_rank_by_hand():
    assert effective_rank(torch.tensor([3.0, 1.0])) == pytest.approx(
        math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    )
    assert effective_rank(torch.zeros(3)) == 0
    with pytest.raises(ValueError, match="not negative"):
        effective_rank(torch.tensor([1.0, -1.0]))


@pytest.mark.parametrize("shape", [(6, 9), (9, 6)])
@pytest.mark.parametrize("rank", [1, 2, 5, 6, 8])
def test_low_rank_is_the_nearest(shape, rank):
    update = matrix(6, shape)
    b, a = low_rank(update, rank)
    assert b.shape == (shape[0], rank)
    assert a.shape == (rank, shape[1])
    lost = spectrum(update)[rank:].square().sum()  # Eckart and Young
    assert (update - b @ a).square().sum() == pytest.approx(lost.item(), abs=1e-10)
    generator = torch.Generator().manual_seed(1)
    for _ in range(50):  # nobody near does better
        other = [m + 0.1 * torch.randn(m.shape, generator=generator, dtype=m.dtype) for m in (b, a)]
        assert (update - other[0] @ other[1]).square().sum() >= lost - 1e-10
    if rank < 6:
        torch.testing.assert_close(b.norm(dim=0), a.norm(dim=1))  # shared evenly
    assert low_rank(update.float(), 2)[0].dtype == torch.float32
    for wrong in (lambda: low_rank(update, 0), lambda: low_rank(update[0], 1)):
        with pytest.raises(ValueError, match="needs a matrix and rank >= 1"):
            wrong()


def test_updates_and_truncation_of_a_model():
    torch.manual_seed(0)
    before = {"w": torch.randn(6, 9), "gain": torch.ones(9), "thin": torch.randn(1, 9)}
    after = {name: value + torch.randn_like(value) for name, value in before.items()}
    found = updates(before, after)
    assert list(found) == ["w"]
    torch.testing.assert_close(found["w"], (after["w"] - before["w"]).double(), rtol=0, atol=1e-6)
    assert set(updates(before, after, least=1)) == {"w", "thin"}
    for rank in (0, 1, 4, 9):
        cut = truncated(before, after, rank)
        assert torch.equal(cut["gain"], after["gain"])
        assert torch.linalg.matrix_rank((cut["w"] - before["w"]).double(), atol=1e-5) == min(
            rank, 6
        )
        assert cut["w"].dtype == torch.float32
    torch.testing.assert_close(cut["w"], after["w"], rtol=0, atol=1e-6)
    torch.testing.assert_close(truncated(before, after, 0)["w"], before["w"])
    with pytest.raises(ValueError, match="rank must not be negative, got -1"):
        truncated(before, after, -1)
    with pytest.raises(ValueError, match="'gain' is in one of them only"):
        updates(before, {k: v for k, v in after.items() if k != "gain"})
    with pytest.raises(ValueError, match=r"w has shape \(6, 9\) before, \(9, 6\) after"):
        updates(before, after | {"w": after["w"].T})


def test_overlap_of_spans():
    torch.manual_seed(0)
    a = torch.randn(3, 40)
    assert overlap(a, torch.randn(3, 3) @ a) == pytest.approx(1)  # another basis of the same span
    assert overlap(a[:2], a) == pytest.approx(1)
    assert overlap(a, a[:1]) == pytest.approx(1)
    eye = torch.eye(6)
    assert overlap(eye[:2], eye[2:4]) == pytest.approx(0, abs=1e-12)
    assert overlap(eye[:2], eye[1:4]) == pytest.approx(0.5)
    by_chance = [overlap(torch.randn(4, 50), torch.randn(10, 50)) for _ in range(40)]
    assert sum(by_chance) / 40 == pytest.approx(10 / 50, abs=0.02)
    with pytest.raises(ValueError, match="rows of one width"):
        overlap(a, torch.randn(3, 41))
    with pytest.raises(ValueError, match="more rows than inputs"):
        overlap(eye, torch.randn(7, 6))
