"""What a row of several answers is worth, on gradients whose covariance is known."""

import pytest
import torch

from minillm.finetune.turn_noise import turn_noise


def gradients(N, K, P, shared, seed=0):
    """Every answer has variance 1 a parameter, of which `shared` belongs to its talk."""
    g = torch.Generator().manual_seed(seed)
    talk = torch.randn(N, 1, P, generator=g, dtype=torch.float64)
    own = torch.randn(N, K, P, generator=g, dtype=torch.float64)
    turn = 10 * torch.randn(1, K, P, generator=g, dtype=torch.float64)  # no noise: in every batch
    return turn + shared**0.5 * talk + (1 - shared) ** 0.5 * own


def test_by_hand():
    noise = turn_noise(torch.tensor([[[1.0, 0.0], [2.0, 0.0]], [[3.0, 0.0], [2.0, 4.0]]]))
    torch.testing.assert_close(
        noise.covariance, torch.tensor([[2.0, 0.0], [0.0, 8.0]], dtype=torch.float64)
    )
    assert noise.n_talks == 2
    assert noise.correlation == 0
    assert noise.effective == pytest.approx(5 / (10 / 4))


@pytest.mark.parametrize("shared", [0.0, 0.3, 1.0])
def test_a_known_correlation_is_found(shared):
    noise = turn_noise(gradients(400, 3, 50, shared))
    torch.testing.assert_close(
        noise.covariance.diagonal() / 50, torch.ones(3).double(), rtol=0, atol=0.05
    )
    assert noise.correlation == pytest.approx(shared, abs=0.03)
    assert noise.effective == pytest.approx(3 / (1 + 2 * shared), rel=0.08)


def test_the_worth_of_a_row_is_that_of_batches():
    """The noise of means of rows, measured on batches themselves."""
    g = gradients(6000, 3, 20, 0.4, seed=1)
    rows = g.mean(dim=1)  # (N, P)
    of_row = rows.var(dim=0).sum()
    of_one = g.var(dim=0).sum(dim=-1).mean()
    assert turn_noise(g).effective == pytest.approx(float(of_one / of_row))
    assert float(of_one / of_row) == pytest.approx(3 / 1.8, rel=0.05)


def test_it_has_no_bias_with_few_talks():
    found = [turn_noise(gradients(3, 2, 10, 0.5, seed=s)).covariance for s in range(400)]
    wanted = 10 * torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(torch.stack(found).mean(dim=0), wanted, rtol=0.05, atol=0)


def test_answers_that_are_the_same_are_worth_one():
    one = torch.randn(5, 1, 7, generator=torch.Generator().manual_seed(0))
    assert turn_noise(one.repeat(1, 4, 1)).effective == pytest.approx(1)
    assert turn_noise(one.repeat(1, 4, 1)).correlation == pytest.approx(1)


@pytest.mark.parametrize("shape", [(3, 4), (1, 2, 3), (2, 1, 3)])
def test_too_few_are_refused(shape):
    with pytest.raises(ValueError, match="at least 2 talks with at least 2 answers"):
        turn_noise(torch.zeros(shape))


def test_equal_talks_are_refused():
    with pytest.raises(ValueError, match="the gradients of all talks are the same"):
        turn_noise(torch.ones(3, 2, 4))
