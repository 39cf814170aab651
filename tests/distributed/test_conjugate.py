"""The edges of a parallel layer: each backward pass is the transpose of its forward pass."""

import pytest
import torch

from minillm.distributed import conjugate
from minillm.distributed.conjugate import own_part
from minillm.distributed.threads import run_threads

WITH_AXIS = ("cut", "join", "gather_inside", "scatter_sum")


def through(group, name, xs, ws, axis):
    """The output, and the gradient of <w, output>, on one rank."""
    x = xs[group.rank].clone().requires_grad_()
    step = getattr(conjugate, name)
    y = step(x, group, axis) if name in WITH_AXIS else step(x, group)
    assert torch.equal(x, xs[group.rank])  # the input is not changed
    (y * ws[group.rank]).sum().backward()
    return y.detach(), x.grad


def drawn(n, *shape):
    torch.manual_seed(n)
    return [torch.randn(*shape, dtype=torch.float64) for _ in range(n)]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_enter_and_leave(n):
    xs, ws = drawn(n, 2, 3), drawn(n, 2, 3)
    for r, (y, grad) in enumerate(run_threads(n, through, "enter", xs, ws, 0)):
        torch.testing.assert_close(y, xs[r])
        torch.testing.assert_close(grad, sum(ws))
    for r, (y, grad) in enumerate(run_threads(n, through, "leave", xs, ws, 0)):
        torch.testing.assert_close(y, sum(xs))
        torch.testing.assert_close(grad, ws[r])


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_cut_and_join(n, axis):
    whole, part = (6, 12, 18), [6, 12, 18]
    part[axis] //= n
    big, small = drawn(n, *whole), drawn(n, *part)
    for r, (y, grad) in enumerate(run_threads(n, through, "cut", [big[0]] * n, small, axis)):
        torch.testing.assert_close(y, own_part(big[0], r, n, axis))
        torch.testing.assert_close(grad, torch.cat(small, axis))
    for r, (y, grad) in enumerate(run_threads(n, through, "join", small, [big[0]] * n, axis)):
        torch.testing.assert_close(y, torch.cat(small, axis))
        torch.testing.assert_close(grad, own_part(big[0], r, n, axis))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_gather_inside_and_scatter_sum(n, axis):
    whole, part = (6, 12, 18), [6, 12, 18]
    part[axis] //= n
    big, small = drawn(n, *whole), drawn(n, *part)
    for r, (y, grad) in enumerate(run_threads(n, through, "gather_inside", small, big, axis)):
        torch.testing.assert_close(y, torch.cat(small, axis))
        torch.testing.assert_close(grad, own_part(sum(big), r, n, axis))
    for r, (y, grad) in enumerate(run_threads(n, through, "scatter_sum", big, small, axis)):
        torch.testing.assert_close(y, own_part(sum(big), r, n, axis))
        torch.testing.assert_close(grad, torch.cat(small, axis))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_swap(n):
    xs, ws = drawn(n, n, 2), drawn(n, n, 2)
    for r, (y, grad) in enumerate(run_threads(n, through, "swap", xs, ws, 0)):
        torch.testing.assert_close(y, torch.stack([xs[q][r] for q in range(n)]))
        torch.testing.assert_close(grad, torch.stack([ws[q][r] for q in range(n)]))


def test_unequal_parts_are_refused():
    with pytest.raises(ValueError, match=r"axis 1 of a tensor of \(2, 5\) cannot be cut into 3"):
        own_part(torch.zeros(2, 5), 0, 3, 1)
    with pytest.raises(ValueError, match="cannot be cut into 2 equal parts"):
        run_threads(2, through, "cut", drawn(2, 3), drawn(2, 3), 0)
