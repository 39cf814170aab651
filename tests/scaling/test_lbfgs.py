"""L-BFGS against scipy's, on a valley, on a nearly sharp corner, and from many starts at once."""

import numpy as np
import pytest
from scipy.optimize import minimize, rosen, rosen_der

from minillm.scaling import minimise


def rosenbrock(points, rows):
    return np.array([rosen(p) for p in points]), np.array([rosen_der(p) for p in points])


def test_the_valley_of_rosenbrock_is_walked_to_its_end():
    starts = np.random.default_rng(0).normal(size=(6, 4))
    found = minimise(rosenbrock, starts)
    for start, point, value in zip(starts, found.points, found.values, strict=True):
        other = minimize(rosen, start, jac=rosen_der, method="L-BFGS-B", tol=1e-12)
        assert value <= other.fun + 1e-9
        if other.fun < 1e-6:
            np.testing.assert_allclose(point, 1, atol=1e-4)


def test_a_quadratic_takes_few_steps():
    scales = np.array([1.0, 10.0, 1000.0])
    calls = []

    def bowl(points, rows):
        calls.append(len(points))
        return (scales * points**2).sum(axis=1) / 2, scales * points

    found = minimise(bowl, np.ones((1, 3)))
    assert found.values[0] < 1e-15
    assert len(calls) < 60
    assert found.iterations < 40


def test_starts_do_not_disturb_one_another():
    starts = np.random.default_rng(1).normal(size=(5, 4))
    together = minimise(rosenbrock, starts)
    for i in range(5):
        alone = minimise(rosenbrock, starts[i : i + 1])
        np.testing.assert_allclose(alone.points[0], together.points[i], atol=1e-12)


def test_the_rows_say_which_start_a_point_belongs_to():
    centres = np.array([[0.0], [5.0], [-3.0]])

    def each_its_own(points, rows):
        away = points - centres[rows]
        return (away**2).sum(axis=1), 2 * away

    found = minimise(each_its_own, np.array([[1.0], [1.0], [1.0]]))
    np.testing.assert_allclose(found.points, centres, atol=1e-6)


def test_a_corner_is_found():
    """|x| + 2 |y - 1| with corners rounded at 1e-6."""
    weights, corner, width = np.array([1.0, 2.0]), np.array([0.0, 1.0]), 1e-6

    def sharp(points, rows):
        r = points - corner
        size = np.where(np.abs(r) < width, r**2 / (2 * width), np.abs(r) - width / 2)
        return (weights * size).sum(axis=1), weights * np.clip(r / width, -1, 1)

    found = minimise(sharp, np.array([[3.0, -2.0], [-0.7, 9.0]]))
    np.testing.assert_allclose(found.points, [corner, corner], atol=1e-5)


def test_a_start_where_the_objective_is_not_finite_is_left_alone():
    def log_bowl(points, rows):
        with np.errstate(invalid="ignore"):
            return np.log(points[:, 0]) ** 2, 2 * np.log(points) / points

    found = minimise(log_bowl, np.array([[-1.0], [3.0]]))
    assert found.points[1, 0] == pytest.approx(1, abs=1e-5)
    assert found.values[0] == np.inf
    with pytest.raises(ValueError, match="finite at none of the starts"):
        minimise(log_bowl, np.array([[-1.0]]))


@pytest.mark.parametrize("starts", [np.zeros(3), np.zeros((0, 3))])
def test_starts_are_a_table(starts):
    with pytest.raises(ValueError, match=r"starts must be \(K, P\)"):
        minimise(rosenbrock, starts)
